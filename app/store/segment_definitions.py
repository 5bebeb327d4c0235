"""Segment definitions in the cache, and their revisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import InternalError
from app.store.paging import Slice, Window, in_window, to_slice
from app.store.rows import SegmentDefinitionRevisionRow, SegmentDefinitionRow

Row = SegmentDefinitionRow

# What lists may be ordered by: the gateway's own word or AEP's attribute, and the column behind it.
ORDER_COLUMNS: dict[str, ColumnElement[Any]] = {
    "name": Row.name_lower.collate("C"),
    "creationTime": Row.created_at.expression,
    "updateTime": Row.updated_at.expression,
}


class SegmentDefinitionRepository:
    """One tenant's segment definitions. Every call names the sandbox."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def _in_sandbox(self, sandbox_id: UUID) -> Select[Row]:
        return select(Row).where(Row.tenant_id == self._tenant_id, Row.sandbox_id == sandbox_id)

    def _filtered(self, sandbox_id: UUID, name_contains: str | None, evaluation: str | None) -> Select[Row]:
        statement = self._in_sandbox(sandbox_id)
        if name_contains:
            statement = statement.where(func.strpos(Row.name_lower, name_contains.lower()) > 0)
        if evaluation:
            enabled = Row.document["evaluationInfo"][evaluation]["enabled"].as_boolean()
            statement = statement.where(enabled.is_(True))
        return statement

    async def window(
        self,
        sandbox_id: UUID,
        window: Window,
        *,
        order: str,
        descending: bool,
        name_contains: str | None = None,
    ) -> Slice[Row]:
        """Return the rows of a window, ordered by a key of ``ORDER_COLUMNS`` and then by id."""
        statement = self._filtered(sandbox_id, name_contains, None)
        column = ORDER_COLUMNS[order]
        statement = in_window(statement, column, Row.id.expression, window, descending=descending)
        return to_slice((await self._session.scalars(statement)).all(), window)

    async def offset_page(
        self,
        sandbox_id: UUID,
        *,
        offset: int,
        limit: int,
        sort: Sequence[tuple[str, bool]],
        evaluation: str | None = None,
    ) -> Sequence[Row]:
        """Return ``limit`` rows from ``offset``; ``sort`` lists (key of ``ORDER_COLUMNS``, descending)."""
        order = [ORDER_COLUMNS[name].desc() if descending else ORDER_COLUMNS[name].asc() for name, descending in sort]
        statement = self._filtered(sandbox_id, None, evaluation).order_by(*order, Row.id).offset(offset).limit(limit)
        return (await self._session.scalars(statement)).all()

    async def count(self, sandbox_id: UUID, *, name_contains: str | None = None, evaluation: str | None = None) -> int:
        """Return how many rows the filters leave."""
        inner = self._filtered(sandbox_id, name_contains, evaluation).subquery()
        return await self._session.scalar(select(func.count()).select_from(inner)) or 0

    async def get(self, sandbox_id: UUID, row_id: UUID) -> Row | None:
        """Return a definition by the gateway's id."""
        return (await self._session.scalars(self._in_sandbox(sandbox_id).where(Row.id == row_id))).one_or_none()

    async def by_aep_id(self, sandbox_id: UUID, aep_id: str) -> Row | None:
        """Return a definition by AEP's id."""
        return (await self._session.scalars(self._in_sandbox(sandbox_id).where(Row.aep_id == aep_id))).one_or_none()

    async def by_aep_ids(self, sandbox_id: UUID, aep_ids: Sequence[str]) -> Sequence[Row]:
        """Return the definitions that exist among these ids of AEP, in no order."""
        statement = self._in_sandbox(sandbox_id).where(Row.aep_id.in_(aep_ids))
        return (await self._session.scalars(statement)).all()

    async def put(
        self,
        sandbox_id: UUID,
        document: dict[str, Any],
        *,
        author: dict[str, Any] | None,
        now: datetime,
        created: bool = False,
    ) -> Row:
        """Store a definition as AEP sent it; a change makes a new version and a revision.

        ``author`` is our actor as a document, or ``None`` for a change that was seen upstream. ``created`` says that
        the author has just made the definition, which the sync may have seen before AEP's answer reached us.
        """
        row = await self._locked(sandbox_id, document["id"])
        if row is None:
            row = await self._insert(sandbox_id, document, author, now)
            if row is not None:
                await self._add_revision(row, author, now)
                return row
            # Somebody else has inserted it since we looked.
            row = await self._locked(sandbox_id, document["id"])
        if row is None:
            raise InternalError(f"the definition {document['id']} came and went while it was stored")
        if created and row.created_by is None:
            await self._claim(row, author)
        if row.synced_at > now:
            return row  # what is there was read later
        if row.document == document:
            row.synced_at = now
            return row
        row.version += 1
        row.updated_by = author
        for name, value in _columns(document, now).items():
            setattr(row, name, value)
        await self._add_revision(row, author, now)
        return row

    async def _locked(self, sandbox_id: UUID, aep_id: str) -> Row | None:
        """Return a definition that nobody else changes until this transaction ends."""
        statement = self._in_sandbox(sandbox_id).where(Row.aep_id == aep_id).with_for_update()
        return (await self._session.scalars(statement, execution_options={"populate_existing": True})).one_or_none()

    async def _insert(
        self, sandbox_id: UUID, document: dict[str, Any], author: dict[str, Any] | None, now: datetime
    ) -> Row | None:
        """Insert a definition; return None when there is one of this id.

        One that comes back (a listing may miss an object while others are deleted) goes on from its last revision, and
        its author stays who he was.
        """
        revision = SegmentDefinitionRevisionRow
        earlier = (
            revision.tenant_id == self._tenant_id,
            revision.sandbox_id == sandbox_id,
            revision.aep_id == document["id"],
        )
        last = select(func.coalesce(func.max(revision.version), 0) + 1).where(*earlier).scalar_subquery()
        first_author = select(revision.author).where(*earlier).order_by(revision.version).limit(1).scalar_subquery()
        values = {
            "tenant_id": self._tenant_id,
            "sandbox_id": sandbox_id,
            "aep_id": document["id"],
            "version": last,
            "created_by": first_author if author is None else author,
            **_columns(document, now),
        }
        statement = insert(Row).values(values).on_conflict_do_nothing().returning(Row)
        return (await self._session.scalars(statement)).one_or_none()

    async def _claim(self, row: Row, author: dict[str, Any] | None) -> None:
        """Say who made a definition that the sync has taken for one of Adobe's own pages."""
        row.created_by = author
        revision = SegmentDefinitionRevisionRow
        await self._session.execute(
            update(revision)
            .where(
                revision.tenant_id == self._tenant_id,
                revision.sandbox_id == row.sandbox_id,
                revision.aep_id == row.aep_id,
                revision.version == 1,
            )
            .values(author=author)
        )

    async def _add_revision(self, row: Row, author: dict[str, Any] | None, now: datetime) -> None:
        self._session.add(
            SegmentDefinitionRevisionRow(
                tenant_id=self._tenant_id,
                sandbox_id=row.sandbox_id,
                aep_id=row.aep_id,
                version=row.version,
                document=row.document,
                author=author,
                at=now,
            )
        )
        await self._session.flush()

    async def remove(self, row: Row) -> None:
        """Remove a definition from the cache; its revisions stay."""
        await self._session.delete(row)
        await self._session.flush()

    async def remove_absent(self, sandbox_id: UUID, present: Sequence[str], *, seen_before: datetime) -> list[Row]:
        """Remove definitions that AEP no longer lists and return them.

        Rows touched since ``seen_before``, the moment at which the listing began, are kept: they are newer than it.
        """
        statement = self._in_sandbox(sandbox_id).where(Row.synced_at < seen_before, Row.aep_id.not_in(present))
        gone = list((await self._session.scalars(statement)).all())
        await self._session.execute(delete(Row).where(Row.id.in_([row.id for row in gone])))
        return gone


def _columns(document: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return the columns that follow from a document."""
    name = document.get("name") or ""
    return {
        "name": name,
        "name_lower": name.lower(),
        "description": document.get("description"),
        "document": document,
        "created_at": from_epoch_ms(document.get("creationTime"), now),
        "updated_at": from_epoch_ms(document.get("updateTime") or document.get("creationTime"), now),
        "synced_at": now,
    }


def from_epoch_ms(value: object, fallback: datetime) -> datetime:
    """Read AEP's epoch milliseconds; ``fallback`` stands in for an absent or senseless value."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 32_503_680_000_000:
        return datetime.fromtimestamp(value / 1000, tz=fallback.tzinfo)
    return fallback
