"""Reads one sandbox of AEP into the cache.

There are three reads of a resource. The *initial* one and the *reconciling* one read everything and find what is gone;
everything is fetched before anything is written, so a read that breaks off leaves the cache as it was. The
*incremental* one reads a list that has the newest change first, down to the newest change that the cache has: one call
for a resource in which nothing happened. It cannot see deletions, but AEP's count of objects tells of them, and then a
reconciling read follows at once.

What was written through the gateway while a list was read is newer than the list and stays, and what was deleted stays
away. An object that a list leaves out is asked for by its id before it is taken for deleted: lists by page number shift
when something is deleted while they are read.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from app.aep.headers import new_request_id
from app.context import Sandbox, Tenant
from app.errors import GatewayError
from app.settings import SyncSettings
from app.store.database import Database
from app.store.rows import SyncStateRow, TenantSchemaRow
from app.store.sync_states import Cached, SyncMode
from app.sync.drift import DriftRecorder
from app.sync.resources import FINAL_STATUSES, RESOURCES, ByID, KeptObjects, Resource, Scope
from app.telemetry import Metrics
from app.upstream import schemas
from app.upstream.client import AEPClient
from app.upstream.connection import Target
from app.upstream.listing import Listed

log = structlog.get_logger(__name__)

Document = dict[str, Any]

OVERLAP_MS: Final = 60_000
"""How long after a change AEP may begin to show it, with the difference of its clock and ours."""
_PROGRESS_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the read of a resource is. ``total`` is AEP's count; ``None`` until it has told."""

    tenant: str
    sandbox: str
    resource: Cached
    mode: SyncMode
    read: int
    total: int | None
    done: bool = False


@dataclass(frozen=True, slots=True)
class PullResult:
    """How the read of one sandbox went: objects read by resource, and the causes of what failed."""

    objects: dict[Cached, int]
    failures: dict[Cached, str]

    @property
    def complete(self) -> bool:
        """Whether everything could be read."""
        return not self.failures


@dataclass(frozen=True, slots=True)
class _Read:
    """A read of one resource under way."""

    target: Target
    sandbox_id: UUID
    resource: Resource
    state: SyncStateRow | None
    began: datetime
    progress: Progress

    @property
    def scope(self) -> Scope:
        """Where the read writes. What is new happened behind the gateway; before the first read nothing can."""
        drift = self.state is not None and self.state.succeeded_at is not None
        return Scope(self.sandbox_id, self.began, drift)


