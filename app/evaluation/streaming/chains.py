"""Events in order: whether a chain finds its events among those of a profile, and until when.

Most chains are positive elements one after the other, perhaps with one at the end that must not have happened. For
those the latest events that fit are the best ones: taken from the end backwards, they leave the windows last. The rest
is searched for as `app.pql.reference` describes, on instants and lanes in place of documents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from app.evaluation.streaming.conditions import ChainElement, SumCondition
from app.evaluation.streaming.predicates import COMPARE
from app.evaluation.streaming.windows import NEVER, Window, gap_window
from app.pql.ast import Comparator, Duration


class Happened(Protocol):
    """An event: its instant, and the conditions that it meets."""

    @property
    def at(self) -> int:
        """The instant."""
        ...

    @property
    def lanes(self) -> int:
        """The conditions."""
        ...

    @property
    def numbers(self) -> Mapping[Any, float | None]:
        """What each `SumTest` adds up of it."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a chain holds, and until when at least this stays so if no event comes."""

    holds: bool
    until: int


@dataclass(frozen=True, slots=True)
class _Element:
    lane: int
    window: Window
    minimum: int
    maximum: int | None
    is_exact: bool
    negated: bool
    gap: Window | None


class ChainTest:
    """A compiled chain.

    ``lanes`` are the conditions of all its elements, ``needed`` those that it cannot do without. An event that is later
    than all others can begin the chain only when it meets one of ``decisive``, and end it only with one of ``ending``.
    """

    def __init__(self, elements: Sequence[ChainElement], lanes: Sequence[int]) -> None:
        self._elements = tuple(
            _Element(
                1 << lane,
                one.event.window,
                one.minimum,
                one.maximum,
                one.is_exact,
                one.negated,
                None if one.gap is None else _gap(one.gap),
            )
            for one, lane in zip(elements, lanes, strict=True)
        )
        self.lanes = _union(self._elements)
        self.needed = _union(tuple(one for one in self._elements if one.minimum > 0))
        ends_negated = self._elements[-1].negated and len(self._elements) > 1
        self._positive = self._elements[:-1] if ends_negated else self._elements
        self._absent = self._elements[-1] if ends_negated else None
        self.is_ordered = all(one.gap is None for one in self._elements) and not any(
            one.is_exact for one in self._positive
        )
        self.decisive = _union(self._elements[-2:] if ends_negated else self._elements[-1:])
        self.ending = self._absent.lane if self._absent else 0
        if not self.is_ordered:
            self.decisive = self.ending = self.lanes

    def judge(self, events: Sequence[Happened], now: int) -> Verdict:
        """Look at all events of a profile, in order of time."""
        if self.is_ordered:
            return self._in_order(events, now)
        relevant = [(one.at, one.lanes) for one in events if one.lanes & self.lanes]
        return Verdict(_Search(self._elements, relevant, now).succeeds(), now)

    def _in_order(self, events: Sequence[Happened], now: int) -> Verdict:
        """Take the latest events that fit, from the last element backwards."""
        until, before = NEVER, NEVER
        place = len(events)
        last_at: int | None = None
        for element in reversed(self._positive):
            missing, bound = element.minimum, before
            while missing:
                place -= 1
                if place < 0:
                    return Verdict(holds=False, until=NEVER)
                event = events[place]
                if event.at >= bound or not event.lanes & element.lane:
                    continue
                first, last = element.window.span(event.at)
                if last < now:
                    # Earlier events have left the window as well.
                    return Verdict(holds=False, until=NEVER)
                if first <= now:
                    missing -= 1
                    before, until = event.at, min(until, last)
                    last_at = event.at if last_at is None else last_at
        if self._absent is None:
            return Verdict(holds=True, until=until)
        absent_at, absent_until = self._last_absent(self._absent, events, now)
        if absent_at is not None and last_at is not None and absent_at > last_at:
            return Verdict(holds=False, until=min(absent_until, until))
        return Verdict(holds=True, until=until)

    def _last_absent(self, absent: _Element, events: Sequence[Happened], now: int) -> tuple[int | None, int]:
        """Return the latest event that must not have happened, and until when it is in its window."""
        for event in reversed(events):
            if event.at <= now and event.lanes & absent.lane:
                first, last = absent.window.span(event.at)
                if first <= now <= last:
                    return event.at, last
        return None, NEVER


class SumTest:
    """A compiled sum, with the same members as a chain: what it depends on are all events of one lane."""

    is_ordered = True

    def __init__(self, condition: SumCondition, lane: int) -> None:
        self._window = condition.event.window
        self._compare = COMPARE[condition.operator]
        self._limit = condition.limit
        self.number = condition.number
        self.lanes = self.decisive = self.ending = 1 << lane
        # The sum of nothing is 0.
        self.needed = 0 if self._compare(0, self._limit) else self.lanes

    def judge(self, events: Sequence[Happened], now: int) -> Verdict:
        """Look at all events of a profile, in order of time."""
        until, numbers = NEVER, []
        for event in reversed(events):
            if event.lanes & self.lanes:
                first, last = self._window.span(event.at)
                if last < now:
                    # Earlier events have left the window as well.
                    break
                if first <= now:
                    until = min(until, last)
                    numbers.append(event.numbers.get(self))
        return Verdict(self._holds([one for one in numbers if one is not None]), until)

    def _holds(self, numbers: list[float]) -> bool:
        try:
            return self._compare(math.fsum(numbers), self._limit)
        except OverflowError:
            return False


_Taken = tuple[tuple[int, int, int], ...]


class _Search:
    """The search for an assignment of events to elements, with backtracking; counts are checked at the end."""

    def __init__(self, elements: tuple[_Element, ...], events: Sequence[tuple[int, int]], now: int) -> None:
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
            if after is not None and (first <= after or (element.gap and not element.gap.holds(first, after))):
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
        fitting = self._between(index, low, high)
        own = next(((first, last) for other, first, last in taken if other == index), None)
        if own is not None and any(not own[0] <= at <= own[1] for at in fitting):
            return False
        return len(fitting) >= element.minimum and (element.maximum is None or len(fitting) <= element.maximum)

    def _between(self, index: int, low: int | None, high: int | None) -> list[int]:
        element = self._elements[index]
        return [
            at
            for at in self._fitting[index]
            if (low is None or at > low)
            and (high is None or at < high)
            and not (element.negated and high is None and at > self._now)
            and (low is None or element.minimum > 0 or element.gap is None or element.gap.holds(at, low))
        ]


def _union(elements: tuple[_Element, ...]) -> int:
    lanes = 0
    for one in elements:
        lanes |= one.lane
    return lanes


def _gap(gap: tuple[Comparator, Duration]) -> Window:
    window = gap_window(*gap)
    assert window is not None  # noqa: S101 - a chain with another gap is not taken apart
    return window
