"""Audiences in the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.paging import Slice, Window, in_window, to_slice
from app.store.rows import AudienceRow
from app.store.segment_definitions import from_epoch_ms

Row = AudienceRow

# AEP's attributes that a list can be filtered by without reading the document.
_EXACT = {
    "audienceId": Row.audience_id,
    "id": Row.aep_id,
    "name": Row.name,
    "namespace": Row.namespace,
    "type": Row.type,
    "originName": Row.origin_name,
    "lifecycleState": Row.lifecycle_state,
}


class AudienceRepository:
    """One tenant's audiences. Every call names the sandbox."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def _in_sandbox(self, sandbox_id: UUID) -> Select[Row]:
        return select(Row).where(Row.tenant_id == self._tenant_id, Row.sandbox_id == sandbox_id)

    def _filtered(
        self,
        sandbox_id: UUID,
        name_contains: str | None,
        description_contains: str | None = None,
        exact: Mapping[str, str] | None = None,
    ) -> Select[Row]:
        statement = self._in_sandbox(sandbox_id)
        if name_contains:
            statement = statement.where(func.strpos(Row.name_lower, name_contains.lower()) > 0)
        if description_contains:
            text = func.lower(Row.document["description"].as_string())
            statement = statement.where(func.strpos(text, description_contains.lower()) > 0)
        for attribute, value in (exact or {}).items():
            column = _EXACT.get(attribute)
            if column is not None:
                statement = statement.where(column == value)
            else:
                statement = statement.where(Row.document[tuple(attribute.split("."))].as_string() == value)
        return statement

    async def window(self, sandbox_id: UUID, window: Window, *, name_contains: str | None = None) -> Slice[Row]:
        """Return the rows of a window, ordered by name and then by id."""
        statement = self._filtered(sandbox_id, name_contains)
        statement = in_window(statement, Row.name_lower.collate("C"), Row.id.expression, window, descending=False)
        return to_slice((await self._session.scalars(statement)).all(), window)

    async def offset_page(
        self,
        sandbox_id: UUID,
        *,
        offset: int,
        limit: int,
        name_contains: str | None = None,
        description_contains: str | None = None,
        exact: Mapping[str, str] | None = None,
    ) -> Sequence[Row]:
        """Return ``limit`` rows from ``offset``, newest change first; ``exact`` maps AEP's attributes to values."""
        statement = self._filtered(sandbox_id, name_contains, description_contains, exact)
        statement = statement.order_by(Row.updated_at.desc(), Row.id).offset(offset).limit(limit)
        return (await self._session.scalars(statement)).all()

    async def count(
        self,
        sandbox_id: UUID,
        *,
        name_contains: str | None = None,
        description_contains: str | None = None,
        exact: Mapping[str, str] | None = None,
    ) -> int:
        """Return how many rows the filters leave."""
        inner = self._filtered(sandbox_id, name_contains, description_contains, exact).subquery()
        return await self._session.scalar(select(func.count()).select_from(inner)) or 0

    async def get(self, sandbox_id: UUID, row_id: UUID) -> Row | None:
        """Return an audience by the gateway's id."""
        return (await self._session.scalars(self._in_sandbox(sandbox_id).where(Row.id == row_id))).one_or_none()

    async def by_aep_id(self, sandbox_id: UUID, aep_id: str) -> Row | None:
        """Return an audience by AEP's ``id`` (which is not its ``audienceId``)."""
        return (await self._session.scalars(self._in_sandbox(sandbox_id).where(Row.aep_id == aep_id))).one_or_none()

    async def by_aep_ids(self, sandbox_id: UUID, aep_ids: Sequence[str]) -> Sequence[Row]:
        """Return the audiences that exist among these ids of AEP, in no order."""
        statement = self._in_sandbox(sandbox_id).where(Row.aep_id.in_(aep_ids))
        return (await self._session.scalars(statement)).all()

    async def put(self, sandbox_id: UUID, document: dict[str, Any], *, now: datetime) -> Row:
        """Store an audience as AEP sent it at ``now``, unless what is there was read later; return what is there."""
        name = document.get("name") or ""
        columns = {
            "audience_id": document.get("audienceId") or document["id"],
            "name": name,
            "name_lower": name.lower(),
            "namespace": document.get("namespace") or "",
            "type": document.get("type") or "SegmentDefinition",
            "origin_name": document.get("originName") or "",
            "lifecycle_state": document.get("lifecycleState") or "published",
            "document": document,
            "updated_at": from_epoch_ms(document.get("updateTime") or document.get("creationTime"), now),
            "synced_at": now,
        }
        key = {"tenant_id": self._tenant_id, "sandbox_id": sandbox_id, "aep_id": document["id"]}
        # One statement: the sync and a caller may store the same audience at the same moment.
        statement = (
            insert(Row)
            .values(**key, **columns)
            .on_conflict_do_update(index_elements=list(key), set_=columns, where=Row.synced_at <= now)
            .returning(Row)
        )
        options = {"populate_existing": True}
        row = (await self._session.scalars(statement, execution_options=options)).one_or_none()
        if row is None:
            statement_there = self._in_sandbox(sandbox_id).where(Row.aep_id == document["id"])
            row = (await self._session.scalars(statement_there, execution_options=options)).one()
        return row

    async def remove(self, sandbox_id: UUID, aep_id: str) -> None:
        """Remove an audience from the cache, if it is there."""
        await self._session.execute(
            delete(Row).where(Row.tenant_id == self._tenant_id, Row.sandbox_id == sandbox_id, Row.aep_id == aep_id)
        )

    async def remove_absent(self, sandbox_id: UUID, present: Sequence[str], *, seen_before: datetime) -> None:
        """Remove audiences that AEP no longer lists, except those touched since the listing began."""
        await self._session.execute(
            delete(Row).where(
                Row.tenant_id == self._tenant_id,
                Row.sandbox_id == sandbox_id,
                Row.synced_at < seen_before,
                Row.aep_id.not_in(present),
            )
        )
