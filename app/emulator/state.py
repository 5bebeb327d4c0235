"""What the emulator remembers: one SQLite file, in which every row belongs to an (organization, sandbox).

Nothing outside this module can reach a row without saying whose it is: :meth:`State.store` binds both once, and
every statement of :class:`Store` carries them. A change is acknowledged only after SQLite has synced it to disk
(write-ahead log, ``synchronous=FULL``), so a killed process loses nothing that a client was told.

All statements run on one thread of their own, in the order in which they were asked for: transactions never meet,
and no sync to disk holds up the event loop.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from app.aep.paging import SortKey
from app.errors import Conflict, InternalError, InvalidRequest, NotFound

Document = dict[str, Any]
Change = Callable[[Document], Document]
Keep = Callable[[Document], bool]
Edges = defaultdict[str, list[str]]
ResultT = TypeVar("ResultT")

FILE_NAME: Final = "emulator.sqlite3"
MAX_USE_DEPTH: Final = 5
_SCHEMA: Final = """
CREATE TABLE audience (
    org_id TEXT NOT NULL, sandbox TEXT NOT NULL, id TEXT NOT NULL,
    platform INTEGER NOT NULL, name TEXT NOT NULL, method TEXT,
    created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, document BLOB NOT NULL,
    external_key TEXT,
    PRIMARY KEY (org_id, sandbox, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX audience_external_key ON audience (org_id, sandbox, external_key);
CREATE UNIQUE INDEX audience_name ON audience (org_id, sandbox, name) WHERE platform;
CREATE TABLE dependency (
    org_id TEXT NOT NULL, sandbox TEXT NOT NULL, id TEXT NOT NULL, uses TEXT NOT NULL,
    PRIMARY KEY (org_id, sandbox, id, uses)
) WITHOUT ROWID;
CREATE TABLE work (
    org_id TEXT NOT NULL, sandbox TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
    state TEXT NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, document BLOB NOT NULL,
    PRIMARY KEY (org_id, sandbox, kind, id)
) WITHOUT ROWID;
CREATE TABLE membership (
    org_id TEXT NOT NULL, sandbox TEXT NOT NULL, segment_id TEXT NOT NULL, job_id TEXT NOT NULL,
    evaluated_ms INTEGER NOT NULL, profiles INTEGER NOT NULL,
    members BLOB NOT NULL, former BLOB NOT NULL,
    PRIMARY KEY (org_id, sandbox, segment_id)
) WITHOUT ROWID;
CREATE TABLE revoked_token (token_id TEXT PRIMARY KEY, expires_ms INTEGER NOT NULL) WITHOUT ROWID;
"""
_SETTINGS: Final = "CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"

# In the order in which releases added them. A file says how many it has had; the others are run when it is opened.
_SCRIPTS: Final = (_SCHEMA, _SETTINGS)

# Attributes that lists may be sorted by, with the column that has the same order.
_AUDIENCE_SORT: Final = {
    "name": "name",
    "creationTime": "created_ms",
    "createEpoch": "created_ms",
    "updateTime": "updated_ms",
    "updateEpoch": "updated_ms",
    "id": "id",
}
_WORK_SORT: Final = {
    "creationTime": "created_ms",
    "createEpoch": "created_ms",
    "updateTime": "updated_ms",
    "updateEpoch": "updated_ms",
    "status": "state",
    "state": "state",
    "id": "id",
}
AUDIENCE_SORTABLE: Final = frozenset(_AUDIENCE_SORT)
WORK_SORTABLE: Final = frozenset(_WORK_SORT)


@dataclass(frozen=True, slots=True)
class AudienceQuery:
    """Which audiences a list shows. ``keep`` sees the documents and is asked last."""

    sort: tuple[SortKey, ...]
    offset: int
    limit: int
    platform_only: bool = False
    methods: tuple[str, ...] | None = None
    keep: Keep | None = None


@dataclass(frozen=True, slots=True)
class WorkQuery:
    """Which previews, jobs or schedules a list shows."""

    sort: tuple[SortKey, ...]
    offset: int
    limit: int
    keep: Keep | None = None


@dataclass(frozen=True, slots=True)
class StoredMembership:
    """Who qualified for a segment in its latest job, among ``profiles`` profiles: see `app.evaluation.membership`.

    ``former`` are those who qualified in some earlier job and do not any more.
    """

    job_id: str
    evaluated_ms: int
    profiles: int
    members: bytes = field(repr=False)
    former: bytes = field(repr=False)


class State:
    """The open state file. Make one per process; another process that opens the same file is refused."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="emulator-state")
        try:
            self._connection = self._thread.submit(_open, path).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def store(self, org_id: str, sandbox: str) -> Store:
        """Return the part of the state that belongs to one sandbox of one organization."""
        if not org_id or not sandbox:
            raise InternalError("a store needs an organization and a sandbox")
        return Store(self, org_id, sandbox)

    async def revoke_token(self, token_id: str, expires_ms: int, now_ms: int) -> None:
        """Remember until its end that a token was withdrawn, and forget those that are over."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM revoked_token WHERE expires_ms < ?", (now_ms,))
            connection.execute("INSERT OR IGNORE INTO revoked_token VALUES (?, ?)", (token_id, expires_ms))

        await self.write(write)

    async def revoked_tokens(self) -> set[str]:
        """Return the ids of all tokens that were withdrawn."""
        rows = await self.read(lambda connection: connection.execute("SELECT token_id FROM revoked_token").fetchall())
        return {row[0] for row in rows}

    async def setting(self, name: str) -> bytes | None:
        """Return a setting of the emulator itself, which belongs to no organization, or None."""

        def read(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
            return None if row is None else row[0]

        return await self.read(read)

    async def set_setting(self, name: str, value: bytes | None) -> None:
        """Keep a setting of the emulator itself; None removes it."""

        def write(connection: sqlite3.Connection) -> None:
            if value is None:
                connection.execute("DELETE FROM setting WHERE name = ?", (name,))
            else:
                connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))

        await self.write(write)

    async def read(self, statement: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Run a statement that changes nothing."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, statement, self._connection)

    async def write(self, statement: Callable[[sqlite3.Connection], ResultT]) -> ResultT:
        """Run a statement in a transaction; when this returns, the change is on disk."""

        def in_transaction(connection: sqlite3.Connection) -> ResultT:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = statement(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        return await self.read(in_transaction)

    def close(self) -> None:
        """Finish what was asked for and close the file."""
        self._thread.submit(self._connection.close).result()
        self._thread.shutdown()


class Store:
    """Everything of one (organization, sandbox)."""

    def __init__(self, state: State, org_id: str, sandbox: str) -> None:
        self._state = state
        self._owner = (org_id, sandbox)
        self.org_id = org_id
        self.sandbox = sandbox

    # Audiences; a segment definition is one that the platform evaluates.

    async def add_audience(self, document: Document, *, uses: Iterable[str] = ()) -> None:
        """Keep a new audience.

        Raises Conflict when its id, or a platform audience's name, is taken; InvalidRequest when it ``uses`` audiences
        that are not there, or itself through others.
        """
        edges = tuple(uses)

        def write(connection: sqlite3.Connection) -> None:
            self._insert_audience(connection, document)
            self._set_uses(connection, document["id"], edges)

        await self._state.write(write)

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

        return await self._state.read(read)

    async def audiences(self, query: AudienceQuery) -> tuple[list[Document], int]:
        """Return a page of audiences and the number of all that the query shows."""
        where, parameters = self._audience_conditions(query)
        order = _order(query.sort, _AUDIENCE_SORT)

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

        return await self._state.read(read)

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
            changed = change(self._with_edges(connection, [(_encode(stored),)])[0])
            connection.execute(
                "DELETE FROM audience WHERE org_id = ? AND sandbox = ? AND id = ?", (*self._owner, audience_id)
            )
            self._insert_audience(connection, changed)
            if edges is not None:
                self._set_uses(connection, audience_id, edges)
            return self._with_edges(connection, [(_encode(changed),)])[0]

        return await self._state.write(write)

    async def delete_audience(self, audience_id: str, *, platform_only: bool = False) -> Document:
        """Remove an audience and return it. Raises NotFound, and Conflict while other audiences use it."""

        def write(connection: sqlite3.Connection) -> Document:
            stored = self._load_audience(connection, audience_id)
            if stored is None or (platform_only and stored["type"] != "SegmentDefinition"):
                raise NotFound(f"There is no audience {audience_id}")
            dependents = self._with_edges(connection, [(_encode(stored),)])[0]["dependents"]
            if dependents:
                raise Conflict(
                    f"The audience {audience_id} is used by {', '.join(dependents)}",
                    hint="Change or delete those first.",
                )
            owned = (*self._owner, audience_id)
            connection.execute("DELETE FROM audience WHERE org_id = ? AND sandbox = ? AND id = ?", owned)
            connection.execute("DELETE FROM dependency WHERE org_id = ? AND sandbox = ? AND id = ?", owned)
            connection.execute("DELETE FROM membership WHERE org_id = ? AND sandbox = ? AND segment_id = ?", owned)
            return stored

        return await self._state.write(write)

    # Previews, jobs, schedules: things with a life of their own.

    async def add_work(self, kind: str, identifier: str, state: str, document: Document, *, now_ms: int) -> None:
        """Keep a new piece of work. Raises Conflict when the id is taken."""

        def write(connection: sqlite3.Connection) -> None:
            try:
                connection.execute(
                    "INSERT INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (*self._owner, kind, identifier, state, now_ms, now_ms, _encode(document)),
                )
            except sqlite3.IntegrityError as fault:
                raise Conflict(f"There is a {kind} {identifier} already") from fault

        await self._state.write(write)

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
                    _encode(document),
                ),
            )
            return document

        return await self._state.write(write)

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
            return {row[0]: _decode(row[1]) for row in rows}

        return await self._state.read(read)

    async def works(self, kind: str, query: WorkQuery) -> tuple[list[Document], int]:
        """Return a page of work of one kind and the number of all that the query shows."""
        order = _order(query.sort, _WORK_SORT)

        def read(connection: sqlite3.Connection) -> tuple[list[Document], int]:
            rows = connection.execute(
                f"SELECT document FROM work WHERE org_id = ? AND sandbox = ? AND kind = ? ORDER BY {order}",  # noqa: S608
                (*self._owner, kind),
            ).fetchall()
            documents = [_decode(row[0]) for row in rows]
            kept = [document for document in documents if query.keep is None or query.keep(document)]
            return kept[query.offset : query.offset + query.limit], len(kept)

        return await self._state.read(read)

    async def works_in_state(self, kind: str, states: Sequence[str]) -> list[tuple[str, Document]]:
        """Return ``(id, document)`` of all work of a kind that is in one of the states, oldest first."""

        def read(connection: sqlite3.Connection) -> list[tuple[str, Document]]:
            marks = ",".join("?" * len(states))
            rows = connection.execute(
                "SELECT id, document FROM work WHERE org_id = ? AND sandbox = ? AND kind = ? "  # noqa: S608
                f"AND state IN ({marks}) ORDER BY created_ms, id",
                (*self._owner, kind, *states),
            ).fetchall()
            return [(row[0], _decode(row[1])) for row in rows]

        return await self._state.read(read)

    async def change_work(
        self, kind: str, identifier: str, change: Change, *, state_member: str, now_ms: int
    ) -> Document:
        """Replace a piece of work by ``change(stored)``, whose member ``state_member`` holds its new state.

        Raises NotFound when there is none; ``change`` may raise as well. In both cases nothing is changed.
        """

        return await self._state.write(
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

        return await self._state.write(write)

    # Who qualified last time.

    async def membership(self, segment_id: str) -> StoredMembership | None:
        """Return the result of the latest job that evaluated a segment, or None."""

        def read(connection: sqlite3.Connection) -> StoredMembership | None:
            row = connection.execute(
                "SELECT job_id, evaluated_ms, profiles, members, former FROM membership "
                "WHERE org_id = ? AND sandbox = ? AND segment_id = ?",
                (*self._owner, segment_id),
            ).fetchone()
            return None if row is None else StoredMembership(*row)

        return await self._state.read(read)

    async def finish_job(
        self, kind: str, job_id: str, change: Change, memberships: Mapping[str, StoredMembership], *, now_ms: int
    ) -> Document:
        """End a job by ``change`` and keep who qualified, at once. Segments deleted meanwhile are skipped."""

        def write(connection: sqlite3.Connection) -> Document:
            changed = self._change_work(connection, kind, job_id, change, "status", now_ms)
            for segment_id, membership in memberships.items():
                if self._load_audience(connection, segment_id) is not None:
                    connection.execute(
                        "INSERT OR REPLACE INTO membership VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                        (
                            *(*self._owner, segment_id),
                            *(membership.job_id, membership.evaluated_ms),
                            *(membership.profiles, membership.members, membership.former),
                        ),
                    )
            return changed

        return await self._state.write(write)

    # Statements.

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
        changed = change(_decode(row[0]))
        connection.execute(
            "UPDATE work SET state = ?, updated_ms = ?, document = ? "
            "WHERE org_id = ? AND sandbox = ? AND kind = ? AND id = ?",
            (changed[state_member], now_ms, _encode(changed), *owned),
        )
        return changed

    def _load_audience(self, connection: sqlite3.Connection, audience_id: str) -> Document | None:
        row = connection.execute(
            "SELECT document FROM audience WHERE org_id = ? AND sandbox = ? AND id = ?", (*self._owner, audience_id)
        ).fetchone()
        return None if row is None else _decode(row[0])

    def _insert_audience(self, connection: sqlite3.Connection, document: Document) -> None:
        platform = document["type"] == "SegmentDefinition"
        methods = document.get("evaluationInfo") or {}
        method = next((name for name, switch in methods.items() if switch["enabled"]), None)
        # Characters that no namespace holds keep two different pairs from having one key.
        external_key = None if platform else f"{document['namespace']}\x1f{document['audienceId']}"
        row = (platform, document["name"], method, document["creationTime"], document["updateTime"])
        try:
            connection.execute(
                "INSERT INTO audience VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*self._owner, document["id"], *row, _encode(document), external_key),
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
        documents = [_decode(row[0]) for row in rows]
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


def _open(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        version = _prepare(connection)
    except sqlite3.DatabaseError as fault:
        connection.close()
        raise InternalError(
            f"{path} cannot be used: {fault}", hint="Is another emulator running on this state folder?"
        ) from fault
    if version > len(_SCRIPTS):
        connection.close()
        raise InternalError(f"{path} was written by a newer version ({version})", hint="Use another state folder.")
    return connection


def _prepare(connection: sqlite3.Connection) -> int:
    connection.execute("BEGIN EXCLUSIVE")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    for script in _SCRIPTS[version:]:
        for statement in script.split(";"):
            connection.execute(statement)
    version = max(version, len(_SCRIPTS))
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("COMMIT")
    return version


def _order(sort: Sequence[SortKey], columns: dict[str, str]) -> str:
    # Column names and directions come from closed sets; the id makes the order total, so that pages never overlap.
    keys = [f"{columns[key.field]} {'DESC' if key.descending else 'ASC'}" for key in sort]
    return ", ".join([*keys, "id ASC"])


def _encode(document: Document) -> bytes:
    return msgspec.json.encode(document)


def _decode(data: bytes) -> Document:
    document: Document = msgspec.json.decode(data)
    return document
