"""The facade: every path that the emulator serves for clients, every write through the door, AEP's own answers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.routing import Route

from app.context.permissions import Permission
from app.emulator.app import create_app
from app.emulator.settings import EmulatorSettings
from app.services.permissions import REQUIRED
from tests.gateway.conftest import Stack
from tests.gateway.test_writes import RULE, body, unique

UPS = "/data/core/ups"
DEFINITIONS = f"{UPS}/segment/definitions"
AUDIENCES = f"{UPS}/audiences"
POLICIES = f"{UPS}/config/mergePolicies"
EXTERNAL = "/data/core/ais/external-audience"

# POSTs that change nothing: they are reads with a body.
READS_BY_POST = {
    f"{DEFINITIONS}/bulk-get",
    f"{UPS}/segment/jobs/bulk-get",
    f"{AUDIENCES}/bulk-get",
    f"{UPS}/segment/conversion",
    f"{UPS}/config/mergePolicies/bulk-get",
    f"{UPS}/config/schedules/audience-map",
    "/data/foundation/access-control/acl/effective-policies",
}
# What the sync worker reads in the background, whatever a test does.
READ_BY_SYNC = {
    *("list_segment_definitions", "list_audiences", "list_schema_unions", "get_schema_union", "list_sandboxes"),
    # What a list leaves out or an open job is asked for by id, and drift for its author.
    *("list_schedules", "list_segment_jobs", "list_upstream_audit_events"),
    *("bulk_get_segment_definitions", "bulk_get_audiences", "bulk_get_segment_jobs"),
}


POLICY = {
    "name": "A policy",
    "schema": {"name": "_xdm.context.profile"},
    "identityGraph": {"type": "pdg"},
    "attributeMerge": {"type": "timestampOrdered"},
}


def facade_routes(stack: Stack) -> set[tuple[str, str]]:
    """Return (method, path) of every route below AEP's paths."""
    found = (route for route in stack.gateway.app.routes if isinstance(route, Route))
    return {
        (method, route.path)
        for route in found
        if route.path.startswith("/data/")
        for method in (route.methods or set()) - {"HEAD"}
    }


def writes(stack: Stack) -> list[tuple[str, str]]:
    """Return the routes that change something, deletions last."""
    changing = [one for one in facade_routes(stack) if one[0] != "GET" and one[1] not in READS_BY_POST]
    return sorted(changing, key=lambda one: (one[0] == "DELETE", one))


def bodies(rule: str = RULE) -> dict[tuple[str, str], Any]:
    """Return bodies that get as far as AEP; routes that are not here take an empty object."""
    definition = body(unique("Facade"), rule)
    return {
        ("POST", DEFINITIONS): definition,
        ("POST", AUDIENCES): {**body(unique("Facade audience"), rule), "type": "SegmentDefinition"},
        ("PATCH", AUDIENCES + "/{id}"): [{"op": "add", "path": "/description", "value": "changed"}],
        ("PUT", AUDIENCES + "/{id}"): {**body(unique("Facade audience"), rule), "type": "SegmentDefinition"},
        ("PATCH", POLICIES + "/{id}"): [{"op": "add", "path": "/name", "value": "changed"}],
        ("PUT", POLICIES + "/{id}"): POLICY,
        ("PATCH", EXTERNAL + "/{id}"): {"description": "changed"},
        ("POST", EXTERNAL + "/{id}/runs"): {"dataFilterStartTime": 1_764_547_200},
        ("POST", EXTERNAL + "/{id}/run"): {"dataFilterStartTime": 1_764_547_200},
        ("POST", f"{UPS}/preview"): {"predicateExpression": rule},
        ("PATCH", f"{UPS}/config/schedules/{{id}}"): [{"op": "add", "path": "/state", "value": "active"}],
    }


