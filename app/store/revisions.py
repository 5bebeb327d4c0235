"""Every version that a segment definition ever had, in the order in which the gateway learned of them.

A version is written in the transaction that writes the row, by `app.store.segment_definitions`; here they are read, and
those that were seen upstream wait here for the audit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from app import pql
from app.errors import PQLError
from app.store.paging import NumberWindow, Slice, in_number_window, to_slice
from app.store.rows import SegmentDefinitionRevisionRow

Row = SegmentDefinitionRevisionRow

GATEWAY: Final = "gateway"
RESTORE: Final = "restore"
UPSTREAM: Final = "upstream"
PENDING: Final = "pending"
RECORDED: Final = "recorded"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a version comes from: our actor as a document, or ``None`` for one that was seen upstream.

    ``drift`` says that the audit has to tell of it, which is so for what changed behind the gateway and not for what
    was there before the gateway looked for the first time.
    """

    author: dict[str, Any] | None = None
    restored_from: int | None = None
    drift: bool = False

    @property
    def source(self) -> str:
        """``gateway``, ``restore`` or ``upstream``."""
        if self.author is None:
            return UPSTREAM
        return GATEWAY if self.restored_from is None else RESTORE


@dataclass(frozen=True, slots=True)
class NewRevision:
    """A version to write; ``at`` is since when it is in force.

    ``edited`` is false when only members differ that AEP itself keeps, such as the time of the last change: what
    nobody did, the audit need not tell.
    """

    aep_id: str
    version: int
    document: dict[str, Any]
    at: datetime
    deleted: bool = False
    edited: bool = True


