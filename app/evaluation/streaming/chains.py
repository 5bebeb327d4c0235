"""Events in order: whether a chain finds its events among those of a profile.

The search is the one that `app.pql.reference` describes, on instants and bits in place of documents: an assignment of
events to elements, with backtracking, and counts between neighbours checked at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.evaluation.streaming.conditions import ChainElement
from app.evaluation.streaming.windows import Window, gap_window
from app.pql.ast import Comparator, Duration

Happened = Sequence[tuple[int, int]]
"""Events as (instant, lanes that they meet), in order of time."""

_Taken = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class _Element:
    lane: int
    window: Window
    minimum: int
    maximum: int | None
    is_exact: bool
    negated: bool
    gap: _Gap | None


@dataclass(frozen=True, slots=True)
class _Gap:
    """How far after an instant another may lie: ``window`` is that of the other one at an evaluation at the first."""

    window: Window

    def allows(self, after: int, at: int) -> bool:
        return self.window.holds(at, after)


class ChainTest:
    """A compiled chain. ``lanes`` gives the bit of each element's events; ``needed`` are those it cannot do without."""

    def __init__(self, elements: Sequence[ChainElement], lanes: Sequence[int]) -> None:
        self._elements = tuple(
            _Element(
                1 << lane,
                one.event.window,
                one.minimum,
                one.maximum,
                one.is_exact,
                one.negated,
                _gap(one.gap),
            )
            for one, lane in zip(elements, lanes, strict=True)
        )
        self.lanes = sum({one.lane for one in self._elements})
        self.needed = sum({one.lane for one in self._elements if one.minimum > 0})
        self._counts = any(one.is_exact for one in self._elements)
        self._is_plain = not self._counts and all(one.gap is None and one.minimum == 1 for one in self._elements)

    def holds(self, events: Happened, now: int) -> bool:
        """Tell whether the chain finds its events at ``now``."""
        if self._is_plain:
            return self._in_order(events, now)
        return _Search(self._elements, events, now).succeeds()

    def _in_order(self, events: Happened, now: int) -> bool:
        """Take for each element the first event that it can have: without gaps and counts that loses nothing."""
        elements = iter(self._elements)
        element = next(elements)
        after = None
        for at, mask in events:
            if mask & element.lane and (after is None or at > after) and element.window.holds(at, now):
                after = at
                following = next(elements, None)
                if following is None:
                    return True
                element = following
        return False


class _Search:
    def __init__(self, elements: tuple[_Element, ...], events: Happened, now: int) -> None:
        self._elements = elements
        self._now = now
        self._fitting = [
            [at for at, mask in events if mask & one.lane and one.window.holds(at, now)] for one in elements
        ]

    def succeeds(self) -> bool:
        return self._assign(0, ())

    def _assign(self, index: int, taken: _Taken) -> bool:
        if index == len(self._elements):
            return all(self._count_holds(place, taken) for place in range(index))
        element = self._elements[index]
        if element.minimum == 0:
            return self._assign(index + 1, taken)
        after = taken[-1][2] if taken else None
        for first in dict.fromkeys(self._fitting[index]):
            if after is not None and (first <= after or (element.gap and not element.gap.allows(after, first))):
                continue
            if any(self._assign(index + 1, (*taken, (index, first, last))) for last in self._ends(index, first)):
                return True
        return False

    def _ends(self, index: int, first: int) -> list[int]:
        """Return where the events of an element can end that begin at ``first``."""
        element, fitting = self._elements[index], self._fitting[index]
        if element.minimum == 1 and not element.is_exact:
            return [first]
        found = []
        for last in dict.fromkeys(at for at in fitting if at >= first):
            count = sum(1 for at in fitting if first <= at <= last)
            if count >= element.minimum and (element.maximum is None or count <= element.maximum):
                found.append(last)
        return found

    def _count_holds(self, index: int, taken: _Taken) -> bool:
        """Check an element that counts everything between its neighbours."""
        element = self._elements[index]
        if not element.is_exact:
            return True
        low = next((last for other, _, last in reversed(taken) if other < index), None)
        high = next((first for other, first, _ in taken if other > index), None)
        fitting = self._between(self._fitting[index], element, low, high)
        own = next(((first, last) for other, first, last in taken if other == index), None)
        if own is not None and any(not own[0] <= at <= own[1] for at in fitting):
            return False
        return len(fitting) >= element.minimum and (element.maximum is None or len(fitting) <= element.maximum)

    def _between(self, times: list[int], element: _Element, low: int | None, high: int | None) -> list[int]:
        return [
            at
            for at in times
            if (low is None or at > low)
            and (high is None or at < high)
            and not (element.negated and high is None and at > self._now)
            and (low is None or element.minimum > 0 or element.gap is None or element.gap.allows(low, at))
        ]


def _gap(gap: tuple[Comparator, Duration] | None) -> _Gap | None:
    if gap is None:
        return None
    window = gap_window(*gap)
    assert window is not None  # noqa: S101 - a chain with another gap is not taken apart
    return _Gap(window)
