"""One tenant's changes without an outcome: written with the intent, removed with the outcome.

All times are the database's, so that the clocks of several machines do not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.clock import NOW, seconds_until
from app.store.rows import OpenOperationRow

Row = OpenOperationRow

OPEN: Final = "open"
UNKNOWN: Final = "unknown"


class OpenOperationRepository:
    """One tenant's changes without an outcome."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def begin(self, row: Row, *, lease_s: float) -> None:
        """Write a change down that is about to be sent. Whoever sends it has an answer, or is dead, by then."""
        values = {column.key: getattr(row, column.key) for column in Row.__mapper__.column_attrs}
        over = NOW + timedelta(seconds=lease_s)
        own = {"tenant_id": self._tenant_id, "state": OPEN, "looks": 0}
        times = {"started_at": NOW, "quiet_since": over, "next_look_at": over}
        await self._session.execute(insert(Row).values(values | own | times))

    async def close(self, operation_id: UUID) -> bool:
        """Forget a change whose outcome is recorded in this transaction; false when somebody has done that already."""
        statement = delete(Row).where(*self._is(operation_id)).returning(Row.operation_id)
        return (await self._session.execute(statement)).first() is not None

    async def doubt(self, operation_id: UUID) -> bool:
        """Take note that a change is over and that its outcome is not known; look it up soon.

        False when somebody has found the outcome already.
        """
        statement = (
            update(Row)
            .where(*self._is(operation_id))
            .values(state=UNKNOWN, quiet_since=func.least(Row.quiet_since, NOW), next_look_at=NOW)
            .returning(Row.operation_id)
        )
        return (await self._session.execute(statement)).first() is not None

    async def take_due(self, *, limit: int, lease_s: float) -> Sequence[Row]:
        """Return changes that are to be looked up now; nobody else gets them for ``lease_s`` seconds."""
        due = (
            select(Row.operation_id)
            .where(Row.tenant_id == self._tenant_id, Row.next_look_at <= NOW)
            .order_by(Row.next_look_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        statement = (
            update(Row)
            .where(Row.tenant_id == self._tenant_id, Row.operation_id.in_(due))
            .values(next_look_at=NOW + timedelta(seconds=lease_s), looks=Row.looks + 1)
            .returning(Row)
        )
        return (await self._session.scalars(statement)).all()

    async def quiet_for_s(self, operation_id: UUID) -> float:
        """Return since how many seconds nothing more can be sent for a change; negative before that."""
        left = await self._session.scalar(select(seconds_until(Row.quiet_since)).where(*self._is(operation_id)))
        return -float(left or 0)

    async def look_again(self, operation_id: UUID, *, after_s: float | None) -> None:
        """Say when a change is to be looked up next; ``None`` for never."""
        moment = None if after_s is None else NOW + timedelta(seconds=after_s)
        await self._session.execute(update(Row).where(*self._is(operation_id)).values(next_look_at=moment))

    async def locked(self, operation_id: UUID) -> Row | None:
        """Return a change that nobody else closes until this transaction ends."""
        statement = select(Row).where(*self._is(operation_id)).with_for_update()
        return (await self._session.scalars(statement, execution_options={"populate_existing": True})).one_or_none()

    async def all(self) -> Sequence[Row]:
        """Return every change without an outcome, oldest first."""
        statement = select(Row).where(Row.tenant_id == self._tenant_id).order_by(Row.started_at)
        return (await self._session.scalars(statement)).all()

    def _is(self, operation_id: UUID) -> tuple[ColumnElement[bool], ...]:
        return Row.tenant_id == self._tenant_id, Row.operation_id == operation_id
