"""What has to be looked at again as time passes. Instants come from outside; the timers have no clock."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import TypeAlias

from app.evaluation.streaming.profiles import Held, Profile
from app.evaluation.streaming.rules import Chain, InWindow


@dataclass(frozen=True, slots=True)
class Starts:
    """What an event of the future meets in a window begins to hold, until ``until``."""

    inside: InWindow
    until: int
    chains: tuple[Chain, ...]


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Chains, and whatever is asked of the reference, may have changed."""

    chains: tuple[Chain, ...]


Reason: TypeAlias = Held | Chain | Starts | LookAgain
"""What is held in a window may have ended, or a chain, or something else happens."""


class Timers:
    """Reasons to look at a profile again, by instant."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Profile, Reason]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at: int, profile: Profile, reason: Reason) -> None:
        """Look at a profile again at ``at``."""
        heappush(self._heap, (at, next(self._numbers), profile, reason))

    @property
    def next_at(self) -> int | None:
        """The instant of the next reason, None when there is none."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: int) -> tuple[int, dict[Profile, list[Reason]]] | None:
        """Take out what is due at the earliest instant not after ``now``, by profile; None when nothing is."""
        heap = self._heap
        if not heap or heap[0][0] > now:
            return None
        at = heap[0][0]
        found: dict[Profile, list[Reason]] = {}
        while heap and heap[0][0] == at:
            _, _, profile, reason = heappop(heap)
            found.setdefault(profile, []).append(reason)
        return at, found
