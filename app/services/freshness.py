"""How old a cached answer is, said with every answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.store.database import ReadUnit
from app.store.sync_states import Cached


@dataclass(frozen=True, slots=True)
class Freshness:
    """When the cache was last known to be complete, and why it may be behind."""

    synced_at: datetime | None
    stale: bool
    reason: str | None


async def freshness_of(unit: ReadUnit, sandbox_id: UUID, resource: Cached, *, stale_after: timedelta) -> Freshness:
    """Return the freshness of one resource of one sandbox."""
    state = await unit.sync_states.get(sandbox_id, resource)
    if state is None or state.succeeded_at is None:
        cause = state.failure if state and state.failure else "the first sync has not finished yet"
        return Freshness(None, stale=True, reason=cause)
    too_old = datetime.now(UTC) - state.succeeded_at > stale_after
    reason = state.failure or (f"last synced at {state.succeeded_at:%Y-%m-%d %H:%M:%S} UTC" if too_old else None)
    return Freshness(state.succeeded_at, stale=too_old or state.failure is not None, reason=reason)
