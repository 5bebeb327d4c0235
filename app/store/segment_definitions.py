"""Segment definitions in the cache, and their revisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Select, Text, all_, cast, delete, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.aep.models import edited_members
from app.errors import InternalError
from app.store.notifications import Kind, Notice, Notices, Verb
from app.store.paging import Slice, Window, in_window, to_slice
from app.store.revisions import NewRevision, Origin, RevisionRepository
from app.store.rows import SegmentDefinitionRevisionRow, SegmentDefinitionRow

Row = SegmentDefinitionRow

UPSTREAM: Final = Origin()
_BATCH: Final = 500
"""Definitions that are looked up, inserted and changed at once."""

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
        self._revisions = RevisionRepository(session, tenant_id)

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
        now: datetime,
        origin: Origin = UPSTREAM,
        created: bool = False,
    ) -> Row:
        """Store a definition as AEP sent it; a change makes a new version and a revision.

        ``created`` says that the author of ``origin`` has just made the definition, which the sync may have seen
        before AEP's answer reached us.
        """
        aep_id = document["id"]
        await self._store(sandbox_id, [document], now=now, origin=origin)
        row = (await self._locked(sandbox_id, [aep_id])).get(aep_id)
        if row is None:
            raise InternalError(f"the definition {aep_id} came and went while it was stored")
        if origin.author is not None:
            await self._claim(row, document, origin, created=created)
        return row

    async def put_all(
        self, sandbox_id: UUID, documents: Sequence[dict[str, Any]], *, now: datetime, drift: bool
    ) -> int:
        """Store what AEP listed and return how many of the definitions were new or had changed.

        ``drift`` says whether the audit has to tell of them.
        """
        changed = 0
        for start in range(0, len(documents), _BATCH):
            batch = documents[start : start + _BATCH]
            changed += await self._store(sandbox_id, batch, now=now, origin=Origin(drift=drift))
        return changed

    async def _store(
        self, sandbox_id: UUID, documents: Sequence[dict[str, Any]], *, now: datetime, origin: Origin
    ) -> int:
        """Insert what is new, change what differs, and return how many these are."""
        wanted = {document["id"]: document for document in documents}
        known = await self._locked(sandbox_id, list(wanted))
        inserted = await self._insert(sandbox_id, [wanted[key] for key in wanted if key not in known], origin, now)
        if len(known) + len(inserted) < len(wanted):
            # Somebody else has inserted some of them since we looked.
            known = await self._locked(sandbox_id, [key for key in wanted if key not in inserted])
        changed: list[Row] = []
        same: list[Row] = []
        for aep_id, row in known.items():
            if row.synced_at > now:
                continue  # what is there was read later
            (same if row.document == wanted[aep_id] else changed).append(row)
        await self._touch(same, now)
        await self._change(sandbox_id, changed, wanted, origin, now)
        return len(changed) + len(inserted)

    async def _locked(self, sandbox_id: UUID, aep_ids: Sequence[str]) -> dict[str, Row]:
        """Return definitions that nobody else changes until this transaction ends."""
        if not aep_ids:
            return {}
        # In one order for all, so that two writers of the same definitions cannot wait for each other.
        statement = self._in_sandbox(sandbox_id).where(Row.aep_id.in_(aep_ids)).order_by(Row.aep_id).with_for_update()
        rows = await self._session.scalars(statement, execution_options={"populate_existing": True})
        return {row.aep_id: row for row in rows.all()}

    async def _insert(
        self, sandbox_id: UUID, documents: Sequence[dict[str, Any]], origin: Origin, now: datetime
    ) -> set[str]:
        """Insert definitions and return the ids of those that were not there.

        One that comes back goes on from its last version, and its author stays who he was.
        """
        if not documents:
            return set()
        ids = sorted(document["id"] for document in documents)
        before = await self._revisions.newest(sandbox_id, ids)
        makers = await self._revisions.first_authors(sandbox_id, ids) if before else {}
        values = [
            {
                "id": uuid4(),
                "tenant_id": self._tenant_id,
                "sandbox_id": sandbox_id,
                "aep_id": document["id"],
                "version": _next_version(before.get(document["id"])),
                "created_by": makers.get(document["id"]) if origin.author is None else origin.author,
                **_columns(document, now),
            }
            for document in sorted(documents, key=itemgetter("id"))
        ]
        statement = insert(Row).on_conflict_do_nothing().returning(Row.aep_id, Row.version)
        inserted = dict((await self._session.execute(statement, values)).all())
        revisions = [
            NewRevision(
                document["id"],
                inserted[document["id"]],
                document,
                _began(document, now, before.get(document["id"]), origin),
            )
            for document in documents
            if document["id"] in inserted
        ]
        await self._revisions.add(sandbox_id, revisions, origin, seen_at=now)
        for aep_id, version in inserted.items():
            self._tell(sandbox_id, aep_id, version, Verb.CREATED)
        return set(inserted)

    async def _change(
        self,
        sandbox_id: UUID,
        rows: Sequence[Row],
        wanted: Mapping[str, dict[str, Any]],
        origin: Origin,
        now: datetime,
    ) -> None:
        before = await self._revisions.newest(sandbox_id, [row.aep_id for row in rows]) if rows else {}
        revisions = []
        for row in rows:
            edited = edited_members(row.document, wanted[row.aep_id])
            row.version += 1
            row.updated_by = origin.author
            for name, value in _columns(wanted[row.aep_id], now).items():
                setattr(row, name, value)
            began = _began(row.document, now, before.get(row.aep_id), origin)
            revisions.append(NewRevision(row.aep_id, row.version, row.document, began, edited=bool(edited)))
            self._tell(sandbox_id, row.aep_id, row.version, Verb.UPDATED)
        await self._session.flush()
        await self._revisions.add(sandbox_id, revisions, origin, seen_at=now)

    async def _touch(self, rows: Sequence[Row], now: datetime) -> None:
        """Take note that rows are at AEP as they are here."""
        if rows:
            statement = update(Row).where(Row.id.in_([row.id for row in rows])).values(synced_at=now)
            await self._session.execute(statement)

    async def _claim(self, row: Row, document: dict[str, Any], origin: Origin, *, created: bool) -> None:
        """Say who made what the sync has seen first, and taken for something of Adobe's own pages."""
        if created and row.created_by is None:
            row.created_by = origin.author
            await self._revisions.claim(row.sandbox_id, row.aep_id, 1, origin, created=True)
        if row.document == document and await self._revisions.claim(
            row.sandbox_id, row.aep_id, row.version, origin, created=False
        ):
            row.updated_by = origin.author
        await self._session.flush()

    async def credit(
        self, sandbox_id: UUID, aep_id: str, version: int, author: dict[str, Any] | None, *, created: bool
    ) -> None:
        """Name the author of a version that was seen upstream, if it is still the newest."""
        if author is not None:
            statement = update(Row).where(
                Row.tenant_id == self._tenant_id,
                Row.sandbox_id == sandbox_id,
                Row.aep_id == aep_id,
                Row.version == version,
            )
            member = Row.created_by if created else Row.updated_by
            await self._session.execute(statement.values({member: author}))

    def _tell(self, sandbox_id: UUID, aep_id: str, version: int, verb: Verb) -> None:
        notice = Notice(self._tenant_id, Kind.SEGMENT_DEFINITION, verb, sandbox_id, aep_id, version)
        Notices.add(self._session, notice)

    async def remove(self, row: Row, *, now: datetime, origin: Origin = UPSTREAM) -> None:
        """Remove a definition from the cache; its versions stay, and its end is one of them."""
        await self._session.delete(row)
        await self._session.flush()
        await self._bury(row.sandbox_id, [row], origin, now)

    async def absent(self, sandbox_id: UUID, present: Sequence[str], *, seen_before: datetime) -> Sequence[Row]:
        """Return definitions that are not among those that AEP lists.

        Rows touched since ``seen_before``, the moment at which the listing began, are left out: they are newer.
        """
        statement = self._in_sandbox(sandbox_id).where(
            Row.synced_at < seen_before, Row.aep_id != all_(cast(list(present), ARRAY(Text)))
        )
        return (await self._session.scalars(statement)).all()

    async def remove_all(
        self, sandbox_id: UUID, aep_ids: Sequence[str], *, seen_before: datetime, now: datetime, drift: bool
    ) -> list[Row]:
        """Remove definitions that are gone at AEP, and return them; those touched since ``seen_before`` stay."""
        rows = await self._locked(sandbox_id, list(aep_ids))
        gone = [row for row in rows.values() if row.synced_at < seen_before]
        await self._session.execute(delete(Row).where(Row.id.in_([row.id for row in gone])))
        await self._bury(sandbox_id, gone, Origin(drift=drift), now)
        return gone

    async def _bury(self, sandbox_id: UUID, rows: Sequence[Row], origin: Origin, now: datetime) -> None:
        revisions = [NewRevision(row.aep_id, row.version + 1, row.document, now, deleted=True) for row in rows]
        await self._revisions.add(sandbox_id, revisions, origin, seen_at=now)
        for row in rows:
            self._tell(sandbox_id, row.aep_id, row.version + 1, Verb.DELETED)


def _next_version(last: SegmentDefinitionRevisionRow | None) -> int:
    return 1 if last is None else last.version + 1


def _began(
    document: dict[str, Any], now: datetime, last: SegmentDefinitionRevisionRow | None, origin: Origin
) -> datetime:
    """Return since when a version is in force: for one seen upstream AEP's time of the change, in whole seconds.

    AEP's clock may differ from ours, but nothing that we have seen can be of a later time, nor of one before the
    last version's.
    """
    if origin.author is not None:
        return now if last is None else max(now, last.at)
    changed = min(from_epoch_ms(document.get("updateTime") or document.get("creationTime"), now), now)
    return changed if last is None else max(changed, last.at)


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
