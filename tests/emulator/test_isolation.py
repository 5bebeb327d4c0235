"""Whatever has an id can be reached from its own organization and sandbox only. The routes are those of the application."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.routing import Route

from app.aep import paths
from tests.emulator.conftest import LUMA, SOLSTICE, Emulator, Start, definition

# Ids in these paths name no object of a sandbox: sandboxes belong to an organization, union schemas to nobody, and the
# link of an audit export is a right by itself.
_OTHER = (paths.SANDBOXES, paths.SCHEMA_UNIONS, f"{paths.AUDIT_EXPORT}/files")


@pytest.fixture
async def emulator(start: Start) -> AsyncIterator[Emulator]:
    async with start(scheduler_poll_s=600) as running_emulator:
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
        for organization, sandbox in ((SOLSTICE, "prod"), (SOLSTICE, "dev"), (LUMA, "dev")):
            answer = await emulator.call(method, path, json=body, organization=organization, sandbox=sandbox)
            assert answer.status_code == 404, (method, path, answer.status_code, answer.text)
            assert "secret" not in answer.text.lower()
            asked += 1
    assert asked > 60
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
