"""Who is changing which of one tenant's objects at AEP. All times are the database's."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.clock import NOW
from app.store.rows import ObjectLeaseRow

Row = ObjectLeaseRow


class ObjectLeaseRepository:
    """One tenant's leases."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def take(self, sandbox_id: UUID, object_id: str, operation_id: UUID, *, lease_s: float) -> bool:
        """Take or renew the lease of an object; false when another operation has it. One statement, so one taker."""
        taken = {"operation_id": operation_id, "leased_until": NOW + timedelta(seconds=lease_s)}
        free = (Row.leased_until <= NOW) | (Row.operation_id == operation_id)
        statement = (
            insert(Row)
            .values(tenant_id=self._tenant_id, sandbox_id=sandbox_id, object_id=object_id, **taken)
            .on_conflict_do_update(
                index_elements=[Row.tenant_id, Row.sandbox_id, Row.object_id], set_=taken, where=free
            )
            .returning(Row.operation_id)
        )
        return (await self._session.execute(statement)).first() is not None

    async def release(self, operation_id: UUID) -> None:
        """Give back what an operation holds."""
        held = (Row.tenant_id == self._tenant_id) & (Row.operation_id == operation_id)
        await self._session.execute(delete(Row).where(held))
