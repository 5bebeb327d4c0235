"""The cache follows AEP with few calls, tells how old it is, reads through, and tells the audit what it finds."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.settings import SyncSettings
from app.store.revisions import Origin
from app.store.sync_states import Cached, SyncMode
from app.store.tenants import to_sandbox, to_tenant
from app.sync.worker import SyncWorker
from tests.gateway.conftest import Emulator, Stack, running_stack
from tests.gateway.test_writes import body, create, unique

DEFINITIONS = "/data/core/ups/segment/definitions"
RESTORED = 'person.gender = "female"'


class CountingTransport(httpx.AsyncHTTPTransport):
    """The network, with the calls to AEP counted by method and path."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "/ims/" not in request.url.path:
            self.calls[f"{request.method} {request.url.path.removeprefix('/data/core/ups')}"] += 1
        return await super().handle_async_request(request)


@pytest.fixture
def network() -> CountingTransport:
    return CountingTransport()


@pytest.fixture
async def quiet(
    emulator: Emulator, database_url: str, tmp_path: Path, network: CountingTransport
) -> AsyncIterator[Stack]:
    """A gateway whose sandboxes are read once, and then only when a test says so."""
    http = httpx.AsyncClient(transport=network)
    sync = SyncSettings(sync_interval_s=3600, sync_retry_s=3600)
    async with running_stack(emulator, database_url, tmp_path, http=http, sync=sync) as stack:
        stack.gateway.sync.changed = lambda *_: None  # type: ignore[method-assign]
        while not await stack.gateway.sync.all_read_once() or stack.gateway.sync._tasks:
            await asyncio.sleep(0.02)
        network.calls.clear()
        yield stack


async def _tenant(stack: Stack) -> Any:
    async with stack.gateway.database.lookup("luma") as directory:
        return to_tenant((await directory.tenants())[0])


async def _tenant_id(stack: Stack) -> Any:
    return (await _tenant(stack)).id


async def _sandbox(stack: Stack) -> Any:
    async with stack.gateway.database.read(await _tenant_id(stack)) as unit:
        return next(to_sandbox(row) for row in await unit.tenancy.sandboxes() if row.name == "prod")


async def _pull(stack: Stack, mode: SyncMode | None = None) -> None:
    worker: SyncWorker = stack.gateway.sync
    result = await worker._puller.pull(await _tenant(stack), await _sandbox(stack), mode=mode)
    assert result.complete, result.failures


async def _seen(stack: Stack, aep_id: str) -> list[dict[str, Any]]:
    query = """query ($filter: AuditEventFilterInput) { auditEvents(filter: $filter) {
      nodes { phase action actorKind actorName entrance detail } } }"""
    return list(
        (await stack.graphql(query, {"filter": {"resourceId": aep_id}}, account="admin"))["data"]["auditEvents"][
            "nodes"
        ]
    )


async def test_a_sandbox_in_which_nothing_happened_costs_one_call_a_list(
    quiet: Stack, network: CountingTransport
) -> None:
    await _pull(quiet, SyncMode.INCREMENTAL)
    lists = {name: count for name, count in network.calls.items() if "/schemaregistry" not in name}
    assert lists == {
        "GET /segment/definitions": 1,
        "GET /audiences": 1,
        "GET /config/schedules": 1,
        "GET /segment/jobs": 1,
    }


