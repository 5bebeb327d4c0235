"""When keys and sessions were used last, gathered in memory and written once a minute.

A request never waits for it and never writes it. A process that is killed loses what it gathered since the last
writing, so a time may be up to a minute too old.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import datetime
from enum import Enum
from uuid import UUID

import structlog

from app.store.database import Database

log = structlog.get_logger(__name__)

INTERVAL_S = 60.0


class Used(Enum):
    """What was used."""

    ACCESS_KEY = "access_key"
    SESSION = "session"


class LastUse:
    """Gathers uses and writes them, per tenant in one transaction."""

    def __init__(self, database: Database, *, interval_s: float = INTERVAL_S) -> None:
        self._database = database
        self._interval_s = interval_s
        self._pending: defaultdict[UUID, dict[tuple[Used, UUID], datetime]] = defaultdict(dict)

    def note(self, what: Used, tenant_id: UUID, row_id: UUID, at: datetime) -> None:
        """Remember that a key or a session was used."""
        self._pending[tenant_id][what, row_id] = at

    async def run(self) -> None:
        """Write for ever; the last time when this is cancelled."""
        try:
            while True:
                await asyncio.sleep(self._interval_s)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write what was gathered. A tenant whose writing fails is told in the log and forgotten."""
        pending, self._pending = self._pending, defaultdict(dict)
        for tenant_id, uses in pending.items():
            try:
                async with self._database.write(tenant_id) as unit:
                    await unit.access_keys.touch(_only(uses, Used.ACCESS_KEY))
                    await unit.sessions.touch(_only(uses, Used.SESSION))
            except Exception as problem:  # noqa: BLE001 - a time of last use is worth no failure of anything else
                log.warning("last_use.not_written", tenant_id=str(tenant_id), error=type(problem).__name__)


def _only(uses: dict[tuple[Used, UUID], datetime], what: Used) -> dict[UUID, datetime]:
    return {row_id: at for (kind, row_id), at in uses.items() if kind is what}
