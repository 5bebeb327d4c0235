"""What a read makes of lists that shift, break off, or tell of a deletion; and who may read at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.aep import paths
from app.context import Sandbox, Tenant
from app.errors import UpstreamRefused, UpstreamUnavailable
from app.settings import SyncSettings
from app.store.database import Database
from app.store.sync_states import Cached, SyncMode
from app.store.tenants import to_sandbox
from app.sync.pull import PullResult, SandboxPuller
from app.sync.worker import SyncWorker
from app.telemetry import Metrics
from app.upstream.client import Call, Reply
from app.upstream.connection import Target
from tests.factories import MadeTenant, definition, make_tenant

OLD_MS = 1_700_000_000_000
Document = dict[str, Any]


class List:
    """A list of definitions at AEP whose pages a test may take things out of, as the emulator's never do.

    AEP's lists shift when something is deleted while they are read, and its searches may show a change late.
    """

    def __init__(self, *names: str) -> None:
        self.there: dict[str, Document] = {
            name: definition(name, aep_id=name, at_ms=OLD_MS + number * 1000) for number, name in enumerate(names)
        }
        self.hidden: set[str] = set()
        self.calls: list[str] = []
        self.on_page: Callable[[int], None] = lambda _page: None

    def change(self, name: str) -> None:
        newest = max(one["updateTime"] for one in self.there.values())
        self.there[name] = {**self.there[name], "description": "changed", "updateTime": newest + 1000}

    async def read(self, _target: Target, call: Call) -> Reply:
        self.calls.append(call.operation)
        if call.path == paths.SEGMENT_DEFINITIONS_BULK_GET:
            ids = [one["id"] for one in call.body["ids"]]
            found = {one: self.there[one] for one in ids if one in self.there}
            if not found:
                raise UpstreamRefused("none", status=404)
            return Reply(207, {"results": found}, {})
        query = dict(call.params)
        field, _, direction = query["sort"].partition(":")
        listed = sorted(self.there.values(), key=lambda one: one[field], reverse=direction == "desc")
        shown = [one for one in listed if one["id"] not in self.hidden]
        page, limit = int(query["page"]), int(query["limit"])
        self.on_page(page)
        items = shown[page * limit : (page + 1) * limit]
        return Reply(200, {"segments": items, "page": {"totalCount": len(listed)}}, {})


@pytest.fixture
async def luma(database: Database) -> MadeTenant:
    return await make_tenant(database)


def _puller(database: Database, aep: List) -> SandboxPuller:
    return SandboxPuller(database, aep, Metrics(), SyncSettings())  # type: ignore[arg-type]


async def _pull(puller: SandboxPuller, luma: MadeTenant, mode: SyncMode | None = None) -> PullResult:
    return await puller.pull(luma.tenant, luma.sandbox, only=Cached.SEGMENT_DEFINITIONS, mode=mode)


async def _names(database: Database, luma: MadeTenant) -> list[str]:
    async with database.read(luma.id) as unit:
        rows = await unit.segment_definitions.offset_page(luma.sandbox.id, offset=0, limit=500, sort=[("name", False)])
    return [row.name for row in rows]


async def test_what_a_list_leaves_out_is_asked_for_before_it_is_taken_for_deleted(
    database: Database, luma: MadeTenant
) -> None:
    aep = List("a", "b", "c")
    puller = _puller(database, aep)
    await _pull(puller, luma)
    aep.hidden.add("b")
    del aep.there["c"]
    assert (await _pull(puller, luma, SyncMode.RECONCILING)).complete
    assert await _names(database, luma) == ["a", "b"]
    async with database.read(luma.id) as unit:
        newest = await unit.revisions.newest(luma.sandbox.id, ["a", "b", "c"])
    assert {name: (row.version, row.deleted, row.drift) for name, row in newest.items()} == {
        "a": (1, False, None),
        "b": (1, False, None),
        "c": (2, True, "pending"),
    }


async def test_old_changes_are_not_read_again_and_new_ones_are(database: Database, luma: MadeTenant) -> None:
    aep = List(*(f"segment {number:03}" for number in range(250)))
    puller = _puller(database, aep)
    await _pull(puller, luma)
    assert aep.calls == ["list_segment_definitions"] * 3
    aep.calls.clear()
    aep.change("segment 007")
    result = await _pull(puller, luma, SyncMode.INCREMENTAL)
    assert (result.objects, aep.calls) == ({Cached.SEGMENT_DEFINITIONS: 1}, ["list_segment_definitions"])


async def test_a_count_that_does_not_fit_leads_to_a_complete_read(database: Database, luma: MadeTenant) -> None:
    aep = List("a", "b")
    puller = _puller(database, aep)
    await _pull(puller, luma)
    del aep.there["b"]
    aep.calls.clear()
    await _pull(puller, luma, SyncMode.INCREMENTAL)
    assert await _names(database, luma) == ["a"]
    assert aep.calls == ["list_segment_definitions", "list_segment_definitions", "bulk_get_segment_definitions"]
    aep.calls.clear()
    await _pull(puller, luma, SyncMode.INCREMENTAL)
    assert aep.calls == ["list_segment_definitions"]


async def test_a_read_that_breaks_off_changes_nothing_and_is_told(database: Database, luma: MadeTenant) -> None:
    aep = List(*(f"segment {number:03}" for number in range(150)))
    puller = _puller(database, aep)

    def break_off(page: int) -> None:
        if page == 1:
            raise UpstreamUnavailable("gone")

    aep.on_page = break_off
    result = await _pull(puller, luma)
    assert result.failures == {Cached.SEGMENT_DEFINITIONS: "gone"}
    assert await _names(database, luma) == []
    async with database.read(luma.id) as unit:
        state = await unit.sync_states.get(luma.sandbox.id, Cached.SEGMENT_DEFINITIONS)
    assert state is not None
    assert (state.succeeded_at, state.failure, state.started_at) == (None, "gone", None)


class SlowPuller:
    """Takes a moment for each sandbox and remembers how many were read at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.reading: list[str] = []
        self.clashed = False
        self.most = 0
        self.read: list[str] = []

    async def pull(self, tenant: Tenant, sandbox: Sandbox, *, only: Any = None, mode: Any = None) -> PullResult:
        name = f"{tenant.slug}/{sandbox.name}"
        self.clashed |= name in self.reading
        self.reading.append(name)
        self.most = max(self.most, len(self.reading))
        self.read.append(name)
        await asyncio.sleep(0.1)
        if only is not None:
            async with self._database.write(tenant.id) as unit:
                now = datetime.now(UTC) - timedelta(seconds=0.1)
                await unit.sync_states.reconciled(sandbox.id, only, at=now, objects=0, total=0, cursor_ms=0)
        self.reading.remove(name)
        return PullResult({}, {})


