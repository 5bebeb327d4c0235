"""Who is in which segment, kept for good: one SQLite file for each organization and sandbox.

Members are sets of profile numbers, held as roaring bitmaps. A segment job replaces a segment's members as a whole;
streaming changes single profiles. Both are on disk when the call returns, so a killed process loses nothing that was
said. Every profile that is, or once was, a member has a status and the time since when it has it:

    membership   a segment's members and former members after its latest job, as bitmaps
    stratum      which profiles got their present status in which job; the newest stratum that holds a profile counts.
                 NULL stands for all profiles, so that the first job of a segment need not write its members twice
    change       the latest single change of a profile; those younger than the bitmaps come on top of them

Everything here blocks for the length of a small write and is safe to call from several threads; call it from worker
threads where an event loop must stay free. Reads of loaded segments touch no disk.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pyroaring import BitMap

from app.evaluation.state_files import open_state_file, transaction

Status: TypeAlias = Literal["realized", "exited"]

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE membership (
    segment_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, at_ms INTEGER NOT NULL, version INTEGER NOT NULL,
    realized BLOB NOT NULL, exited BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE stratum (
    segment_id TEXT NOT NULL, version INTEGER NOT NULL, at_ms INTEGER NOT NULL, profiles BLOB,
    PRIMARY KEY (segment_id, version)
) WITHOUT ROWID;
CREATE TABLE change (
    profile_no INTEGER NOT NULL, segment_id TEXT NOT NULL, version INTEGER NOT NULL,
    realized INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    PRIMARY KEY (profile_no, segment_id)
) WITHOUT ROWID;
CREATE INDEX change_by_segment ON change (segment_id, version);
"""
_SEGMENTS_PER_TRANSACTION: Final = 64
_MAX_STRATA: Final = 32
_CACHE_BYTES: Final = 512 * 2**20


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """A profile joins (``realized``) or leaves (``exited``) a segment at a time, in milliseconds since 1970."""

    segment_id: str
    profile_no: int
    status: Status
    at_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a profile stands to a segment, and since when, in milliseconds since 1970."""

    status: Status
    at_ms: int


@dataclass(frozen=True, slots=True)
class Members:
    """A segment's members at some moment: yours to change. ``exited`` are those who were members and are none now.

    ``run_id`` and ``evaluated_ms`` name the latest job that replaced them; both are empty without one.
    """

    realized: BitMap = field(default_factory=BitMap)
    exited: BitMap = field(default_factory=BitMap)
    run_id: str = ""
    evaluated_ms: int = 0

    def status(self, profile_no: int) -> Status | None:
        """Return how a profile stands to the segment; None when it never was a member."""
        if profile_no in self.realized:
            return "realized"
        return "exited" if profile_no in self.exited else None


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a job changed in one segment: who ``entered``, who ``left``, and how many members there are now."""

    realized: int
    entered: BitMap
    left: BitMap


@dataclass(slots=True)
class _Record:
    members: Members
    size_bytes: int

    def apply(self, profile_no: int, status: Status) -> bool:
        """Change one profile; tell whether that changed anything."""
        realized, exited = self.members.realized, self.members.exited
        if status == "realized":
            if profile_no in realized:
                return False
            realized.add(profile_no)
            exited.discard(profile_no)
            return True
        if profile_no not in realized:
            return False
        realized.remove(profile_no)
        exited.add(profile_no)
        return True


