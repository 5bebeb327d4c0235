"""The checked tree: every name is resolved, every node has a type, every shorthand is spelled out.

A pass over it needs no other input. ``productListItems.SKU = "LUMA-11"`` on the events of a profile, which compares
each item of an array, is here::

    Some
    ├── Binding(v1 in Project(Field(profile, xEvent), v2: Field(v2, productListItems)), v3: Field(v3, SKU))
    └── Comparison("=", v1, Constant("LUMA-11"))

Implicit scopes, ``this``, ``^`` and ``$1`` are all `Variable` references. A predicate is never null: where one is
computed from nulls it is false (`reference` and `sql` both hold to that).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from typing import Literal, TypeAlias

from app.pql.ast import Comparator, Direction, Duration
from app.pql.regex import Pattern
from app.pql.spans import NOWHERE, Span
from app.pql.types import BOOLEAN, Type


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """Something a name stands for: the profile, an element, a group, a value of ``let``. Compared by identity."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Expr:
    """A value. ``span`` is where it stands in the text."""

    type: Type
    span: Span = field(default=NOWHERE, compare=False, repr=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Predicate(Expr):
    """A value that is true or false and never null."""

    type: Type = field(default=BOOLEAN, kw_only=True)


# Values


@dataclass(frozen=True, slots=True)
class Constant(Expr):
    """A literal."""

    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class ListOf(Expr):
    """A list of values."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class ObjectOf(Expr):
    """An object made in the rule."""

    members: tuple[tuple[str, Expr], ...]


@dataclass(frozen=True, slots=True)
class Reference(Expr):
    """The value of a variable."""

    variable: Variable


@dataclass(frozen=True, slots=True)
class Field(Expr):
    """A field of an object; ``path`` leads through objects only, never through an array or a map."""

    object: Expr
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Related(Expr):
    """The record of a class whose primary identity is ``key``; null when there is none."""

    key: Expr
    class_name: str


@dataclass(frozen=True, slots=True)
class Lookup(Expr):
    """The value of a map at a key; null when it is absent."""

    map: Expr
    key: Expr


@dataclass(frozen=True, slots=True)
class Arithmetic(Expr):
    """Arithmetic on numbers; null in, null out. Division by zero and integers beyond 64 bits are null."""

    operator: Literal["+", "-", "*", "/", "%"]
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Conditional(Expr):
    """``if(condition, then, otherwise)``."""

    condition: Expr
    then: Expr
    otherwise: Expr


@dataclass(frozen=True, slots=True)
class Let(Expr):
    """A name for a value within ``body``."""

    variable: Variable
    value: Expr
    body: Expr


# Time


@dataclass(frozen=True, slots=True)
class Day(Expr):
    """``date(2024, 2, 29)``: a calendar day of the evaluation's zone; as an instant, its start."""

    day: date


@dataclass(frozen=True, slots=True)
class Instant(Expr):
    """A fixed instant, in UTC."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Period(Expr):
    """``now``, or a calendar unit near it: the one ``offset`` units after the one that holds now.

    ``is_today`` sets the word ``today`` apart from ``this day``: as a reference it always means its start.
    """

    unit: str | None
    offset: int
    is_today: bool = False


DatePartName: TypeAlias = Literal["year", "month", "day"]


@dataclass(frozen=True, slots=True)
class DatePart(Expr):
    """The year, the month (1 to 12) or the day of the month (1 to 31) of an instant, in the evaluation's zone."""

    part: DatePartName
    instant: Expr


@dataclass(frozen=True, slots=True)
class Within:
    """``<= 14 days before R``."""

    comparator: Comparator
    duration: Duration
    direction: Direction
    reference: Expr


@dataclass(frozen=True, slots=True)
class Beyond:
    """``before R``, ``after R``."""

    direction: Literal["before", "after"]
    reference: Expr


@dataclass(frozen=True, slots=True)
class Between:
    """``between A and B``."""

    start: Expr
    end: Expr


@dataclass(frozen=True, slots=True)
class During:
    """``this month``."""

    period: Expr


TimeTest: TypeAlias = Within | Beyond | Between | During


@dataclass(frozen=True, slots=True)
class Occurs(Predicate):
    """A timestamp against a time test; ``ignores_year`` compares day and month only."""

    timestamp: Expr
    test: TimeTest
    ignores_year: bool = False


# Predicates


@dataclass(frozen=True, slots=True)
class And(Predicate):
    """Every operand holds. Operands are predicates."""

    operands: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Or(Predicate):
    """Some operand holds. Operands are predicates."""

    operands: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Not(Predicate):
    """The operand, a predicate, does not hold."""

    operand: Expr


@dataclass(frozen=True, slots=True)
class Truth(Predicate):
    """A Boolean value as a predicate: null is false."""

    value: Expr


@dataclass(frozen=True, slots=True)
class IsNull(Predicate):
    """The value is absent."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Comparison(Predicate):
    """Two scalars of kinds that compare; false when either is null."""

    operator: Comparator
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class SameElement(Predicate):
    """Two variables stand for the same element of an array."""

    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class SameList(Predicate):
    """Two arrays of scalars hold the same values in the same order; false when either is null, negated or not."""

    left: Expr
    right: Expr
    negated: bool = False


@dataclass(frozen=True, slots=True)
class OneOf(Predicate):
    """The value is among constants; false when it is null. ``negated`` is ``notIn``, false on null as well."""

    value: Expr
    members: tuple[Constant | Day | Instant, ...]
    negated: bool = False


StringRelation: TypeAlias = Literal["equals", "startsWith", "endsWith", "contains"]


@dataclass(frozen=True, slots=True)
class StringTest(Predicate):
    """Two strings; false when either is null, negated or not."""

    relation: StringRelation
    subject: Expr
    argument: Expr
    case_sensitive: bool = True
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Like(Predicate):
    """``%`` and ``_`` as wildcards, anchored at both ends; a backslash before them makes them plain."""

    subject: Expr
    pattern: Expr


@dataclass(frozen=True, slots=True)
class Matches(Predicate):
    """The pattern is found somewhere in the subject; ``negated`` is false on null as well."""

    subject: Expr
    pattern: Pattern
    negated: bool = False


@dataclass(frozen=True, slots=True)
class RegexGroup(Expr):
    """What a group of the pattern took in the first place found; null when there is none."""

    subject: Expr
    pattern: Pattern
    group: int


@dataclass(frozen=True, slots=True)
class InSegment(Predicate):
    """The profile is in another segment now."""

    segment_id: str


# Arrays


@dataclass(frozen=True, slots=True)
class Binding:
    """A variable that stands for each element of ``source`` that meets ``where``."""

    variable: Variable
    source: Expr
    where: Expr | None = None


@dataclass(frozen=True, slots=True)
class Tuples(Expr):
    """``select``: the tuples that qualify. Only `Some` and ``count`` read them, so no pass ever meets one."""

    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class Some(Predicate):
    """Some tuple of elements qualifies."""

    bindings: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class Every(Predicate):
    """Every tuple of elements meets ``condition``; true when there are none."""

    bindings: tuple[Binding, ...]
    condition: Expr


@dataclass(frozen=True, slots=True)
class Aggregate(Expr):
    """A number (or least, greatest value) over tuples; ``value`` is None for ``count``."""

    function: Literal["count", "sum", "average", "min", "max"]
    bindings: tuple[Binding, ...]
    value: Expr | None


@dataclass(frozen=True, slots=True)
class Kept(Expr):
    """``source[condition]``."""

    source: Expr
    variable: Variable
    condition: Expr


@dataclass(frozen=True, slots=True)
class Mapped(Expr):
    """An array made from each element.

    ``projects`` is ``array.field``: nulls are dropped, and a body that is an array is flattened. Otherwise it is
    ``.map(body)``, which keeps one value for each element.
    """

    source: Expr
    variable: Variable
    body: Expr
    projects: bool


@dataclass(frozen=True, slots=True)
class Distinct(Expr):
    """The different values of an array of scalars, nulls left out, in order of first appearance."""

    source: Expr


@dataclass(frozen=True, slots=True)
class Ranked(Expr):
    """The first ``size`` elements in the order of ``key``; nulls last, ties in the order of the source."""

    source: Expr
    variable: Variable
    key: Expr
    size: Expr
    descending: bool


@dataclass(frozen=True, slots=True)
class Head(Expr):
    """The first element; null when there is none."""

    source: Expr


@dataclass(frozen=True, slots=True)
class Intersection(Expr):
    """The different values of ``left`` that are in ``right``; null when either is null."""

    left: Expr
    right: Expr


SetRelation: TypeAlias = Literal["intersects", "subsetOf", "supersetOf"]


@dataclass(frozen=True, slots=True)
class SetTest(Predicate):
    """Two arrays of scalars as sets, nulls left out; false when either is null."""

    relation: SetRelation
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Contains(Predicate):
    """A scalar is among the values of an array; false when either is null. ``negated`` is ``notIn``."""

    array: Expr
    value: Expr
    negated: bool = False


# Maps


@dataclass(frozen=True, slots=True)
class Grouped(Expr):
    """The elements by ``key``: a map from each key to the array of its elements; null keys are left out."""

    source: Expr
    variable: Variable
    key: Expr


@dataclass(frozen=True, slots=True)
class MapKeys(Expr):
    """The keys of a map."""

    map: Expr


@dataclass(frozen=True, slots=True)
class MapValues(Expr):
    """The values of a map."""

    map: Expr


@dataclass(frozen=True, slots=True)
class MappedEntries(Expr):
    """An array made from each entry of a map."""

    map: Expr
    key: Variable
    value: Variable
    body: Expr


@dataclass(frozen=True, slots=True)
class Entry(Expr):
    """``mapEntry(key, value)``."""

    key: Expr
    value: Expr


@dataclass(frozen=True, slots=True)
class EntriesToMap(Expr):
    """The map of an array of entries; of several entries with one key the last counts."""

    entries: Expr


# Chains


@dataclass(frozen=True, slots=True)
class ChainElement:
    """One element. ``when`` is the window as a predicate on ``variable``.

    ``minimum`` and ``maximum`` bound the number of events (None is open). ``is_exact`` says that all events between
    the neighbours are counted; otherwise some ``minimum`` of them are taken. ``every`` is ``COUNT(all)``.
    """

    variable: Variable
    what: Expr
    when: Expr | None
    minimum: int
    maximum: int | None
    is_exact: bool
    every: bool
    negated: bool
    gap: tuple[Comparator, Duration] | None


@dataclass(frozen=True, slots=True)
class Chain(Predicate):
    """Events in order; ``order_by`` is the path of the ordering field in an event."""

    collection: Expr
    order_by: tuple[str, ...]
    elements: tuple[ChainElement, ...]


@dataclass(frozen=True, slots=True)
class Invalid(Expr):
    """Stands where a diagnostic was given; a tree that holds one never leaves the checker."""


def children(node: object) -> Iterator[object]:
    """Yield what is directly below a node of this module: expressions, bindings, chain elements, time tests."""
    for name in _node_fields(type(node)):  # type: ignore[arg-type]  # every class is hashable
        value = getattr(node, name)
        if isinstance(value, _NODES):
            yield value
        elif isinstance(value, tuple):
            yield from _nodes_in(value)


def walk(root: object) -> Iterator[object]:
    """Yield ``root`` and everything below it, without recursion, parents before children, in order."""
    waiting = [root]
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(reversed(list(children(current))))


def _nodes_in(values: tuple[object, ...]) -> Iterator[object]:
    for value in values:
        if isinstance(value, _NODES):
            yield value
        elif isinstance(value, tuple):
            yield from _nodes_in(value)


_NODES = (Expr, Binding, ChainElement, Within, Beyond, Between, During)


@cache
def _node_fields(kind: type) -> tuple[str, ...]:
    return tuple(name for name in getattr(kind, "__dataclass_fields__", {}) if name not in {"type", "span"})
