"""People's access keys: listing, withdrawing, and when each was used last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.rows import AccessKeyRow


class AccessKeyRepository:
    """One tenant's access keys."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def add(self, row: AccessKeyRow) -> None:
        """Keep a new key's hash."""
        self._session.add(row)

    async def of_person(self, person_id: UUID) -> Sequence[AccessKeyRow]:
        """Return a person's keys, the newest first, those that are over as well."""
        statement = (
            select(AccessKeyRow)
            .where(AccessKeyRow.tenant_id == self._tenant_id, AccessKeyRow.person_id == person_id)
            .order_by(AccessKeyRow.created_at.desc(), AccessKeyRow.id)
        )
        return (await self._session.scalars(statement)).all()

    async def revoke(self, person_id: UUID, key_id: UUID, *, at: datetime) -> AccessKeyRow | None:
        """Withdraw a key of this person; ``None`` when he has no such key, or it was withdrawn before."""
        statement = (
            update(AccessKeyRow)
            .where(
                AccessKeyRow.tenant_id == self._tenant_id,
                AccessKeyRow.person_id == person_id,
                AccessKeyRow.id == key_id,
                AccessKeyRow.revoked_at.is_(None),
            )
            .values(revoked_at=at)
            .returning(AccessKeyRow)
        )
        return (await self._session.scalars(statement)).one_or_none()

    async def touch(self, used: Mapping[UUID, datetime]) -> None:
        """Note when keys were used last."""
        for key_id, at in sorted(used.items()):
            await self._session.execute(
                update(AccessKeyRow)
                .where(
                    AccessKeyRow.tenant_id == self._tenant_id,
                    AccessKeyRow.id == key_id,
                    (AccessKeyRow.last_used_at.is_(None)) | (AccessKeyRow.last_used_at < at),
                )
                .values(last_used_at=at)
            )
