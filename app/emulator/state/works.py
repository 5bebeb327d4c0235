"""Previews, jobs, schedules: things with a life of their own, in one table."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.aep.paging import SortKey
from app.emulator.state.database import Change, Document, Keep, decode, encode, order_by
from app.emulator.state.sandbox_rows import SandboxRows
from app.errors import Conflict, NotFound

# Attributes that lists may be sorted by, with the column that has the same order.
_WORK_SORT: Final = {
    "creationTime": "created_ms",
    "createEpoch": "created_ms",
    "updateTime": "updated_ms",
    "updateEpoch": "updated_ms",
    "status": "state",
    "state": "state",
    "id": "id",
}
WORK_SORTABLE: Final = frozenset(_WORK_SORT)


@dataclass(frozen=True, slots=True)
class WorkQuery:
    """Which previews, jobs or schedules a list shows."""

    sort: tuple[SortKey, ...]
    offset: int
    limit: int
    keep: Keep | None = None


class WorkRows(SandboxRows):
    """The work of one sandbox, by kind and id."""

    async def add_work(self, kind: str, identifier: str, state: str, document: Document, *, now_ms: int) -> None:
        """Keep a new piece of work. Raises Conflict when the id is taken."""

        def write(connection: sqlite3.Connection) -> None:
            try:
                connection.execute(
                    "INSERT INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (*self._owner, kind, identifier, state, now_ms, now_ms, encode(document)),
                )
            except sqlite3.IntegrityError as fault:
                raise Conflict(f"There is a {kind} {identifier} already") from fault

        await self._database.write(write)

    async def add_numbered_work(self, kind: str, make: Callable[[int], Document], *, state_member: str) -> Document:
        """Keep a new piece of work whose id is the next whole number of its kind; ``make`` gets the number."""

        def write(connection: sqlite3.Connection) -> Document:
            row = connection.execute(
                "SELECT coalesce(max(CAST(id AS INTEGER)), 1000) FROM work "
                "WHERE org_id = ? AND sandbox = ? AND kind = ?",
                (*self._owner, kind),
            ).fetchone()
            document = make(row[0] + 1)
            created_ms = document["creationTime"]
            connection.execute(
                "INSERT INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *self._owner,
                    kind,
                    str(row[0] + 1),
                    document[state_member],
                    created_ms,
                    created_ms,
                    encode(document),
                ),
            )
            return document

        return await self._database.write(write)

    async def work(self, kind: str, identifier: str) -> Document | None:
        """Return one piece of work, or None."""
        return (await self.work_by_id(kind, [identifier])).get(identifier)

    async def work_by_id(self, kind: str, ids: Sequence[str]) -> dict[str, Document]:
        """Return those pieces of work that exist, by id."""

        def read(connection: sqlite3.Connection) -> dict[str, Document]:
            marks = ",".join("?" * len(ids))
            rows = connection.execute(
                f"SELECT id, document FROM work WHERE org_id = ? AND sandbox = ? AND kind = ? AND id IN ({marks})",  # noqa: S608
                (*self._owner, kind, *ids),
            ).fetchall()
            return {row[0]: decode(row[1]) for row in rows}

        return await self._database.read(read)

    async def works(self, kind: str, query: WorkQuery) -> tuple[list[Document], int]:
        """Return a page of work of one kind and the number of all that the query shows."""
        order = order_by(query.sort, _WORK_SORT)

        def read(connection: sqlite3.Connection) -> tuple[list[Document], int]:
            rows = connection.execute(
                f"SELECT document FROM work WHERE org_id = ? AND sandbox = ? AND kind = ? ORDER BY {order}",  # noqa: S608
                (*self._owner, kind),
            ).fetchall()
            documents = [decode(row[0]) for row in rows]
            kept = [document for document in documents if query.keep is None or query.keep(document)]
            return kept[query.offset : query.offset + query.limit], len(kept)

        return await self._database.read(read)

    async def works_in_state(self, kind: str, states: Sequence[str]) -> list[tuple[str, Document]]:
        """Return ``(id, document)`` of all work of a kind that is in one of the states, oldest first."""

        def read(connection: sqlite3.Connection) -> list[tuple[str, Document]]:
            marks = ",".join("?" * len(states))
            rows = connection.execute(
                "SELECT id, document FROM work WHERE org_id = ? AND sandbox = ? AND kind = ? "  # noqa: S608
                f"AND state IN ({marks}) ORDER BY created_ms, id",
                (*self._owner, kind, *states),
            ).fetchall()
            return [(row[0], decode(row[1])) for row in rows]

        return await self._database.read(read)

    async def change_work(
        self, kind: str, identifier: str, change: Change, *, state_member: str, now_ms: int
    ) -> Document:
        """Replace a piece of work by ``change(stored)``, whose member ``state_member`` holds its new state.

        Raises NotFound when there is none; ``change`` may raise as well. In both cases nothing is changed.
        """

        return await self._database.write(
            lambda connection: self._change_work(connection, kind, identifier, change, state_member, now_ms)
        )

    async def delete_work(self, kind: str, identifier: str) -> bool:
        """Remove a piece of work; tell whether there was one."""

        def write(connection: sqlite3.Connection) -> bool:
            cursor = connection.execute(
                "DELETE FROM work WHERE org_id = ? AND sandbox = ? AND kind = ? AND id = ?",
                (*self._owner, kind, identifier),
            )
            return cursor.rowcount > 0

        return await self._database.write(write)

    def _change_work(
        self,
        connection: sqlite3.Connection,
        kind: str,
        identifier: str,
        change: Change,
        state_member: str,
        now_ms: int,
    ) -> Document:
        owned = (*self._owner, kind, identifier)
        row = connection.execute(
            "SELECT document FROM work WHERE org_id = ? AND sandbox = ? AND kind = ? AND id = ?", owned
        ).fetchone()
        if row is None:
            raise NotFound(f"There is no {kind} {identifier}")
        changed = change(decode(row[0]))
        connection.execute(
            "UPDATE work SET state = ?, updated_ms = ?, document = ? "
            "WHERE org_id = ? AND sandbox = ? AND kind = ? AND id = ?",
            (changed[state_member], now_ms, encode(changed), *owned),
        )
        return changed
