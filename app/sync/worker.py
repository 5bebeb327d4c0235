"""Keeps every sandbox of every tenant fresh, for as long as the process lives.

Each sandbox is read by one worker at a time over all processes (an advisory lock decides), and one process reads a few
sandboxes at once. A read that fails is tried again soon, with a pause that doubles up to the ordinary interval, so the
cache recovers by itself when AEP comes back. A change through the gateway brings the next read of its sandbox forward,
and a caller who wants an answer that is not older than so many seconds waits for a read of one resource.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from app.context import Sandbox, Tenant
from app.errors import GatewayError
from app.settings import SyncSettings
from app.store.database import Database
from app.store.sync_states import Cached, SyncMode
from app.store.tenants import to_sandbox, to_tenant
from app.sync.pull import PullResult, SandboxPuller

log = structlog.get_logger(__name__)

_Key = tuple[UUID, UUID]
_LONGEST_REFRESH_S = 30.0


@dataclass(frozen=True, slots=True)
class SandboxRead:
    """What became of one sandbox; ``result`` is ``None`` when another process was reading it."""

    tenant: Tenant
    sandbox: Sandbox
    result: PullResult | None


class SyncWorker:
    """One loop that looks for sandboxes that are due, and one task for each that is being read."""

    def __init__(self, database: Database, puller: SandboxPuller, settings: SyncSettings) -> None:
        self._database = database
        self._puller = puller
        self._settings = settings
        self._due: dict[_Key, float] = {}
        self._changed: set[_Key] = set()
        self._read_at: dict[_Key, datetime] = {}
        self._pause: dict[_Key, float] = {}
        self._tasks: dict[_Key, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(settings.sync_concurrency)

    def changed(self, tenant_id: UUID, sandbox_id: UUID) -> None:
        """Read a sandbox again at once: something was written to it."""
        self._due[tenant_id, sandbox_id] = 0.0
        self._changed.add((tenant_id, sandbox_id))
        self._wake.set()

    async def all_read_once(self) -> bool:
        """Tell whether every sandbox of every tenant was read completely at least once."""
        for tenant, sandbox in await self._sandboxes():
            async with self._database.read(tenant.id) as unit:
                for resource in Cached:
                    state = await unit.sync_states.get(sandbox.id, resource)
                    if state is None or state.succeeded_at is None:
                        return False
        return True

    def lag_s(self) -> float:
        """Return how long ago the sandbox was read that has waited longest, in seconds; 0 before the first read."""
        oldest = min(self._read_at.values(), default=None)
        return 0.0 if oldest is None else (datetime.now(UTC) - oldest).total_seconds()

    async def refresh(self, tenant: Tenant, sandbox: Sandbox, resource: Cached, max_age_s: float) -> None:
        """Read a resource now, unless it was read within the last ``max_age_s`` seconds; return when that is done.

        Callers that want the same at the same time, in whatever process, share one read. With AEP away, or when the
        read takes too long, this returns all the same; the freshness of the answer tells.
        """
        since = datetime.now(UTC) - timedelta(seconds=max_age_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_REFRESH_S):
                while not await self._is_fresh(tenant, sandbox, resource, since):
                    async with self._database.write(tenant.id) as lock_unit:
                        if await lock_unit.sync_states.try_lock(sandbox.id):
                            # Whoever had the lock a moment ago may just have read it.
                            if not await self._is_fresh(tenant, sandbox, resource, since):
                                await self._puller.pull(tenant, sandbox, only=resource)
                            return
                    await asyncio.sleep(0.05)

    async def read_once(self, *, tenant: str | None, sandbox: str | None, full: bool) -> list[SandboxRead]:
        """Read the sandboxes of these names, or all, once and now; several at once as in `run`."""
        mode = SyncMode.RECONCILING if full else None

        async def read(one: Tenant, its: Sandbox) -> SandboxRead:
            async with self._room, self._database.write(one.id) as lock_unit:
                if not await lock_unit.sync_states.try_lock(its.id):
                    return SandboxRead(one, its, None)
                return SandboxRead(one, its, await self._puller.pull(one, its, mode=mode))

        chosen = [
            (one, its)
            for one, its in await self._sandboxes()
            if tenant in {None, one.slug} and sandbox in {None, its.name}
        ]
        return list(await asyncio.gather(*(read(one, its) for one, its in chosen)))

    async def _was_read_elsewhere(self, tenant: Tenant, sandbox: Sandbox) -> bool:
        """Tell whether another process has read everything so lately that this one need not.

        Without this, AEP would be read as often as there are processes.
        """
        since = datetime.now(UTC) - timedelta(seconds=self._settings.sync_interval_s / 2)
        async with self._database.read(tenant.id) as unit:
            states = await unit.sync_states.all(sandbox.id)
        fresh = {one.resource for one in states if one.succeeded_at is not None and one.succeeded_at > since}
        return fresh >= {one.value for one in Cached} and not any(one.failure for one in states)

    async def _is_fresh(self, tenant: Tenant, sandbox: Sandbox, resource: Cached, since: datetime) -> bool:
        async with self._database.read(tenant.id) as unit:
            state = await unit.sync_states.get(sandbox.id, resource)
        return state is not None and state.succeeded_at is not None and state.succeeded_at >= since

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                try:
                    await self._start_due()
                except GatewayError as problem:
                    log.warning("sync.directory_unreadable", reason=problem.detail)
                await self._sleep()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _sleep(self) -> None:
        self._wake.clear()
        now = asyncio.get_running_loop().time()
        waits = [due - now for key, due in self._due.items() if key not in self._tasks]
        pause_s = min([*waits, self._settings.sync_retry_s])
        # Not wait_for: in Python 3.11 it can swallow a cancellation that arrives with the wake-up, and then the worker
        # would outlive the application.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(pause_s, 0.01)):
                await self._wake.wait()

    async def _start_due(self) -> None:
        now = asyncio.get_running_loop().time()
        for tenant, sandbox in await self._sandboxes():
            key = (tenant.id, sandbox.id)
            if self._due.get(key, 0.0) <= now and key not in self._tasks:
                task = asyncio.create_task(self._read(tenant, sandbox))
                self._tasks[key] = task
                task.add_done_callback(functools.partial(self._finished, key))

    def _finished(self, key: _Key, _task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        self._wake.set()

    async def _sandboxes(self) -> list[tuple[Tenant, Sandbox]]:
        async with self._database.directory() as directory:
            tenants = [to_tenant(row) for row in await directory.tenants()]
        found = []
        for tenant in tenants:
            async with self._database.read(tenant.id) as unit:
                found += [(tenant, to_sandbox(row)) for row in await unit.tenancy.sandboxes()]
        return found

    async def _read(self, tenant: Tenant, sandbox: Sandbox) -> None:
        key = (tenant.id, sandbox.id)
        loop = asyncio.get_running_loop()
        # Set first: a change that arrives while the sandbox is read makes it due again.
        self._due[key] = loop.time() + self._settings.sync_interval_s
        changed = key in self._changed
        self._changed.discard(key)
        complete = False
        try:
            # The lock is the transaction's, which the pooler may not take away; it holds a connection and nothing else.
            async with self._room, self._database.write(tenant.id) as lock_unit:
                if not await lock_unit.sync_states.try_lock(sandbox.id):
                    return
                if not changed and await self._was_read_elsewhere(tenant, sandbox):
                    complete = True
                    self._read_at[key] = datetime.now(UTC)
                    return
                started = datetime.now(UTC)
                result = await self._puller.pull(tenant, sandbox)
            complete = result.complete
            if complete:
                self._read_at[key] = started
            log.info(
                "sync.finished",
                tenant=tenant.slug,
                sandbox=sandbox.name,
                complete=complete,
                duration_ms=round((datetime.now(UTC) - started).total_seconds() * 1000),
                **{resource.value: count for resource, count in result.objects.items()},
            )
        except Exception:
            # A fault in one sandbox must not end the worker: it is logged whole and tried again.
            log.exception("sync.crashed", tenant=tenant.slug, sandbox=sandbox.name)
        finally:
            if complete:
                self._pause.pop(key, None)
            else:
                pause_s = min(self._pause.get(key, self._settings.sync_retry_s), self._settings.sync_interval_s)
                self._pause[key] = pause_s * 2
                self._due[key] = min(self._due[key], loop.time() + pause_s)