class Memberships:
    """The memberships of one sandbox. One process at a time may have the file open."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it. Raises `InternalError` when it cannot be used."""
        self._lock = threading.RLock()
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._cached_bytes = 0
        self._connection = open_state_file(path, _SCHEMA, _VERSION, page_size=8192)
        self._version = self._read_version()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
            self._records.clear()

    # Reading

    @property
    def version(self) -> int:
        """A number that grows with every change of the file."""
        return self._version

    def segment_ids(self) -> tuple[str, ...]:
        """Return the segments that have, or had, members or were evaluated."""
        sql = "SELECT segment_id FROM membership UNION SELECT segment_id FROM change"
        with self._lock:
            return tuple(row[0] for row in self._connection.execute(sql))

    def members(self, segment_id: str) -> Members:
        """Return a copy of a segment's members as they are now; nobody for a segment that was never evaluated."""
        with self._lock:
            members = self._record(segment_id).members
            return Members(members.realized.copy(), members.exited.copy(), members.run_id, members.evaluated_ms)

    def is_realized(self, segment_id: str, profile_no: int) -> bool:
        """Tell whether a profile is in a segment now."""
        with self._lock:
            return profile_no in self._record(segment_id).members.realized

    def standing(self, segment_id: str, profile_no: int) -> Standing | None:
        """Return how a profile stands to a segment; None when it never was a member."""
        with self._lock:
            status = self._record(segment_id).members.status(profile_no)
            if status is None:
                return None
            return Standing(status, self._since_ms(segment_id, profile_no))

    def of_profile(self, profile_no: int, segment_ids: Iterable[str] | None = None) -> dict[str, Standing]:
        """Return how a profile stands to the segments (default: all) in which it is or was."""
        with self._lock:
            wanted = self.segment_ids() if segment_ids is None else segment_ids
            found = {segment_id: self.standing(segment_id, profile_no) for segment_id in wanted}
        return {segment_id: standing for segment_id, standing in found.items() if standing is not None}

    def times_of(self, segment_id: str, profiles: BitMap) -> list[tuple[int, BitMap]]:
        """Return since when profiles have their present status, as (time in milliseconds, those with that time).

        Profiles that never were members stand nowhere in the list.
        """
        found: dict[int, BitMap] = {}
        with self._lock:
            members = self._record(segment_id).members
            left = profiles & (members.realized | members.exited)
            for profile_no, at_ms in self._connection.execute(
                "SELECT profile_no, at_ms FROM change WHERE segment_id = ?", (segment_id,)
            ):
                if profile_no in left:
                    found.setdefault(at_ms, BitMap()).add(profile_no)
                    left.discard(profile_no)
            for _, at_ms, changed in self._strata(segment_id):
                hit = left if changed is None else left & changed
                if hit:
                    found[at_ms] = found.get(at_ms, BitMap()) | hit
                    left = left - hit
        return sorted(found.items())

    # Changing

    def apply(self, changes: Sequence[MembershipChange]) -> list[MembershipChange]:
        """Change single profiles, in order, and return the changes that changed something.

        A profile that leaves a segment in which it is not changes nothing. All of it is on disk on return, or none.
        """
        with self._lock:
            effective = [one for one in changes if self._record(one.segment_id).apply(one.profile_no, one.status)]
            if effective:
                try:
                    self._write_changes(effective)
                except BaseException:
                    self._forget(one.segment_id for one in effective)
                    raise
        return effective

    def replace(
        self, results: Mapping[str, BitMap], *, run_id: str, at_ms: int, since: int | None = None
    ) -> dict[str, Replaced]:
        """Keep the members that a job found and return what that changed, by segment.

        ``since`` is the `version` at which the job began to read: single changes that came later are newer than the
        job and stay. A segment that this run has replaced already is left alone and reported as it was then, so a job
        that a crash interrupted may begin again. The bitmaps are taken over: do not change them afterwards.
        """
        since = self._version if since is None else since
        replaced: dict[str, Replaced] = {}
        segments = iter(results.items())
        while chunk := dict(islice(segments, _SEGMENTS_PER_TRANSACTION)):
            # One transaction for a few segments at a time lets single changes in between.
            with self._lock:
                try:
                    with transaction(self._connection):
                        for segment_id, realized in chunk.items():
                            replaced[segment_id] = self._replace(segment_id, realized, run_id, at_ms, since)
                except BaseException:
                    self._forget(chunk)
                    raise
        return replaced

    def delete(self, segment_ids: Iterable[str]) -> None:
        """Forget everything about segments."""
        ids = [(one,) for one in segment_ids]
        with self._lock:
            with transaction(self._connection):
                for table in ("membership", "stratum", "change"):
                    self._connection.executemany(f"DELETE FROM {table} WHERE segment_id = ?", ids)  # noqa: S608
            self._forget(one for (one,) in ids)

    # Single changes

    def _write_changes(self, changes: Sequence[MembershipChange]) -> None:
        rows = []
        for version, change in enumerate(changes, start=self._version + 1):
            realized = change.status == "realized"
            rows.append((change.profile_no, change.segment_id, version, realized, change.at_ms))
        with transaction(self._connection):
            self._connection.executemany("INSERT OR REPLACE INTO change VALUES (?, ?, ?, ?, ?)", rows)
        self._version += len(rows)

    # Whole segments

    def _replace(self, segment_id: str, realized: BitMap, run_id: str, at_ms: int, since: int) -> Replaced:
        record = self._record(segment_id)
        if record.members.run_id == run_id:
            return self._replaced_before(segment_id)
        before = record.members
        realized = self._with_later_changes(segment_id, realized, since)
        entered, left = realized - before.realized, before.realized - realized
        exited = (before.exited | before.realized) - realized
        self._version += 1
        self._drop_superseded(segment_id, entered | left, since)
        is_everybody = len(entered) + len(left) == len(realized) + len(exited)
        self._add_stratum(segment_id, at_ms, None if is_everybody else entered | left)
        blobs = realized.serialize(), exited.serialize()
        row = (segment_id, run_id, at_ms, self._version, *blobs)
        self._connection.execute("INSERT OR REPLACE INTO membership VALUES (?, ?, ?, ?, ?, ?)", row)
        self._keep(segment_id, _Record(Members(realized, exited, run_id, at_ms), len(blobs[0]) + len(blobs[1])))
        return Replaced(len(realized), entered, left)

    def _replaced_before(self, segment_id: str) -> Replaced:
        """Return what the run that replaced a segment last had changed."""
        sql = "SELECT version, realized, exited FROM membership WHERE segment_id = ?"
        version, *blobs = self._connection.execute(sql, (segment_id,)).fetchone()
        realized, exited = map(BitMap.deserialize, blobs)
        changes = {stratum: profiles for stratum, _, profiles in self._strata(segment_id)}
        changed = changes.get(version, BitMap())
        if changed is None:
            return Replaced(len(realized), realized, exited)
        return Replaced(len(realized), changed & realized, changed & exited)

    def _with_later_changes(self, segment_id: str, realized: BitMap, since: int) -> BitMap:
        sql = "SELECT profile_no, realized FROM change WHERE segment_id = ? AND version > ?"
        for profile_no, is_realized in self._connection.execute(sql, (segment_id, since)):
            (realized.add if is_realized else realized.discard)(profile_no)
        return realized

    def _drop_superseded(self, segment_id: str, changed: BitMap, since: int) -> None:
        """Forget the times of single changes that the job overtook."""
        sql = "SELECT profile_no FROM change WHERE segment_id = ? AND version <= ?"
        overtaken = [row for row in self._connection.execute(sql, (segment_id, since)) if row[0] in changed]
        self._connection.executemany(
            "DELETE FROM change WHERE profile_no = ? AND segment_id = ?", [(one, segment_id) for (one,) in overtaken]
        )

    def _add_stratum(self, segment_id: str, at_ms: int, changed: BitMap | None) -> None:
        """Keep who changed in a job; None stands for all profiles, and makes older strata needless."""
        if changed is None:
            self._connection.execute("DELETE FROM stratum WHERE segment_id = ?", (segment_id,))
        elif not changed:
            return
        self._write_strata([(segment_id, self._version, at_ms, changed)])
        sql = "SELECT count(*) FROM stratum WHERE segment_id = ?"
        if self._connection.execute(sql, (segment_id,)).fetchone()[0] > _MAX_STRATA:
            self._thin_strata(segment_id)

    def _thin_strata(self, segment_id: str) -> None:
        """Take out of older strata what newer ones hold; if that does not help, the two oldest become one."""
        seen = BitMap()
        kept: list[tuple[str, int, int, BitMap | None]] = []
        for version, at_ms, profiles in self._strata(segment_id):
            rest = None if profiles is None else profiles - seen
            seen |= rest or BitMap()
            if rest is None or rest:
                kept.append((segment_id, version, at_ms, rest))
        if len(kept) > _MAX_STRATA:
            *kept, younger, oldest = kept
            joined = None if younger[3] is None or oldest[3] is None else younger[3] | oldest[3]
            kept.append((*younger[:3], joined))
        self._connection.execute("DELETE FROM stratum WHERE segment_id = ?", (segment_id,))
        self._write_strata(kept)

    def _write_strata(self, strata: Sequence[tuple[str, int, int, BitMap | None]]) -> None:
        rows = [(*row[:3], None if row[3] is None else row[3].serialize()) for row in strata]
        self._connection.executemany("INSERT INTO stratum VALUES (?, ?, ?, ?)", rows)

    def _strata(self, segment_id: str) -> Iterator[tuple[int, int, BitMap | None]]:
        """Yield (version, time, profiles or None for all), newest first."""
        sql = "SELECT version, at_ms, profiles FROM stratum WHERE segment_id = ? ORDER BY version DESC"
        for version, at_ms, profiles in self._connection.execute(sql, (segment_id,)):
            yield version, at_ms, None if profiles is None else BitMap.deserialize(profiles)

    def _since_ms(self, segment_id: str, profile_no: int) -> int:
        sql = "SELECT at_ms FROM change WHERE profile_no = ? AND segment_id = ?"
        row = self._connection.execute(sql, (profile_no, segment_id)).fetchone()
        if row is not None:
            return int(row[0])
        strata = self._strata(segment_id)
        return next(at_ms for _, at_ms, profiles in strata if profiles is None or profile_no in profiles)

    # What is in memory

    def _record(self, segment_id: str) -> _Record:
        record = self._records.get(segment_id)
        if record is None:
            record = self._load(segment_id)
            self._keep(segment_id, record)
        self._records.move_to_end(segment_id)
        return record

    def _load(self, segment_id: str) -> _Record:
        sql = "SELECT run_id, at_ms, version, realized, exited FROM membership WHERE segment_id = ?"
        row = self._connection.execute(sql, (segment_id,)).fetchone() or ("", 0, 0, None, None)
        run_id, at_ms, version, *blobs = row
        realized, exited = (BitMap() if blob is None else BitMap.deserialize(blob) for blob in blobs)
        record = _Record(Members(realized, exited, run_id, at_ms), sum(len(blob or b"") for blob in blobs))
        sql = "SELECT profile_no, realized FROM change WHERE segment_id = ? AND version > ? ORDER BY version"
        for profile_no, is_realized in self._connection.execute(sql, (segment_id, version)):
            (realized if is_realized else exited).add(profile_no)
            (exited if is_realized else realized).discard(profile_no)
            record.size_bytes += 4
        return record

    def _keep(self, segment_id: str, record: _Record) -> None:
        self._forget([segment_id])
        self._records[segment_id] = record
        self._cached_bytes += record.size_bytes
        # Everything is on disk, so what was not asked for lately can go.
        while self._cached_bytes > _CACHE_BYTES and len(self._records) > 1:
            self._forget([next(iter(self._records))])

    def _forget(self, segment_ids: Iterable[str]) -> None:
        for segment_id in segment_ids:
            record = self._records.pop(segment_id, None)
            self._cached_bytes -= record.size_bytes if record else 0

    def _read_version(self) -> int:
        sql = "SELECT max((SELECT coalesce(max(version), 0) FROM change), coalesce(max(version), 0)) FROM membership"
        return int(self._connection.execute(sql).fetchone()[0])
