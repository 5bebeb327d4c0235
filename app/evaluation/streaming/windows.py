"""Between which instants of evaluation an event lies in a window: the test of a timestamp, turned round.

A rule asks whether a timestamp lies between two endpoints that move with ``now``. Endpoints never move back, so for one
event the answer is yes during exactly one span of instants: from when the later endpoint has reached it until the
earlier one has passed it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from app.evaluation.streaming.fields import to_us
from app.pql import ir, times
from app.pql.ast import Comparator, Duration
from app.pql.times import Endpoint
from app.pql.types import DATETIME

ALWAYS: Final = -(2**62)
NEVER: Final = 2**62
DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Bound:
    """An endpoint: ``offset`` microseconds from ``now``, from the start of its day, or from 1970."""

    anchor: str
    offset: int
    is_open: bool

    def last_now_after(self, at: int) -> int:
        """Return the last instant at which this bound, as the earlier one, still lets ``at`` in."""
        reach = at - self.offset - self.is_open
        if self.anchor == "now":
            return reach
        if self.anchor == "day":
            return reach // DAY_US * DAY_US + DAY_US - 1
        return NEVER if reach >= 0 else ALWAYS

    def first_now_before(self, at: int) -> int:
        """Return the first instant at which this bound, as the later one, lets ``at`` in."""
        reach = at - self.offset + self.is_open
        if self.anchor == "now":
            return reach
        if self.anchor == "day":
            return -(-reach // DAY_US) * DAY_US
        return ALWAYS if reach <= 0 else NEVER


@dataclass(frozen=True, slots=True)
class Window:
    """The windows that an event must lie in, all of them; none means any time."""

    low: tuple[Bound, ...] = ()
    high: tuple[Bound, ...] = ()
    _length: int | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_length", self._length_before_now())

    def _length_before_now(self) -> int | None:
        """Return how long an event stays in a window that ends now, the usual one; None for another window."""
        if len(self.low) != 1 or len(self.high) != 1:
            return None
        (low,), (high,) = self.low, self.high
        ends_now = high == Bound("now", 0, is_open=False)
        return -low.offset - low.is_open if ends_now and low.anchor == "now" else None

    def span(self, at: int) -> tuple[int, int]:
        """Return the first and the last instant of evaluation at which an event at ``at`` lies in the window.

        The first is after the last when there is no such instant.
        """
        if self._length is not None:
            return at, at + self._length
        first, last = ALWAYS, NEVER
        for bound in self.high:
            first = max(first, bound.first_now_before(at))
        for bound in self.low:
            last = min(last, bound.last_now_after(at))
        return first, last

    def holds(self, at: int, now: int) -> bool:
        """Tell whether an event at ``at`` lies in the window at ``now``."""
        first, last = self.span(at)
        return first <= now <= last

    def merged(self, other: Window) -> Window:
        """Return the window of events that lie in both."""
        return Window(self.low + other.low, self.high + other.high)

    @property
    def reach(self) -> int:
        """How long after an event, in microseconds, the window can hold it at most; `NEVER` where there is no end."""
        moving = [bound for bound in self.low if bound.anchor != "fixed"]
        return min(((DAY_US if bound.anchor == "day" else 0) - bound.offset for bound in moving), default=NEVER)


def window_of(test: ir.TimeTest) -> Window | None:
    """Return the window that a time test means, or None where its span has no short form.

    That is so for several intervals, for months and longer units, and for endpoints that an event or a profile decides.
    """
    intervals = times.window(test)
    if len(intervals) != 1:
        return None
    (interval,) = intervals
    sides: list[tuple[Bound, ...]] = []
    for endpoint, is_open in ((interval.low, interval.low_open), (interval.high, interval.high_open)):
        if endpoint is None:
            sides.append(())
            continue
        bound = _bound(endpoint, is_open)
        if bound is None:
            return None
        sides.append((bound,))
    return Window(*sides)


def gap_window(comparator: Comparator, duration: Duration) -> Window | None:
    """Return the window of the later of two instants, evaluated at the earlier one; None without a short form."""
    return window_of(ir.Within(comparator, duration, "after", ir.Period(DATETIME, None, 0)))


def _bound(endpoint: Endpoint, is_open: bool) -> Bound | None:
    moved = _moved_us(endpoint)
    if moved is None or endpoint.bucket is not None:
        return None
    days = int(endpoint.edge == "end")
    match endpoint.reference:
        case ir.Period(_, None):
            return Bound("now", moved, is_open)
        case ir.Period(_, "day", offset):
            return Bound("day", (offset + days) * DAY_US + moved, is_open)
        case ir.Day(_, day):
            return Bound("fixed", to_us(times.day_bounds(day, times.EARLIEST.tzinfo)[days]) + moved, is_open)  # type: ignore[arg-type]
        case ir.Instant(_, at):
            return Bound("fixed", to_us(at) + moved, is_open)
    return None


def _moved_us(endpoint: Endpoint) -> int | None:
    if endpoint.count == 0:
        return 0
    if endpoint.unit in times.MICROSECONDS:
        return endpoint.count * times.MICROSECONDS[endpoint.unit]
    if endpoint.unit in times.DAYS:
        return endpoint.count * times.DAYS[endpoint.unit] * DAY_US
    return None
