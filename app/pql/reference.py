"""The meaning of a rule over one profile, slow and obvious: the judge of the compiled SQL.

A profile is an XDM document as JSON gives it: dicts, lists, strings, numbers, Booleans; times are ISO 8601 strings.
A value that is not of its field's type is read as absent. Absent is None everywhere; predicates are never None.

Where the specification leaves a choice, it is made here and kept by `sql`:

- An object is null when nothing in it has a value.
- Letters are the same without regard to case when their simple upper case, taken to lower case, is the same.
- Integers beyond 64 bits are null.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from typing import Any, Final, TypeAlias, cast

from app.pql import ir, times
from app.pql.ast import Comparator, Duration
from app.pql.checker import Checked
from app.pql.times import Endpoint, Interval
from app.pql.types import ArrayType, MapType, ObjectType, Primitive, Scalar, Type, UnknownType

Value: TypeAlias = Any
"""None, str, int, float, bool, date, aware datetime, list, dict, or an `_Entry`."""


@dataclass(frozen=True, slots=True)
class World:
    """Everything outside the profile that a rule can see.

    ``now`` is aware. ``records`` are the related records by class and by primary identity. ``segments`` are the ids of
    the segments that the profile is in; None reads them from its ``segmentMembership``.
    """

    now: datetime
    zone: tzinfo = UTC
    records: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    segments: frozenset[str] | None = None


def matches(
    checked: Checked,
    profile: Mapping[str, Any],
    now: datetime,
    zone: tzinfo = UTC,
    *,
    records: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    segments: frozenset[str] | None = None,
) -> bool:
    """Return whether a profile qualifies.

    Args:
        checked: the rule.
        profile: the XDM document, its events in ``xEvent``.
        now: the instant of evaluation, aware.
        zone: the zone of days, months and years.
        records: related records, by class name and then by primary identity.
        segments: ids of the segments that the profile is in; None reads its ``segmentMembership``.

    """
    evaluation = _Evaluation(World(now.astimezone(UTC), zone, records or {}, segments), profile)
    return evaluation.holds(checked.root, {checked.profile: profile})


_Environment: TypeAlias = dict[ir.Variable, Value]


@dataclass(frozen=True, slots=True)
class _Entry:
    key: Hashable
    value: Value


class _Evaluation:
    """The evaluation of one rule over one profile."""

    def __init__(self, world: World, profile: Mapping[str, Any]) -> None:
        self._world = world
        self._profile = profile

    def holds(self, node: ir.Expr, environment: _Environment) -> bool:
        """Return the truth of a predicate."""
        return bool(self.value(node, environment))

    def value(self, node: ir.Expr, environment: _Environment) -> Value:
        """Return the value of any expression."""
        return _RULES[type(node)](self, node, environment)

    # Values

    def _constant(self, node: ir.Constant, _environment: _Environment) -> Value:
        return node.value

    def _list_of(self, node: ir.ListOf, environment: _Environment) -> Value:
        return [self.value(item, environment) for item in node.items]

    def _object_of(self, node: ir.ObjectOf, environment: _Environment) -> Value:
        return {key: self.value(value, environment) for key, value in node.members}

    def _reference(self, node: ir.Reference, environment: _Environment) -> Value:
        return environment[node.variable]

    def _field(self, node: ir.Field, environment: _Environment) -> Value:
        found = self.value(node.object, environment)
        for name in node.path:
            found = _member(found, name)
        return _typed(found, node.type)

    def _related(self, node: ir.Related, environment: _Environment) -> Value:
        key = self.value(node.key, environment)
        return self._world.records.get(node.class_name, {}).get(key) if isinstance(key, str) else None

    def _lookup(self, node: ir.Lookup, environment: _Environment) -> Value:
        found, key = self.value(node.map, environment), self.value(node.key, environment)
        if not isinstance(found, Mapping) or key is None:
            return None
        return _typed(found.get(key), node.type)

    def _arithmetic(self, node: ir.Arithmetic, environment: _Environment) -> Value:
        left, right = self.value(node.left, environment), self.value(node.right, environment)
        if not (_is_number(left) and _is_number(right)):
            return None
        return _calculate(node.operator, left, right)

    def _conditional(self, node: ir.Conditional, environment: _Environment) -> Value:
        branch = node.then if self.holds(node.condition, environment) else node.otherwise
        return self.value(branch, environment)

    def _let(self, node: ir.Let, environment: _Environment) -> Value:
        return self.value(node.body, {**environment, node.variable: self.value(node.value, environment)})

    # Time

    def _day(self, node: ir.Day, _environment: _Environment) -> Value:
        return times.midnight(node.day, self._world.zone)

    def _instant(self, node: ir.Instant, _environment: _Environment) -> Value:
        return node.at

    def _period(self, node: ir.Period, _environment: _Environment) -> Value:
        return times.period_bounds(node, self._world.now, self._world.zone)[0]

    def _date_part(self, node: ir.DatePart, environment: _Environment) -> Value:
        at = _as_time(self.value(node.instant, environment))
        if at is None:
            return None
        day = at.astimezone(self._world.zone).date() if isinstance(at, datetime) else at
        return {"year": day.year, "month": day.month, "day": day.day}[node.part]

    def _occurs(self, node: ir.Occurs, environment: _Environment) -> bool:
        at = self._as_instant(self.value(node.timestamp, environment))
        if at is None:
            return False
        for interval in times.window(node.test):
            for moved in self._years_to_try(at, node, interval, environment):
                if self._lies_in(moved, interval, environment):
                    return True
        return False

    def _years_to_try(
        self, at: datetime, node: ir.Occurs, interval: Interval, environment: _Environment
    ) -> Iterator[datetime]:
        if not node.ignores_year:
            yield at
            return
        endpoint = cast("Endpoint", interval.low or interval.high)
        reference = self._endpoint(Endpoint(endpoint.reference), environment)
        if reference is None:
            return
        year = reference.astimezone(self._world.zone).year
        for other in (year, year - 1, year + 1) if interval.is_bounded else (year,):
            yield times.with_year(at, other, self._world.zone)

    def _lies_in(self, at: datetime, interval: Interval, environment: _Environment) -> bool:
        if interval.low is not None:
            low = self._endpoint(interval.low, environment)
            if low is None or not (at > low if interval.low_open else at >= low):
                return False
        if interval.high is not None:
            high = self._endpoint(interval.high, environment)
            if high is None or not (at < high if interval.high_open else at <= high):
                return False
        return True

    def _endpoint(self, endpoint: Endpoint, environment: _Environment) -> datetime | None:
        bounds = self._bounds(endpoint.reference, environment)
        if bounds is None:
            return None
        at = times.move(bounds[endpoint.edge == "end"], endpoint.count, endpoint.unit, self._world.zone)
        if endpoint.bucket is None:
            return at
        return times.bucket_bounds(at, endpoint.unit, self._world.zone)[endpoint.bucket == "end"]

    def _bounds(self, reference: ir.Expr, environment: _Environment) -> tuple[datetime, datetime] | None:
        if isinstance(reference, ir.Period):
            return times.period_bounds(reference, self._world.now, self._world.zone)
        if isinstance(reference, ir.Day):
            return times.day_bounds(reference.day, self._world.zone)
        at = _as_time(self.value(reference, environment))
        if at is None:
            return None
        return (at, at) if isinstance(at, datetime) else times.day_bounds(at, self._world.zone)

    def _as_instant(self, value: Value) -> datetime | None:
        at = _as_time(value)
        return at if at is None or isinstance(at, datetime) else times.midnight(at, self._world.zone)

    # Logic

    def _and(self, node: ir.And, environment: _Environment) -> bool:
        return all(self.holds(operand, environment) for operand in node.operands)

    def _or(self, node: ir.Or, environment: _Environment) -> bool:
        return any(self.holds(operand, environment) for operand in node.operands)

    def _not(self, node: ir.Not, environment: _Environment) -> bool:
        return not self.holds(node.operand, environment)

    def _truth(self, node: ir.Truth, environment: _Environment) -> bool:
        value = self.value(node.value, environment)
        if isinstance(value, bool):
            return value
        if isinstance(value, (list, dict)) and not isinstance(node.value.type, Scalar):
            return bool(value)
        return value is not None

    def _is_null(self, node: ir.IsNull, environment: _Environment) -> bool:
        return _is_absent(self.value(node.value, environment), node.value.type)

    def _comparison(self, node: ir.Comparison, environment: _Environment) -> bool:
        left, right = self.value(node.left, environment), self.value(node.right, environment)
        for one in _items(left, node.left.type):
            for other in _items(right, node.right.type):
                if self._compares(node.operator, one, other):
                    return True
        return False

    def _compares(self, operator: str, left: Value, right: Value) -> bool:
        pair = self._comparable(left, right)
        return pair is not None and _COMPARE[operator](*pair)

    def _comparable(self, left: Value, right: Value) -> tuple[Any, Any] | None:
        """Return two values of one kind, or None when either is null or they do not compare."""
        if left is None or right is None:
            return None
        if isinstance(left, bool) or isinstance(right, bool):
            return (left, right) if isinstance(left, bool) and isinstance(right, bool) else None
        if _is_number(left) and _is_number(right):
            return (float(left), float(right)) if isinstance(left, float) or isinstance(right, float) else (left, right)
        if isinstance(left, str) and isinstance(right, str):
            return left, right
        if isinstance(left, date) and isinstance(right, date) and type(left) is type(right):
            return left, right
        if isinstance(left, date) or isinstance(right, date):
            first, second = self._as_instant(left), self._as_instant(right)
            return None if first is None or second is None else (first, second)
        return None

    def _same_element(self, node: ir.SameElement, environment: _Environment) -> bool:
        left, right = self.value(node.left, environment), self.value(node.right, environment)
        if left is right:
            return left is not None
        first, second = _member(left, "_id"), _member(right, "_id")
        return isinstance(first, str) and first == second

    def _same_list(self, node: ir.SameList, environment: _Environment) -> bool:
        left, right = self.value(node.left, environment), self.value(node.right, environment)
        if left is None or right is None:
            return False
        same = len(left) == len(right) and all(
            self._compares("=", one, other) or (one is None and other is None)
            for one, other in zip(left, right, strict=True)
        )
        return same is not node.negated

    def _one_of(self, node: ir.OneOf, environment: _Environment) -> bool:
        for value in _items(self.value(node.value, environment), node.value.type):
            if value is not None:
                found = any(self._compares("=", value, self.value(one, environment)) for one in node.members)
                if found is not node.negated:
                    return True
        return False

    # Strings

    def _string_test(self, node: ir.StringTest, environment: _Environment) -> bool:
        argument = self.value(node.argument, environment)
        for subject in _items(self.value(node.subject, environment), node.subject.type):
            if isinstance(subject, str) and isinstance(argument, str):
                left, right = (subject, argument) if node.case_sensitive else (fold(subject), fold(argument))
                if _STRING_RELATIONS[node.relation](left, right) is not node.negated:
                    return True
        return False

    def _like(self, node: ir.Like, environment: _Environment) -> bool:
        pattern = self.value(node.pattern, environment)
        for subject in _items(self.value(node.subject, environment), node.subject.type):
            if isinstance(subject, str) and isinstance(pattern, str) and _is_like(subject, pattern):
                return True
        return False

    def _matches(self, node: ir.Matches, environment: _Environment) -> bool:
        for subject in _items(self.value(node.subject, environment), node.subject.type):
            if isinstance(subject, str) and (re.search(node.pattern.python, subject) is not None) is not node.negated:
                return True
        return False

    def _regex_group(self, node: ir.RegexGroup, environment: _Environment) -> Value:
        subject = self.value(node.subject, environment)
        found = re.search(node.pattern.python, subject) if isinstance(subject, str) else None
        return None if found is None else found.group(node.group)

    def _in_segment(self, node: ir.InSegment, _environment: _Environment) -> bool:
        if self._world.segments is not None:
            return node.segment_id in self._world.segments
        membership = _member(_member(_member(self._profile, "segmentMembership"), "ups"), node.segment_id)
        return _member(membership, "status") in {"realized", "existing"}

    # Arrays

    def _tuples(self, bindings: tuple[ir.Binding, ...], environment: _Environment) -> Iterator[_Environment]:
        if not bindings:
            yield environment
            return
        first, rest = bindings[0], bindings[1:]
        for element in self._elements(first.source, environment):
            inner = {**environment, first.variable: element}
            if first.where is None or self.holds(first.where, inner):
                yield from self._tuples(rest, inner)

    def _elements(self, source: ir.Expr, environment: _Environment) -> list[Value]:
        return _as_list(self.value(source, environment))

    def _some(self, node: ir.Some, environment: _Environment) -> bool:
        return any(True for _ in self._tuples(node.bindings, environment))

    def _every(self, node: ir.Every, environment: _Environment) -> bool:
        return all(self.holds(node.condition, inner) for inner in self._tuples(node.bindings, environment))

    def _aggregate(self, node: ir.Aggregate, environment: _Environment) -> Value:
        tuples = self._tuples(node.bindings, environment)
        if node.value is None:
            return sum(1 for _ in tuples)
        values = [self.value(node.value, inner) for inner in tuples]
        return _AGGREGATES[node.function]([value for value in values if value is not None])

    def _kept(self, node: ir.Kept, environment: _Environment) -> Value:
        source = self.value(node.source, environment)
        if source is None:
            return None
        return [one for one in _as_list(source) if self.holds(node.condition, {**environment, node.variable: one})]

    def _mapped(self, node: ir.Mapped, environment: _Environment) -> Value:
        source = self.value(node.source, environment)
        if source is None:
            return None
        made = [self.value(node.body, {**environment, node.variable: one}) for one in _as_list(source)]
        if not node.projects:
            return made
        flat: list[Value] = []
        for one in made:
            flat.extend(one if isinstance(one, list) else [one])
        return [one for one in flat if not _is_absent(one, UnknownType())]

    def _distinct(self, node: ir.Distinct, environment: _Environment) -> Value:
        source = self.value(node.source, environment)
        return None if source is None else _different(source)

    def _ranked(self, node: ir.Ranked, environment: _Environment) -> Value:
        source, size = self.value(node.source, environment), self.value(node.size, environment)
        if source is None or not isinstance(size, int):
            return None
        keyed = [(self.value(node.key, {**environment, node.variable: one}), one) for one in _as_list(source)]
        ranked = sorted((one for one in keyed if one[0] is not None), key=lambda one: one[0], reverse=node.descending)
        ranked += [one for one in keyed if one[0] is None]
        return [one for _, one in ranked[: max(size, 0)]]

    def _head(self, node: ir.Head, environment: _Environment) -> Value:
        return next(iter(self._elements(node.source, environment)), None)

    def _intersection(self, node: ir.Intersection, environment: _Environment) -> Value:
        left, right = self.value(node.left, environment), self.value(node.right, environment)
        if left is None or right is None:
            return None
        return [one for one in _different(left) if self._is_among(one, right)]

    def _set_test(self, node: ir.SetTest, environment: _Environment) -> bool:
        left, right = self.value(node.left, environment), self.value(node.right, environment)
        if left is None or right is None:
            return False
        if node.relation == "intersects":
            return any(self._is_among(one, right) for one in _different(left))
        smaller, larger = (left, right) if node.relation == "subsetOf" else (right, left)
        return all(self._is_among(one, larger) for one in _different(smaller))

    def _contains(self, node: ir.Contains, environment: _Environment) -> bool:
        array, value = self.value(node.array, environment), self.value(node.value, environment)
        if array is None or value is None:
            return False
        return self._is_among(value, _as_list(array)) is not node.negated

    def _is_among(self, value: Value, array: Iterable[Value]) -> bool:
        return any(self._compares("=", value, one) for one in array)

    # Maps

    def _grouped(self, node: ir.Grouped, environment: _Environment) -> Value:
        source = self.value(node.source, environment)
        if source is None:
            return None
        groups: dict[Hashable, list[Value]] = {}
        for one in _as_list(source):
            key = self.value(node.key, {**environment, node.variable: one})
            if key is not None:
                groups.setdefault(key, []).append(one)
        return groups

    def _map_keys(self, node: ir.MapKeys, environment: _Environment) -> Value:
        return list(self._entries(node.map, environment))

    def _map_values(self, node: ir.MapValues, environment: _Environment) -> Value:
        return list(self._entries(node.map, environment).values())

    def _entries(self, map_: ir.Expr, environment: _Environment) -> dict[Hashable, Value]:
        found = self.value(map_, environment)
        if not isinstance(found, Mapping):
            return {}
        type_ = map_.type.value if isinstance(map_.type, MapType) else UnknownType()
        return {key: _typed(value, type_) for key, value in found.items()}

    def _mapped_entries(self, node: ir.MappedEntries, environment: _Environment) -> Value:
        if self.value(node.map, environment) is None:
            return None
        return [
            self.value(node.body, {**environment, node.key: key, node.value: value})
            for key, value in self._entries(node.map, environment).items()
        ]

    def _entry(self, node: ir.Entry, environment: _Environment) -> Value:
        return _Entry(self.value(node.key, environment), self.value(node.value, environment))

    def _entries_to_map(self, node: ir.EntriesToMap, environment: _Environment) -> Value:
        entries = self.value(node.entries, environment)
        return None if entries is None else {one.key: one.value for one in entries if one.key is not None}

    # Chains

    def _chain(self, node: ir.Chain, environment: _Environment) -> bool:
        events = []
        for event in self._elements(node.collection, environment):
            at: Value = event
            for name in node.order_by:
                at = _member(at, name)
            instant = self._as_instant(_parsed_time(at))
            if instant is not None:
                events.append((instant, event))
        events.sort(key=lambda one: one[0])
        return _ChainSearch(self, node, events, environment).succeeds()


class _ChainSearch:
    """The search for an assignment of events to the elements of a chain, with backtracking.

    ``_taken`` holds for each element that gives a bound in time the instants of its first and last event.
    """

    def __init__(
        self, evaluation: _Evaluation, chain: ir.Chain, events: list[tuple[datetime, Value]], environment: _Environment
    ) -> None:
        self._evaluation = evaluation
        self._elements = chain.elements
        self._events = events
        self._environment = environment

    def succeeds(self) -> bool:
        """Return whether some assignment satisfies every element."""
        return self._assign(0, (), self._environment)

    def _assign(self, index: int, taken: tuple[tuple[int, datetime, datetime], ...], environment: _Environment) -> bool:
        if index == len(self._elements):
            return self._counts_hold(taken, environment)
        element = self._elements[index]
        if element.minimum == 0:
            return self._assign(index + 1, taken, environment)
        fitting = self._fitting(element, environment)
        after = taken[-1][2] if taken else None
        for first, event in fitting:
            inner = {**environment, element.variable: event}
            if after is not None and first <= after:
                continue
            if taken and not self._gap_allows(index, after, first):
                continue
            for last in self._last_instants(element, first, fitting):
                if self._assign(index + 1, (*taken, (index, first, last)), inner):
                    return True
        return False

    def _last_instants(
        self, element: ir.ChainElement, first: datetime, fitting: list[tuple[datetime, Value]]
    ) -> list[datetime]:
        """Return where the events of an element can end that begin at ``first``."""
        if element.minimum == 1 and not element.is_exact and not element.every:
            return [first]
        found = []
        for last in sorted({at for at, _ in fitting if at >= first}):
            between = sum(1 for at, _ in fitting if first <= at <= last)
            if between >= element.minimum and (element.maximum is None or between <= element.maximum):
                found.append(last)
        return found

    def _fitting(self, element: ir.ChainElement, environment: _Environment) -> list[tuple[datetime, Value]]:
        return [one for one in self._events if self._fits(element, one[1], environment)]

    def _fits(self, element: ir.ChainElement, event: Value, environment: _Environment) -> bool:
        inner = {**environment, element.variable: event}
        if element.when is not None and not self._evaluation.holds(element.when, inner):
            return False
        return self._evaluation.holds(element.what, inner)

    def _in_window(self, element: ir.ChainElement, event: Value, environment: _Environment) -> bool:
        inner = {**environment, element.variable: event}
        return element.when is None or self._evaluation.holds(element.when, inner)

    def _gap_allows(self, index: int, after: datetime | None, first: datetime) -> bool:
        """Tell whether the gaps since the element before allow a first event at ``first``."""
        gap = self._elements[index].gap
        if gap is None or after is None:
            return True
        return self._within_gap(gap, after, first)

    def _within_gap(self, gap: tuple[Comparator, Duration], after: datetime, at: datetime) -> bool:
        comparator, duration = gap
        test = ir.Within(comparator, duration, "after", ir.Instant(_DATETIME, after))
        return any(self._evaluation._lies_in(at, interval, {}) for interval in times.window(test))

    def _counts_hold(self, taken: tuple[tuple[int, datetime, datetime], ...], environment: _Environment) -> bool:
        return all(
            self._count_holds(index, element, taken, environment)
            for index, element in enumerate(self._elements)
            if element.is_exact or element.every
        )

    def _count_holds(
        self,
        index: int,
        element: ir.ChainElement,
        taken: tuple[tuple[int, datetime, datetime], ...],
        environment: _Environment,
    ) -> bool:
        """Check an element that counts everything between its neighbours."""
        low = next((last for other, _, last in reversed(taken) if other < index), None)
        high = next((first for other, first, _ in taken if other > index), None)
        # Labels of later elements are not in scope here, so the environment may hold more than is read.
        inside = [
            (at, event)
            for at, event in self._events
            if (low is None or at > low)
            and (high is None or at < high)
            and not (element.negated and high is None and at > self._evaluation._world.now)
            and (low is None or element.minimum > 0 or element.gap is None or self._within_gap(element.gap, low, at))
        ]
        in_window = [(at, event) for at, event in inside if self._in_window(element, event, environment)]
        fitting = [(at, event) for at, event in in_window if self._fits(element, event, environment)]
        own = next(((first, last) for other, first, last in taken if other == index), None)
        if own is not None and any(not own[0] <= at <= own[1] for at, _ in fitting):
            return False
        if element.every:
            return bool(fitting) and len(fitting) == len(in_window)
        return len(fitting) >= element.minimum and (element.maximum is None or len(fitting) <= element.maximum)


_DATETIME: Final = Scalar(Primitive.DATETIME)


# Values


def fold(text: str) -> str:
    """Return a text with the differences of letter case removed: each letter to upper case and then to lower case."""
    return "".join(_fold_letter(letter) for letter in text)


def _fold_letter(letter: str) -> str:
    upper = letter.upper()
    upper = upper if len(upper) == 1 else _SINGLE_UPPER.get(letter, letter)
    lower = upper.lower()
    return lower if len(lower) == 1 else _SINGLE_LOWER.get(upper, upper)


_SINGLE_UPPER: Final = {"ß": "ẞ"}
_SINGLE_LOWER: Final = {"İ": "i"}


def _member(value: Value, name: str) -> Value:
    if isinstance(value, list):
        found = [_member(one, name) for one in value]
        return [one for one in found if one is not None]
    return value.get(name) if isinstance(value, Mapping) else None


def _typed(value: Value, type_: Type) -> Value:
    """Return a value read from a document as its type tells, or None when it is not of that type."""
    match type_:
        case Scalar(primitive=primitive):
            return _READERS[primitive](value)
        case ArrayType(element):
            if not isinstance(value, list):
                return None
            return value if isinstance(element, ObjectType | UnknownType) else [_typed(one, element) for one in value]
        case ObjectType() | MapType():
            return value if isinstance(value, Mapping) else None
    return value


def _read_long(value: Value) -> Value:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -(2**63) <= value < 2**63 else None


def _read_double(value: Value) -> Value:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def _parsed_time(value: Value) -> date | datetime | None:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        return None
    try:
        if len(value) == 10:
            return date.fromisoformat(value)
        at = datetime.fromisoformat(value)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _read_date(value: Value) -> date | None:
    found = _parsed_time(value)
    return found.date() if isinstance(found, datetime) else found


def _read_datetime(value: Value) -> datetime | None:
    found = _parsed_time(value)
    return datetime(found.year, found.month, found.day, tzinfo=UTC) if type(found) is date else cast("datetime", found)


_READERS: Final[dict[Primitive, Callable[[Value], Value]]] = {
    Primitive.STRING: lambda value: value if isinstance(value, str) else None,
    Primitive.BOOLEAN: lambda value: value if isinstance(value, bool) else None,
    Primitive.LONG: _read_long,
    Primitive.DOUBLE: _read_double,
    Primitive.DATE: _read_date,
    Primitive.DATETIME: _read_datetime,
}


def _as_time(value: Value) -> date | datetime | None:
    return _parsed_time(value)


def _as_list(value: Value) -> list[Value]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _items(value: Value, type_: Type) -> list[Value]:
    """Return the items to test one by one: those of an array whose type was not known before, else the value."""
    return value if isinstance(value, list) and isinstance(type_, UnknownType) else [value]


def _is_absent(value: Value, type_: Type) -> bool:
    if isinstance(value, Mapping) and not isinstance(type_, MapType):
        return all(_is_absent(one, UnknownType()) for one in value.values())
    return value is None


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _different(values: Iterable[Value]) -> list[Value]:
    return list(dict.fromkeys(value for value in values if value is not None))


def _calculate(operator: str, left: float, right: float) -> int | float | None:
    if operator in "/%" and right == 0:
        return None
    try:
        if operator == "/" or isinstance(left, float) or isinstance(right, float):
            result: int | float = _ON_DOUBLES[operator](float(left), float(right))
            return result if math.isfinite(result) else None
        result = _ON_LONGS[operator](left, right)
    except OverflowError:
        return None
    return result if -(2**63) <= result < 2**63 else None


def _remainder(left: int, right: int) -> int:
    """Return the remainder with the sign of the dividend."""
    return int(math.copysign(1, left)) * (abs(left) % abs(right))


def _is_like(subject: str, pattern: str) -> bool:
    parts = re.findall(r"\\[%_]|.", pattern, re.DOTALL)
    spelled = {"%": ".*", "_": "."}
    regex = "".join(
        spelled.get(part) or re.escape(part.removeprefix("\\") if len(part) > 1 else part) for part in parts
    )
    return re.fullmatch(regex, subject, re.DOTALL) is not None


def _sum(values: list[Any]) -> Value:
    numbers = [value for value in values if _is_number(value)]
    if any(isinstance(value, float) for value in numbers):
        total = math.fsum(numbers)
        return total if math.isfinite(total) else None
    return _read_long(sum(numbers))


def _average(values: list[Any]) -> Value:
    numbers = [value for value in values if _is_number(value)]
    return math.fsum(numbers) / len(numbers) if numbers else None


_AGGREGATES: Final[dict[str, Callable[[list[Any]], Value]]] = {
    "sum": _sum,
    "average": _average,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
}
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}
_STRING_RELATIONS: Final[dict[str, Callable[[str, str], bool]]] = {
    "equals": lambda subject, argument: subject == argument,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": lambda subject, argument: argument in subject,
}
_ON_DOUBLES: Final[dict[str, Callable[[float, float], float]]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "%": math.fmod,
}
_ON_LONGS: Final[dict[str, Callable[[Any, Any], int]]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "%": _remainder,
}
_RULES: Final[dict[type[ir.Expr], Callable[[_Evaluation, Any, _Environment], Value]]] = {
    ir.Constant: _Evaluation._constant,
    ir.ListOf: _Evaluation._list_of,
    ir.ObjectOf: _Evaluation._object_of,
    ir.Reference: _Evaluation._reference,
    ir.Field: _Evaluation._field,
    ir.Related: _Evaluation._related,
    ir.Lookup: _Evaluation._lookup,
    ir.Arithmetic: _Evaluation._arithmetic,
    ir.Conditional: _Evaluation._conditional,
    ir.Let: _Evaluation._let,
    ir.Day: _Evaluation._day,
    ir.Instant: _Evaluation._instant,
    ir.Period: _Evaluation._period,
    ir.DatePart: _Evaluation._date_part,
    ir.Occurs: _Evaluation._occurs,
    ir.And: _Evaluation._and,
    ir.Or: _Evaluation._or,
    ir.Not: _Evaluation._not,
    ir.Truth: _Evaluation._truth,
    ir.IsNull: _Evaluation._is_null,
    ir.Comparison: _Evaluation._comparison,
    ir.SameElement: _Evaluation._same_element,
    ir.SameList: _Evaluation._same_list,
    ir.OneOf: _Evaluation._one_of,
    ir.StringTest: _Evaluation._string_test,
    ir.Like: _Evaluation._like,
    ir.Matches: _Evaluation._matches,
    ir.RegexGroup: _Evaluation._regex_group,
    ir.InSegment: _Evaluation._in_segment,
    ir.Some: _Evaluation._some,
    ir.Every: _Evaluation._every,
    ir.Aggregate: _Evaluation._aggregate,
    ir.Kept: _Evaluation._kept,
    ir.Mapped: _Evaluation._mapped,
    ir.Distinct: _Evaluation._distinct,
    ir.Ranked: _Evaluation._ranked,
    ir.Head: _Evaluation._head,
    ir.Intersection: _Evaluation._intersection,
    ir.SetTest: _Evaluation._set_test,
    ir.Contains: _Evaluation._contains,
    ir.Grouped: _Evaluation._grouped,
    ir.MapKeys: _Evaluation._map_keys,
    ir.MapValues: _Evaluation._map_values,
    ir.MappedEntries: _Evaluation._mapped_entries,
    ir.Entry: _Evaluation._entry,
    ir.EntriesToMap: _Evaluation._entries_to_map,
    ir.Chain: _Evaluation._chain,
}
