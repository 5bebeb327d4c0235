"""SQLite files in which the evaluation keeps what must survive a kill: one process has each open, alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import InternalError


def open_state_file(path: Path, schema: str, version: int, *, page_size: int | None = None) -> sqlite3.Connection:
    """Open a file, or make it with the statements of ``schema``; every commit is on the disk before it returns.

    Raises:
        InternalError: another process has it open, it is damaged, or another ``version`` of the schema wrote it.

    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
    try:
        if page_size is not None:
            connection.execute(f"PRAGMA page_size = {page_size}")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN EXCLUSIVE")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            for statement in schema.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    except sqlite3.DatabaseError as fault:
        connection.close()
        raise InternalError(f"{path.name} cannot be used: {fault}", hint="Is another process using it?") from fault
    if found not in (0, version):
        connection.close()
        raise InternalError(f"{path.name} was written by another version ({found})", hint="Use another state folder.")
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do everything or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
