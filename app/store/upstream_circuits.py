"""Circuits to AEP's endpoints, shared by all processes. All times are the database's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.clock import NOW, seconds_until
from app.store.notifications import Kind, Notice, Notices
from app.store.rows import UpstreamCircuitRow

Row = UpstreamCircuitRow


@dataclass(frozen=True, slots=True)
class StoredCircuit:
    """A circuit: pauses in a row (0 when it is closed), the rest of the last one in seconds, calls at once."""

    opens: int
    paused_for_s: float
    calls_at_once: float | None


class UpstreamCircuitRepository:
    """One tenant's circuits, by endpoint."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def _is(self, endpoint: str) -> ColumnElement[bool]:
        return (Row.tenant_id == self._tenant_id) & (Row.endpoint == endpoint)

    async def get(self, endpoint: str) -> StoredCircuit | None:
        """Return a circuit that was not always closed."""
        statement = select(Row.opens, seconds_until(Row.paused_until), Row.calls_at_once).where(self._is(endpoint))
        found = (await self._session.execute(statement)).one_or_none()
        return None if found is None else StoredCircuit(found[0], max(0.0, found[1]), found[2])

    async def put(self, endpoint: str, circuit: StoredCircuit) -> None:
        """Keep a circuit and tell the other processes."""
        values = {
            "opens": circuit.opens,
            "paused_until": NOW + timedelta(seconds=circuit.paused_for_s),
            "calls_at_once": circuit.calls_at_once,
        }
        statement = insert(Row).values(tenant_id=self._tenant_id, endpoint=endpoint, **values)
        await self._session.execute(
            statement.on_conflict_do_update(index_elements=[Row.tenant_id, Row.endpoint], set_=values)
        )
        Notices.add(self._session, Notice(self._tenant_id, Kind.UPSTREAM, id=endpoint))

    async def try_one(self, endpoint: str, lease_s: float) -> bool:
        """Take the right to send the one call that tries, once the pause is over; one statement, so one taker."""
        statement = (
            update(Row)
            .where(self._is(endpoint), Row.paused_until <= NOW)
            .values(paused_until=NOW + timedelta(seconds=lease_s))
            .returning(Row.endpoint)
        )
        return (await self._session.execute(statement)).first() is not None
