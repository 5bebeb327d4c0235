"""Cron expressions in the Quartz dialect, as schedules use them: six or seven fields, in UTC.

    seconds minutes hours day-of-month month day-of-week [year]

Days of the week count from 1 = Sunday. One of the two day fields must be ``?``. Names are read in any letter case.
``L`` is the last day of a month (``L-3``, ``6L`` the last Friday), ``W`` the nearest weekday (``15W``, ``LW``),
``6#3`` the third Friday. AEP runs a schedule at most once in 24 hours, so seconds, minutes and hours must each name
one value. Source: Adobe's schedule reference, which refers to Quartz (read December 2025).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from app.errors import InvalidRequest

_FIRST_YEAR, _LAST_YEAR = 1970, 2099
_MONTHS: Final = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS: Final = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}

_LAST_DAY = re.compile(r"L(?:-(\d{1,2}))?")
_NEAREST_WEEKDAY = re.compile(r"(\d{1,2})W")
_LAST_WEEKDAY_OF_KIND = re.compile(r"([1-7]|[A-Z]{3})L")
_NTH_WEEKDAY = re.compile(r"([1-7]|[A-Z]{3})#([1-5])")

# The days of a month, given its year and number, on which a day field holds.
Days = Callable[[int, int], frozenset[int]]


@dataclass(frozen=True, slots=True)
class Quartz:
    """A parsed expression. ``frequency`` is derived: daily, weekly, monthly or yearly."""

    text: str
    second: int
    minute: int
    hour: int
    months: frozenset[int]
    years: frozenset[int]
    frequency: str
    _days: Days = field(repr=False, compare=False)

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first time after an aware moment, in UTC, or None when there is none until 2099."""
        after = moment.astimezone(UTC)
        for year in range(max(after.year, _FIRST_YEAR), _LAST_YEAR + 1):
            if year not in self.years:
                continue
            for month in sorted(self.months):
                if (year, month) < (after.year, after.month):
                    continue
                for day in sorted(self._days(year, month)):
                    candidate = datetime(year, month, day, self.hour, self.minute, self.second, tzinfo=UTC)
                    if candidate > after:
                        return candidate
        return None


def parse_quartz(text: str) -> Quartz:
    """Read an expression. Raises InvalidRequest, also for one that fires more than once in 24 hours, or never."""
    fields = text.upper().split()
    if len(fields) not in {6, 7}:
        raise _fault(text, f"it must have 6 or 7 fields, not {len(fields)}")
    if (fields[3] == "?") == (fields[5] == "?"):
        raise _fault(text, "exactly one of day of month and day of week must be ?")
    try:
        second, minute, hour = (_one(part, high) for part, high in zip(fields[:3], (59, 59, 23), strict=True))
        months = _values(fields[4], 1, 12, _MONTHS)
        years = _values(fields[6], _FIRST_YEAR, _LAST_YEAR) if len(fields) == 7 else _all(_FIRST_YEAR, _LAST_YEAR)
        days = _days_of_month(fields[3]) if fields[5] == "?" else _days_of_week(fields[5])
    except ValueError as fault:
        raise _fault(text, str(fault)) from fault
    cron = Quartz(text, second, minute, hour, months, years, _frequency(fields, months), days)
    if cron.next_after(datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC) - timedelta(seconds=1)) is None:
        raise _fault(text, "it never fires")
    return cron


def _fault(text: str, reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"The schedule {text!r} is not valid: {reason}",
        hint='Write a Quartz expression such as "0 0 1 * * ?" (daily at 01:00 UTC).',
        path=("schedule",),
    )


def _frequency(fields: list[str], months: frozenset[int]) -> str:
    if len(months) < 12:
        return "yearly" if len(months) == 1 else "monthly"
    if fields[3] not in {"*", "?"}:
        return "monthly"
    return "daily" if fields[5] in {"*", "?"} else "weekly"