async def test_what_changes_behind_the_gateway_is_seen_and_told_with_clauses_and_author(
    quiet: Stack, network: CountingTransport
) -> None:
    made = (await quiet.upstream("POST", DEFINITIONS, json=body(unique("Behind"), RESTORED))).json()
    await _pull(quiet, SyncMode.INCREMENTAL)
    patch = {"expression": {"type": "PQL", "format": "pql/text", "value": f'{RESTORED} and homeAddress.city = "Rome"'}}
    await quiet.upstream("PATCH", f"{DEFINITIONS}/{made['id']}", json=patch)
    await _pull(quiet, SyncMode.INCREMENTAL)
    await quiet.upstream("DELETE", f"{DEFINITIONS}/{made['id']}")
    await _pull(quiet, SyncMode.INCREMENTAL)
    await _pull(quiet, SyncMode.RECONCILING)
    deleted, updated, created = await _seen(quiet, made["id"])
    assert [one["action"].rpartition(":")[2] for one in (created, updated, deleted)] == ["create", "update", "delete"]
    assert {one["phase"] for one in (created, updated, deleted)} == {"OBSERVED"}
    assert {one["entrance"] for one in (created, updated, deleted)} == {"sync"}
    assert updated["detail"]["seenUpstream"] is True
    assert updated["detail"]["changes"] == [
        {"member": "expression", "kind": "added", "before": None, "after": 'homeAddress.city = "Rome"'}
    ]
    assert updated["actorKind"] == "UPSTREAM"
    assert "@" in updated["actorName"]
    reply = await quiet.facade("GET", f"/v1/segment-definitions/{made['id']}/revisions")
    revisions = reply.json()["revisions"]
    assert [(one["source"], one["deleted"], one["author"]["upstreamUser"]) for one in revisions] == [
        ("upstream", True, deleted["actorName"]),
        ("upstream", False, updated["actorName"]),
        ("upstream", False, created["actorName"]),
    ]


async def test_what_is_done_through_the_gateway_is_no_drift(quiet: Stack) -> None:
    made = (await create(quiet, unique("Ours")))["segmentDefinition"]
    await _pull(quiet, SyncMode.INCREMENTAL)
    await quiet.facade("PATCH", f"{DEFINITIONS}/{made['aepId']}", json={"description": "ours"})
    await _pull(quiet, SyncMode.RECONCILING)
    audience = await quiet.facade("GET", f"/data/core/ups/audiences/{made['aepId']}")
    operations = [{"op": "add", "path": "/description", "value": "still ours"}]
    reply = await quiet.facade("PATCH", f"/data/core/ups/audiences/{audience.json()['id']}", json=operations)
    assert reply.status_code == 201
    await _pull(quiet, SyncMode.RECONCILING)
    await quiet.facade("DELETE", f"{DEFINITIONS}/{made['aepId']}")
    await _pull(quiet, SyncMode.RECONCILING)
    assert "OBSERVED" not in {one["phase"] for one in await _seen(quiet, made["aepId"])}


async def test_a_version_seen_before_the_door_has_stored_it_is_the_actors(quiet: Stack) -> None:
    made = (await create(quiet, unique("Raced")))["segmentDefinition"]
    tenant, sandbox = await _tenant(quiet), await _sandbox(quiet)
    async with quiet.gateway.database.write(tenant.id) as unit:
        row = await unit.segment_definitions.by_aep_id(sandbox.id, made["aepId"])
        assert row is not None
        seen = {**row.document, "description": "seen first"}
        await unit.segment_definitions.put_all(sandbox.id, [seen], now=datetime.now(UTC), drift=True)
    author = {"kind": "person", "id": "7", "name": "author@luma.example"}
    async with quiet.gateway.database.write(tenant.id) as unit:
        row = await unit.segment_definitions.put(sandbox.id, seen, now=datetime.now(UTC), origin=Origin(author))
        (newest,) = (await unit.revisions.newest(sandbox.id, [made["aepId"]])).values()
        assert (row.version, row.updated_by, newest.author, newest.source, newest.drift) == (
            2,
            author,
            author,
            "gateway",
            None,
        )


