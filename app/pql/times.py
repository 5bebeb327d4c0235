"""The calendar: what periods, durations and time tests mean, apart from any way to evaluate them.

`window` says, once and for all evaluators, between which endpoints a timestamp must lie. An `Endpoint` is described
relative to a reference, so that Python can compute it for a known reference and SQL for the value of a column.

Periods are half open and those of the evaluation's zone. Weeks begin on Sunday; decades, centuries and millennia at
years that end in 0, 00 and 000. Days and longer units are moved on the wall clock, shorter ones on the time line.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final, Literal, assert_never

from app.pql import ir
from app.pql.types import Primitive, primitive_of

EARLIEST: Final = datetime(1, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)

MICROSECONDS: Final = {"millisecond": 1_000, "second": 1_000_000, "minute": 60_000_000, "hour": 3_600_000_000}
DAYS: Final = {"day": 1, "week": 7}
MONTHS: Final = {"month": 1, "year": 12, "decade": 120, "century": 1_200, "millennium": 12_000}

_FURTHEST_YEARS: Final = 20_000
"""No instant is further from another; durations beyond are cut so that nothing overflows."""

Edge = Literal["start", "end"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An instant near a reference: its start or end, moved by ``count`` units.

    With ``bucket`` it is the start or end of the calendar unit that holds the moved instant.
    """

    reference: ir.Expr
    edge: Edge = "start"
    count: int = 0
    unit: str = "second"
    bucket: Edge | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """Instants between two endpoints. A side of None has no end; ``..._open`` leaves the endpoint itself out."""

    low: Endpoint | None
    high: Endpoint | None
    low_open: bool = False
    high_open: bool = False

    @property
    def is_bounded(self) -> bool:
        """Tell whether the interval ends on both sides."""
        return self.low is not None and self.high is not None


def is_instant_reference(reference: ir.Expr) -> bool:
    """Tell whether a reference is a point in time; otherwise it is a period, such as a day."""
    if isinstance(reference, ir.Period):
        return reference.unit is None
    return not isinstance(reference, ir.Day) and primitive_of(reference.type) is not Primitive.DATE


def window(test: ir.TimeTest) -> tuple[Interval, ...]:
    """Return the intervals of a time test; a timestamp meets it by lying in any of them."""
    match test:
        case ir.Within():
            return _within(test)
        case ir.Beyond("before", reference):
            return (Interval(None, Endpoint(reference), high_open=True),)
        case ir.Beyond(_, reference):
            return (Interval(Endpoint(reference, "end"), None, low_open=is_instant_reference(reference)),)
        case ir.Between(start, end):
            high = Endpoint(end, "end")
            return (Interval(Endpoint(start), high, high_open=not is_instant_reference(end)),)
        case ir.During(period):
            is_open = not is_instant_reference(period)
            return (Interval(Endpoint(period), Endpoint(period, "end"), high_open=is_open),)
        case _:
            assert_never(test)


def _within(test: ir.Within) -> tuple[Interval, ...]:
    start = Endpoint(test.reference)
    end = start if _means_its_start(test.reference) else Endpoint(test.reference, "end")
    earlier, later = _moved(start, -test.duration.count, test), _moved(end, test.duration.count, test)
    match test.direction:
        case "before":
            return _before(test.comparator, earlier, start)
        case "after":
            return _after(test.comparator, end, later)
        case "from":
            return _around(test.comparator, earlier, later)


def _before(comparator: str, moved: Endpoint, reference: Endpoint) -> tuple[Interval, ...]:
    if comparator in {"<=", "<"}:
        return (Interval(moved, reference, low_open=comparator == "<"),)
    if comparator in {">=", ">"}:
        return (Interval(None, moved, high_open=comparator == ">"),)
    bucket = _bucket(moved)
    if comparator == "=":
        return (bucket,)
    return (Interval(None, bucket.low, high_open=True), Interval(bucket.high, reference))


def _after(comparator: str, reference: Endpoint, moved: Endpoint) -> tuple[Interval, ...]:
    if comparator in {"<=", "<"}:
        return (Interval(reference, moved, high_open=comparator == "<"),)
    if comparator in {">=", ">"}:
        return (Interval(moved, None, low_open=comparator == ">"),)
    bucket = _bucket(moved)
    if comparator == "=":
        return (bucket,)
    return (Interval(reference, bucket.low, high_open=True), Interval(bucket.high, None))


def _around(comparator: str, earlier: Endpoint, later: Endpoint) -> tuple[Interval, ...]:
    if comparator in {"<=", "<"}:
        return (Interval(earlier, later, low_open=comparator == "<", high_open=comparator == "<"),)
    if comparator in {">=", ">"}:
        is_open = comparator == ">"
        return (Interval(None, earlier, high_open=is_open), Interval(later, None, low_open=is_open))
    first, last = _bucket(earlier), _bucket(later)
    if comparator == "=":
        return (first, last)
    between = Interval(first.high, last.low, high_open=True)
    return (Interval(None, first.low, high_open=True), between, Interval(last.high, None))


