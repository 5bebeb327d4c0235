"""Sandbox management: what an organization has, and making, renaming, resetting and deleting sandboxes.

AEP answers 202 and works for minutes, while the sandbox says ``creating``, ``resetting`` or ``deleting``. Here the work
is done when the answer comes, and only the answer still says so. A sandbox that was made or reset is empty, as at AEP.
The default production sandbox can be neither reset nor deleted. Source: Adobe's sandbox reference (read December
2025); assumed: 400 for what the default sandbox refuses and for one sandbox too many.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from starlette.responses import Response
from starlette.routing import Route

from app.aep import models, paging, paths, times
from app.aep.models import AEPModel
from app.emulator import deeds
from app.emulator.answers import Refusal, json_answer
from app.emulator.deeds import Deed
from app.emulator.gate import Call, Gate
from app.emulator.guardrails import GuardrailControl
from app.emulator.organizations import EmulatedSandbox, Organization
from app.emulator.sandbox_lifecycle import SandboxLifecycle
from app.errors import Conflict

_DEFAULT_LIMIT = 200
_FROM_THE_FIRST_MS = 1_735_689_600_000


class SandboxCreate(AEPModel):
    """Body of a creation."""

    name: str
    title: str = Field(min_length=1, max_length=256)
    type: Literal["production", "development"]


class SandboxUpdate(AEPModel):
    """Body of an update: only the title changes."""

    title: str = Field(min_length=1, max_length=256)


class SandboxAction(AEPModel):
    """Body of a PUT: a reset."""

    action: Literal["reset"]


class Sandboxes:
    """The calls under ``/data/foundation/sandbox-management``. They concern the organization, not one sandbox."""

    def __init__(self, gate: Gate, lifecycle: SandboxLifecycle, guardrails: GuardrailControl) -> None:
        self._gate = gate
        self._lifecycle = lifecycle
        self._guardrails = guardrails

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""

        def guard(handler: Any, deed: Deed | None = None) -> Any:
            return self._gate.guard(handler, in_sandbox=False, deed=deed)

        one = f"{paths.SANDBOXES}/{{name}}"
        return [
            Route(paths.SANDBOX_MANAGEMENT, guard(self._list_active), methods=["GET"]),
            Route(paths.SANDBOX_TYPES, guard(self._types), methods=["GET"]),
            Route(paths.SANDBOXES, guard(self._list), methods=["GET"]),
            Route(paths.SANDBOXES, guard(self._create, deeds.SANDBOX_CREATE), methods=["POST"]),
            Route(one, guard(self._get), methods=["GET"]),
            Route(one, guard(self._patch, deeds.SANDBOX_UPDATE), methods=["PATCH"]),
            Route(one, guard(self._put, deeds.SANDBOX_RESET), methods=["PUT"]),
            Route(one, guard(self._delete, deeds.SANDBOX_DELETE), methods=["DELETE"]),
        ]

    async def _list_active(self, call: Call) -> Response:
        active = call.organization.active_sandboxes()
        return json_answer({"sandboxes": [_document(call.organization, one) for one in active]})

    async def _list(self, call: Call) -> Response:
        query = call.request.query_params
        limit = paging.whole_number(query, "limit", default=_DEFAULT_LIMIT, minimum=1) or _DEFAULT_LIMIT
        offset = paging.whole_number(query, "offset", default=0) or 0
        shown = call.organization.sandboxes[offset : offset + limit]
        href = f"{str(call.request.base_url).rstrip('/')}{paths.SANDBOXES}?limit={{limit}}&offset={{offset}}"
        return json_answer(
            {
                "sandboxes": [_document(call.organization, sandbox) for sandbox in shown],
                "_page": {"limit": limit, "count": len(shown)},
                "_links": {"page": {"href": href, "templated": True}},
            }
        )

    async def _types(self, _call: Call) -> Response:
        types = [{"id": "production", "title": "Production"}, {"id": "development", "title": "Development"}]
        return json_answer({"sandboxTypes": types})

    async def _get(self, call: Call) -> Response:
        return json_answer(_document(call.organization, _found(call)))

    async def _create(self, call: Call) -> Response:
        given = models.read_model(SandboxCreate, await call.json())
        call.touches(given.name, given.title)
        try:
            made = await self._lifecycle.create(
                call.organization.org_id,
                given.name,
                title=given.title,
                type_=given.type,
                actor=call.token.user_id,
                now_ms=call.now_ms,
                limit=self._guardrails.current.sandboxes,
            )
        except Conflict as conflict:
            raise Refusal(409, f"{conflict.detail}. Choose another name.") from conflict
        return json_answer(_document(call.organization, made) | {"state": "creating"}, 202)

    async def _patch(self, call: Call) -> Response:
        given = models.read_model(SandboxUpdate, await call.json())
        sandbox = _found(call)
        call.touches(sandbox.name, given.title)
        changed = await self._lifecycle.retitle(
            call.organization.org_id, sandbox.name, given.title, actor=call.token.user_id, now_ms=call.now_ms
        )
        return json_answer(_document(call.organization, changed))

    async def _put(self, call: Call) -> Response:
        models.read_model(SandboxAction, await call.json())
        sandbox = _found(call)
        call.touches(sandbox.name, sandbox.title)
        going = await self._lifecycle.reset(
            call.organization.org_id, sandbox.name, actor=call.token.user_id, now_ms=call.now_ms
        )
        return json_answer(_document(call.organization, going), 202)

    async def _delete(self, call: Call) -> Response:
        sandbox = _found(call)
        call.touches(sandbox.name, sandbox.title)
        going = await self._lifecycle.delete(
            call.organization.org_id, sandbox.name, actor=call.token.user_id, now_ms=call.now_ms
        )
        return json_answer(_document(call.organization, going), 202)


def _found(call: Call) -> EmulatedSandbox:
    for sandbox in call.organization.sandboxes:
        if sandbox.name == call.path("name"):
            return sandbox
    raise Refusal(404, f"The sandbox {call.path('name')} is not found.")


def _document(organization: Organization, sandbox: EmulatedSandbox) -> dict[str, Any]:
    return {
        "id": sandbox.id,
        "name": sandbox.name,
        "title": sandbox.title,
        "state": sandbox.state,
        "type": sandbox.type,
        "region": organization.region,
        "isDefault": sandbox.default,
        "etag": sandbox.etag,
        "createdDate": _date(sandbox.created_ms),
        "lastModifiedDate": _date(sandbox.changed_ms),
        "createdBy": sandbox.created_by,
        "modifiedBy": sandbox.modified_by,
    }


def _date(moment_ms: int | None) -> str:
    return f"{times.from_epoch_ms(_FROM_THE_FIRST_MS if moment_ms is None else moment_ms):%Y-%m-%d %H:%M:%S}"