class RevisionRepository:
    """One tenant's versions of segment definitions. Every call names the sandbox."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def _of(self, sandbox_id: UUID, *aep_ids: str) -> Select[Row]:
        return select(Row).where(*self._is(sandbox_id, aep_ids))

    def _is(self, sandbox_id: UUID, aep_ids: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
        return Row.tenant_id == self._tenant_id, Row.sandbox_id == sandbox_id, Row.aep_id.in_(aep_ids)

    async def window(self, sandbox_id: UUID, aep_id: str, window: NumberWindow) -> Slice[Row]:
        """Return versions of a definition, newest first."""
        statement = self._of(sandbox_id, aep_id)
        statement = in_number_window(statement, Row.version.expression, window)
        return to_slice((await self._session.scalars(statement)).all(), window)

    async def count(self, sandbox_id: UUID, aep_id: str) -> int:
        """Return how many versions of a definition there are."""
        inner = self._of(sandbox_id, aep_id).subquery()
        return await self._session.scalar(select(func.count()).select_from(inner)) or 0

    async def get(self, sandbox_id: UUID, aep_id: str, version: int) -> Row | None:
        """Return one version."""
        return (await self._session.scalars(self._of(sandbox_id, aep_id).where(Row.version == version))).one_or_none()

    async def by_id(self, sandbox_id: UUID, row_id: UUID) -> Row | None:
        """Return one version by the gateway's id."""
        statement = select(Row).where(Row.tenant_id == self._tenant_id, Row.sandbox_id == sandbox_id, Row.id == row_id)
        return (await self._session.scalars(statement)).one_or_none()

    async def several(self, sandbox_id: UUID, versions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Row]:
        """Return those of the versions (AEP's id, number) that exist."""
        if not versions:
            return {}
        wanted = or_(*(and_(Row.aep_id == aep_id, Row.version == version) for aep_id, version in versions))
        statement = select(Row).where(Row.tenant_id == self._tenant_id, Row.sandbox_id == sandbox_id, wanted)
        return {(row.aep_id, row.version): row for row in (await self._session.scalars(statement)).all()}

    async def as_of(self, sandbox_id: UUID, aep_id: str, moment: datetime) -> Row | None:
        """Return the version that was there at a moment; ``None`` when none is known from then."""
        statement = self._of(sandbox_id, aep_id).where(Row.at <= moment).order_by(Row.version.desc()).limit(1)
        return (await self._session.scalars(statement)).one_or_none()

    async def first(self, sandbox_id: UUID, aep_id: str) -> Row | None:
        """Return the oldest version."""
        return (await self._session.scalars(self._of(sandbox_id, aep_id).order_by(Row.version).limit(1))).one_or_none()

    async def history(self, sandbox_id: UUID, aep_id: str, *, limit: int) -> Sequence[Row]:
        """Return the newest ``limit`` versions, newest first."""
        statement = self._of(sandbox_id, aep_id).order_by(Row.version.desc()).limit(limit)
        return (await self._session.scalars(statement)).all()

    async def newest(self, sandbox_id: UUID, aep_ids: Sequence[str]) -> dict[str, Row]:
        """Return the newest version of each of the definitions that ever existed."""
        statement = self._of(sandbox_id, *aep_ids).ext(distinct_on(Row.aep_id)).order_by(Row.aep_id, Row.version.desc())
        return {row.aep_id: row for row in (await self._session.scalars(statement)).all()}

    async def first_authors(self, sandbox_id: UUID, aep_ids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
        """Return who made each of the definitions that ever existed."""
        statement = (
            select(Row.aep_id, Row.author)
            .where(*self._is(sandbox_id, aep_ids))
            .ext(distinct_on(Row.aep_id))
            .order_by(Row.aep_id, Row.version)
        )
        return dict((await self._session.execute(statement)).all())

    async def add(
        self, sandbox_id: UUID, revisions: Sequence[NewRevision], origin: Origin, *, seen_at: datetime
    ) -> None:
        """Write versions that all come from the same place."""
        if not revisions:
            return
        shared = {
            "tenant_id": self._tenant_id,
            "sandbox_id": sandbox_id,
            "author": origin.author,
            "source": origin.source,
            "restored_from": origin.restored_from,
            "seen_at": seen_at,
        }
        values = [
            {
                **shared,
                "aep_id": one.aep_id,
                "version": one.version,
                "document": one.document,
                "at": one.at,
                "deleted": one.deleted,
                "drift": PENDING if origin.drift and one.edited else None,
                "rule_hash": rule_hash(one.document),
            }
            for one in revisions
        ]
        await self._session.execute(insert(Row), values)

    async def claim(self, sandbox_id: UUID, aep_id: str, version: int, origin: Origin, *, created: bool) -> bool:
        """Say who made a version that the sync was the first to see; true when it was not known yet.

        Only one that the audit has not told of as seen upstream can be claimed, or the first one of all by who
        ``created`` the definition.
        """
        free = Row.author.is_(None) & (Row.drift == PENDING)
        if created:
            free = free | (Row.author.is_(None) & (Row.version == 1))
        statement = (
            update(Row)
            .where(*self._is(sandbox_id, [aep_id]), Row.version == version, free)
            .values(author=origin.author, source=origin.source, restored_from=origin.restored_from, drift=None)
            .returning(Row.id)
        )
        return (await self._session.execute(statement)).first() is not None

    async def claim_end(self, sandbox_id: UUID, aep_id: str, origin: Origin) -> None:
        """Say who deleted a definition whose end the sync was the first to see."""
        free = Row.deleted & Row.author.is_(None) & (Row.drift == PENDING)
        values = {"author": origin.author, "source": origin.source, "drift": None}
        await self._session.execute(update(Row).where(*self._is(sandbox_id, [aep_id]), free).values(values))

    async def pending(self, sandbox_id: UUID, *, limit: int) -> Sequence[Row]:
        """Return versions seen upstream that the audit has not told of yet, oldest first, and keep them locked."""
        statement = (
            select(Row)
            .where(Row.tenant_id == self._tenant_id, Row.sandbox_id == sandbox_id, Row.drift == PENDING)
            .order_by(Row.seen_at, Row.aep_id, Row.version)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return (await self._session.scalars(statement)).all()

    async def withdraw(self, sandbox_id: UUID, aep_id: str) -> None:
        """Take versions of a definition for the gateway's own doing, of which the audit tells already."""
        free = Row.drift == PENDING
        await self._session.execute(update(Row).where(*self._is(sandbox_id, [aep_id]), free).values(drift=None))

    async def recorded(self, row: Row, author: dict[str, Any] | None) -> None:
        """Take note that the audit tells of a version now, and of the author that AEP's own log names."""
        row.drift = RECORDED
        if author is not None:
            row.author = author
        await self._session.flush()


def rule_hash(document: Mapping[str, Any]) -> str | None:
    """Return the hash of a definition's rule in canonical form; ``None`` for a rule that cannot be read."""
    expression = document.get("expression")
    if not isinstance(expression, Mapping):
        return None
    try:
        query = pql.parse_expression(str(expression.get("format", pql.TEXT)), str(expression.get("value", "")))
        return pql.canonical(query).hash
    except PQLError:
        return None
