"""The table of permissions is what is enforced: every call is made without one of its permissions, and with all."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from app.context.permissions import Permission, with_implied
from app.graphql.ids import to_global_id
from app.graphql.schema import schema
from app.services.permissions import CALLS, REQUIRED
from tests.gateway.conftest import Stack
from tests.isolation.documents import RULE, documents
from tests.permissions_page import calls_of

NOBODYS = "00000000-0000-4000-8000-000000000000"

# One of these can be read by each call, so that the question of permission is reached.
BODIES: tuple[Any, ...] = (
    {"ids": [{"id": NOBODYS}], "version": 1},
    [{"op": "replace", "path": "/description", "value": "x"}],
    ["/resource-types/segments"],
)


def denying_sets(operation: str) -> dict[Permission, frozenset[Permission]]:
    """Return, for each permission that an operation needs, the largest set of permissions without it."""
    found = {}
    for needed in REQUIRED[operation]:
        held = frozenset(one for one in Permission if needed not in with_implied({one}))
        found[needed] = held
    return found


def protected_routes() -> list[tuple[str, str, str]]:
    """Return (method, path, operation) of every route that asks for permissions."""
    found = []
    for call, operation in CALLS.items():
        method, _, path = call.partition(" ")
        if path.startswith(("/data/", "/v1/")) and operation in REQUIRED:
            found.append(
                (
                    method,
                    path.replace("{id:path}", NOBODYS).format(
                        id=NOBODYS, run=NOBODYS, name="x", version="1", query="e30"
                    ),
                    operation,
                )
            )
    return found


async def statuses(stack: Stack, method: str, path: str, headers: dict[str, str]) -> list[tuple[int, str]]:
    if method in {"GET", "DELETE"}:
        reply = await stack.http.request(method, path, headers=headers)
        return [(reply.status_code, reply.text)]
    found = []
    for body in BODIES:
        reply = await stack.http.request(method, path, headers=headers, json=body)
        found.append((reply.status_code, reply.text))
    return found


class Holders:
    """Integrations with exactly these permissions, made once each."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._known: dict[frozenset[Permission], dict[str, str]] = {}

    async def headers(self, held: frozenset[Permission]) -> dict[str, str]:
        if held not in self._known:
            self._known[held] = await self._stack.headers_with(*held)
        return self._known[held]


async def test_every_route_of_the_gateway_has_an_entry(stack: Stack) -> None:
    assert set(calls_of(stack.gateway.app.routes)) <= set(CALLS)


async def test_every_route_is_refused_without_each_of_its_permissions_and_not_with_all(stack: Stack) -> None:
    holders = Holders(stack)
    assert len(protected_routes()) > 60
    for method, path, operation in protected_routes():
        for missing, held in denying_sets(operation).items():
            answers = await statuses(stack, method, path, await holders.headers(held))
            denied = [text for status, text in answers if status == 403]
            assert denied, f"{method} {path} without {missing}: {answers}"
            assert any(missing in text for text in denied), f"{method} {path} does not say that {missing} is missing"
        # A person's own keys are for people, who need no permission for them.
        person = {"authorization": f"Bearer {stack.key('viewer')}"} if "_own_" in operation else None
        answers = await statuses(stack, method, path, person or await holders.headers(REQUIRED[operation]))
        assert 403 not in [status for status, _ in answers], f"{method} {path} with all of {operation}: {answers}"


async def test_every_root_field_is_refused_without_each_of_its_permissions_and_not_with_all(stack: Stack) -> None:
    holders = Holders(stack)

    async def codes(body: dict[str, Any], held: frozenset[Permission]) -> str:
        return (await stack.http.post("/graphql", json=body, headers=await holders.headers(held))).text

    for document in documents(depth=2):
        operation = CALLS[document.call]
        body = document.filled(to_global_id("Nothing" if operation == "node" else "SegmentDefinition", UUID(NOBODYS)))
        for missing, held in denying_sets(operation).items():
            answer = await codes(body, held)
            assert '"FORBIDDEN"' in answer, f"{document.call} without {missing}: {answer}"
            assert missing in answer, f"{document.call} does not say that {missing} is missing: {answer}"
        answer = await codes(body, REQUIRED[operation])
        assert '"FORBIDDEN"' not in answer, f"{document.call} with all of {operation}: {answer}"


async def test_every_kind_of_node_can_be_fetched_and_asks_for_its_own_permission(stack: Stack) -> None:
    headers = await stack.headers_with()
    kinds = [one.name for one in schema._schema.get_implementations(schema._schema.type_map["Node"]).objects]
    assert {"SegmentDefinition", "Audience", "AuditEvent"} <= set(kinds)
    for kind in kinds:
        body = {"query": f'{{ node(id: "{to_global_id(kind, UUID(NOBODYS))}") {{ id }} }}'}
        answer = (await stack.http.post("/graphql", json=body, headers=headers)).text
        assert '"FORBIDDEN"' in answer, f"node() does not know {kind}, or asks for no permission: {answer}"


async def test_a_refused_change_is_in_the_audit_and_nothing_was_sent(stack: Stack) -> None:
    headers = await stack.headers_with(Permission.VIEW_SEGMENTS, Permission.VIEW_USER_ACTIVITY_LOG)
    body = {"name": "x", "expression": {"type": "PQL", "format": "pql/text", "value": RULE}}
    await stack.http.post("/data/core/ups/segment/definitions", json=body, headers=headers)
    events = (await stack.http.get("/v1/audit-events?first=1", headers=headers)).json()["events"]
    assert [(one["phase"], one["action"]) for one in events] == [("denied", "sandbox:segment_definition:create")]
    assert events[0]["detail"]["permission"] == Permission.MANAGE_SEGMENTS
