"""The end of a segment job: its document and what the audiences show of its result, at once.

Who qualified is kept elsewhere, by `app.evaluation.memberships`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from app.emulator.state.database import Change, Document
from app.emulator.state.metrics import MetricRows
from app.emulator.state.works import WorkRows


class JobRows(MetricRows, WorkRows):
    """Jobs that leave numbers behind."""

    async def finish_job(
        self, kind: str, job_id: str, change: Change, metrics: Mapping[str, Document], *, now_ms: int
    ) -> Document:
        """End a job by ``change``, and keep the metrics of its segments; those of deleted ones are left out."""

        def write(connection: sqlite3.Connection) -> Document:
            changed = self._change_work(connection, kind, job_id, change, "status", now_ms)
            self._set_metrics(connection, "metrics", metrics)
            return changed

        return await self._database.write(write)