def _one(part: str, high: int) -> int:
    values = _values(part, 0, high)
    if len(values) != 1:
        raise ValueError("it fires more than once in 24 hours; seconds, minutes and hours must each be one number")
    return next(iter(values))


def _values(part: str, low: int, high: int, names: Mapping[str, int] | None = None) -> frozenset[int]:
    """Read a field of numbers: ``*``, ``5``, ``1-5``, ``22-2`` (over the end), ``3/4``, and lists of those."""
    found: set[int] = set()
    for piece in part.split(","):
        span, slash, step_text = piece.partition("/")
        step = _number(step_text, 1, high, None) if slash else 1
        begin, end = _range(span, low, high, names, open_ended=bool(slash))
        width = high - low + 1
        length = (end - begin) % width if end != begin else 0
        found.update(low + (begin - low + offset) % width for offset in range(0, length + 1, step))
    return frozenset(found)


def _range(span: str, low: int, high: int, names: Mapping[str, int] | None, *, open_ended: bool) -> tuple[int, int]:
    if span == "*":
        return low, high
    begin_text, dash, end_text = span.partition("-")
    begin = _number(begin_text, low, high, names)
    if dash:
        return begin, _number(end_text, low, high, names)
    return begin, high if open_ended else begin


def _number(text: str, low: int, high: int, names: Mapping[str, int] | None) -> int:
    if names and text in names:
        return names[text]
    if not (text.isascii() and text.isdigit()) or len(text) > 4 or not low <= int(text) <= high:
        raise ValueError(f"{text or 'nothing'} is not between {low} and {high}")
    return int(text)


def _all(low: int, high: int) -> frozenset[int]:
    return frozenset(range(low, high + 1))


def _last_day(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def _days_of_month(part: str) -> Days:
    if match := _LAST_DAY.fullmatch(part):
        before = int(match.group(1) or 0)
        if before > 30:
            raise ValueError(f"{part} reaches beyond the month")
        return lambda year, month: frozenset({_last_day(year, month) - before} - set(range(-30, 1)))
    if part == "LW":
        return lambda year, month: frozenset({_nearest_weekday(year, month, _last_day(year, month))})
    if match := _NEAREST_WEEKDAY.fullmatch(part):
        wanted = _number(match.group(1), 1, 31, None)
        return lambda year, month: (
            frozenset({_nearest_weekday(year, month, wanted)}) if wanted <= _last_day(year, month) else frozenset()
        )
    values = _values(part, 1, 31)
    return lambda year, month: frozenset(day for day in values if day <= _last_day(year, month))


def _days_of_week(part: str) -> Days:
    if part == "L":
        part = "7"
    if match := _LAST_WEEKDAY_OF_KIND.fullmatch(part):
        last = _number(match.group(1), 1, 7, _WEEKDAYS)
        return lambda year, month: frozenset(sorted(_on_weekdays(year, month, frozenset({last})))[-1:])
    if match := _NTH_WEEKDAY.fullmatch(part):
        weekday, nth = _number(match.group(1), 1, 7, _WEEKDAYS), int(match.group(2))
        return lambda year, month: frozenset(sorted(_on_weekdays(year, month, frozenset({weekday})))[nth - 1 : nth])
    weekdays = _values(part, 1, 7, _WEEKDAYS)
    return lambda year, month: _on_weekdays(year, month, weekdays)


def _on_weekdays(year: int, month: int, weekdays: frozenset[int]) -> frozenset[int]:
    # isoweekday counts from 1 = Monday to 7 = Sunday.
    days = range(1, _last_day(year, month) + 1)
    return frozenset(day for day in days if date(year, month, day).isoweekday() % 7 + 1 in weekdays)


def _nearest_weekday(year: int, month: int, day: int) -> int:
    """Return the working day nearest to a day, within its month."""
    weekday = date(year, month, day).isoweekday()
    if weekday == 6:
        return day - 1 if day > 1 else day + 2
    if weekday == 7:
        return day + 1 if day < _last_day(year, month) else day - 2
    return day
