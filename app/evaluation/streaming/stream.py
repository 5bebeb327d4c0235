"""The engine with its journal: nothing is evaluated before it is on disk; a new process goes on where one was killed.

A batch of inputs is prepared, written and applied, one batch at a time. `Batch.write` blocks for one sync to disk and
may run in a worker thread; everything else belongs to the thread that owns the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

from app.evaluation.streaming.engine import KEPT_AT_LEAST_US, Change, Standing, StreamingEngine
from app.evaluation.streaming.journal import Input, Journal, Kind, ProfileRow
from app.evaluation.streaming.rules import Rules

_UNSAVED: Final = 5_000
"""So many profiles may be newer than what is saved of them: a restart takes in their inputs once more."""

_ON_DISK_US: Final = 2 * KEPT_AT_LEAST_US
"""Inputs stay on disk longer than in memory, so that a clock that is set back by some days finds them."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs on their way to disk, under the numbers from ``first`` on; ``saved`` are profiles that go with them."""

    journal: Journal
    first: int
    inputs: Sequence[Input]
    saved: Sequence[str]
    rows: Sequence[ProfileRow]
    notes: Mapping[str, int] = field(default_factory=dict)

    def write(self) -> None:
        """Put everything on disk. Blocks for one sync; may run in any thread, one batch at a time."""
        self.journal.write(self.first, self.inputs, self.rows, self.notes)


class Stream:
    """Streaming evaluation of one sandbox that survives its process."""

    def __init__(self, journal: Journal, engine: StreamingEngine) -> None:
        self._journal = journal
        self._engine = engine
        # The first and the last input of each profile that is newer than what is saved of it, oldest first.
        self._unsaved: dict[str, tuple[int, int]] = {}

    @classmethod
    def open(cls, path: Path, rules: Rules, now: int) -> Stream:
        """Open the journal, or make it, and bring its profiles up to ``now``. Blocks. Raises `InternalError`."""
        journal = Journal(path)
        try:
            stream = cls(journal, StreamingEngine(rules, 0))
            stream._recover()
        except BaseException:
            journal.close()
            raise
        stream._engine.advance(now)
        return stream

    def _recover(self) -> None:
        engine, done = self._engine, {}
        for saved in self._journal.profiles(kept_us=_ON_DISK_US):
            engine.restore(saved.key, saved.attributes, saved.standings, saved.events, saved.as_of)
            done[saved.key] = saved.seq
        for seq, one in self._journal.inputs():
            if seq > done.get(one.profile, 0):
                self._take(seq, one)

    def close(self) -> None:
        """Save what is unsaved and close the journal. Blocks."""
        self._save_everything()
        self._journal.close()

    # Records

    def prepare(self, inputs: Sequence[Input], notes: Mapping[str, int] | None = None) -> Batch:
        """Return a batch of inputs that is yet to be written and applied. The one before must be applied already.

        ``notes`` are numbers that are noted in the journal with it: see `Journal.note`.
        """
        return self._prepare(inputs, max(0, len(self._unsaved) - _UNSAVED), notes)

    def _prepare(self, inputs: Sequence[Input], saved: int, notes: Mapping[str, int] | None = None) -> Batch:
        engine = self._engine
        keys = list(islice(self._unsaved, saved))
        profiles = [(profile, self._unsaved[key][1]) for key in keys if (profile := engine.profile(key)) is not None]
        rows = self._journal.rows(profiles, engine.rules, engine.now)
        return Batch(self._journal, self._journal.last_seq + 1, inputs, keys, rows, notes or {})

    def apply(self, batch: Batch) -> list[Change]:
        """Evaluate a batch that is on disk; return what that changed."""
        for key in batch.saved:
            self._unsaved.pop(key, None)
        for seq, one in enumerate(batch.inputs, start=batch.first):
            self._take(seq, one)
        return self._engine.take_changes()

    def take(self, inputs: Sequence[Input]) -> list[Change]:
        """Prepare, write and apply. Blocks."""
        batch = self.prepare(inputs)
        batch.write()
        return self.apply(batch)

    def prune(self, *, below_seq: int | None = None) -> int:
        """Forget inputs that no window can ask about, of those below a number only; return how many. Blocks."""
        floor = min((first for first, _ in self._unsaved.values()), default=self._journal.last_seq + 1)
        before_seq = floor if below_seq is None else min(floor, below_seq)
        return self._journal.prune(before_seq=before_seq, before_at=self._engine.now - _ON_DISK_US)

    def _save_everything(self) -> None:
        batch = self._prepare((), len(self._unsaved))
        batch.write()
        self.apply(batch)

    def _take(self, seq: int, one: Input) -> None:
        if one.kind is Kind.EVENT:
            self._engine.put_event(one.profile, one.document, one.arrived, raw=one.raw)
        else:
            self._engine.put_profile(one.profile, one.document, one.arrived)
        first, _ = self._unsaved.get(one.profile, (seq, seq))
        self._unsaved[one.profile] = (first, seq)

    # Time and definitions

    def changes_since_kill(self) -> list[Change]:
        """Return, once, what was found out anew when the journal was opened: the caller may have heard of it before."""
        return self._engine.take_changes()

    def advance(self, now: int) -> list[Change]:
        """Let the time pass up to ``now``; return what that changed."""
        self._engine.advance(now)
        return self._engine.take_changes()

    def rebuild(self, rules: Rules, now: int) -> list[Change]:
        """Go on with other definitions, or from an earlier ``now``; return what that changed for known profiles."""
        self._save_everything()
        old, self._engine = self._engine, StreamingEngine(rules, now)
        for profile in old.profiles():
            events = self._journal.events(profile.key, self._journal.last_seq, now - _ON_DISK_US)
            self._engine.restore(profile.key, profile.attributes, old.standings(profile.key), events, now)
            self._unsaved[profile.key] = (self._journal.last_seq, self._journal.last_seq)
        # What is saved speaks of other definitions, or of a time that is yet to come.
        changes = self._engine.take_changes()
        self._save_everything()
        return changes

    # Reading

    @property
    def rules(self) -> Rules:
        """The definitions."""
        return self._engine.rules

    @property
    def now(self) -> int:
        """The instant up to which everything is evaluated."""
        return self._engine.now

    @property
    def next_change_at(self) -> int | None:
        """The next instant at which a membership may change by itself."""
        return self._engine.next_change_at

    def __contains__(self, key: str) -> bool:
        return key in self._engine

    def __len__(self) -> int:
        return len(self._engine)

    def standings(self, key: str) -> dict[str, Standing]:
        """Return what a profile is to each segment that it is, or was, in."""
        return self._engine.standings(key)

    def members(self, segment_id: str) -> set[str]:
        """Return the known profiles that are in a segment now."""
        return self._engine.members(segment_id)

    def attributes(self, key: str) -> bytes | None:
        """Return the JSON of a profile's attributes; None when the profile is not known."""
        profile = self._engine.profile(key)
        return None if profile is None else profile.attributes

    @property
    def journal(self) -> Journal:
        """The inputs on disk, to read."""
        return self._journal


def attributes_input(profile: str, attributes: Mapping[str, Any], raw: bytes, arrived: int) -> Input:
    """Return the input that gives a profile its attributes."""
    return Input(profile, Kind.ATTRIBUTES, arrived, arrived, raw, dict(attributes))
