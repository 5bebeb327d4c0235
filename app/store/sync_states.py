"""How fresh the cache is and how far reads are, for each resource of each sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.notifications import Kind, Notice, Notices
from app.store.rows import SyncStateRow

Row = SyncStateRow


class Cached(StrEnum):
    """The resources that the sync worker keeps in the cache."""

    SEGMENT_DEFINITIONS = "segment_definitions"
    AUDIENCES = "audiences"
    SCHEMAS = "schemas"
    SCHEDULES = "schedules"
    SEGMENT_JOBS = "segment_jobs"


class SyncMode(StrEnum):
    """How a resource is read: what changed since the last time, or everything, with what is gone."""

    INCREMENTAL = "incremental"
    RECONCILING = "reconciling"


class SyncStateRepository:
    """One tenant's sync states, and the lock that lets one worker at a time read a sandbox."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def get(self, sandbox_id: UUID, resource: Cached) -> Row | None:
        """Return the state of a resource, or ``None`` before the first attempt."""
        return await self._session.get(Row, (self._tenant_id, sandbox_id, resource.value))

    async def all(self, sandbox_id: UUID) -> Sequence[Row]:
        """Return the states of a sandbox's resources that were tried at least once."""
        statement = select(Row).where(Row.tenant_id == self._tenant_id, Row.sandbox_id == sandbox_id)
        return (await self._session.scalars(statement.order_by(Row.resource))).all()

    async def progress(
        self, sandbox_id: UUID, resource: Cached, mode: SyncMode, *, started_at: datetime, read: int, total: int | None
    ) -> None:
        """Take note of how many of ``total`` objects have been read by now."""
        await self._put(
            sandbox_id, resource, mode=mode.value, started_at=started_at, objects_read=read, objects_total=total
        )

    async def reconciled(
        self,
        sandbox_id: UUID,
        resource: Cached,
        *,
        at: datetime,
        objects: int,
        total: int | None,
        cursor_ms: int | None,
    ) -> None:
        """Record a complete read of ``objects`` objects, of which AEP said that they are ``total``."""
        await self._put(
            sandbox_id,
            resource,
            succeeded_at=at,
            reconciled_at=at,
            objects=objects,
            listed_total=total,
            cursor_ms=cursor_ms,
            failure=None,
            started_at=None,
            mode=SyncMode.RECONCILING.value,
        )
        self._tell(sandbox_id, resource)

    async def succeeded(self, sandbox_id: UUID, resource: Cached, *, at: datetime, cursor_ms: int | None) -> None:
        """Record a read of what had changed."""
        await self._put(
            sandbox_id,
            resource,
            succeeded_at=at,
            cursor_ms=cursor_ms,
            failure=None,
            started_at=None,
            mode=SyncMode.INCREMENTAL.value,
        )
        self._tell(sandbox_id, resource)

    async def failed(self, sandbox_id: UUID, resource: Cached, *, at: datetime, failure: str) -> None:
        """Record a read that failed, with a cause that may be shown to callers."""
        await self._put(sandbox_id, resource, failed_at=at, failure=failure, started_at=None)
        self._tell(sandbox_id, resource)

    def _tell(self, sandbox_id: UUID, resource: Cached) -> None:
        Notices.add(self._session, Notice(self._tenant_id, Kind.SYNC, sandbox_id=sandbox_id, id=resource.value))

    async def _put(self, sandbox_id: UUID, resource: Cached, **values: object) -> None:
        key = {"tenant_id": self._tenant_id, "sandbox_id": sandbox_id, "resource": resource.value}
        statement = insert(Row).values(**key, **{"objects": 0, "objects_read": 0, **values})
        await self._session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))

    async def try_lock(self, sandbox_id: UUID) -> bool:
        """Take the sandbox's sync lock until the transaction ends; ``False`` when another worker has it."""
        key = f"sync:{self._tenant_id}:{sandbox_id}"
        statement = select(func.pg_try_advisory_xact_lock(func.hashtextextended(key, 0)))
        return bool(await self._session.scalar(statement))
