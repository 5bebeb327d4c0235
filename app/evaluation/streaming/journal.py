"""Inputs and profiles on disk, so that a killed process loses nothing that it acknowledged: one SQLite file.

    input     every record, in the order in which it was taken in, until no window can ask about it any more
    profile   how a profile stood after one of its inputs; written now and then, for those that changed longest ago
    rules     which definition a lane of a saved profile stood for

A batch of inputs is one transaction with one sync to disk. What a saved profile does not tell yet is found out again
from the inputs that came after it: the engine has no other source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from app.evaluation.state_files import open_state_file, transaction
from app.evaluation.streaming.engine import Standing
from app.evaluation.streaming.profiles import Profile
from app.evaluation.streaming.rules import Rules, lanes_of

_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE input (
    seq INTEGER PRIMARY KEY, arrived INTEGER NOT NULL, profile TEXT NOT NULL, kind INTEGER NOT NULL,
    at INTEGER NOT NULL, document BLOB NOT NULL, origin BLOB NOT NULL
);
CREATE INDEX input_of_profile ON input (profile, seq);
CREATE TABLE profile (
    profile TEXT PRIMARY KEY, seq INTEGER NOT NULL, as_of INTEGER NOT NULL, rules INTEGER NOT NULL,
    attributes BLOB, members BLOB NOT NULL, marks BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE rules (id INTEGER PRIMARY KEY, segment_ids BLOB NOT NULL UNIQUE);
CREATE TABLE note (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


ProfileRow: TypeAlias = tuple[str, int, int, int, bytes | None, bytes, bytes]
"""A saved profile as a row of the file."""


class Kind(IntEnum):
    """What an input is."""

    EVENT = 0
    ATTRIBUTES = 1


@dataclass(frozen=True, slots=True)
class Input:
    """A record for a profile. ``at`` is the instant of an event, and ``arrived`` that at which it was taken in.

    ``document`` is the decoded ``raw``: an event, or all attributes that the profile has from then on. ``origin`` is
    the caller's own and is handed back as it was.
    """

    profile: str
    kind: Kind
    arrived: int
    at: int
    raw: bytes
    document: dict[str, Any]
    origin: bytes = b""


@dataclass(frozen=True, slots=True)
class SavedProfile:
    """A profile as it stood at ``as_of``, after the input ``seq``, with the events that it had."""

    key: str
    seq: int
    as_of: int
    attributes: bytes | None
    standings: dict[str, Standing]
    events: list[bytes]


class Journal:
    """The open file. One process at a time; every method blocks, and one thread at a time may call."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it. Raises `InternalError` when it cannot be used."""
        self._connection = open_state_file(path, _SCHEMA, _VERSION)
        (self.last_seq,) = self._connection.execute("SELECT coalesce(max(seq), 0) FROM input").fetchone()
        self.last_seq = max(self.last_seq, self.note("pruned"))
        self._rules: tuple[Rules, int] | None = None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    # Writing

    def rows(self, profiles: Iterable[tuple[Profile, int]], rules: Rules, as_of: int) -> list[ProfileRow]:
        """Return what is to be saved of profiles, each as it stands at ``as_of`` after its input of a number."""
        found = list(profiles)
        if not found:
            return []
        number = self._rules_id(rules)
        return [_row(profile, seq, as_of, number) for profile, seq in found]

    def write(
        self, first: int, inputs: Sequence[Input], profiles: Sequence[ProfileRow], notes: Mapping[str, int]
    ) -> None:
        """Write inputs, numbered from ``first`` on, saved profiles, and notes. All is on disk on return, or none."""
        rows = [
            (seq, one.arrived, one.profile, one.kind, one.at, one.raw, one.origin)
            for seq, one in enumerate(inputs, start=first)
        ]
        with transaction(self._connection):
            self._connection.executemany("INSERT INTO input VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self._connection.executemany("INSERT OR REPLACE INTO profile VALUES (?, ?, ?, ?, ?, ?, ?)", profiles)
            for name, value in notes.items():
                self._note(name, value)
        self.last_seq = max(self.last_seq, first + len(rows) - 1)

    def prune(self, *, before_seq: int, before_at: int) -> int:
        """Forget inputs below a number that no window can ask about any more; return how many."""
        sql = "DELETE FROM input WHERE seq < ? AND (kind = ? OR at < ?)"
        with transaction(self._connection):
            done = self._connection.execute(sql, (before_seq, Kind.ATTRIBUTES, before_at)).rowcount
            self._note("pruned", self.last_seq)
        return done

    def note(self, name: str) -> int:
        """Return a number that was noted; 0 without one."""
        row = self._connection.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def set_note(self, name: str, value: int) -> None:
        """Note a number."""
        with transaction(self._connection):
            self._note(name, value)

    def _note(self, name: str, value: int) -> None:
        self._connection.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, value))

    def _rules_id(self, rules: Rules) -> int:
        """Return the number under which the lanes of these rules are written down."""
        if self._rules is None or self._rules[0] is not rules:
            blob = msgspec.msgpack.encode(rules.segment_ids)
            self._connection.execute("INSERT OR IGNORE INTO rules (segment_ids) VALUES (?)", (blob,))
            row = self._connection.execute("SELECT id FROM rules WHERE segment_ids = ?", (blob,)).fetchone()
            self._rules = (rules, int(row[0]))
        return self._rules[1]

    # Reading

    def profiles(self, *, kept_us: int) -> Iterator[SavedProfile]:
        """Yield the saved profiles, each with its events of the last ``kept_us`` before it was saved."""
        segment_ids = {
            number: msgspec.msgpack.decode(blob, type=tuple[str, ...])
            for number, blob in self._connection.execute("SELECT id, segment_ids FROM rules")
        }
        sql = "SELECT profile, seq, as_of, rules, attributes, members, marks FROM profile"
        for key, seq, as_of, rules, attributes, members, marks in self._connection.execute(sql).fetchall():
            standings = _standings(segment_ids[rules], members, marks)
            yield SavedProfile(key, seq, as_of, attributes, standings, self.events(key, seq, as_of - kept_us))

    def events(self, profile: str, up_to_seq: int, since: int) -> list[bytes]:
        """Return the JSON of a profile's events since an instant, among the inputs up to a number."""
        sql = "SELECT document FROM input WHERE profile = ? AND seq <= ? AND kind = ? AND at >= ? ORDER BY seq"
        rows = self._connection.execute(sql, (profile, up_to_seq, Kind.EVENT, since))
        return [row[0] for row in rows]

    def inputs(self, after_seq: int = 0, limit: int = -1) -> list[tuple[int, Input]]:
        """Return inputs after a number, in order, with their numbers."""
        sql = """SELECT seq, profile, kind, arrived, at, document, origin FROM input WHERE seq > ?
                 ORDER BY seq LIMIT ?"""
        rows = self._connection.execute(sql, (after_seq, limit)).fetchall()
        return [
            (seq, Input(profile, Kind(kind), arrived, at, raw, msgspec.json.decode(raw), origin))
            for seq, profile, kind, arrived, at, raw, origin in rows
        ]


def _row(profile: Profile, seq: int, as_of: int, rules: int) -> ProfileRow:
    marks = msgspec.msgpack.encode([(mark.at, _bytes(mark.lanes)) for mark in profile.latest_marks()])
    return (profile.key, seq, as_of, rules, profile.attributes, _bytes(profile.members), marks)


def _bytes(mask: int) -> bytes:
    return mask.to_bytes(-(-mask.bit_length() // 8), "little")


def _standings(segment_ids: Sequence[str], members: bytes, marks: bytes) -> dict[str, Standing]:
    inside = int.from_bytes(members, "little")
    return {
        segment_ids[lane]: Standing(bool(inside >> lane & 1), at)
        for at, lanes in msgspec.msgpack.decode(marks, type=list[tuple[int, bytes]])
        for lane in lanes_of(int.from_bytes(lanes, "little"))
    }
