"""How many requests a tenant and a credential have left in the present window, shared by all processes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.rows import RequestBudgetRow

_EPOCH = "2000-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Leased:
    """``granted`` requests for the process that asked, ``left`` for all the others, until ``ends_in_s`` from now."""

    granted: int
    left: int
    ends_in_s: float


class RequestBudgetRepository:
    """One tenant's budgets."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def lease(self, subject: UUID, *, quota: int, wanted: int, window_s: int) -> Leased:
        """Take up to ``wanted`` requests out of the window's ``quota``.

        Windows are those of the database's clock, the same for every process. What is leased and not used by the end
        of the window is lost.
        """
        window = timedelta(seconds=window_s)
        start = func.date_bin(window, func.now(), func.timestamptz(_EPOCH))
        row = insert(RequestBudgetRow).values(
            tenant_id=self._tenant_id, subject=subject, window_start=start, leased=wanted
        )
        same = RequestBudgetRow.window_start == row.excluded.window_start
        statement = row.on_conflict_do_update(
            index_elements=[RequestBudgetRow.tenant_id, RequestBudgetRow.subject],
            set_={
                "window_start": row.excluded.window_start,
                "leased": case((same, RequestBudgetRow.leased + row.excluded.leased), else_=row.excluded.leased),
            },
        ).returning(RequestBudgetRow.leased)
        leased = int(await self._session.scalar(statement) or 0)
        ends_in = await self._session.scalar(select(func.extract("epoch", start + window - func.now())))
        granted = max(0, min(wanted, quota - (leased - wanted)))
        return Leased(granted, max(0, quota - leased), float(ends_in or window_s))
