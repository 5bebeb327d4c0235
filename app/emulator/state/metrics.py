"""How many profiles an audience has, as the latest job or its owner said."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from app.emulator.state.audiences import AudienceRows
from app.emulator.state.database import Document, decode, encode

MetricKind = Literal["metrics", "recordMetrics"]


class MetricRows(AudienceRows):
    """The metrics of the audiences of one sandbox; they go with their audience."""

    async def metrics(self, ids: Sequence[str]) -> dict[str, dict[str, Document]]:
        """Return the metrics of audiences by id, then by kind."""

        def read(connection: sqlite3.Connection) -> dict[str, dict[str, Document]]:
            marks = ",".join("?" * len(ids))
            rows = connection.execute(
                f"SELECT id, kind, document FROM audience_metric WHERE org_id = ? AND sandbox = ? AND id IN ({marks})",  # noqa: S608
                (*self._owner, *ids),
            ).fetchall()
            found: dict[str, dict[str, Document]] = defaultdict(dict)
            for identifier, kind, document in rows:
                found[identifier][kind] = decode(document)
            return dict(found)

        return await self._database.read(read)

    async def set_metrics(self, kind: MetricKind, documents: Mapping[str, Document]) -> None:
        """Keep metrics by audience id. Audiences that are not there any more are skipped."""
        await self._database.write(lambda connection: self._set_metrics(connection, kind, documents))

    def _set_metrics(self, connection: sqlite3.Connection, kind: MetricKind, documents: Mapping[str, Document]) -> None:
        for identifier, document in documents.items():
            if self._load_audience(connection, identifier) is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO audience_metric VALUES (?, ?, ?, ?, ?)",
                    (*self._owner, identifier, kind, encode(document)),
                )
