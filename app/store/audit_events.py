"""The audit chain as it is stored. What an event means is said in `app.audit`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Exists, Select, Text, any_, cast, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from app.store.paging import NumberWindow, Slice, in_number_window, to_slice
from app.store.rows import AuditEventRow

Row = AuditEventRow

# The members of a filter that are columns, and must be equal.
_EXACT = (
    *("actor_kind", "actor_id", "actor_name", "action", "phase", "entrance"),
    *("sandbox_name", "resource_type", "resource_id", "request_id"),
)


@dataclass(frozen=True, slots=True)
class AuditEventFilter:
    """Which operations to list; absent members do not restrict.

    ``since`` is inclusive, ``until`` exclusive, ``up_to`` the last sequence number. ``any_of`` names columns and the
    values, in lower case, of which each must be one.
    """

    actor_kind: str | None = None
    actor_id: UUID | None = None
    actor_name: str | None = None
    action: str | None = None
    phase: str | None = None
    entrance: str | None = None
    sandbox_name: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    request_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    up_to: int | None = None
    any_of: Mapping[str, Collection[str]] = field(default_factory=dict)


class AuditEventRepository:
    """One tenant's audit events: appended and read, never changed."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def lock_head(self) -> Row | None:
        """Return the last event and keep every other writer of this tenant waiting until the transaction ends."""
        key = func.hashtextextended(f"audit:{self._tenant_id}", 0)
        await self._session.execute(select(func.pg_advisory_xact_lock(key)))
        statement = select(Row).where(Row.tenant_id == self._tenant_id).order_by(Row.sequence.desc()).limit(1)
        return (await self._session.scalars(statement)).one_or_none()

    async def append(self, row: Row) -> None:
        """Append an event; the caller holds the head."""
        self._session.add(row)
        await self._session.flush()

    async def window(self, wanted: AuditEventFilter, window: NumberWindow) -> Slice[Row]:
        """Return one event for each operation, its newest phase, newest operation first."""
        statement = self._operations(wanted)
        statement = in_number_window(statement, Row.sequence.expression, window)
        return to_slice((await self._session.scalars(statement)).all(), window)

    async def count(self, wanted: AuditEventFilter) -> int:
        """Return how many operations the filter leaves."""
        inner = self._operations(wanted).subquery()
        return await self._session.scalar(select(func.count()).select_from(inner)) or 0

    async def chain(self, *, after_sequence: int = 0, limit: int = 1000) -> Sequence[Row]:
        """Return the events of the chain in the order they were written."""
        statement = (
            select(Row)
            .where(Row.tenant_id == self._tenant_id, Row.sequence > after_sequence)
            .order_by(Row.sequence)
            .limit(limit)
        )
        return (await self._session.scalars(statement)).all()

    async def hashes(self, *, after_sequence: int = 0, limit: int = 1000) -> list[tuple[int, str]]:
        """Return numbers and hashes of the chain in the order they were written."""
        statement = (
            select(Row.sequence, Row.hash)
            .where(Row.tenant_id == self._tenant_id, Row.sequence > after_sequence)
            .order_by(Row.sequence)
            .limit(limit)
        )
        return [(sequence, hash_hex) for sequence, hash_hex in (await self._session.execute(statement)).all()]

    async def get(self, event_id: UUID) -> Row | None:
        """Return one event."""
        statement = select(Row).where(Row.tenant_id == self._tenant_id, Row.id == event_id)
        return (await self._session.scalars(statement)).one_or_none()

    async def newest_of(self, operation_id: UUID) -> Row | None:
        """Return the newest event of an operation."""
        statement = (
            select(Row)
            .where(Row.tenant_id == self._tenant_id, Row.operation_id == operation_id)
            .order_by(Row.sequence.desc())
            .limit(1)
        )
        return (await self._session.scalars(statement)).one_or_none()

    async def span(self, *, since: datetime | None = None, until: datetime | None = None) -> tuple[int, int] | None:
        """Return the first and last number of the events from ``since`` to before ``until``; ``None`` without any."""
        statement = select(func.min(Row.sequence), func.max(Row.sequence)).where(Row.tenant_id == self._tenant_id)
        if since is not None:
            statement = statement.where(Row.at >= since)
        if until is not None:
            statement = statement.where(Row.at < until)
        first, last = (await self._session.execute(statement)).one()
        return None if first is None else (first, last)

    async def created(self, resource_ids: Sequence[str]) -> set[str]:
        """Return those of AEP's objects that are known to have been created through the gateway."""
        statement = select(Row.resource_id).where(
            Row.tenant_id == self._tenant_id,
            Row.resource_id.in_(resource_ids),
            Row.phase == "succeeded",
            Row.action.endswith(":create"),
        )
        return {one for one in (await self._session.scalars(statement)).all() if one is not None}

    async def open_changes(self, sandbox_name: str, *, since: datetime) -> list[tuple[str | None, str | None]]:
        """Return (AEP's id, name) of what is being changed through the gateway, or may have been without an answer."""
        statement = select(Row.resource_id, Row.resource_name).where(
            Row.tenant_id == self._tenant_id,
            Row.sandbox_name == sandbox_name,
            Row.phase.in_(("intent", "unknown")),
            Row.at >= since,
            ~_is_superseded(),
        )
        return [(aep_id, name) for aep_id, name in (await self._session.execute(statement)).all()]

    async def deleted(self, resource_ids: Sequence[str], *, since: datetime) -> set[str]:
        """Return those of AEP's objects that were deleted through the gateway since a moment."""
        statement = select(Row.resource_id).where(
            Row.tenant_id == self._tenant_id,
            Row.resource_id == any_(cast(list(resource_ids), ARRAY(Text))),
            Row.at >= since,
            Row.phase == "succeeded",
            Row.action.endswith(":delete"),
        )
        return {one for one in (await self._session.scalars(statement)).all() if one is not None}

    def _operations(self, wanted: AuditEventFilter) -> Select[Row]:
        statement = select(Row).where(Row.tenant_id == self._tenant_id, ~_is_superseded())
        for name in _EXACT:
            value = getattr(wanted, name)
            if value is not None:
                statement = statement.where(getattr(Row, name) == value)
        for name, values in wanted.any_of.items():
            statement = statement.where(func.lower(getattr(Row, name)).in_(sorted(values)))
        if wanted.up_to is not None:
            statement = statement.where(Row.sequence <= wanted.up_to)
        if wanted.since is not None:
            statement = statement.where(Row.at >= wanted.since)
        if wanted.until is not None:
            statement = statement.where(Row.at < wanted.until)
        return statement


def _is_superseded() -> Exists:
    """An event to which a later one of the same operation exists: an intent once its outcome is known."""
    later = aliased(Row)
    return exists().where(
        later.tenant_id == Row.tenant_id, later.operation_id == Row.operation_id, later.sequence > Row.sequence
    )
