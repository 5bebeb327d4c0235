"""How old a cached answer is, said with every answer; and reading through when that is too old for the caller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Final, Protocol
from uuid import UUID

from app.context import RequestContext, Sandbox, Tenant
from app.services.permissions import require
from app.store.database import Database
from app.store.rows import SyncStateRow
from app.store.sync_states import Cached

AGE: Final = "age"
SYNCED_AT: Final = "x-gateway-synced-at"
STALE: Final = "x-gateway-stale"
_KNOWN_FOR_S: Final = 0.25
"""How long a state is taken for what it was, so that the objects of one answer do not each ask for it."""
_MOST_KNOWN: Final = 1_000


@dataclass(frozen=True, slots=True)
class Freshness:
    """When the cache was last known to be complete, and why it may be behind."""

    synced_at: datetime | None
    stale: bool
    reason: str | None

    @property
    def age_s(self) -> int | None:
        """Seconds since then."""
        return None if self.synced_at is None else max(0, int((datetime.now(UTC) - self.synced_at).total_seconds()))

    @property
    def headers(self) -> dict[str, str]:
        """How an answer over HTTP says it: ``Age`` in seconds, and whether AEP may have moved on."""
        stale = {STALE: str(self.stale).lower()}
        if self.synced_at is None:
            return stale
        return {AGE: str(self.age_s), SYNCED_AT: self.synced_at.isoformat()} | stale


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """How the reads of one resource of a sandbox go; ``state`` is ``None`` before the first attempt."""

    resource: Cached
    state: SyncStateRow | None
    freshness: Freshness


class Refresher(Protocol):
    """Whoever can bring the cache up to date: the sync worker."""

    async def refresh(self, tenant: Tenant, sandbox: Sandbox, resource: Cached, max_age_s: float) -> None:
        """Read a resource now unless it was read within ``max_age_s``; with AEP away nothing happens."""
        ...


class FreshnessService:
    """Tells how fresh the cache of the request's sandbox is, and makes it fresh enough for the request."""

    def __init__(self, database: Database, refresher: Refresher, *, stale_after: timedelta) -> None:
        self._database = database
        self._refresher = refresher
        self._stale_after = stale_after
        self._known: dict[tuple[UUID, Cached], tuple[float, SyncStateRow | None]] = {}

    async def of(self, ctx: RequestContext, resource: Cached) -> Freshness:
        """Return the freshness of one resource."""
        return self._freshness(await self._state(ctx, resource))

    async def ensure(self, ctx: RequestContext, resource: Cached) -> None:
        """Read through when the cache is older than the caller wants (``ctx.max_age_s``)."""
        if ctx.max_age_s is None:
            return
        await self._refresher.refresh(ctx.tenant, ctx.sandbox, resource, ctx.max_age_s)
        self._known.pop((ctx.sandbox.id, resource), None)

    async def status(self, ctx: RequestContext) -> list[SyncStatus]:
        """Return how the reads of each resource go."""
        require(ctx, "get_sync_status")
        async with self._database.read(ctx.tenant.id) as unit:
            states = _by_resource(await unit.sync_states.all(ctx.sandbox.id))
        return [SyncStatus(one, states.get(one), self._freshness(states.get(one))) for one in Cached]

    async def _state(self, ctx: RequestContext, resource: Cached) -> SyncStateRow | None:
        # Sandboxes have ids of their own over all tenants.
        key, now = (ctx.sandbox.id, resource), monotonic()
        known = self._known.get(key)
        if known is not None and now - known[0] < _KNOWN_FOR_S:
            return known[1]
        async with self._database.read(ctx.tenant.id) as unit:
            state = await unit.sync_states.get(ctx.sandbox.id, resource)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = (now, state)
        return state

    def _freshness(self, state: SyncStateRow | None) -> Freshness:
        if state is None or state.succeeded_at is None:
            cause = state.failure if state and state.failure else "the first sync has not finished yet"
            return Freshness(None, stale=True, reason=cause)
        too_old = datetime.now(UTC) - state.succeeded_at > self._stale_after
        reason = state.failure or (f"last synced at {state.succeeded_at:%Y-%m-%d %H:%M:%S} UTC" if too_old else None)
        return Freshness(state.succeeded_at, stale=too_old or state.failure is not None, reason=reason)


def is_too_old(ctx: RequestContext, synced_at: datetime) -> bool:
    """Tell whether the caller wants an object to be confirmed by AEP later than it was."""
    return ctx.max_age_s is not None and datetime.now(UTC) - synced_at > timedelta(seconds=ctx.max_age_s)


def _by_resource(states: Sequence[SyncStateRow]) -> dict[Cached, SyncStateRow]:
    return {Cached(one.resource): one for one in states if one.resource in set(Cached)}