async def test_the_facade_serves_every_path_that_the_emulator_serves_for_clients(stack: Stack, tmp_path: Path) -> None:
    state_dir = tmp_path / "routes"
    state_dir.mkdir()
    emulator = create_app(EmulatorSettings(state_dir, profiles=100), progress=lambda _what, _share: None)
    async with emulator.router.lifespan_context(emulator):
        served = {
            (method, _shape(route.path))
            for route in emulator.routes
            if isinstance(route, Route) and route.path.startswith(("/data/core/ups", "/data/core/ais", "/data/found"))
            for method in (route.methods or set()) - {"HEAD"}
        }
    assert len(served) > 30
    ours = {(method, _shape(path)) for method, path in facade_routes(stack)}
    assert served - ours == set()


async def test_every_write_of_the_facade_leaves_its_outcome_in_the_audit(stack: Stack) -> None:
    headers = await stack.headers_with(*Permission)
    given = bodies()
    silent = []
    for number, (method, path) in enumerate(writes(stack)):
        made = (await stack.http.post(DEFINITIONS, json=body(unique("Target")), headers=headers)).json()["id"]
        request_id = f"write-{number}"
        reply = await _send(stack, method, path, made, given, headers | {"x-request-id": request_id})
        assert reply.status_code < 500 or reply.status_code == 503, (method, path, reply.text)
        events = await _audit(stack, headers, request_id)
        if len(events) != 1 or events[0]["phase"] not in {"succeeded", "failed"}:
            silent.append((method, path, reply.status_code, events))
    assert silent == []


async def test_sandboxes_are_made_and_deleted_at_aep_and_the_audit_tells_by_whom(stack: Stack) -> None:
    headers = await stack.headers_with(Permission.MANAGE_SANDBOXES, Permission.VIEW_USER_ACTIVITY_LOG)
    sandboxes, name = "/data/foundation/sandbox-management/sandboxes", f"made-{uuid4().hex[:12]}"
    wanted = {"name": name, "title": "Made by the gateway", "type": "development"}
    made = await stack.http.post(sandboxes, json=wanted, headers=headers | {"x-request-id": "made"})
    assert (made.status_code, made.json()["name"], made.json()["state"]) == (202, name, "creating")
    renamed = await stack.http.patch(f"{sandboxes}/{name}", json={"title": "Renamed"}, headers=headers)
    assert (renamed.status_code, renamed.json()["title"]) == (200, "Renamed")
    assert (await stack.upstream("GET", f"{sandboxes}/{name}")).json()["title"] == "Renamed"
    gone = await stack.http.delete(f"{sandboxes}/{name}", headers=headers | {"x-request-id": "gone"})
    assert (gone.status_code, gone.json()["state"]) == (202, "deleting")
    for request_id, action in (("made", "tenant:sandbox:create"), ("gone", "tenant:sandbox:delete")):
        (event,) = await _audit(stack, headers, request_id)
        assert (event["action"], event["phase"], event["resource"]["name"]) == (action, "succeeded", name)
    assert (await stack.http.delete(f"{sandboxes}/{name}", headers=headers)).status_code == 404


async def test_every_write_of_the_facade_is_refused_without_its_permission_and_nothing_is_sent(stack: Stack) -> None:
    reader = await stack.headers_with(Permission.VIEW_SEGMENTS)
    auditor = await stack.headers_with(Permission.VIEW_USER_ACTIVITY_LOG)
    given = bodies()
    passed = []
    for number, (method, path) in enumerate(writes(stack)):
        request_id = f"denied-{number}"
        reply = await _send(stack, method, path, "some-id", given, reader | {"x-request-id": request_id})
        events = await _audit(stack, auditor, request_id)
        if reply.status_code != 403 or [event["phase"] for event in events] != ["denied"]:
            passed.append((method, path, reply.status_code, events))
    # View Segments is what ending a preview needs; AEP has none of that id.
    assert [(method, path) for method, path, _, _ in passed] == [("DELETE", f"{UPS}/preview/{{id}}")]
    assert await _upstream_operations(stack) - READ_BY_SYNC == {"delete_preview"}