class SandboxPuller:
    """Reads sandboxes, one resource after the other; a resource that fails does not stop the others."""

    def __init__(
        self,
        database: Database,
        client: AEPClient,
        metrics: Metrics,
        settings: SyncSettings,
        *,
        drift: DriftRecorder | None = None,
        on_progress: Callable[[Progress], None] = lambda _progress: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._client = client
        self._metrics = metrics
        self._reconcile_after = timedelta(seconds=settings.sync_reconcile_interval_s)
        self._drift = drift
        self._on_progress = on_progress
        self._clock = clock

    async def pull(
        self,
        tenant: Tenant,
        sandbox: Sandbox,
        *,
        only: Cached | None = None,
        mode: SyncMode | None = None,
    ) -> PullResult:
        """Read a sandbox, or one resource of it, into the cache and record how that went.

        ``mode`` is the read's own choice unless it is given: reconciling the first time and whenever the last such
        read is older than the setting says. The caller holds the sandbox's lock.
        """
        # A caller who waits for one resource goes before the reads that nobody waits for.
        target = Target(tenant.id, sandbox.name, new_request_id(), background=only is None)
        result = PullResult({}, {})
        for cached in (Cached.SCHEMAS, *(one.cached for one in RESOURCES)):
            if only not in {None, cached}:
                continue
            try:
                if cached is Cached.SCHEMAS:
                    result.objects[cached] = await self._pull_schemas(target, sandbox.id)
                else:
                    resource = next(one for one in RESOURCES if one.cached is cached)
                    result.objects[cached] = await self._pull(tenant, sandbox, target, resource, mode)
                self._metrics.sync_runs.labels(cached.value, "ok").inc()
            except GatewayError as problem:
                result.failures[cached] = problem.detail
                self._metrics.sync_runs.labels(cached.value, "failed").inc()
                await self._record_failure(tenant.id, sandbox.id, cached, problem)
        if self._drift is not None:
            await self._drift.record(tenant, sandbox, target)
        return result

    async def _record_failure(self, tenant_id: UUID, sandbox_id: UUID, resource: Cached, problem: GatewayError) -> None:
        log.warning("sync.failed", tenant_id=str(tenant_id), resource=resource.value, reason=problem.detail)
        async with self._database.write(tenant_id) as unit:
            await unit.sync_states.failed(sandbox_id, resource, at=self._clock(), failure=problem.detail)

    async def _pull_schemas(self, target: Target, sandbox_id: UUID) -> int:
        unions = await schemas.get_unions(self._client, target)
        now = self._clock()
        async with self._database.write(target.tenant_id) as unit:
            known = await unit.tenancy.schema_unions(sandbox_id)
            if known is None or known.unions != unions:
                row = TenantSchemaRow(tenant_id=target.tenant_id, sandbox_id=sandbox_id, unions=unions, synced_at=now)
                await unit.tenancy.put_schema_unions(row)
            await unit.sync_states.reconciled(
                sandbox_id, Cached.SCHEMAS, at=now, objects=len(unions), total=None, cursor_ms=None
            )
        return len(unions)

    async def _pull(
        self, tenant: Tenant, sandbox: Sandbox, target: Target, resource: Resource, mode: SyncMode | None
    ) -> int:
        async with self._database.read(tenant.id) as unit:
            state = await unit.sync_states.get(sandbox.id, resource.cached)
        chosen = mode or self._mode(state)
        if state is None or state.reconciled_at is None:
            chosen = SyncMode.RECONCILING
        progress = Progress(tenant.slug, sandbox.name, resource.cached, chosen, 0, None)
        read = _Read(target, sandbox.id, resource, state, self._clock(), progress)
        if chosen is SyncMode.INCREMENTAL:
            found = await self._read_changes(read)
            if found is not None:
                return found
            read = replace(read, progress=replace(progress, mode=SyncMode.RECONCILING), began=self._clock())
        return await self._reconcile(read)

    def _mode(self, state: SyncStateRow | None) -> SyncMode:
        due = (
            state is None or state.reconciled_at is None or self._clock() - state.reconciled_at > self._reconcile_after
        )
        return SyncMode.RECONCILING if due else SyncMode.INCREMENTAL

    async def _read_changes(self, read: _Read) -> int | None:
        """Read what changed; return how many objects that were, or ``None`` when everything must be read."""
        if isinstance(read.resource, KeptObjects):
            by_id = read.resource.by_id
            return None if by_id is None else await self._read_unfinished(read, by_id)
        pages = read.resource.changed(self._client, read.target)
        if pages is None or read.state is None or read.state.cursor_ms is None:
            return None
        until_ms = _until_ms(read.state)
        found: dict[str, Document] = {}
        total: int | None = None
        async for page in pages:
            total = page.total
            found |= {item["id"]: item for item in page.items}
            if not page.items or _newest_ms(page.items[-1:]) < until_ms:
                break
        recent = {key: item for key, item in found.items() if _newest_ms([item]) >= until_ms}
        async with self._database.write(read.target.tenant_id) as unit:
            for aep_id in await unit.audit_events.deleted(list(recent), since=read.began):
                del recent[aep_id]
            changed = await read.resource.store(unit, read.scope, list(recent.values()))
            count = await read.resource.count(unit, read.sandbox_id)
            expected = None
            if read.state.listed_total is not None:
                expected = read.state.listed_total + count - read.state.objects
            if total != expected:
                return None  # something is gone, or came by without a change that we could see
            cursor_ms = max(read.state.cursor_ms, _newest_ms(list(recent.values())))
            await unit.sync_states.succeeded(read.sandbox_id, read.resource.cached, at=read.began, cursor_ms=cursor_ms)
        await self._sweep(read, list(recent))
        return changed

    async def _read_unfinished(self, read: _Read, by_id: ByID) -> int:
        """Read jobs that are new, and those again that had not ended."""
        async with self._database.read(read.target.tenant_id) as unit:
            known = await unit.cached_objects.statuses(read.sandbox_id, read.resource.cached)
        found: dict[str, Document] = {}
        async for page in read.resource.pages(self._client, read.target):
            found |= {item["id"]: item for item in page.items}
            if any(item["id"] in known for item in page.items):
                break  # newest first: all that follow are known
        open_ids = [key for key, status in known.items() if status not in FINAL_STATUSES and key not in found]
        if open_ids:
            found |= await by_id(self._client, read.target, open_ids)
        async with self._database.write(read.target.tenant_id) as unit:
            changed = await read.resource.store(unit, read.scope, list(found.values()))
            await unit.sync_states.succeeded(read.sandbox_id, read.resource.cached, at=read.began, cursor_ms=None)
        return changed

    async def _reconcile(self, read: _Read) -> int:
        found, total = await self._collect(read, read.resource.pages(self._client, read.target))
        async with self._database.read(read.target.tenant_id) as unit:
            absent = await read.resource.absent(unit, read.scope, list(found))
        if absent:
            there = await read.resource.still_there(self._client, read.target, absent)
            absent = [one for one in absent if one not in there]
        async with self._database.write(read.target.tenant_id) as unit:
            for aep_id in await unit.audit_events.deleted(list(found), since=read.began):
                del found[aep_id]
            documents = list(found.values())
            await read.resource.store(unit, read.scope, documents)
            gone = await read.resource.remove(unit, read.scope, absent)
            await unit.sync_states.reconciled(
                read.sandbox_id,
                read.resource.cached,
                at=read.began,
                objects=await read.resource.count(unit, read.sandbox_id),
                total=total,
                cursor_ms=_newest_ms(documents) if documents else 0,
            )
        await self._sweep(read, list(found))
        self._on_progress(replace(read.progress, read=len(found), total=len(found), done=True))
        if gone:
            log.info("sync.objects_gone", resource=read.resource.cached.value, count=gone)
        return len(found)

    async def _collect(self, read: _Read, pages: AsyncIterator[Listed]) -> tuple[dict[str, Document], int | None]:
        """Return every object by id, and AEP's count. Pages may overlap when something changes while they are read."""
        found: dict[str, Document] = {}
        total: int | None = None
        told_at = time.monotonic()
        async for page in pages:
            total = page.total
            found |= {item["id"]: item for item in page.items}
            if time.monotonic() - told_at >= _PROGRESS_EVERY_S:
                told_at = time.monotonic()
                await self._tell(read, len(found), total)
        return found, total

    async def _tell(self, read: _Read, done: int, total: int | None) -> None:
        progress = replace(read.progress, read=done, total=total)
        self._on_progress(progress)
        log.info(
            "sync.progress",
            tenant=progress.tenant,
            sandbox=progress.sandbox,
            resource=progress.resource.value,
            read=done,
            total=total,
        )
        async with self._database.write(read.target.tenant_id) as unit:
            await unit.sync_states.progress(
                read.sandbox_id, progress.resource, progress.mode, started_at=read.began, read=done, total=total
            )

    async def _sweep(self, read: _Read, listed: list[str]) -> None:
        """Remove what was deleted through the gateway while a listing that still had it was being written."""
        async with self._database.write(read.target.tenant_id) as unit:
            for aep_id in await unit.audit_events.deleted(listed, since=read.began):
                await unit.audiences.remove(read.sandbox_id, aep_id)
                definition = await unit.segment_definitions.by_aep_id(read.sandbox_id, aep_id)
                if definition is not None:
                    await unit.segment_definitions.remove(definition, now=self._clock())
                    await unit.revisions.withdraw(read.sandbox_id, aep_id)


def _until_ms(state: SyncStateRow) -> int:
    """Return how old changes are that an incremental read need not read again.

    A change may have come into the list late, behind one that is known, but not one that had long been made when the
    list was last read.
    """
    newest = state.cursor_ms or 0
    read_at = int(state.succeeded_at.timestamp() * 1000) if state.succeeded_at is not None else 0
    return min(newest, max(newest, read_at) - OVERLAP_MS)


def _newest_ms(documents: list[Document]) -> int:
    """Return AEP's time of the newest change among objects, in milliseconds; 0 when none tells."""
    times = (item.get("updateTime") or item.get("creationTime") for item in documents)
    return max((int(one) for one in times if isinstance(one, int | float)), default=0)
