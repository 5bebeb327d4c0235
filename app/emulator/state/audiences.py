"""Audiences, and which of them use which. A segment definition is an audience that the platform evaluates."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.aep.paging import SortKey
from app.emulator.state.audience_changes import AudienceChange
from app.emulator.state.database import Change, Document, Keep, decode, encode, order_by
from app.emulator.state.sandbox_rows import SandboxRows
from app.errors import Conflict, InvalidRequest, NotFound

Edges = defaultdict[str, list[str]]

MAX_USE_DEPTH: Final = 5

# Attributes that lists may be sorted by, with the column that has the same order.
_AUDIENCE_SORT: Final = {
    "name": "name",
    "creationTime": "created_ms",
    "createEpoch": "created_ms",
    "updateTime": "updated_ms",
    "updateEpoch": "updated_ms",
    "id": "id",
    **{
        member: f"json_extract(CAST(document AS TEXT), '$.{member}')"
        for member in ("audienceId", "namespace", "originName", "type", "lifecycleState", "description", "createdBy")
    },
}
AUDIENCE_SORTABLE: Final = frozenset(_AUDIENCE_SORT)


@dataclass(frozen=True, slots=True)
class AudienceQuery:
    """Which audiences a list shows. ``keep`` sees the documents and is asked last."""

    sort: tuple[SortKey, ...]
    offset: int
    limit: int
    platform_only: bool = False
    methods: tuple[str, ...] | None = None
    keep: Keep | None = None


class AudienceRows(SandboxRows):
    """The audiences of one sandbox."""

    async def add_audience(self, document: Document, *, uses: Iterable[str] = ()) -> None:
        """Keep a new audience.

        Raises Conflict when its id, or a platform audience's name, is taken; InvalidRequest when it ``uses`` audiences
        that are not there, or itself through others.
        """
        edges = tuple(uses)

        def write(connection: sqlite3.Connection) -> None:
            self._insert_audience(connection, document)
            self._set_uses(connection, document["id"], edges)

        await self._database.write(write)
        await self._tell(document["id"])

    async def audience(self, audience_id: str) -> Document | None:
        """Return one audience with its ``dependencies`` and ``dependents``, or None."""
        return (await self.audiences_by_id([audience_id])).get(audience_id)

    async def audiences_by_id(self, ids: Sequence[str]) -> dict[str, Document]:
        """Return those of the audiences that exist, by id."""

        def read(connection: sqlite3.Connection) -> dict[str, Document]:
            marks = ",".join("?" * len(ids))
            rows = connection.execute(
                f"SELECT document FROM audience WHERE org_id = ? AND sandbox = ? AND id IN ({marks})",  # noqa: S608
                (*self._owner, *ids),
            ).fetchall()
            return {document["id"]: document for document in self._with_edges(connection, rows)}

        return await self._database.read(read)

    async def count_audiences(self) -> dict[str, int]:
        """Count the audiences that are not inactive by evaluation method; those without one under ``none``."""

        def read(connection: sqlite3.Connection) -> dict[str, int]:
            rows = connection.execute(
                "SELECT coalesce(method, 'none'), count(*) FROM audience WHERE org_id = ? AND sandbox = ? "
                "AND json_extract(CAST(document AS TEXT), '$.lifecycleState') != 'inactive' GROUP BY 1",
                self._owner,
            )
            return dict(rows.fetchall())

        return await self._database.read(read)

    async def audiences_by_key(self, namespace: str, audience_ids: Sequence[str]) -> dict[str, str]:
        """Return the ids of audiences that their maker calls so, by that name. A platform's own is called by its id."""

        def read(connection: sqlite3.Connection) -> dict[str, str]:
            marks = ",".join("?" * len(audience_ids))
            keys = {_external_key(namespace, one): one for one in audience_ids}
            rows = connection.execute(
                f"SELECT id, external_key FROM audience WHERE org_id = ? AND sandbox = ? "  # noqa: S608
                f"AND (external_key IN ({marks}) OR (platform AND id IN ({marks}) AND ? = 'AEPSegments'))",
                (*self._owner, *keys, *audience_ids, namespace),
            ).fetchall()
            return {row[0] if row[1] is None else keys[row[1]]: row[0] for row in rows}

        return await self._database.read(read)

    async def audiences(self, query: AudienceQuery) -> tuple[list[Document], int]:
        """Return a page of audiences and the number of all that the query shows."""
        where, parameters = self._audience_conditions(query)
        order = order_by(query.sort, _AUDIENCE_SORT)

        def read(connection: sqlite3.Connection) -> tuple[list[Document], int]:
            base = f"FROM audience WHERE {where}"
            if query.keep is None:
                total = connection.execute(f"SELECT count(*) {base}", parameters).fetchone()[0]
                rows = connection.execute(
                    f"SELECT document {base} ORDER BY {order} LIMIT ? OFFSET ?",
                    (*parameters, query.limit, query.offset),
                ).fetchall()
                return self._with_edges(connection, rows), total
            rows = connection.execute(f"SELECT document {base} ORDER BY {order}", parameters).fetchall()
            kept = [document for document in self._with_edges(connection, rows) if query.keep(document)]
            return kept[query.offset : query.offset + query.limit], len(kept)

        return await self._database.read(read)

    async def change_audience(self, audience_id: str, change: Change, *, uses: Iterable[str] | None = None) -> Document:
        """Replace an audience by ``change(stored)``; ``uses`` replaces what it depends on, None leaves that.

        ``change`` sees the stored document with its ``dependencies`` and ``dependents``.

        Raises NotFound when there is none, Conflict and InvalidRequest as :meth:`add_audience`; ``change`` may raise as
        well. In each case nothing is changed.
        """
        edges = None if uses is None else tuple(uses)

        def write(connection: sqlite3.Connection) -> Document:
            stored = self._load_audience(connection, audience_id)
            if stored is None:
                raise NotFound(f"There is no audience {audience_id}")
            changed = change(self._with_edges(connection, [(encode(stored),)])[0])
            connection.execute(
                "DELETE FROM audience WHERE org_id = ? AND sandbox = ? AND id = ?", (*self._owner, audience_id)
            )
            self._insert_audience(connection, changed)
            if edges is not None:
                self._set_uses(connection, audience_id, edges)
            return self._with_edges(connection, [(encode(changed),)])[0]

        changed = await self._database.write(write)
        await self._tell(audience_id)
        return changed

    async def delete_audience(self, audience_id: str, *, platform_only: bool = False) -> Document:
        """Remove an audience and return it. Raises NotFound, and Conflict while other audiences use it."""

        def write(connection: sqlite3.Connection) -> Document:
            stored = self._load_audience(connection, audience_id)
            if stored is None or (platform_only and stored["type"] != "SegmentDefinition"):
                raise NotFound(f"There is no audience {audience_id}")
            dependents = self._with_edges(connection, [(encode(stored),)])[0]["dependents"]
            if dependents:
                raise Conflict(
                    f"The audience {audience_id} is used by {', '.join(dependents)}",
                    hint="Change or delete those first.",
                )
            owned = (*self._owner, audience_id)
            connection.execute("DELETE FROM audience WHERE org_id = ? AND sandbox = ? AND id = ?", owned)
            connection.execute("DELETE FROM dependency WHERE org_id = ? AND sandbox = ? AND id = ?", owned)
            connection.execute("DELETE FROM audience_metric WHERE org_id = ? AND sandbox = ? AND id = ?", owned)
            return stored

        deleted = await self._database.write(write)
        await self._tell(audience_id, is_deleted=True)
        return deleted

    async def _tell(self, audience_id: str, *, is_deleted: bool = False) -> None:
        change = AudienceChange(self.org_id, self.sandbox, audience_id, is_deleted)
        await self._database.audience_listeners.tell(change)

    def _load_audience(self, connection: sqlite3.Connection, audience_id: str) -> Document | None:
        row = connection.execute(
            "SELECT document FROM audience WHERE org_id = ? AND sandbox = ? AND id = ?", (*self._owner, audience_id)
        ).fetchone()
        return None if row is None else decode(row[0])

    def _insert_audience(self, connection: sqlite3.Connection, document: Document) -> None:
        platform = document["type"] == "SegmentDefinition"
        methods = document.get("evaluationInfo") or {}
        method = next((name for name, switch in methods.items() if switch["enabled"]), None)
        external_key = None if platform else _external_key(document["namespace"], document["audienceId"])
        row = (platform, document["name"], method, document["creationTime"], document["updateTime"])
        try:
            connection.execute(
                "INSERT INTO audience VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*self._owner, document["id"], *row, encode(document), external_key),
            )
        except sqlite3.IntegrityError as fault:
            if platform and "audience.name" in str(fault):
                raise Conflict(
                    f"A segment definition with the name {document['name']!r} exists already",
                    hint="Choose another name, or change the existing definition with PATCH.",
                ) from fault
            raise Conflict(f"An audience with the id {document['audienceId']} exists already") from fault

    def _set_uses(self, connection: sqlite3.Connection, audience_id: str, uses: Sequence[str]) -> None:
        unknown = [one for one in uses if self._load_audience(connection, one) is None]
        if unknown:
            raise InvalidRequest(f"The rule uses audiences that are not found: {', '.join(unknown)}")
        connection.execute(
            "DELETE FROM dependency WHERE org_id = ? AND sandbox = ? AND id = ?", (*self._owner, audience_id)
        )
        connection.executemany(
            "INSERT OR IGNORE INTO dependency VALUES (?, ?, ?, ?)",
            [(*self._owner, audience_id, used) for used in uses],
        )
        self._check_depth(connection, audience_id)

    def _check_depth(self, connection: sqlite3.Connection, audience_id: str) -> None:
        """Refuse audiences that use themselves, and chains of use that are too long."""
        dependencies = self._edges(connection)[0]
        level = {audience_id}
        for _ in range(MAX_USE_DEPTH + 1):
            level = {used for user in level for used in dependencies[user]}
            if audience_id in level:
                raise InvalidRequest("The rule uses its own audience, directly or through others")
            if not level:
                return
        raise InvalidRequest(f"The rule uses audiences that use audiences, more than {MAX_USE_DEPTH} deep")

    def _with_edges(self, connection: sqlite3.Connection, rows: Sequence[tuple[bytes]]) -> list[Document]:
        """Decode documents and write into each what it uses and what uses it."""
        documents = [decode(row[0]) for row in rows]
        dependencies, dependents = self._edges(connection)
        for document in documents:
            document["dependencies"] = dependencies[document["id"]]
            document["dependents"] = dependents[document["id"]]
        return documents

    def _edges(self, connection: sqlite3.Connection) -> tuple[Edges, Edges]:
        """Return what each audience uses, and what uses each."""
        dependencies: Edges = defaultdict(list)
        dependents: Edges = defaultdict(list)
        for user, used in connection.execute(
            "SELECT id, uses FROM dependency WHERE org_id = ? AND sandbox = ? ORDER BY id, uses", self._owner
        ):
            dependencies[user].append(used)
            dependents[used].append(user)
        return dependencies, dependents

    def _audience_conditions(self, query: AudienceQuery) -> tuple[str, tuple[Any, ...]]:
        conditions = ["org_id = ?", "sandbox = ?"]
        parameters: list[Any] = [*self._owner]
        if query.platform_only:
            conditions.append("platform")
        if query.methods is not None:
            conditions.append(f"method IN ({','.join('?' * len(query.methods))})")
            parameters.extend(query.methods)
        return " AND ".join(conditions), tuple(parameters)


def _external_key(namespace: str, audience_id: str) -> str:
    # A character that no namespace holds keeps two different pairs from having one key.
    return f"{namespace}\x1f{audience_id}"
