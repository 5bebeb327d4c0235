"""What is remembered of a profile between records: which lanes hold, until when, and events that still count."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import msgspec

from app.evaluation.streaming.rules import Slot


@dataclass(slots=True, eq=False)
class KeptEvent:
    """An event that some rule may still ask about. ``raw`` is its JSON; ``lanes`` are the conditions that it meets."""

    at: int
    lanes: int
    event_id: str
    raw: bytes

    def document(self) -> dict[str, Any]:
        """Return the event as a document."""
        found: dict[str, Any] = msgspec.json.decode(self.raw)
        return found


@dataclass(frozen=True, slots=True)
class Mark:
    """An instant at which memberships changed, and the lanes of those that have not changed again since."""

    at: int
    lanes: int


_AT = attrgetter("at")


@dataclass(slots=True, eq=False)
class Profile:
    """The state of one profile. Lanes are those of the `Rules` that it was made for.

    ``events`` are the conditions on events that hold now, ``facts`` those on attributes, ``members`` the definitions
    that it is a member of. ``active`` says for each window which lanes hold until when.
    """

    key: str
    attributes: bytes | None = None
    facts: int = 0
    events: int = 0
    members: int = 0
    marks: tuple[Mark, ...] = ()
    active: dict[int, dict[Slot, int]] = field(default_factory=dict)
    history: list[KeptEvent] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def keep(self, event: KeptEvent) -> None:
        """Put an event among the others, in order of time."""
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
        kept = ((mark.at, mark.lanes & ~flipped) for mark in self.marks)
        self.marks = (*(Mark(*mark) for mark in kept if mark[1]), Mark(at, flipped))
