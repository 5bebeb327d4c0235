"""How fresh the cache is: the last success and failure for each resource of each sandbox."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.rows import SyncStateRow

Row = SyncStateRow


class Cached(StrEnum):
    """The resources that the sync worker keeps in the cache."""

    SEGMENT_DEFINITIONS = "segment_definitions"
    AUDIENCES = "audiences"
    SCHEMAS = "schemas"


class SyncStateRepository:
    """One tenant's sync states, and the lock that lets one worker at a time read a sandbox."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def get(self, sandbox_id: UUID, resource: Cached) -> Row | None:
        """Return the state of a resource, or ``None`` before the first attempt."""
        return await self._session.get(Row, (self._tenant_id, sandbox_id, resource.value))

    async def succeeded(self, sandbox_id: UUID, resource: Cached, *, at: datetime, objects: int) -> None:
        """Record a complete read of ``objects`` objects."""
        await self._put(sandbox_id, resource, succeeded_at=at, objects=objects, failure=None)

    async def failed(self, sandbox_id: UUID, resource: Cached, *, at: datetime, failure: str) -> None:
        """Record a read that failed, with a cause that may be shown to callers."""
        await self._put(sandbox_id, resource, failed_at=at, failure=failure)

    async def _put(self, sandbox_id: UUID, resource: Cached, **values: object) -> None:
        key = {"tenant_id": self._tenant_id, "sandbox_id": sandbox_id, "resource": resource.value}
        statement = insert(Row).values(**key, **{"objects": 0, **values})
        await self._session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))

    async def try_lock(self, sandbox_id: UUID) -> bool:
        """Take the sandbox's sync lock until the transaction ends; ``False`` when another worker has it."""
        key = f"sync:{self._tenant_id}:{sandbox_id}"
        statement = select(func.pg_try_advisory_xact_lock(func.hashtextextended(key, 0)))
        return bool(await self._session.scalar(statement))
