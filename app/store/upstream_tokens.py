"""Adobe's access tokens of one tenant, and the leases under which they are fetched.

All times are the database's, so that the clocks of several machines do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.clock import NOW, seconds_until
from app.store.rows import UpstreamTokenRow

_NO_TOKEN = {"sealed_token": None, "generation": None, "renew_at": None, "usable_until": None}
_NO_LEASE = {"lease_id": None, "leased_until": None}


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A sealed token; both durations count from now, in seconds, and are negative when they are over."""

    sealed_token: bytes = field(repr=False)
    generation: UUID
    renew_in_s: float
    usable_for_s: float


class UpstreamTokenRepository:
    """One tenant's tokens, by credential and scopes."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def get(self, credential_id: UUID, scopes: str) -> StoredToken | None:
        """Return the newest token, whether it is still good or not."""
        row = UpstreamTokenRow
        statement = select(
            row.sealed_token, row.generation, seconds_until(row.renew_at), seconds_until(row.usable_until)
        ).where(self._is(credential_id, scopes))
        found = (await self._session.execute(statement)).one_or_none()
        if found is None:
            return None
        sealed_token, generation, renew_in_s, usable_for_s = found
        if sealed_token is None or generation is None:
            return None
        return StoredToken(sealed_token, generation, renew_in_s, usable_for_s)

    async def lease(self, credential_id: UUID, scopes: str, *, lease_id: UUID, lease_s: float) -> bool:
        """Take the right to fetch, unless somebody holds it or has just fetched; one statement, so one taker."""
        row = UpstreamTokenRow
        until = NOW + timedelta(seconds=lease_s)
        taken = {"lease_id": lease_id, "leased_until": until}
        free = row.leased_until.is_(None) | (row.leased_until <= NOW)
        due = row.renew_at.is_(None) | (row.renew_at <= NOW)
        statement = (
            insert(row)
            .values(tenant_id=self._tenant_id, credential_id=credential_id, scopes=scopes, **taken)
            .on_conflict_do_update(
                index_elements=[row.tenant_id, row.credential_id, row.scopes], set_=taken, where=free & due
            )
            .returning(row.lease_id)
        )
        return (await self._session.execute(statement)).first() is not None

    async def keep(self, credential_id: UUID, scopes: str, token: StoredToken) -> None:
        """Write what was fetched under the lease ``token.generation``; a lease that was lost changes nothing."""
        values = {
            "sealed_token": token.sealed_token,
            "generation": token.generation,
            "renew_at": NOW + timedelta(seconds=token.renew_in_s),
            "usable_until": NOW + timedelta(seconds=token.usable_for_s),
        }
        held = self._is(credential_id, scopes) & (UpstreamTokenRow.lease_id == token.generation)
        await self._session.execute(update(UpstreamTokenRow).where(held).values(**values, **_NO_LEASE))

    async def release(self, credential_id: UUID, scopes: str, *, lease_id: UUID) -> None:
        """Give the right to fetch back, so that others need not wait for its end."""
        held = self._is(credential_id, scopes) & (UpstreamTokenRow.lease_id == lease_id)
        await self._session.execute(update(UpstreamTokenRow).where(held).values(**_NO_LEASE))

    async def discard(self, credential_id: UUID, scopes: str, *, generation: UUID) -> None:
        """Forget a token, unless a newer one has taken its place."""
        same = self._is(credential_id, scopes) & (UpstreamTokenRow.generation == generation)
        await self._session.execute(update(UpstreamTokenRow).where(same).values(**_NO_TOKEN))

    async def forget(self, credential_id: UUID) -> None:
        """Remove all tokens of a credential that is used no more."""
        row = UpstreamTokenRow
        own = (row.tenant_id == self._tenant_id) & (row.credential_id == credential_id)
        await self._session.execute(delete(row).where(own))

    def _is(self, credential_id: UUID, scopes: str) -> ColumnElement[bool]:
        row = UpstreamTokenRow
        return (row.tenant_id == self._tenant_id) & (row.credential_id == credential_id) & (row.scopes == scopes)
