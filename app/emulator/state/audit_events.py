"""What was decided and done in a sandbox: written once, never changed, dropped when it is too old."""

from __future__ import annotations

import sqlite3

from app.emulator.state.database import Document, decode, encode
from app.emulator.state.sandbox_rows import SandboxRows


class AuditRows(SandboxRows):
    """The audit events of one sandbox."""

    async def add_audit_event(self, document: Document, *, at_ms: int, keep_from_ms: int) -> None:
        """Keep an event, and drop those from before ``keep_from_ms``."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM audit_event WHERE org_id = ? AND sandbox = ? AND at_ms < ?", (*self._owner, keep_from_ms)
            )
            connection.execute(
                "INSERT INTO audit_event (org_id, sandbox, at_ms, document) VALUES (?, ?, ?, ?)",
                (*self._owner, at_ms, encode(document)),
            )

        await self._database.write(write)

    async def audit_events(
        self, *, from_ms: int, to_ms: int, up_to: int | None = None
    ) -> tuple[list[tuple[int, Document]], int]:
        """Return ``(at_ms, event)`` from ``from_ms`` to before ``to_ms``, newest first, and the number of the last row.

        With ``up_to``, the number that an earlier call returned, rows that were added since are left out.
        """

        def read(connection: sqlite3.Connection) -> tuple[list[tuple[int, Document]], int]:
            last = connection.execute(
                "SELECT coalesce(max(number), 0) FROM audit_event WHERE org_id = ? AND sandbox = ?", self._owner
            ).fetchone()[0]
            last = last if up_to is None else min(last, up_to)
            rows = connection.execute(
                "SELECT at_ms, document FROM audit_event WHERE org_id = ? AND sandbox = ? "
                "AND at_ms >= ? AND at_ms < ? AND number <= ? ORDER BY at_ms DESC, number DESC",
                (*self._owner, from_ms, to_ms, last),
            ).fetchall()
            return [(row[0], decode(row[1])) for row in rows], last

        return await self._database.read(read)