def _means_its_start(reference: ir.Expr) -> bool:
    """Tell whether distances are measured from the start of a period in both directions: ``today`` and days."""
    if isinstance(reference, ir.Period):
        return reference.is_today
    return not is_instant_reference(reference)


def _moved(endpoint: Endpoint, count: int, test: ir.Within) -> Endpoint:
    unit = test.duration.unit
    furthest = _FURTHEST_YEARS * 12 // MONTHS[unit] if unit in MONTHS else _FURTHEST_YEARS * 366 * 86_400_000
    if unit in MICROSECONDS:
        furthest = _FURTHEST_YEARS * 366 * 86_400_000_000 // MICROSECONDS[unit]
    elif unit in DAYS:
        furthest = _FURTHEST_YEARS * 366 // DAYS[unit]
    return Endpoint(endpoint.reference, endpoint.edge, max(-furthest, min(furthest, count)), unit)


def _bucket(moved: Endpoint) -> Interval:
    low = Endpoint(moved.reference, moved.edge, moved.count, moved.unit, "start")
    high = Endpoint(moved.reference, moved.edge, moved.count, moved.unit, "end")
    return Interval(low, high, high_open=True)


# Known instants


def period_bounds(period: ir.Period, now: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the start and the end of ``now`` or of a calendar unit near it, in UTC."""
    if period.unit is None:
        return now, now
    inside = _month_or_day_start(period.unit, now.astimezone(zone).date())
    start = _shift_day(inside, period.offset, period.unit)
    return midnight(start, zone), midnight(_shift_day(start, 1, period.unit), zone)


def day_bounds(day: date, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the start and the end of a day, in UTC."""
    return midnight(day, zone), midnight(_shift_day(day, 1, "day"), zone)


def midnight(day: date, zone: tzinfo) -> datetime:
    """Return the start of a day in a zone, as an instant in UTC."""
    return _to_utc(datetime.combine(day, time.min), zone)


def move(at: datetime, count: int, unit: str, zone: tzinfo) -> datetime:
    """Return ``at`` moved by a duration; what lies beyond the years 1 to 9999 is their very edge."""
    if count == 0:
        return at
    try:
        if unit in MICROSECONDS:
            return at + timedelta(microseconds=count * MICROSECONDS[unit])
        wall = at.astimezone(zone).replace(tzinfo=None)
        if unit in DAYS:
            return _to_utc(wall + timedelta(days=count * DAYS[unit]), zone)
        return _to_utc(datetime.combine(_add_months(wall.date(), count * MONTHS[unit]), wall.time()), zone)
    except (OverflowError, ValueError):
        return EARLIEST if count < 0 else LATEST


def bucket_bounds(at: datetime, unit: str, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the start and the end of the calendar unit that holds ``at``, in UTC."""
    if unit not in MICROSECONDS:
        start = _month_or_day_start(unit, at.astimezone(zone).date())
        return midnight(start, zone), midnight(_shift_day(start, 1, unit), zone)
    wall = at.astimezone(zone).replace(tzinfo=None)
    passed = (wall - datetime.combine(wall.date(), time.min)) // timedelta(microseconds=1) % MICROSECONDS[unit]
    start_at = at - timedelta(microseconds=passed)
    return start_at, move(start_at, 1, unit, zone)


def with_year(at: datetime, year: int, zone: tzinfo) -> datetime:
    """Return ``at`` in another year; 29 February is 28 February in common years."""
    wall = at.astimezone(zone).replace(tzinfo=None)
    year = max(1, min(9999, year))
    if wall.year == year:
        return at
    day = min(wall.day, monthrange(year, wall.month)[1])
    return _to_utc(wall.replace(year=year, day=day, fold=0), zone)


def instant_from_text(text: str) -> date | datetime | None:
    """Return the day, or the instant in UTC, that an ISO 8601 text tells; None when it does not tell its zone.

    Raises:
        ValueError: the text is neither.

    """
    if len(text) == 10:
        return date.fromisoformat(text)
    at = datetime.fromisoformat(text)
    return None if at.tzinfo is None else at.astimezone(UTC)


def _to_utc(wall: datetime, zone: tzinfo) -> datetime:
    try:
        return wall.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return EARLIEST if wall.year < 5000 else LATEST


def _month_or_day_start(unit: str, day: date) -> date:
    """Return the first day of the unit, of a day or longer, that holds ``day``."""
    if unit == "day":
        return day
    if unit == "week":
        return _shift_day(day, -((day.weekday() + 1) % 7), "day")
    if unit == "month":
        return day.replace(day=1)
    years = MONTHS[unit] // 12
    return date(max(1, day.year // years * years), 1, 1)


def _shift_day(day: date, count: int, unit: str) -> date:
    try:
        if unit in DAYS:
            return day + timedelta(days=count * DAYS[unit])
        return _add_months(day, count * MONTHS[unit])
    except (OverflowError, ValueError):
        return date.min if count < 0 else date.max


def _add_months(day: date, count: int) -> date:
    """Return the same day of another month, or its last day where it is shorter."""
    months = day.year * 12 + day.month - 1 + count
    year, month = months // 12, months % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))
