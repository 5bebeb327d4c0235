"""Time in statements: known instants are bound, and what depends on a column is computed from it.

Columns hold instants in UTC without a zone. The wall clock of another zone is ambiguous twice a year; it is read back
as `app.pql.times` reads it: the earlier instant of two, and in a gap the offset from before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from sqlglot import exp

from app.pql import ir, times
from app.pql.sql.spelling import (
    SQL,
    all_of,
    cast,
    function,
    grouped,
    is_known,
    negated,
    number,
    part_of,
    truncated,
    when,
)
from app.pql.times import Endpoint, Interval
from app.pql.types import Primitive, primitive_of

Bind = Callable[[object], SQL]


@dataclass(frozen=True, slots=True)
class Clock:
    """Writes times. ``now`` is the instant of evaluation, ``zone`` the zone of days and longer units."""

    now: datetime
    zone: tzinfo
    bind: Bind

    @property
    def _is_utc(self) -> bool:
        """Whether the wall clock shows what the columns hold; also for the zone of that name."""
        return self.zone is UTC or getattr(self.zone, "key", None) in {"UTC", "Etc/UTC"}

    def instant(self, at: datetime) -> SQL:
        """Return a known instant as the columns hold it."""
        return cast(self.bind(at.astimezone(UTC).replace(tzinfo=None)), "TIMESTAMP")

    def from_day(self, day: SQL) -> SQL:
        """Return the start of a column's day."""
        return self._to_utc(cast(day, "TIMESTAMP"))

    def part(self, part: str, value: SQL, *, is_day: bool) -> SQL:
        """Return the year, month or day of an instant in the zone, or of a day."""
        return part_of(part, value if is_day else self._to_wall(value))

    def known(self, reference: ir.Expr) -> tuple[datetime, datetime] | None:
        """Return the start and the end of a reference that depends on no column, else None."""
        match reference:
            case ir.Period() as period:
                return times.period_bounds(period, self.now, self.zone)
            case ir.Day(day=day):
                return times.day_bounds(day, self.zone)
            case ir.Instant(at=at):
                return at, at
        return None

    def lies_in(self, at: SQL, interval: Interval, endpoint: Callable[[Endpoint], SQL]) -> SQL:
        """Return whether an instant lies in an interval; NULL where an endpoint is."""
        bounds: list[SQL] = []
        if interval.low is not None:
            kind: type[exp.Binary] = exp.GT if interval.low_open else exp.GTE
            bounds.append(kind(this=at.copy(), expression=endpoint(interval.low)))
        if interval.high is not None:
            kind = exp.LT if interval.high_open else exp.LTE
            bounds.append(kind(this=at.copy(), expression=endpoint(interval.high)))
        return all_of(*bounds)

    def known_endpoint(self, endpoint: Endpoint, bounds: tuple[datetime, datetime]) -> SQL:
        """Return an endpoint near known bounds."""
        at = times.move(bounds[endpoint.edge == "end"], endpoint.count, endpoint.unit, self.zone)
        if endpoint.bucket is not None:
            at = times.bucket_bounds(at, endpoint.unit, self.zone)[endpoint.bucket == "end"]
        return self.instant(at)

    def computed_endpoint(self, endpoint: Endpoint, value: SQL) -> SQL:
        """Return an endpoint near the instant or day that a column holds."""
        at = value
        if primitive_of(endpoint.reference.type) is Primitive.DATE:
            day = cast(value, "TIMESTAMP")
            at = self._to_utc(_plus(day, "to_days", 1) if endpoint.edge == "end" else day)
        at = self.moved(at, endpoint.count, endpoint.unit)
        return at if endpoint.bucket is None else self._bucket(at, endpoint.unit, endpoint.bucket)

    def moved(self, at: SQL, count: int, unit: str) -> SQL:
        """Return an instant moved by a duration, within the years 1 to 9999."""
        if count == 0:
            return at
        if unit in times.MICROSECONDS:
            return _clamped(_plus(at, "to_microseconds", count * times.MICROSECONDS[unit]))
        wall = self._to_wall(at)
        if unit in times.DAYS:
            return self._to_utc(_clamped(_plus(wall, "to_days", count * times.DAYS[unit])))
        return self._to_utc(_clamped(_plus(wall, "to_months", count * times.MONTHS[unit])))

    def in_year(self, at: SQL, year: SQL) -> SQL:
        """Return an instant in another year; 29 February is 28 February in common years."""
        wall = self._to_wall(at)
        bounded = function("greatest", number(1), function("least", number(9999), year))
        own_year = part_of("year", wall.copy())
        years = cast(exp.Sub(this=bounded, expression=own_year), "INTEGER")
        moved = self._to_utc(grouped(exp.Add(this=wall, expression=function("to_years", years))))
        # In its own year an instant stays what it is, also when the wall clock shows its time twice.
        return when(exp.EQ(this=own_year.copy(), expression=bounded.copy()), at.copy(), moved)

    def year_of(self, at: SQL) -> SQL:
        """Return the year that holds an instant in the zone."""
        return part_of("year", self._to_wall(at))

    def _bucket(self, at: SQL, unit: str, edge: times.Edge) -> SQL:
        if unit in times.MICROSECONDS:
            size = times.MICROSECONDS[unit]
            # The remainder takes the sign of the dividend, which is negative before 1970.
            passed = _remainder(_remainder(function("epoch_us", self._to_wall(at)), size), size, plus=size)
            start = grouped(exp.Sub(this=at.copy(), expression=function("to_microseconds", passed)))
            return start if edge == "start" else self.moved(start, 1, unit)
        start = self._first_day(self._to_wall(at), unit)
        if edge == "end":
            step, count = ("to_days", times.DAYS[unit]) if unit in times.DAYS else ("to_months", times.MONTHS[unit])
            start = _clamped(_plus(start, step, count))
        return self._to_utc(start)

    def _first_day(self, wall: SQL, unit: str) -> SQL:
        if unit in {"day", "month", "year"}:
            return truncated(unit, wall)
        if unit == "week":
            days = cast(function("dayofweek", wall.copy()), "INTEGER")
            return grouped(exp.Sub(this=truncated("day", wall), expression=function("to_days", days)))
        years = number(times.MONTHS[unit] // 12)
        passed = cast(grouped(exp.Mod(this=part_of("year", wall.copy()), expression=years)), "INTEGER")
        return _clamped(grouped(exp.Sub(this=truncated("year", wall), expression=function("to_years", passed))))

    def _to_wall(self, at: SQL) -> SQL:
        """Return what the zone's wall clock shows at an instant."""
        if self._is_utc:
            return at
        return function("timezone", self._zone_name(), function("timezone", self.bind("UTC"), at.copy()))

    def _to_utc(self, wall: SQL) -> SQL:
        """Return the instant at which the wall clock shows a time."""
        if self._is_utc:
            return wall
        before, after = (self._by_offset_near(wall, days) for days in (-1, 1))
        shows_before, shows_after = (exp.EQ(this=self._to_wall(one), expression=wall.copy()) for one in (before, after))
        return when(all_of(negated(shows_before), shows_after), after, before.copy())

    def _by_offset_near(self, wall: SQL, days: int) -> SQL:
        """Return the instant by the offset that holds some days before or after."""
        near = _plus(wall, "to_days", days)
        offset = exp.Sub(this=self._to_wall(near), expression=near.copy())
        return grouped(exp.Sub(this=wall.copy(), expression=grouped(offset)))

    def _zone_name(self) -> SQL:
        name = getattr(self.zone, "key", None)
        if not isinstance(name, str):
            raise TypeError("the zone of an evaluation is UTC or one with a name, such as Europe/Berlin")
        return self.bind(name)


def _plus(at: SQL, unit: str, count: int) -> SQL:
    return grouped(exp.Add(this=at.copy(), expression=function(unit, number(count))))


def _remainder(value: SQL, size: int, *, plus: int = 0) -> SQL:
    dividend = grouped(exp.Add(this=value, expression=number(plus))) if plus else value
    return grouped(exp.Mod(this=dividend, expression=number(size)))


def _clamped(at: SQL) -> SQL:
    earliest, latest = (
        cast(exp.Literal.string(one.replace(tzinfo=None).isoformat(sep=" ")), "TIMESTAMP")
        for one in (times.EARLIEST, times.LATEST)
    )
    # LEAST and GREATEST pass over NULL, so a NULL is kept by asking first.
    inside = function("greatest", earliest, function("least", latest, at.copy()))
    return when(is_known(at.copy()), inside)
