"""What is remembered of a profile between records: which lanes hold, until when, and events that still count."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

import msgspec

from app.evaluation.streaming.chains import SumTest
from app.evaluation.streaming.rules import Chain

_MARKS: Final = 64


@dataclass(slots=True, eq=False)
class KeptEvent:
    """An event that some rule may still ask about. ``raw`` is its JSON; ``lanes`` are the conditions that it meets.

    ``numbers`` are what each sum adds up of it.
    """

    at: int
    lanes: int
    event_id: str
    raw: bytes
    numbers: Mapping[SumTest, float | None] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the event as a document."""
        found: dict[str, Any] = msgspec.json.decode(self.raw)
        return found


@dataclass(frozen=True, slots=True)
class Mark:
    """An instant at which memberships changed, and the lanes of those that changed."""

    at: int
    lanes: int


class Held:
    """The lanes that events make hold in one window, each until its event leaves it.

    A queue in order of leaving, in two parts: ``front`` has for each entry the lanes of it and of all after it in its
    part, so that what still holds after one has left is known without looking at the others.
    """

    __slots__ = ("_back", "_back_lanes", "_front", "timed_at")

    def __init__(self) -> None:
        self._front: list[tuple[int, int, int]] = []
        self._back: list[tuple[int, int]] = []
        self._back_lanes = 0
        self.timed_at: int | None = None

    def __len__(self) -> int:
        return len(self._front) + len(self._back)

    @property
    def lanes(self) -> int:
        """The lanes that hold."""
        return self._front[-1][2] | self._back_lanes if self._front else self._back_lanes

    def add(self, until: int, lanes: int) -> None:
        """Let lanes hold until an instant."""
        back = self._back
        if back:
            newest_until, newest = back[-1]
            if until >= newest_until:
                if newest | lanes == lanes:
                    back[-1] = (until, lanes)
                else:
                    back.append((until, lanes))
                self._back_lanes |= lanes
                return
        elif not self._front or until >= self._front[0][0]:
            back.append((until, lanes))
            self._back_lanes = lanes
            return
        self._sort(until, lanes)

    def next_end(self, now: int) -> int | None:
        """Let go of what has left before ``now``; return until when nothing else ends, None when nothing is left."""
        front = self._front
        while True:
            if not front:
                if not self._back:
                    return None
                self._turn(self._back)
            until, lanes, _ = front[-1]
            rest = front[-2][2] | self._back_lanes if len(front) > 1 else self._back_lanes
            # An entry whose lanes later ones hold as well ends nothing, so nobody need wait for it.
            if until >= now and lanes & ~rest:
                return until
            front.pop()

    def _sort(self, until: int, lanes: int) -> None:
        """Put an entry among the others: an event that came late."""
        entries = [(one_until, one_lanes) for one_until, one_lanes, _ in reversed(self._front)] + self._back
        insort(entries, (until, lanes))
        self._front.clear()
        self._turn(entries)

    def _turn(self, entries: list[tuple[int, int]]) -> None:
        """Make entries, in order, the front; there must be none."""
        together = 0
        for until, lanes in reversed(entries):
            together |= lanes
            self._front.append((until, lanes, together))
        self._back = []
        self._back_lanes = 0


_AT = attrgetter("at")


@dataclass(slots=True, eq=False)
class Profile:
    """The state of one profile. Lanes are those of the `Rules` that it was made for.

    ``events`` are the conditions on events that hold now, ``facts`` those on attributes, ``members`` the definitions
    that it is a member of. ``held`` says for each window, by its number, what holds in it; ``chains`` until when
    what was found out about a chain is good, and the instant of its timer. ``history`` are its events in order of time.
    """

    key: str
    attributes: bytes | None = None
    facts: int = 0
    events: int = 0
    members: int = 0
    marks: list[Mark] = field(default_factory=list)
    most_marks: int = _MARKS
    held: dict[int, Held] = field(default_factory=dict)
    chains: dict[Chain, tuple[int, int]] = field(default_factory=dict)
    history: list[KeptEvent] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def keep(self, event: KeptEvent) -> None:
        """Put an event among the others, in order of time."""
        if not self.history or event.at >= self.history[-1].at:
            self.history.append(event)
        else:
            insort(self.history, event, key=_AT)
        self.ids.add(event.event_id)

    def forget_before(self, at: int) -> None:
        """Let go of events that nothing can ask about any more."""
        history = self.history
        if history and history[0].at < at:
            old = 0
            while old < len(history) and history[old].at < at:
                self.ids.discard(history[old].event_id)
                old += 1
            del history[:old]

    def document(self) -> dict[str, Any]:
        """Return the profile with its kept events, as the reference reads it."""
        attributes: dict[str, Any] = msgspec.json.decode(self.attributes) if self.attributes else {}
        return {**attributes, "xEvent": [event.document() for event in self.history]}

    def mark(self, at: int, flipped: int) -> None:
        """Remember that these memberships changed at an instant."""
        self.marks.append(Mark(at, flipped))
        if len(self.marks) > self.most_marks:
            self.marks = list(self.latest_marks())[::-1]
            self.most_marks = max(_MARKS, 2 * len(self.marks))

    def latest_marks(self) -> Iterator[Mark]:
        """Yield the marks, latest first, each with the lanes that have not changed again since."""
        seen = 0
        for mark in reversed(self.marks):
            lanes = mark.lanes & ~seen
            if lanes:
                yield Mark(mark.at, lanes)
                seen |= lanes
