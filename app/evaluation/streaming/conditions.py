"""A rule taken apart: conditions on one event, on the profile, on events in order, and how they are joined.

A `Formula` joins conditions by and, or, not. Two rules that hold the same condition share it, since conditions compare
by what they say. What does not come apart this way is a `WholeCondition`: correct, and slow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from app.errors import PublicError
from app.evaluation.streaming.fields import Getter
from app.evaluation.streaming.predicates import (
    MIRRORED,
    Variables,
    events_of,
    is_about,
    key_of,
    number_at,
    references,
)
from app.evaluation.streaming.windows import Window, gap_window, window_of
from app.pql import Checked, ir
from app.pql.ast import Comparator, Duration
from app.pql.types import BOOLEAN

TIMESTAMP = ("timestamp",)


class NotStreamable(PublicError):
    """A rule asks for more than a profile, its events and the time: other records, or other segments."""

    code = "NOT_STREAMABLE"
    title = "The rule cannot be evaluated as records arrive"


@dataclass(frozen=True, slots=True)
class EventCondition:
    """Some event meets ``tests`` and lies in ``window``. ``event`` are the variables that stand for it."""

    key: object
    window: Window
    tests: tuple[ir.Expr, ...] = field(compare=False)
    event: Variables = field(compare=False)
    rule: Checked = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProfileCondition:
    """The profile's attributes meet ``tests``, whatever the time and its events."""

    key: object
    tests: tuple[ir.Expr, ...] = field(compare=False)
    rule: Checked = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ChainElement:
    """An element of a chain whose events are those that meet ``event``; the numbers as in `app.pql.ir.ChainElement`."""

    event: EventCondition
    minimum: int
    maximum: int | None
    is_exact: bool
    negated: bool
    gap: tuple[Comparator, Duration] | None


@dataclass(frozen=True, slots=True)
class ChainCondition:
    """Events in order."""

    elements: tuple[ChainElement, ...]


@dataclass(frozen=True, slots=True)
class SumCondition:
    """The sum of a number over the events that meet ``event`` compares with ``limit``."""

    event: EventCondition
    key: object
    operator: Comparator
    limit: float
    number: Getter = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class WholeCondition:
    """A part of a rule that is asked of the reference evaluator, with the profile and all of its kept events.

    ``windows`` are those in which its events come and go; ``daily`` says that it may change at midnight, ``restless``
    that it may change at any time.
    """

    key: object
    windows: tuple[Window, ...]
    daily: bool
    restless: bool
    root: ir.Expr = field(compare=False)
    rule: Checked = field(compare=False, repr=False)


Condition: TypeAlias = EventCondition | ProfileCondition | ChainCondition | SumCondition | WholeCondition


