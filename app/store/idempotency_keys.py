"""One tenant's idempotency keys: who holds which, and what it was answered with.

All times are the database's, so that the clocks of several machines do not matter. A key expires when its answer is
old; one whose change has no known outcome yet never does, since repeating that change could make it twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, delete, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.clock import NOW
from app.store.rows import IdempotencyKeyRow

Row = IdempotencyKeyRow

OPEN: Final = "open"
UNKNOWN: Final = "unknown"
DONE: Final = "done"

_PRUNED_AT_ONCE = 100
_KEY = (Row.tenant_id, Row.sandbox_id, Row.actor_id, Row.operation, Row.key)


@dataclass(frozen=True, slots=True)
class KeyScope:
    """Within what a key is one key: the same text of another actor, sandbox or operation is another key."""

    sandbox_id: UUID
    actor_id: UUID
    operation: str
    key: str


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What a key is answered with: AEP's answer to the change, and the ``value`` made of it, all plain JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any
    value: Any

    def encode(self) -> str:
        """Return the text that is kept."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def decode(cls, text: str) -> KeptAnswer:
        """Read what `encode` wrote."""
        return msgspec.json.decode(text, type=cls)


class IdempotencyKeyRepository:
    """One tenant's keys."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def find(self, scope: KeyScope) -> Row | None:
        """Return a key that was claimed and has not expired."""
        statement = select(Row).where(self._is(scope), ~_expired())
        return (await self._session.scalars(statement)).one_or_none()

    async def claim(self, scope: KeyScope, request_hash: str, operation_id: UUID, *, lifetime: timedelta) -> bool:
        """Take a key for an operation; false when somebody has it. One statement, so one taker.

        A taker whose transaction is still open keeps others waiting until it is known whether he has it.
        """
        taken = {
            "request_hash": request_hash,
            "operation_id": operation_id,
            "state": OPEN,
            "answer": None,
            "expires_at": NOW + lifetime,
        }
        statement = (
            insert(Row)
            .values(
                tenant_id=self._tenant_id,
                sandbox_id=scope.sandbox_id,
                actor_id=scope.actor_id,
                operation=scope.operation,
                key=scope.key,
                **taken,
            )
            .on_conflict_do_update(index_elements=list(_KEY), set_=taken, where=_expired())
            .returning(Row.operation_id)
        )
        return (await self._session.execute(statement)).first() is not None

    async def settle(self, operation_id: UUID, answer: str) -> None:
        """Keep the answer of an operation that succeeded under its key, if it has one."""
        await self._session.execute(update(Row).where(self._of(operation_id)).values(state=DONE, answer=answer))

    async def doubt(self, operation_id: UUID) -> None:
        """Take note that it is not known what became of an operation."""
        await self._session.execute(update(Row).where(self._of(operation_id)).values(state=UNKNOWN))

    async def release(self, operation_id: UUID) -> None:
        """Give the key of an operation back: nothing was changed, so the same call may be made again."""
        await self._session.execute(delete(Row).where(self._of(operation_id)))

    async def prune(self) -> None:
        """Forget some keys that have expired, except those that others are forgetting at the same time."""
        old = (
            select(*_KEY)
            .where(Row.tenant_id == self._tenant_id, _expired())
            .order_by(*_KEY)
            .limit(_PRUNED_AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        await self._session.execute(delete(Row).where(tuple_(*_KEY).in_(old)))

    def _is(self, scope: KeyScope) -> ColumnElement[bool]:
        return (
            (Row.tenant_id == self._tenant_id)
            & (Row.sandbox_id == scope.sandbox_id)
            & (Row.actor_id == scope.actor_id)
            & (Row.operation == scope.operation)
            & (Row.key == scope.key)
        )

    def _of(self, operation_id: UUID) -> ColumnElement[bool]:
        return (Row.tenant_id == self._tenant_id) & (Row.operation_id == operation_id)


def _expired() -> ColumnElement[bool]:
    return (Row.state == DONE) & (Row.expires_at <= NOW)
