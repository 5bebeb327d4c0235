"""Segment jobs and schedules in the cache: kept as AEP sent them, for answers while AEP is away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, any_, cast, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.audiences import is_new
from app.store.notifications import Kind, Notice, Notices, Verb
from app.store.rows import CachedObjectRow
from app.store.segment_definitions import from_epoch_ms
from app.store.sync_states import Cached

Row = CachedObjectRow

_KINDS: Final = {Cached.SEGMENT_JOBS: Kind.SEGMENT_JOB, Cached.SCHEDULES: Kind.SCHEDULE}


class CachedObjectRepository:
    """One tenant's cached objects. Every call names the sandbox and the resource."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def _is(self, sandbox_id: UUID, resource: Cached) -> tuple[ColumnElement[bool], ...]:
        return Row.tenant_id == self._tenant_id, Row.sandbox_id == sandbox_id, Row.kind == resource.value

    def _of(self, sandbox_id: UUID, resource: Cached, status: str | None) -> Select[Row]:
        statement = select(Row).where(*self._is(sandbox_id, resource))
        return statement if status is None else statement.where(Row.status == status)

    async def page(
        self, sandbox_id: UUID, resource: Cached, *, offset: int, limit: int, status: str | None = None
    ) -> tuple[Sequence[Row], int]:
        """Return ``limit`` objects from ``offset``, newest first, and how many there are."""
        wanted = self._of(sandbox_id, resource, status)
        total = await self._session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        statement = wanted.order_by(Row.created_at.desc(), Row.aep_id).offset(offset).limit(limit)
        return (await self._session.scalars(statement)).all(), total

    async def get(self, sandbox_id: UUID, resource: Cached, aep_id: str) -> Row | None:
        """Return one object."""
        statement = self._of(sandbox_id, resource, None).where(Row.aep_id == aep_id)
        return (await self._session.scalars(statement)).one_or_none()

    async def statuses(self, sandbox_id: UUID, resource: Cached) -> dict[str, str]:
        """Return the status of each object by AEP's id."""
        statement = select(Row.aep_id, Row.status).where(*self._is(sandbox_id, resource))
        return {aep_id: status for aep_id, status in (await self._session.execute(statement)).all()}  # noqa: C416 - rows

    async def put_all(
        self, sandbox_id: UUID, resource: Cached, documents: Sequence[dict[str, Any]], *, now: datetime
    ) -> int:
        """Store what AEP listed at ``now``; return how many objects were new or had changed."""
        if not documents:
            return 0
        key = ("tenant_id", "sandbox_id", "kind", "aep_id")
        values = [
            {
                "tenant_id": self._tenant_id,
                "sandbox_id": sandbox_id,
                "kind": resource.value,
                "aep_id": document["id"],
                "document": document,
                "status": str(document.get("status") or document.get("state") or ""),
                "created_at": from_epoch_ms(document.get("creationTime"), now),
                "synced_at": now,
            }
            for document in sorted(documents, key=itemgetter("id"))
        ]
        statement = insert(Row)
        new = statement.excluded
        statement = statement.on_conflict_do_update(
            index_elements=key,
            set_={name: new[name] for name in ("document", "status", "created_at", "synced_at")},
            where=(Row.synced_at <= now) & Row.document.is_distinct_from(new.document),
        )
        changed = (await self._session.execute(statement.returning(Row.aep_id, is_new()), values)).all()
        for aep_id, new_here in changed:
            self._tell(sandbox_id, resource, aep_id, Verb.CREATED if new_here else Verb.UPDATED)
        return len(changed)

    async def remove_all(
        self, sandbox_id: UUID, resource: Cached, aep_ids: Sequence[str], *, seen_before: datetime
    ) -> int:
        """Remove objects that are gone at AEP, except those touched since ``seen_before``; return how many."""
        statement = (
            delete(Row)
            .where(
                *self._is(sandbox_id, resource),
                Row.aep_id == any_(cast(list(aep_ids), ARRAY(Text))),
                Row.synced_at < seen_before,
            )
            .returning(Row.aep_id)
        )
        gone = (await self._session.execute(statement)).scalars().all()
        for aep_id in gone:
            self._tell(sandbox_id, resource, aep_id, Verb.DELETED)
        return len(gone)

    def _tell(self, sandbox_id: UUID, resource: Cached, aep_id: str, verb: Verb) -> None:
        Notices.add(self._session, Notice(self._tenant_id, _KINDS[resource], verb, sandbox_id, aep_id))
