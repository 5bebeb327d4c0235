"""Signed checkpoints of the audit chain as they are stored. What they mean is said in `app.audit.checkpoints`."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.rows import AuditCheckpointRow

Row = AuditCheckpointRow


class AuditCheckpointRepository:
    """One tenant's checkpoints: appended and read, never changed."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def try_lock(self) -> bool:
        """Tell whether this transaction is the one that writes a checkpoint of the tenant now."""
        key = func.hashtextextended(f"audit-checkpoint:{self._tenant_id}", 0)
        return bool(await self._session.scalar(select(func.pg_try_advisory_xact_lock(key))))

    async def newest(self) -> Row | None:
        """Return the checkpoint over the most events."""
        statement = select(Row).where(Row.tenant_id == self._tenant_id).order_by(Row.size.desc()).limit(1)
        return (await self._session.scalars(statement)).one_or_none()

    async def covering(self, size: int) -> Row | None:
        """Return the first checkpoint over at least so many events."""
        statement = select(Row).where(Row.tenant_id == self._tenant_id, Row.size >= size).order_by(Row.size).limit(1)
        return (await self._session.scalars(statement)).one_or_none()

    async def of_size(self, size: int) -> Row | None:
        """Return the checkpoint over exactly so many events."""
        statement = select(Row).where(Row.tenant_id == self._tenant_id, Row.size == size)
        return (await self._session.scalars(statement)).one_or_none()

    async def last_of_each_day(self) -> Sequence[Row]:
        """Return the last checkpoint of each day (UTC), by size."""
        day = func.date_trunc("day", Row.at, "UTC")
        last = select(func.max(Row.size)).where(Row.tenant_id == self._tenant_id).group_by(day)
        statement = select(Row).where(Row.tenant_id == self._tenant_id, Row.size.in_(last)).order_by(Row.size)
        return (await self._session.scalars(statement)).all()

    async def append(self, row: Row) -> None:
        """Append a checkpoint; the caller holds the lock."""
        self._session.add(row)
        await self._session.flush()
