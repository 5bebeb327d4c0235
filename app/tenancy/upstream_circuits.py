"""Circuits to AEP as all processes share them: in PostgreSQL."""

from __future__ import annotations

from uuid import UUID

from app.store.database import Database
from app.store.notifications import Kind, Notice
from app.store.upstream_circuits import StoredCircuit
from app.upstream.circuits import Circuits, SharedCircuit


class SharedCircuits:
    """What `app.upstream` calls its circuit store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant_id: UUID, endpoint: str) -> SharedCircuit | None:
        """Return a circuit that was not always closed."""
        async with self._database.read(tenant_id) as unit:
            found = await unit.upstream_circuits.get(endpoint)
        return None if found is None else SharedCircuit(found.opens, found.paused_for_s, found.calls_at_once)

    async def put(self, tenant_id: UUID, endpoint: str, circuit: SharedCircuit) -> None:
        """Keep a circuit and tell the other processes."""
        stored = StoredCircuit(circuit.opens, circuit.paused_for_s, circuit.limit)
        async with self._database.write(tenant_id) as unit:
            await unit.upstream_circuits.put(endpoint, stored)

    async def try_one(self, tenant_id: UUID, endpoint: str, lease_s: float) -> bool:
        """Take the right to send the one call that tries."""
        async with self._database.write(tenant_id) as unit:
            return await unit.upstream_circuits.try_one(endpoint, lease_s)


def listen_with(circuits: Circuits, notice: Notice) -> None:
    """Let circuits look at the store again where another process tells of a change."""
    if notice.kind is Kind.UPSTREAM:
        circuits.forget(notice.tenant_id, notice.id)
    elif notice.kind is Kind.RESYNC:
        circuits.forget()
