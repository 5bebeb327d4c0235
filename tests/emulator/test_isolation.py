"""Whatever has an id can be reached from its own organization and sandbox only. The routes are those of the application."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from app.aep import paths
from tests.emulator.conftest import LUMA, SOLSTICE, Emulator, Start, definition, own_samples

# Ids in these paths name no object of a sandbox: sandboxes belong to an organization, union schemas to nobody, and the
# link of an audit export is a right by itself.
_OTHER = (paths.SANDBOXES, paths.SCHEMA_UNIONS, f"{paths.AUDIT_EXPORT}/files")


_ELSEWHERE = ((SOLSTICE, "prod"), (SOLSTICE, "dev"), (LUMA, "dev"), (SOLSTICE, "made-later"), (LUMA, "made-later"))
# A sandbox of this name is made in both organizations while the emulator runs.
_LATER = "made-later"


@pytest.fixture
async def emulator(start: Start, state_folder: Path) -> AsyncIterator[Emulator]:
    own_samples(state_folder)
    async with start(scheduler_poll_s=600) as running_emulator:
        for organization in (LUMA, SOLSTICE):
            body = {"name": _LATER, "title": "Made later", "type": "development"}
            made = await running_emulator.call("POST", paths.SANDBOXES, json=body, organization=organization)
            assert made.status_code == 202, made.text
        yield running_emulator


async def _made(emulator: Emulator, path: str, body: Any) -> dict[str, Any]:
    answer = await emulator.call("POST", path, json=body)
    assert answer.status_code in {200, 201, 202}, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def _objects(emulator: Emulator) -> dict[str, dict[str, str]]:
    """Make one object of each kind, and return the path parameters of its routes by their collection."""
    made = await emulator.create("Secret gold")
    segment = [{"segmentId": made["id"]}]
    export = {"destination": {"datasetId": "secret"}, "schema": {"name": "_xdm.context.profile"}}
    schedule = {"name": "secret", "type": "batch_segmentation", "properties": {"segments": ["*"]}}
    policy = {
        "name": "Secret policy",
        "schema": {"name": "_xdm.context.profile"},
        "identityGraph": {"type": "none"},
        "attributeMerge": {"type": "timestampOrdered"},
    }
    external = {
        "name": "Secret upload",
        "fields": [{"name": "email", "type": "string", "identityNs": "Email"}],
        "sourceSpec": {"params": {"path": "secret.csv", "type": "file"}},
        "originName": "CUSTOM_UPLOAD",
    }
    operation = (await _made(emulator, paths.EXTERNAL_AUDIENCES, external))["operationId"]
    uploaded = await emulator.until(
        f"{paths.EXTERNAL_AUDIENCES}/operations/{operation}", lambda body: body["status"] == "SUCCESS"
    )
    runs = f"{paths.EXTERNAL_AUDIENCES}/{uploaded['audienceId']}/runs"
    run = await _made(emulator, runs, {"dataFilterStartTime": 1})
    preview = await _made(emulator, paths.PREVIEW, {"predicateExpression": emulator.rule("gold")})
    return {
        paths.SEGMENT_DEFINITIONS: {"id": made["id"]},
        paths.AUDIENCES: {"id": made["id"]},
        paths.SEGMENT_JOBS: {"id": (await _made(emulator, paths.SEGMENT_JOBS, segment))["id"]},
        paths.EXPORT_JOBS: {"id": str((await _made(emulator, paths.EXPORT_JOBS, export))["id"])},
        paths.SCHEDULES: {"id": (await _made(emulator, paths.SCHEDULES, schedule))["id"]},
        paths.MERGE_POLICIES: {"id": (await _made(emulator, paths.MERGE_POLICIES, policy))["id"]},
        paths.PREVIEW: {"id": preview["previewId"]},
        paths.ESTIMATE: {"id": preview["previewId"]},
        paths.EXTERNAL_AUDIENCES: {"id": uploaded["audienceId"], "run": run["runId"], "operation": operation},
    }


def _body(emulator: Emulator, method: str, collection: str, path: str) -> Any:
    """Return a body that would be good at home."""
    if path.endswith(("/runs", "/run")):
        return {"dataFilterStartTime": 1}
    bodies: dict[tuple[str, str], Any] = {
        ("PATCH", paths.SEGMENT_DEFINITIONS): {"description": "mine"},
        ("PATCH", paths.AUDIENCES): [{"op": "add", "path": "/description", "value": "mine"}],
        ("PUT", paths.AUDIENCES): definition("Mine", 'person.gender = "female"'),
        ("PATCH", paths.SCHEDULES): [{"op": "add", "path": "/state", "value": "active"}],
        ("PATCH", paths.MERGE_POLICIES): [{"op": "add", "path": "/name", "value": "Mine"}],
        ("PUT", paths.MERGE_POLICIES): {
            "schema": {"name": "_xdm.context.profile"},
            "identityGraph": {"type": "none"},
            "attributeMerge": {"type": "timestampOrdered"},
        },
        ("PATCH", paths.EXTERNAL_AUDIENCES): {"description": "mine"},
    }
    return bodies.get((method, collection))


async def test_no_route_reaches_an_object_of_another_place(emulator: Emulator) -> None:
    objects = await _objects(emulator)
    asked = 0
    for method, template in await _routes(emulator):
        collection = max((one for one in objects if template.startswith(f"{one}/")), key=len, default="")
        assert collection, f"{template} is of no kind that this test knows: add one to _objects"
        path = re.sub(r"{(\w+)}", lambda match, ids=objects[collection]: ids[match[1]], template)
        body = _body(emulator, method, collection, path)
        for organization, sandbox in _ELSEWHERE:
            answer = await emulator.call(method, path, json=body, organization=organization, sandbox=sandbox)
            assert answer.status_code == 404, (method, path, answer.status_code, answer.text)
            assert "secret" not in answer.text.lower()
            asked += 1
    assert asked > 100
    for collection, ids in objects.items():
        if collection not in {paths.PREVIEW, paths.ESTIMATE, paths.EXTERNAL_AUDIENCES}:
            shown = await emulator.call("GET", f"{collection}/{ids['id']}")
            assert (shown.status_code, "mine" in shown.text.lower()) == (200, False), collection


async def _routes(emulator: Emulator) -> list[tuple[str, str]]:
    """Return (method, template) of every route with an id of something that belongs to a sandbox."""
    app = emulator.http._transport.app
    return [
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route) and "{" in route.path and route.path.startswith("/data/")
        if not route.path.startswith(_OTHER)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


async def test_no_list_shows_an_object_of_another_place(emulator: Emulator) -> None:
    await _objects(emulator)
    shown = 0
    for route in emulator.http._transport.app.routes:
        if not isinstance(route, Route) or "GET" not in (route.methods or ()) or "{" in route.path:
            continue
        if not route.path.startswith("/data/"):
            continue
        for organization, sandbox in _ELSEWHERE:
            headers = await emulator.headers(organization, sandbox) | {"x-ups-search-version": "1.0"}
            answer = await emulator.http.get(route.path, params=_query(route.path), headers=headers)
            assert answer.status_code < 500, (route.path, answer.text)
            assert "secret" not in answer.text.lower(), route.path
            shown += answer.status_code == 200
    assert shown > 60
    headers = await emulator.headers() | {"x-ups-search-version": "1.0"}
    for path in (paths.SEGMENT_DEFINITIONS, paths.AUDIENCES, paths.SEARCH_ENTITIES, paths.MERGE_POLICIES):
        assert "Secret" in (await emulator.http.get(path, params=_query(path), headers=headers)).text, path


def _query(path: str) -> dict[str, str]:
    """Return what the reads that need a query ask for."""
    asked = "_xdm.context.segmentdefinition" if "/search/" in path else "_xdm.context.profile"
    query = {"schema.name": asked, "namespace": "AEPSegments", "entityIdNS": "Email"}
    return query if path == paths.SEARCH_ENTITIES else query | {"entityId": "x"}  # there it names a folder


async def test_a_sandbox_made_later_in_one_organization_is_none_of_the_others(emulator: Emulator) -> None:
    body = {"name": "lumas-only", "title": "Luma's only", "type": "development"}
    assert (await emulator.call("POST", paths.SANDBOXES, json=body)).status_code == 202
    for method, sent in (("GET", None), ("PATCH", {"title": "Taken"}), ("PUT", {"action": "reset"}), ("DELETE", None)):
        answer = await emulator.call(method, f"{paths.SANDBOXES}/lumas-only", json=sent, organization=SOLSTICE)
        assert answer.status_code == 404, method
    assert (await emulator.call("GET", f"{paths.SANDBOXES}/lumas-only")).json()["title"] == "Luma's only"
    assert "lumas-only" not in (await emulator.call("GET", paths.SANDBOXES, organization=SOLSTICE)).text
