"""Every column that holds a sealed value, so that a change of the master key can find them all.

A column is one of them by its name, ``sealed_...``, so a new one is not forgotten. A sealed value begins with a version
byte and the id of its key (`app.tenancy.sealing`), which is how those under an old key are found without opening any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Table, and_, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.rows import Base

PREFIX = "sealed_"
_KEY_ID = (2, 8)  # where the key id stands: from the second byte, eight of them


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """One column of sealed values."""

    table: Table
    column: Column[Any]

    @property
    def name(self) -> str:
        """The column as people write it: ``tenant_credentials.sealed_secret``."""
        return f"{self.table.name}.{self.column.name}"

    @property
    def of_tenant(self) -> bool:
        """Whether its rows belong to tenants; otherwise they are the gateway's own."""
        return "tenant_id" in self.table.columns


COLUMNS: tuple[SealedColumn, ...] = tuple(
    SealedColumn(table, column)
    for table in Base.metadata.sorted_tables
    for column in table.columns
    if column.name.startswith(PREFIX)
)


class SealedValueRepository:
    """The sealed values that a unit of work sees: one tenant's, or the gateway's own."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def numbers(self, column: SealedColumn) -> dict[bytes, int]:
        """Return how many values there are under each key id."""
        key_id = func.substr(column.column, *_KEY_ID)
        statement = select(key_id, func.count()).where(_present(column)).group_by(key_id)
        return {bytes(found): number for found, number in (await self._session.execute(statement)).all()}

    async def under_other_keys(self, column: SealedColumn, key_id: bytes, limit: int) -> Sequence[dict[str, Any]]:
        """Return rows, as mappings, whose value is not sealed under ``key_id``, locked until the transaction ends."""
        keys = list(column.table.primary_key.columns)
        statement = (
            select(column.table)
            .where(_present(column), func.substr(column.column, *_KEY_ID) != key_id)
            .order_by(*keys)
            .limit(limit)
            .with_for_update()
        )
        return [dict(row) for row in (await self._session.execute(statement)).mappings()]

    async def replace(self, column: SealedColumn, row: dict[str, Any], value: bytes) -> None:
        """Write a row's value anew."""
        keys = list(column.table.primary_key.columns)
        this = tuple_(*keys) == tuple(row[key.name] for key in keys)
        await self._session.execute(update(column.table).where(this).values({column.column.name: value}))


def _present(column: SealedColumn) -> Any:
    return and_(column.column.is_not(None), func.length(column.column) > 0)
