"""Who qualified for a segment in its latest job."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.emulator.state.database import Change, Document
from app.emulator.state.metrics import MetricRows
from app.emulator.state.works import WorkRows


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


class MembershipRows(MetricRows, WorkRows):
    """The memberships of one sandbox; they end with their job, and go with their audience."""

    async def membership(self, segment_id: str) -> StoredMembership | None:
        """Return the result of the latest job that evaluated a segment, or None."""

        def read(connection: sqlite3.Connection) -> StoredMembership | None:
            row = connection.execute(
                "SELECT job_id, evaluated_ms, profiles, members, former FROM membership "
                "WHERE org_id = ? AND sandbox = ? AND segment_id = ?",
                (*self._owner, segment_id),
            ).fetchone()
            return None if row is None else StoredMembership(*row)

        return await self._database.read(read)

    async def finish_job(
        self,
        kind: str,
        job_id: str,
        change: Change,
        memberships: Mapping[str, StoredMembership],
        metrics: Mapping[str, Document],
        *,
        now_ms: int,
    ) -> Document:
        """End a job by ``change``, and keep who qualified and how many, at once. Deleted segments are skipped."""

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
            self._set_metrics(connection, "metrics", metrics)
            return changed

        return await self._database.write(write)
