"""Sessions of people who signed in by browser."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.rows import PersonRow, SessionRow


class SessionRepository:
    """One tenant's sessions."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def add(self, row: SessionRow) -> None:
        """Begin a session."""
        self._session.add(row)

    async def remove(self, token_hash: bytes) -> bool:
        """End a session; false when there was none."""
        statement = (
            delete(SessionRow)
            .where(SessionRow.tenant_id == self._tenant_id, SessionRow.token_hash == token_hash)
            .returning(SessionRow.id)
        )
        return (await self._session.scalar(statement)) is not None

    async def remove_of_issuer(self, issuer: str) -> int:
        """End the sessions of everybody whom an issuer vouched for; returns how many there were."""
        people = select(PersonRow.id).where(PersonRow.tenant_id == self._tenant_id, PersonRow.issuer == issuer)
        statement = (
            delete(SessionRow)
            .where(SessionRow.tenant_id == self._tenant_id, SessionRow.person_id.in_(people))
            .returning(SessionRow.id)
        )
        return len((await self._session.scalars(statement)).all())

    async def remove_ended(self, now: datetime) -> None:
        """Forget sessions whose time is over."""
        await self._session.execute(
            delete(SessionRow).where(SessionRow.tenant_id == self._tenant_id, SessionRow.expires_at < now)
        )

    async def touch(self, seen: Mapping[UUID, datetime]) -> None:
        """Note when sessions were seen last."""
        for session_id, at in sorted(seen.items()):
            await self._session.execute(
                update(SessionRow)
                .where(SessionRow.tenant_id == self._tenant_id, SessionRow.id == session_id, SessionRow.seen_at < at)
                .values(seen_at=at)
            )
