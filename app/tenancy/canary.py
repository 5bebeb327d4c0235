"""Watches, in the running database, that no tenant sees rows of another.

A canary is planted: a row under a tenant id that belongs to nobody, so that there is always something foreign to be
seen. Then every table is read through the application role as each of some tenants, with a query that asks for foreign
rows outright; only row-level security keeps them back. It proves what policies do at this moment for reads of tables,
not that a query of ours names the right tenant: `tests/gateway/test_isolation.py` does that.
"""

from __future__ import annotations

import asyncio
import random
from uuid import UUID

import structlog

from app.errors import InternalError
from app.store.database import Database
from app.store.rows import SandboxRow
from app.telemetry import Metrics

log = structlog.get_logger(__name__)

CANARY_ID = UUID("ca9a4ca9-0000-4000-8000-000000000000")
SAMPLE = 20
"""How many tenants are looked through in one round, drawn anew each time."""


class CanaryMissing(InternalError):
    """The canary does not see its own row, so that a round would prove nothing."""

    code = "CANARY_MISSING"
    title = "Canary missing"


class Canary:
    """Plants the canary and looks for it, and for any other foreign row."""

    def __init__(self, database: Database, metrics: Metrics | None = None, *, interval_s: float = 60.0) -> None:
        self._database = database
        self._metrics = metrics
        self._interval_s = interval_s

    async def run(self) -> None:
        """Look through some tenants every interval until cancelled; a leak is an error in the log and a metric."""
        while True:
            try:
                await self.look()
            except Exception as problem:  # noqa: BLE001 - whatever ails the database, the watch goes on
                log.warning("isolation.not_checked", error=type(problem).__name__)
            await asyncio.sleep(self._interval_s)

    async def look(self) -> list[str]:
        """Return the tables in which a tenant sees foreign rows. Raises `CanaryMissing`."""
        await self._plant()
        tenants = await self._database.tenant_ids()
        drawn = random.sample(tenants, min(SAMPLE, len(tenants)))
        leaking: set[str] = set()
        for tenant_id in (*drawn, UUID(int=0)):
            leaking.update(await self._database.tables_with_foreign_rows(tenant_id))
        for table in sorted(leaking):
            log.error("isolation.breached", table=table)
            if self._metrics is not None:
                self._metrics.isolation_breaches.labels(table).inc()
        return sorted(leaking)

    async def _plant(self) -> None:
        async with self._database.write(CANARY_ID) as unit:
            if await unit.tenancy.sandboxes():
                return
            await unit.tenancy.plant_sandbox(
                SandboxRow(
                    tenant_id=CANARY_ID, aep_id="canary", name="canary", title="Canary", type="canary", is_default=True
                )
            )
        async with self._database.read(CANARY_ID) as unit:
            if not await unit.tenancy.sandboxes():
                raise CanaryMissing("The canary was planted and cannot be seen by its own tenant.")
