"""What the emulator remembers: one SQLite file, in which every row belongs to an (organization, sandbox).

Nothing outside this package can reach a row without saying whose it is: :meth:`State.store` binds both once, and
every statement of :class:`Store` carries them. A change is acknowledged only after SQLite has synced it to disk
(write-ahead log, ``synchronous=FULL``), so a killed process loses nothing that a client was told.

All statements run on one thread of their own, in the order in which they were asked for: transactions never meet,
and no sync to disk holds up the event loop.

    audience_changes             who is told when an audience changed
    database, sandbox_rows       the file, and what every table of a sandbox has in common
    audiences, metrics, works, jobs, audit_events    one module for each kind of row
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from app.emulator.state.audience_changes import AudienceChange, Listener
from app.emulator.state.audiences import AUDIENCE_SORTABLE, MAX_USE_DEPTH, AudienceQuery
from app.emulator.state.audit_events import AuditRows
from app.emulator.state.database import Database, Document, sandbox_tables
from app.emulator.state.jobs import JobRows
from app.emulator.state.metrics import MetricKind
from app.emulator.state.works import WORK_SORTABLE, WorkQuery

__all__ = [
    "AUDIENCE_SORTABLE",
    "FILE_NAME",
    "MAX_USE_DEPTH",
    "WORK_SORTABLE",
    "AudienceChange",
    "AudienceQuery",
    "Document",
    "MetricKind",
    "State",
    "Store",
    "WorkQuery",
]

FILE_NAME: Final = "emulator.sqlite3"


class Store(JobRows, AuditRows):
    """Everything of one (organization, sandbox)."""


class State:
    """The open state file. Make one per process; another process that opens the same file is refused."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path)

    def store(self, org_id: str, sandbox: str) -> Store:
        """Return the part of the state that belongs to one sandbox of one organization."""
        return Store(self._database, org_id, sandbox)

    def listen_to_audiences(self, listener: Listener) -> None:
        """Have ``listener`` told whenever an audience was made, changed or deleted: see `audience_changes`."""
        self._database.audience_listeners.add(listener)

    async def revoke_token(self, token_id: str, expires_ms: int, now_ms: int) -> None:
        """Remember until its end that a token was withdrawn, and forget those that are over."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM revoked_token WHERE expires_ms < ?", (now_ms,))
            connection.execute("INSERT OR IGNORE INTO revoked_token VALUES (?, ?)", (token_id, expires_ms))

        await self._database.write(write)

    async def revoked_tokens(self) -> set[str]:
        """Return the ids of all tokens that were withdrawn."""
        rows = await self._database.read(
            lambda connection: connection.execute("SELECT token_id FROM revoked_token").fetchall()
        )
        return {row[0] for row in rows}

    async def forget(self, org_id: str, sandbox: str) -> None:
        """Remove every row of one sandbox."""

        def write(connection: sqlite3.Connection) -> None:
            for table in sandbox_tables(connection):
                connection.execute(f"DELETE FROM {table} WHERE org_id = ? AND sandbox = ?", (org_id, sandbox))  # noqa: S608

        await self._database.write(write)

    async def setting(self, name: str) -> bytes | None:
        """Return a setting of the emulator itself, which belongs to no organization, or None."""

        def read(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
            return None if row is None else row[0]

        return await self._database.read(read)

    async def set_setting(self, name: str, value: bytes | None) -> None:
        """Keep a setting of the emulator itself; None removes it."""

        def write(connection: sqlite3.Connection) -> None:
            if value is None:
                connection.execute("DELETE FROM setting WHERE name = ?", (name,))
            else:
                connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))

        await self._database.write(write)

    def close(self) -> None:
        """Finish what was asked for and close the file."""
        self._database.close()
