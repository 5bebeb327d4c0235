"""Audiences in the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Boolean, ColumnElement, Select, Text, all_, cast, delete, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.notifications import Kind, Notice, Notices, Verb
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
        await self.put_all(sandbox_id, [document], now=now)
        statement = self._in_sandbox(sandbox_id).where(Row.aep_id == document["id"])
        return (await self._session.scalars(statement, execution_options={"populate_existing": True})).one()

    async def put_all(self, sandbox_id: UUID, documents: Sequence[dict[str, Any]], *, now: datetime) -> int:
        """Store what AEP listed at ``now``, unless it was read later; return how many were new or had changed."""
        if not documents:
            return 0
        key = ("tenant_id", "sandbox_id", "aep_id")
        # In one order for all, so that two writers of the same audiences cannot wait for each other.
        values = [
            {"id": uuid4(), "tenant_id": self._tenant_id, "sandbox_id": sandbox_id, **_columns(document, now)}
            for document in sorted(documents, key=itemgetter("id"))
        ]
        # One statement: the sync and a caller may store the same audience at the same moment.
        statement = insert(Row)
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=key,
            set_={name: new[name] for name in values[0] if name not in {"id", *key}},
            where=(Row.synced_at <= now) & Row.document.is_distinct_from(new.document),
        )
        changed = (await self._session.execute(statement.returning(Row.aep_id, is_new()), values)).all()
        for aep_id, new_here in changed:
            self._tell(sandbox_id, aep_id, Verb.CREATED if new_here else Verb.UPDATED)
        same = {document["id"] for document in documents} - {aep_id for aep_id, _ in changed}
        await self._touch(sandbox_id, sorted(same), now)
        return len(changed)

    async def _touch(self, sandbox_id: UUID, aep_ids: Sequence[str], now: datetime) -> None:
        """Take note that audiences are at AEP as they are here."""
        if aep_ids:
            await self._session.execute(
                update(Row)
                .where(*self._is(sandbox_id), Row.aep_id.in_(aep_ids), Row.synced_at < now)
                .values(synced_at=now)
            )

    def _is(self, sandbox_id: UUID) -> tuple[ColumnElement[bool], ...]:
        return Row.tenant_id == self._tenant_id, Row.sandbox_id == sandbox_id

    def _tell(self, sandbox_id: UUID, aep_id: str, verb: Verb) -> None:
        Notices.add(self._session, Notice(self._tenant_id, Kind.AUDIENCE, verb, sandbox_id, aep_id))

    async def remove(self, sandbox_id: UUID, aep_id: str) -> None:
        """Remove an audience from the cache, if it is there."""
        await self._delete(sandbox_id, Row.aep_id == aep_id)

    async def absent(self, sandbox_id: UUID, present: Sequence[str], *, seen_before: datetime) -> list[str]:
        """Return the ids of audiences that AEP does not list, except those touched since the listing began."""
        statement = select(Row.aep_id).where(
            *self._is(sandbox_id), Row.synced_at < seen_before, Row.aep_id != all_(cast(list(present), ARRAY(Text)))
        )
        return list((await self._session.scalars(statement)).all())

    async def remove_all(self, sandbox_id: UUID, aep_ids: Sequence[str], *, seen_before: datetime) -> int:
        """Remove audiences that are gone at AEP, except those touched since ``seen_before``; return how many."""
        return await self._delete(sandbox_id, Row.aep_id.in_(aep_ids), Row.synced_at < seen_before)

    async def _delete(self, sandbox_id: UUID, *conditions: ColumnElement[bool]) -> int:
        statement = delete(Row).where(*self._is(sandbox_id), *conditions).returning(Row.aep_id)
        gone = (await self._session.scalars(statement)).all()
        for aep_id in gone:
            self._tell(sandbox_id, aep_id, Verb.DELETED)
        return len(gone)


def is_new() -> ColumnElement[bool]:
    """Tell of a row that an insert returns whether the insert made it, or changed one that was there.

    PostgreSQL marks a row that was changed with the transaction that did so.
    """
    return literal_column("(xmax = 0)", Boolean)


def _columns(document: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return the columns that follow from a document."""
    name = document.get("name") or ""
    return {
        "aep_id": document["id"],
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