async def test_max_age_reads_through_once_for_all_who_ask(quiet: Stack, network: CountingTransport) -> None:
    name = unique("Fresh")
    made = (await quiet.upstream("POST", DEFINITIONS, json=body(name))).json()
    query = "query ($name: String!, $age: Int) { segmentDefinitions(filter: {name: $name}, maxAgeSeconds: $age) {"
    query += " nodes { name stale } cache { stale } } }"
    old = await quiet.graphql(query, {"name": name, "age": 3600})
    assert old["data"]["segmentDefinitions"]["nodes"] == []
    network.calls.clear()
    found = await quiet.graphql(query, {"name": name, "age": 0})
    assert found["data"]["segmentDefinitions"]["nodes"] == [{"name": name, "stale": False}]
    assert network.calls["GET /segment/definitions"] == 1
    refused = await quiet.graphql(query, {"name": name, "age": -1})
    assert refused["errors"][0]["extensions"]["code"] == "INVALID_REQUEST"
    await quiet.upstream("PATCH", f"{DEFINITIONS}/{made['id']}", json={"description": "newer"})
    path = f"{DEFINITIONS}/{made['id']}"
    assert "description" not in (await quiet.facade("GET", path)).json()
    fresh = await quiet.facade("GET", path, headers={"cache-control": "no-cache"})
    assert (fresh.json()["description"], fresh.headers["x-gateway-stale"]) == ("newer", "false")
    await quiet.upstream("PATCH", path, json={"description": "newest"})
    assert (await quiet.facade("GET", path, params={"maxAgeSeconds": "0"})).json()["description"] == "newest"
    assert int((await quiet.facade("GET", DEFINITIONS)).headers["age"]) < 60
    assert (await quiet.facade("GET", path, params={"maxAgeSeconds": "soon"})).status_code == 400


async def test_the_state_of_each_resource_is_shown(quiet: Stack) -> None:
    answer = await quiet.graphql("{ syncStatus { resource stale mode objects running { objectsRead } } }")
    found = {one["resource"]: one for one in answer["data"]["syncStatus"]}
    assert set(found) == {one.value for one in Cached}
    assert found["segment_definitions"]["mode"] == "RECONCILING"
    assert not any(one["stale"] or one["running"] for one in found.values())
    listed = (await quiet.facade("GET", "/v1/sync")).json()["resources"]
    assert {one["resource"]: one["objects"] for one in listed} == {name: one["objects"] for name, one in found.items()}


async def test_jobs_and_schedules_are_answered_from_the_cache_while_aep_is_away(
    quiet: Stack, network: CountingTransport
) -> None:
    made = (await create(quiet, unique("Job")))["segmentDefinition"]
    job = (await quiet.facade("POST", "/data/core/ups/segment/jobs", json=[{"segmentId": made["aepId"]}])).json()
    await _pull(quiet, SyncMode.INCREMENTAL)
    here = (await quiet.facade("GET", "/data/core/ups/segment/jobs", params={"limit": "5"})).json()
    assert job["id"] in [one["id"] for one in here["children"]]

    async def gone(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("away")

    network.handle_async_request = gone  # type: ignore[method-assign]
    away = await quiet.facade("GET", "/data/core/ups/segment/jobs", params={"limit": "5"})
    assert (away.status_code, away.headers["x-gateway-stale"]) == (200, "true")
    assert job["id"] in [one["id"] for one in away.json()["children"]]
    one = await quiet.facade("GET", f"/data/core/ups/segment/jobs/{job['id']}")
    assert (one.status_code, one.json()["id"], one.headers["x-gateway-stale"]) == (200, job["id"], "true")
    schedules = await quiet.facade("GET", "/data/core/ups/config/schedules")
    assert (schedules.status_code, schedules.headers["x-gateway-stale"]) == (200, "true")
    filtered = await quiet.facade("GET", "/data/core/ups/segment/jobs", params={"property": "id==x"})
    assert filtered.status_code == 503
    assert (await quiet.facade("GET", "/data/core/ups/segment/jobs/unknown")).status_code == 503


async def test_the_command_reads_a_sandbox_and_shows_how_far_it_is(quiet: Stack, database_url: str) -> None:
    made = (await quiet.upstream("POST", DEFINITIONS, json=body(unique("By command")))).json()
    command = [*("-m", "app.cli", "sync"), *("--tenant", "luma"), *("--sandbox", "prod"), "--full"]
    environment = os.environ | {"DATABASE_URL": database_url}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        *("--state-dir", str(quiet.state_dir)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, progress = await process.communicate()
    assert process.returncode == 0, progress.decode()
    assert out.decode().startswith("luma/prod: schemas 4, segment_definitions ")
    assert "luma/prod segment_definitions reconciling" in progress.decode()
    path = f"/v1/segment-definitions/{made['id']}/revisions"
    assert (await quiet.facade("GET", path)).json()["revisions"][0]["source"] == "upstream"