async def test_every_read_of_the_facade_is_refused_to_a_caller_without_permissions(stack: Stack) -> None:
    nobody = await stack.headers_with()
    reads = facade_routes(stack) - set(writes(stack))
    answered = set()
    for method, path in sorted(reads):
        reply = await _send(stack, method, path, "some-id", {("POST", path): {"ids": [{"id": "x"}]}}, nobody)
        if reply.status_code != 403:
            answered.add((method, path))
    # What a caller may ask about himself.
    assert {path.removeprefix("/data/foundation") for _, path in answered} == {
        "/sandbox-management",
        "/sandbox-management/sandboxes",
        "/sandbox-management/sandboxes/{name}",
        "/sandbox-management/sandboxTypes",
        "/access-control/acl/reference",
        "/access-control/acl/effective-policies",
    }
    assert await _upstream_operations(stack) <= READ_BY_SYNC


@pytest.fixture
async def theirs(stack: Stack) -> AsyncIterator[dict[str, str]]:
    """An object of each kind in Luma's production sandbox: its id by the path of its collection."""
    headers = await stack.headers_with(*Permission)

    async def post(path: str, wanted: Any) -> dict[str, Any]:
        reply = await stack.http.post(path, json=wanted, headers=headers)
        assert reply.is_success, reply.text
        found: dict[str, Any] = reply.json()
        return found

    aep_id = (await post(DEFINITIONS, body(unique("Theirs"))))["id"]
    schedule = {"name": unique("theirs"), "type": "batch_segmentation", "properties": {"segments": ["*"]}}
    policy = POLICY | {"name": unique("theirs")}
    export = {"destination": {"datasetId": "692d1f0a97f8e31b639fb14d"}, "schema": {"name": "_xdm.context.profile"}}
    external = {
        "audienceId": unique("theirs"),
        "name": unique("theirs"),
        "namespace": "theirs",
        "type": "ExternalSegment",
    }
    preview = await post(f"{UPS}/preview", {"predicateExpression": RULE})
    made = {
        DEFINITIONS: aep_id,
        AUDIENCES: aep_id,
        f"{UPS}/segment/jobs": (await post(f"{UPS}/segment/jobs", [{"segmentId": aep_id}]))["id"],
        f"{UPS}/export/jobs": str((await post(f"{UPS}/export/jobs", export))["id"]),
        f"{UPS}/config/schedules": (await post(f"{UPS}/config/schedules", schedule))["id"],
        f"{UPS}/config/mergePolicies": (await post(f"{UPS}/config/mergePolicies", policy))["id"],
        f"{UPS}/preview": preview["previewId"],
        f"{UPS}/estimate": preview["previewId"],
        EXTERNAL: (await post(AUDIENCES, external))["id"],
    }
    yield made
    # The emulator is shared, and a sandbox has few schedules and merge policies.
    for collection in (f"{UPS}/config/schedules", f"{UPS}/config/mergePolicies"):
        await stack.http.delete(f"{collection}/{made[collection]}", headers=headers)


@pytest.mark.parametrize(("slug", "sandbox"), [("solstice", "prod"), ("luma", "dev")])
async def test_nothing_of_another_organization_or_sandbox_can_be_reached_by_its_id(
    stack: Stack, theirs: dict[str, str], slug: str, sandbox: str
) -> None:
    headers = await stack.headers_with(*Permission, slug=slug) | {"x-sandbox-name": sandbox}
    given = bodies('person.gender = "female"')  # a rule that every organization's fields allow
    tried, reached = set(), []
    for method, path in sorted(facade_routes(stack)):
        collection = next((one for one in theirs if path.startswith(one + "/{id}")), None)
        if collection is not None:
            tried.add(collection)
            reply = await _send(stack, method, path, theirs[collection], given, headers)
            if reply.status_code != 404:
                reached.append((method, path, reply.status_code, reply.text[:200]))
    assert tried == set(theirs)
    assert reached == []
    for collection, identifier in theirs.items():
        if collection != EXTERNAL:
            kept = await stack.upstream("GET", f"{collection}/{identifier}")
            assert kept.status_code == 200, collection


