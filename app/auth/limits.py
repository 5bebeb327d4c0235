"""Limits on requests, for each organization as a whole and for each credential.

All processes share one budget a minute in PostgreSQL. A process leases a slice of it and counts that down in memory, so
most requests touch no database for this. With a slice of a twentieth, what processes hold and do not use is at most
that part of the quota for each process: the limit is never exceeded, and may be met a little early.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final
from uuid import UUID

from app.context import Actor
from app.errors import QuotaExceeded
from app.store.database import Database
from app.store.request_budgets import Leased

WINDOW_S: Final = 60
_SLICES: Final = 20
_MAX_KEPT: Final = 10_000


class TooManyRequests(QuotaExceeded):
    """An organization or a credential has used up its requests of this minute."""

    code = "TOO_MANY_REQUESTS"
    title = "Too many requests"


@dataclass(slots=True)
class _Budget:
    """What this process holds: ``mine`` to spend, ``others`` that could be leased, until ``ends_at`` of the clock."""

    mine: int = 0
    others: int = 0
    ends_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def take_over(self, leased: Leased, now: float) -> None:
        self.mine, self.others, self.ends_at = self.mine + leased.granted, leased.left, now + leased.ends_in_s


@dataclass(frozen=True, slots=True)
class Standing:
    """How one policy stands after a request: ``remaining`` of ``quota``, anew in ``reset_s``."""

    policy: str
    quota: int
    remaining: int
    reset_s: int


class RequestLimits:
    """Counts requests. A quota of 0 is no limit; ``clock`` counts seconds."""

    def __init__(
        self, database: Database, *, per_tenant: int, per_credential: int, clock: Callable[[], float] = monotonic
    ) -> None:
        self._database = database
        self._quotas = {"tenant": per_tenant, "credential": per_credential}
        self._clock = clock
        self._budgets: dict[tuple[UUID, UUID], _Budget] = {}

    @property
    def policy_header(self) -> str:
        """The value of ``RateLimit-Policy``; empty without any limit."""
        return ", ".join(f'"{name}";q={quota};w={WINDOW_S}' for name, quota in self._quotas.items() if quota)

    async def take(self, actor: Actor) -> list[Standing]:
        """Count one request and return how the limits stand; the last one is over when ``remaining`` is below 0."""
        standings: list[Standing] = []
        # The credential comes first, so that one that is over its own limit does not eat up its organization's.
        for name, subject in (("credential", actor.id), ("tenant", actor.tenant_id)):
            quota = self._quotas[name]
            if not quota:
                continue
            budget = await self._filled(actor.tenant_id, subject, quota)
            reset_s = max(1, math.ceil(budget.ends_at - self._clock()))
            if budget.mine <= 0:
                return [Standing(name, quota, -1, reset_s)]
            budget.mine -= 1
            standings.append(Standing(name, quota, budget.mine + budget.others, reset_s))
        return standings

    async def _filled(self, tenant_id: UUID, subject: UUID, quota: int) -> _Budget:
        budget = self._budgets.get((tenant_id, subject))
        if budget is None:
            self._forget_ended()
            budget = self._budgets[tenant_id, subject] = _Budget()
        if self._is_due(budget):
            async with budget.lock:
                if self._is_due(budget):
                    await self._lease(budget, tenant_id, subject, quota)
        return budget

    def _is_due(self, budget: _Budget) -> bool:
        return self._clock() >= budget.ends_at or (budget.mine <= 0 and budget.others > 0)

    async def _lease(self, budget: _Budget, tenant_id: UUID, subject: UUID, quota: int) -> None:
        if self._clock() >= budget.ends_at:
            budget.mine = 0
        wanted = max(1, quota // _SLICES)
        async with self._database.write(tenant_id) as unit:
            leased = await unit.request_budgets.lease(subject, quota=quota, wanted=wanted, window_s=WINDOW_S)
        budget.take_over(leased, self._clock())

    def _forget_ended(self) -> None:
        if len(self._budgets) >= _MAX_KEPT:
            now = self._clock()
            self._budgets = {key: one for key, one in self._budgets.items() if one.ends_at > now or one.lock.locked()}


def limit_header(standings: list[Standing]) -> str:
    """Return the value of ``RateLimit`` (draft-ietf-httpapi-ratelimit-headers-10)."""
    return ", ".join(f'"{one.policy}";r={max(0, one.remaining)};t={one.reset_s}' for one in standings)


def refuse_when_over(standings: list[Standing]) -> None:
    """Raise `TooManyRequests` when a limit is used up."""
    for one in standings:
        if one.remaining < 0:
            whose = "This credential has" if one.policy == "credential" else "This organization has"
            raise TooManyRequests(
                f"{whose} used up its {one.quota} requests of this minute.",
                hint=f"Try again in {one.reset_s} s; RateLimit tells with each answer how many are left.",
                retry_after_s=one.reset_s,
            )