@dataclass(frozen=True, slots=True)
class Holds:
    """The condition holds."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; true without parts."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Some part holds; false without parts."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Formula


Formula: TypeAlias = Holds | All | AnyOf | Not


def take_apart(rule: Checked) -> Formula:
    """Return a rule as conditions and how they are joined. Raises `NotStreamable`."""
    for node in ir.walk(rule.root):
        if isinstance(node, ir.InSegment):
            raise NotStreamable("The rule refers to another segment", hint="Evaluate it in a segment job.")
        if isinstance(node, ir.Related):
            raise NotStreamable("The rule refers to records of another class", hint="Evaluate it in a segment job.")
    return _formula(rule.root, rule)


def conditions_of(formula: Formula) -> Iterator[Condition]:
    """Yield the conditions that a formula joins, each as often as it stands there."""
    match formula:
        case Holds(condition):
            yield condition
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from conditions_of(part)
        case Not(part):
            yield from conditions_of(part)


def _formula(node: ir.Expr, rule: Checked) -> Formula:
    if is_about(node, frozenset({rule.profile})) and not _reads_events(node, rule):
        return Holds(_profile_condition(node, rule))
    match node:
        case ir.And(operands=operands):
            about = [one for one in operands if _is_static(one, rule)]
            rest = [_formula(one, rule) for one in operands if not _is_static(one, rule)]
            return All((*((Holds(_profile_condition(ir.And(operands=tuple(about)), rule)),) if about else ()), *rest))
        case ir.Or(operands=operands):
            return AnyOf(tuple(_formula(one, rule) for one in operands))
        case ir.Not(operand=operand):
            return Not(_formula(operand, rule))
        case ir.Some():
            return Holds(_event_condition(node, rule) or _whole(node, rule))
        case ir.Chain():
            return Holds(_chain(node, rule) or _whole(node, rule))
        case ir.Comparison(operator, ir.Aggregate() as counted, ir.Constant(value=limit)):
            return _tally(counted, operator, limit, rule) or Holds(_whole(node, rule))
        case ir.Comparison(operator, ir.Constant(value=limit), ir.Aggregate() as counted):
            return _tally(counted, MIRRORED[operator], limit, rule) or Holds(_whole(node, rule))
    return Holds(_whole(node, rule))


def _is_static(node: ir.Expr, rule: Checked) -> bool:
    return is_about(node, frozenset({rule.profile})) and not _reads_events(node, rule)


def _reads_events(node: ir.Expr, rule: Checked) -> bool:
    events = events_of(rule)
    return any(one == events for one in ir.walk(node)) or any(
        one == ir.Reference(rule.profile.type, rule.profile) for one in _bare_references(node)
    )


def _bare_references(node: ir.Expr) -> list[object]:
    """Return references that no field is taken of: the whole of what they stand for is read."""
    taken = {id(one.object) for one in ir.walk(node) if isinstance(one, ir.Field)}
    return [one for one in ir.walk(node) if isinstance(one, ir.Reference) and id(one) not in taken]


def _profile_condition(node: ir.Expr, rule: Checked) -> ProfileCondition:
    tests = _conjuncts(node)
    return ProfileCondition(tuple(sorted(repr(key_of(one)) for one in tests)), tests, rule)


def _conjuncts(node: ir.Expr) -> tuple[ir.Expr, ...]:
    if isinstance(node, ir.And):
        return tuple(inner for one in node.operands for inner in _conjuncts(one))
    return (node,)


# Events -----------------------------------------------------------------------------------------------------------


def _event_condition(node: ir.Some, rule: Checked) -> EventCondition | None:
    """Return the condition that some event meets, or None where more than one event, or the profile, is asked."""
    first, *rest = node.bindings
    found = _filtered(first, rule)
    if found is None:
        return None
    event, conjuncts = found
    if rest:
        conjuncts = (*conjuncts, ir.Some(bindings=tuple(rest)))
    return _condition(conjuncts, event, rule)


def _filtered(binding: ir.Binding, rule: Checked) -> tuple[Variables, tuple[ir.Expr, ...]] | None:
    """Return the variables of an event and what is asked of it, for ``xEvent`` and for filters of it."""
    event = {binding.variable}
    conjuncts = () if binding.where is None else _conjuncts(binding.where)
    source = binding.source
    while isinstance(source, ir.Kept):
        event.add(source.variable)
        conjuncts = (*_conjuncts(source.condition), *conjuncts)
        source = source.source
    return (frozenset(event), conjuncts) if source == events_of(rule) else None


def _condition(
    conjuncts: tuple[ir.Expr, ...], event: Variables, rule: Checked, window: Window | None = None
) -> EventCondition | None:
    window = window or Window()
    tests: list[ir.Expr] = []
    for one in conjuncts:
        found = _window(one, event)
        if found is not None:
            window = window.merged(found)
        elif is_about(one, event) and len(references(one)) <= 1 and not _bare(one, event):
            tests.append(one)
        else:
            return None
    key = tuple(sorted(repr(key_of(one)) for one in tests))
    return EventCondition(key, window, tuple(tests), event, rule)


def _bare(node: ir.Expr, event: Variables) -> bool:
    return any(isinstance(one, ir.Reference) and one.variable in event for one in _bare_references(node))


def _window(node: ir.Expr, event: Variables) -> Window | None:
    match node:
        case ir.Occurs(timestamp=ir.Field(object=ir.Reference(variable=variable), path=path), ignores_year=False) if (
            variable in event and path == TIMESTAMP
        ):
            return window_of(node.test)
    return None


def has_short_gap(gap: tuple[Comparator, Duration] | None) -> bool:
    """Tell whether a gap, if there is one, is a number of days or of shorter units."""
    return gap is None or gap_window(*gap) is not None


def _chain(node: ir.Chain, rule: Checked) -> EventCondition | ChainCondition | None:
    if node.collection != events_of(rule) or node.order_by != TIMESTAMP:
        return None
    if any(one.every for one in node.elements):
        # Such an element also counts events that do not meet it, which have no lane of their own.
        return None
    elements: list[ChainElement] = []
    for one in node.elements:
        variables = frozenset({one.variable})
        window = Window() if one.when is None else _window(one.when, variables)
        event = None if window is None else _condition(_conjuncts(one.what), variables, rule)
        if window is None or event is None or event.window != Window() or not has_short_gap(one.gap):
            return None
        event = EventCondition(event.key, window, event.tests, event.event, rule)
        elements.append(ChainElement(event, one.minimum, one.maximum, one.is_exact, one.negated, gap=one.gap))
    first = elements[0]
    is_single = len(elements) == 1 and first.minimum == 1 and not first.is_exact
    return first.event if is_single and first.event.window != Window() else ChainCondition(tuple(elements))


# Counts and sums --------------------------------------------------------------------------------------------------


def _tally(node: ir.Aggregate, operator: Comparator, limit: object, rule: Checked) -> Formula | None:
    """Return a comparison of a count or a sum over events of one condition; None where it is another one."""
    if len(node.bindings) != 1 or isinstance(limit, bool):
        return None
    found = _filtered(node.bindings[0], rule)
    event = None if found is None else _condition(found[1], found[0], rule)
    if found is None or event is None:
        return None
    if node.function == "count" and node.value is None and isinstance(limit, int):
        return _counted(event, operator, limit)
    number = number_at(node.value, found[0]) if node.function == "sum" and node.value is not None else None
    if number is None or not isinstance(limit, int | float):
        return None
    return Holds(SumCondition(event, repr(key_of(node.value)), operator, limit, number))


def _counted(event: EventCondition, operator: Comparator, limit: int) -> Formula:
    """Return what a comparison of a count says about at least so many events, which is a chain of one element."""
    match operator:
        case ">=":
            return _at_least(event, limit)
        case ">":
            return _at_least(event, limit + 1)
        case "<":
            return Not(_at_least(event, limit))
        case "<=":
            return Not(_at_least(event, limit + 1))
    exactly = All((_at_least(event, limit), Not(_at_least(event, limit + 1))))
    return exactly if operator == "=" else Not(exactly)


def _at_least(event: EventCondition, count: int) -> Formula:
    if count <= 0:
        # Said as a condition on the profile, since a rule without any condition would never be looked at.
        return Holds(_profile_condition(ir.Constant(BOOLEAN, True), event.rule))
    if count == 1:
        return Holds(event)
    return Holds(ChainCondition((ChainElement(event, count, None, is_exact=False, negated=False, gap=None),)))


# The rest ---------------------------------------------------------------------------------------------------------


def _whole(node: ir.Expr, rule: Checked) -> WholeCondition:
    windows: list[Window] = []
    restless = False
    timed: set[int] = set()
    for one in ir.walk(node):
        if isinstance(one, ir.Occurs):
            inside = list(ir.walk(one))
            timed |= {id(inner) for inner in inside}
            if not one.ignores_year and not any(isinstance(inner, ir.Period) for inner in inside):
                continue
            window = _any_event_window(one)
            windows += [window] if window else []
            restless = restless or window is None
        elif isinstance(one, ir.DatePart) and isinstance(one.instant, ir.Period):
            timed.add(id(one.instant))
    periods = [one for one in ir.walk(node) if isinstance(one, ir.Period)]
    loose = [one for one in periods if id(one) not in timed]
    restless = restless or bool(loose)
    root = node if isinstance(node, ir.Predicate) else ir.Truth(value=node)
    return WholeCondition(repr(key_of(node)), tuple(dict.fromkeys(windows)), bool(periods), restless, root, rule)


def _any_event_window(node: ir.Occurs) -> Window | None:
    """Return the window of an event's timestamp; the timestamp must be read of an element, not of the profile."""
    match node.timestamp:
        case ir.Field(object=ir.Reference(variable=variable), path=path) if path == TIMESTAMP and not node.ignores_year:
            return window_of(node.test) if _is_event(variable) else None
    return None


def _is_event(variable: ir.Variable) -> bool:
    return getattr(variable.type, "name", "") == "ExperienceEvent"