async def test_an_audience_with_a_rule_is_a_definition_of_its_author_at_once(stack: Stack) -> None:
    name = unique("Audience")
    made = await stack.facade(
        "POST", AUDIENCES, json={**body(name), "type": "SegmentDefinition", "labels": ["core/C1"]}
    )
    assert made.status_code == 201
    aep_id = made.json()["id"]
    assert (await stack.facade("GET", f"{AUDIENCES}/{aep_id}")).json() == made.json()
    answer = await stack.graphql(
        "query ($id: String!) { segmentDefinition(aepId: $id) { name version createdBy { integration } } }",
        {"id": aep_id},
    )
    assert answer["data"]["segmentDefinition"] == {
        "name": name,
        "version": 1,
        "createdBy": {"integration": "Luma Loader"},
    }
    upstream = await stack.upstream("GET", f"{DEFINITIONS}/{aep_id}")
    assert (await stack.facade("GET", f"{DEFINITIONS}/{aep_id}")).json() == upstream.json()


async def test_a_changed_audience_changes_its_definition_and_the_other_way_round(stack: Stack) -> None:
    aep_id = (await stack.facade("POST", DEFINITIONS, json=body(unique("Twins")))).json()["id"]
    assert (await stack.facade("GET", f"{AUDIENCES}/{aep_id}")).status_code == 200
    patch = [{"op": "add", "path": "/description", "value": "as an audience"}]
    patched = await stack.facade("PATCH", f"{AUDIENCES}/{aep_id}", json=patch)
    assert patched.status_code == 201
    assert (await stack.facade("GET", f"{DEFINITIONS}/{aep_id}")).json()["description"] == "as an audience"
    await stack.facade("PATCH", f"{DEFINITIONS}/{aep_id}", json={"description": "as a definition"})
    assert (await stack.facade("GET", f"{AUDIENCES}/{aep_id}")).json()["description"] == "as a definition"
    assert (await stack.facade("DELETE", f"{AUDIENCES}/{aep_id}")).status_code == 204
    assert (await stack.facade("GET", f"{DEFINITIONS}/{aep_id}")).status_code == 404


async def test_a_wrong_rule_in_a_patched_audience_is_refused_before_anything_is_sent(stack: Stack) -> None:
    aep_id = (await stack.facade("POST", DEFINITIONS, json=body(unique("Rule")))).json()["id"]
    wrong = {"type": "PQL", "format": "pql/text", "value": "loyalty.levl = "}
    reply = await stack.facade(
        "PATCH", f"{AUDIENCES}/{aep_id}", json=[{"op": "add", "path": "/expression", "value": wrong}]
    )
    assert reply.status_code == 400
    assert "column" in reply.json()["title"]
    assert "update_audience" not in await _upstream_operations(stack)


async def test_aeps_own_words_reach_the_client_of_the_facade(stack: Stack) -> None:
    for path in (f"{AUDIENCES}/no-such-audience", f"{UPS}/export/jobs/4711", f"{UPS}/config/schedules/nothing"):
        facade, upstream = await stack.facade("GET", path), await stack.upstream("GET", path)
        assert facade.status_code == upstream.status_code == 404
        said, meant = facade.json(), upstream.json()
        assert said | {"requestId": ""} == meant | {"requestId": ""}


async def test_effective_policies_are_the_callers_own(stack: Stack) -> None:
    path = "/data/foundation/access-control/acl/effective-policies"
    headers = await stack.headers_with(Permission.VIEW_SEGMENTS)
    reply = await stack.http.post(
        path, json=["/resource-types/segments", "/permissions/manage-segments"], headers=headers
    )
    assert reply.json() == {"policies": {"/resource-types/segments": ["read"]}}


