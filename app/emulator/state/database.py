"""The file itself: one SQLite database, one thread that all statements run on, and the tables that releases added."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from app.aep.paging import SortKey
from app.emulator.state.audience_changes import AudienceListeners
from app.errors import InternalError

Document = dict[str, Any]
Change = Callable[[Document], Document]
Keep = Callable[[Document], bool]
ResultT = TypeVar("ResultT")

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
_AUDIT_EVENTS: Final = """
CREATE TABLE audit_event (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    org_id TEXT NOT NULL, sandbox TEXT NOT NULL, at_ms INTEGER NOT NULL, document BLOB NOT NULL
);
CREATE INDEX audit_event_time ON audit_event (org_id, sandbox, at_ms);
"""
_METRICS: Final = """
CREATE TABLE audience_metric (
    org_id TEXT NOT NULL, sandbox TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, document BLOB NOT NULL,
    PRIMARY KEY (org_id, sandbox, id, kind)
) WITHOUT ROWID
"""
# Members are kept by `app.evaluation.memberships` since; the next job fills them.
_MEMBERSHIPS_ELSEWHERE: Final = "DROP TABLE IF EXISTS membership"

# In the order in which releases added them. A file says how many it has had; the others are run when it is opened.
_SCRIPTS: Final = (_SCHEMA, _SETTINGS, _AUDIT_EVENTS, _METRICS, _MEMBERSHIPS_ELSEWHERE)


class Database:
    """The open file. Statements run on a thread of their own, in the order in which they were asked for."""

    def __init__(self, path: Path) -> None:
        self.audience_listeners = AudienceListeners()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="emulator-state")
        try:
            self._connection = self._thread.submit(_open, path).result()
        except BaseException:
            self._thread.shutdown()
            raise

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


def sandbox_tables(connection: sqlite3.Connection) -> list[str]:
    """Return the tables whose rows belong to a sandbox."""
    rows = connection.execute(
        "SELECT DISTINCT tables.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns "
        "WHERE tables.type = 'table' AND columns.name = 'sandbox'"
    )
    return [row[0] for row in rows.fetchall()]


def order_by(sort: Sequence[SortKey], columns: dict[str, str]) -> str:
    """Return an ORDER BY list for the keys; ``columns`` gives the column of each attribute."""
    # Column names and directions come from closed sets; the id makes the order total, so that pages never overlap.
    keys = [f"{columns[key.field]} {'DESC' if key.descending else 'ASC'}" for key in sort]
    return ", ".join([*keys, "id ASC"])


def encode(document: Document) -> bytes:
    """Return a document as it is stored."""
    return msgspec.json.encode(document)


def decode(data: bytes) -> Document:
    """Read what :func:`encode` wrote."""
    document: Document = msgspec.json.decode(data)
    return document


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