async def test_one_worker_reads_a_sandbox_and_some_sandboxes_are_read_at_once(database: Database) -> None:
    for slug in ("luma", "other"):
        await make_tenant(database, slug)
    puller = SlowPuller(database)
    settings = SyncSettings(sync_concurrency=2)
    one, two = (SyncWorker(database, puller, settings) for _ in range(2))  # type: ignore[arg-type]
    await asyncio.gather(*(worker.read_once(tenant=None, sandbox=None, full=True) for worker in (one, two)))
    assert not puller.clashed
    assert set(puller.read) == {"luma/prod", "luma/dev", "other/prod", "other/dev"}
    puller.most, alone = 0, SyncWorker(database, puller, settings)  # type: ignore[arg-type]
    await alone.read_once(tenant=None, sandbox=None, full=True)
    assert puller.most == 2
    assert [read.tenant.slug for read in await alone.read_once(tenant="other", sandbox="dev", full=False)] == ["other"]


async def test_callers_who_want_a_fresh_answer_share_a_read(database: Database, luma: MadeTenant) -> None:
    puller = SlowPuller(database)
    workers = [SyncWorker(database, puller, SyncSettings()) for _ in range(2)]  # type: ignore[arg-type]
    await asyncio.gather(
        *(worker.refresh(luma.tenant, luma.sandbox, Cached.AUDIENCES, 60) for worker in workers for _ in range(2))
    )
    assert len(puller.read) == 1
    await workers[0].refresh(luma.tenant, luma.sandbox, Cached.AUDIENCES, 60)
    assert len(puller.read) == 1
    await workers[0].refresh(luma.tenant, luma.sandbox, Cached.AUDIENCES, 0)
    assert len(puller.read) == 2


async def test_what_another_process_has_just_read_is_not_read_again(database: Database, luma: MadeTenant) -> None:
    other, puller = SlowPuller(database), SlowPuller(database)
    for resource in Cached:
        for sandbox in await _sandboxes(database, luma):
            await other.pull(luma.tenant, sandbox, only=resource)
    worker = SyncWorker(database, puller, SyncSettings())  # type: ignore[arg-type]
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0.2)
    worker.changed(luma.id, luma.sandbox.id)
    async with asyncio.timeout(5):
        while not puller.read:
            await asyncio.sleep(0.01)
    assert 0 < worker.lag_s() < 60
    running.cancel()
    await asyncio.wait({running})
    assert puller.read == [f"luma/{luma.sandbox.name}"]


async def _sandboxes(database: Database, luma: MadeTenant) -> list[Sandbox]:
    async with database.read(luma.id) as unit:
        return [to_sandbox(row) for row in await unit.tenancy.sandboxes()]