async def test_an_export_passes_through_with_its_location_and_its_status(stack: Stack) -> None:
    wanted = {"destination": {"datasetId": "692d1f0a97f8e31b639fb14d"}, "schema": {"name": "_xdm.context.profile"}}
    started = await stack.facade("POST", f"{UPS}/export/jobs", json=wanted)
    assert started.status_code == 200
    assert started.headers["x-location"].endswith(f"/export/jobs/{started.json()['id']}")
    async with asyncio.timeout(20):
        while True:
            job = (await stack.facade("GET", f"{UPS}/export/jobs/{started.json()['id']}")).json()
            if job["status"] == "SUCCEEDED":
                break
            await asyncio.sleep(0.05)
    assert job["metrics"]["totalExportedProfileCounter"] == 500
    listed = await stack.facade("GET", f"{UPS}/export/jobs/", params={"limit": "1000"})
    assert job["id"] in [one["id"] for one in listed.json()["records"]]


async def test_a_schedule_lives_through_the_facade(stack: Stack) -> None:
    path = f"{UPS}/config/schedules"
    wanted = {"name": unique("nightly"), "type": "batch_segmentation", "properties": {"segments": ["*"]}}
    made = (await stack.facade("POST", path, json=wanted)).json()
    patch = b'[{"op": "add", "path": "/state", "value": "active"}]'
    # A public collection of requests sends this one as plain text.
    patched = await stack.facade("PATCH", f"{path}/{made['id']}", content=patch, headers={"content-type": "text/plain"})
    assert (patched.status_code, patched.content) == (204, b"")
    assert (await stack.facade("GET", f"{path}/{made['id']}")).json()["state"] == "active"
    assert (await stack.facade("DELETE", f"{path}/{made['id']}")).status_code == 204
    assert (await stack.facade("GET", f"{path}/{made['id']}")).status_code == 404


async def test_a_search_needs_no_version_from_the_client(stack: Stack) -> None:
    params = {"schema.name": "_xdm.context.segmentdefinition"}
    reply = await stack.facade("GET", f"{UPS}/search/namespaces", params=params)
    assert reply.status_code == 200
    assert reply.json()["status"] == {"message": "Success"}


@pytest.mark.parametrize(
    "value", ["1e400", "123456789012345678901234567890", "1e30", "NaN", r'"\u0000"', r'"\ud800"', "-0.0"]
)
async def test_values_that_no_audit_can_keep_are_no_server_error(stack: Stack, value: str) -> None:
    content = f'{{"name": "n", "type": "batch_segmentation", "properties": {{"segments": ["*"], "x": {value}}}}}'
    reply = await stack.facade(
        "POST", f"{UPS}/config/schedules", content=content, headers={"content-type": "application/json"}
    )
    assert reply.status_code < 500


def test_every_operation_of_the_table_names_known_permissions() -> None:
    assert all(isinstance(one, Permission) for needed in REQUIRED.values() for one in needed)


def _shape(path: str) -> str:
    """Return a path with its parameters made nameless."""
    return re.sub(r"\{[^}]*\}", "{}", path)


async def _send(
    stack: Stack, method: str, path: str, identifier: str, given: dict[tuple[str, str], Any], headers: dict[str, str]
) -> httpx.Response:
    filled = re.sub(r"\{[^}]*\}", identifier, path)
    content = {} if method in {"GET", "DELETE"} else {"json": given.get((method, path), {})}
    return await stack.http.request(method, filled, headers=headers, **content)


async def _audit(stack: Stack, headers: dict[str, str], request_id: str) -> list[dict[str, Any]]:
    reply = await stack.http.get("/v1/audit-events", params={"requestId": request_id}, headers=headers)
    found: list[dict[str, Any]] = reply.json()["events"]
    return found


async def _upstream_operations(stack: Stack) -> set[str]:
    """Return the operations with which the gateway has called AEP so far."""
    text = (await stack.http.get("/metrics")).text
    return set(re.findall(r'^gateway_upstream_calls_total\{operation="(\w+)"', text, re.MULTILINE))
