"""Every streaming definition of a sandbox, compiled together.

Each definition has a lane, a bit of a whole number, and so has each condition that several parts of a rule share. The
lanes of simple rules (one event and the profile's attributes, joined by ``and``) come first: for those, the lanes that
hold for the events, and those that hold for the attributes, *are* the membership, for all rules at once. Rules that
join conditions in another way follow, and then the conditions that they join.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from app.evaluation.streaming.chains import ChainTest
from app.evaluation.streaming.conditions import (
    All,
    AnyOf,
    ChainCondition,
    Condition,
    EventCondition,
    Formula,
    Holds,
    Not,
    ProfileCondition,
    WholeCondition,
    take_apart,
)
from app.evaluation.streaming.fields import to_datetime
from app.evaluation.streaming.index import DocumentIndex, Wanted
from app.evaluation.streaming.windows import Window
from app.pql import Checked, ir
from app.pql.reference import matches

_REMEMBERED: Final = 20_000

Truth = Callable[[int], bool]
"""Lanes that hold in, whether a rule holds out."""


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """The lanes of one window that an event meets. ``chains`` are those whose events come and go with the window."""

    window_no: int
    window: Window
    lanes: int
    chains: tuple[Chain, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """What one event meets. Events that meet the same share one of these."""

    lanes: int
    slots: tuple[Slot, ...]
    chains: tuple[Chain, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """A chain and its own lane."""

    bit: int
    test: ChainTest


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """A condition that the reference is asked about, and its own lane."""

    bit: int
    condition: WholeCondition
    rule: Checked

    def holds(self, profile: Mapping[str, Any], now: int) -> bool:
        """Ask the reference about a profile with its events."""
        return matches(self.rule, profile, to_datetime(now))


@dataclass(slots=True)
class _Lanes:
    """Conditions by lane, given out in the order in which they are asked for."""

    first: int
    given: dict[Condition, int] = field(default_factory=dict)

    def of(self, condition: Condition) -> int:
        return self.given.setdefault(condition, self.first + len(self.given))


class Rules:
    """The compiled definitions. Immutable; another set of definitions is another one of these.

    ``segment_ids`` are the definitions by lane, ``lanes`` the lanes by definition. Masks: ``simple`` are the lanes of
    simple rules, ``eventless`` those of them that ask about no event, ``others`` the lanes of all other rules,
    ``joined`` those of the conditions that other rules join.
    """

    def __init__(self, definitions: Mapping[str, Checked]) -> None:
        """Compile. Raises `NotStreamable` for a rule that asks for other records or segments."""
        apart = {segment_id: take_apart(rule) for segment_id, rule in definitions.items()}
        simple = {one: found for one, formula in apart.items() if (found := _simple(formula)) is not None}
        self.segment_ids = (*simple, *(one for one in apart if one not in simple))
        self.lanes = {segment_id: lane for lane, segment_id in enumerate(self.segment_ids)}
        self.simple = (1 << len(simple)) - 1
        self.others = (1 << len(self.segment_ids)) - 1 & ~self.simple
        self.eventless = sum(1 << lane for lane, (event, _) in enumerate(simple.values()) if event is None)
        lanes = _Lanes(len(self.segment_ids))
        joins = [(len(simple) + n, apart[one]) for n, one in enumerate(self.segment_ids[len(simple) :])]
        for _, formula in joins:
            for condition in _conditions(formula):
                lanes.of(condition)
        self._compile_conditions(dict(enumerate(simple.values())), lanes)
        self._joins = [(1 << lane, _truth(formula, lanes)) for lane, formula in joins]
        self._by_condition: dict[int, list[int]] = {}
        for number, (_, formula) in enumerate(joins):
            for condition in _conditions(formula):
                self._by_condition.setdefault(lanes.of(condition), []).append(number)
        self.joined = sum(1 << lane for lane in lanes.given.values())
        self._affected: OrderedDict[int, list[tuple[int, Truth]]] = OrderedDict()
        self._matches: dict[int, Match] = {}
        self._slots: dict[tuple[int, int], Slot] = {}

    def _compile_conditions(
        self, simple: Mapping[int, tuple[EventCondition | None, tuple[ProfileCondition, ...]]], lanes: _Lanes
    ) -> None:
        events = {lane: event for lane, (event, _) in simple.items() if event is not None}
        facts = {lane: tuple(test for one in found for test in one.tests) for lane, (_, found) in simple.items()}
        rules = {lane: found[0].rule for lane, (_, found) in simple.items() if found}
        chains: list[Chain] = []
        wholes: list[Whole] = []
        # Elements of chains get lanes while chains are compiled, so the conditions grow on the way.
        waiting = list(lanes.given.items())
        while waiting:
            condition, lane = waiting.pop()
            match condition:
                case EventCondition():
                    events[lane] = condition
                case ProfileCondition():
                    facts[lane], rules[lane] = condition.tests, condition.rule
                case ChainCondition():
                    known = len(lanes.given)
                    parts = [lanes.of(element.event) for element in condition.elements]
                    waiting += list(lanes.given.items())[known:]
                    chains.append(Chain(1 << lane, ChainTest(condition.elements, parts)))
                case WholeCondition():
                    rule = _with_root(condition)
                    wholes.append(Whole(1 << lane, condition, rule))
        self._events = DocumentIndex(
            {lane: Wanted(one.tests, one.event, one.rule) for lane, one in events.items()}, by_type=True
        )
        self._facts = DocumentIndex(
            {lane: _about_profile(tests, rules.get(lane)) for lane, tests in facts.items()}, by_type=False
        )
        by_window: dict[Window, int] = {}
        for lane, one in events.items():
            by_window[one.window] = by_window.get(one.window, 0) | 1 << lane
        self._windows = tuple(by_window.items())
        self.chains = tuple(chains)
        self.wholes = tuple(wholes)
        self.reads_facts = any(facts.values()) or bool(wholes)

    def facts(self, attributes: Mapping[str, Any]) -> int:
        """Return the lanes that a profile's attributes meet."""
        return self._facts.match(attributes)

    def match(self, event: Mapping[str, Any]) -> Match:
        """Return what an event meets, whatever the time."""
        lanes = self._events.match(event)
        found = self._matches.get(lanes)
        if found is None:
            if len(self._matches) >= _REMEMBERED:
                self._matches.clear()
            found = self._matches[lanes] = self._match(lanes)
        return found

    def _match(self, lanes: int) -> Match:
        slots = [
            self._slot(number, window, lanes & of_window)
            for number, (window, of_window) in enumerate(self._windows)
            if lanes & of_window
        ]
        return Match(lanes, tuple(slots), self._chains_of(lanes))

    def _slot(self, number: int, window: Window, lanes: int) -> Slot:
        slot = self._slots.get((number, lanes))
        if slot is None:
            slot = self._slots[number, lanes] = Slot(number, window, lanes, self._chains_of(lanes))
        return slot

    def _chains_of(self, lanes: int) -> tuple[Chain, ...]:
        return tuple(chain for chain in self.chains if chain.test.lanes & lanes)

    def affected(self, conditions: int) -> list[tuple[int, Truth]]:
        """Return the rules, as (lane's bit, truth), that join any of these conditions."""
        found = self._affected.get(conditions)
        if found is None:
            numbers = {number for lane in lanes_of(conditions) for number in self._by_condition.get(lane, ())}
            if len(self._affected) >= _REMEMBERED:
                self._affected.popitem(last=False)
            found = self._affected[conditions] = [self._joins[number] for number in sorted(numbers)]
        return found

    @property
    def joins(self) -> list[tuple[int, Truth]]:
        """All rules that are not simple."""
        return self._joins

    @property
    def reach_us(self) -> int:
        """How long after an event some rule may still ask for it; `NEVER` where a window has no end."""
        windows = [window for window, _ in self._windows]
        windows += [window for whole in self.wholes for window in whole.condition.windows or (Window(),)]
        return max((window.reach for window in windows), default=0)


def lanes_of(mask: int) -> Iterator[int]:
    """Yield the lanes of a mask, lowest first."""
    digits = f"{mask:b}"[::-1]
    lane = digits.find("1")
    while lane >= 0:
        yield lane
        lane = digits.find("1", lane + 1)


def _simple(formula: Formula) -> tuple[EventCondition | None, tuple[ProfileCondition, ...]] | None:
    """Return the one event and the attributes of a rule that asks for nothing else, all joined by ``and``."""
    events: list[EventCondition] = []
    facts: list[ProfileCondition] = []
    waiting: list[Formula] = [formula]
    while waiting:
        match waiting.pop():
            case All(parts):
                waiting += parts
            case Holds(EventCondition() as event):
                events.append(event)
            case Holds(ProfileCondition() as fact):
                facts.append(fact)
            case _:
                return None
    return (events[0] if events else None, tuple(facts)) if len(events) <= 1 else None


def _conditions(formula: Formula) -> Iterator[Condition]:
    match formula:
        case Holds(condition):
            yield condition
        case All(parts) | AnyOf(parts):
            for part in parts:
                yield from _conditions(part)
        case Not(part):
            yield from _conditions(part)


def _truth(formula: Formula, lanes: _Lanes) -> Truth:
    """Return a formula as a closure over the lanes that hold."""
    match formula:
        case Holds(condition):
            bit = 1 << lanes.of(condition)
            return lambda mask: bool(mask & bit)
        case Not(Holds(condition)):
            absent = 1 << lanes.of(condition)
            return lambda mask: not mask & absent
        case Not(part):
            negated = _truth(part, lanes)
            return lambda mask: not negated(mask)
        case AnyOf(parts):
            some = tuple(_truth(part, lanes) for part in parts)
            return lambda mask: any(one(mask) for one in some)
        case All(parts):
            return _conjunction(parts, lanes)


def _conjunction(parts: tuple[Formula, ...], lanes: _Lanes) -> Truth:
    required = forbidden = 0
    rest: list[Truth] = []
    for part in parts:
        match part:
            case Holds(condition):
                required |= 1 << lanes.of(condition)
            case Not(Holds(condition)):
                forbidden |= 1 << lanes.of(condition)
            case _:
                rest.append(_truth(part, lanes))
    if not rest:
        return lambda mask: mask & required == required and not mask & forbidden
    return lambda mask: mask & required == required and not mask & forbidden and all(one(mask) for one in rest)


def _about_profile(tests: Iterable[ir.Expr], rule: Checked | None) -> Wanted:
    if rule is None:
        return Wanted((), frozenset(), None)  # type: ignore[arg-type]  # a lane that asks nothing needs no rule
    return Wanted(tuple(tests), frozenset({rule.profile}), rule)


def _with_root(condition: WholeCondition) -> Checked:
    rule = condition.rule
    root = condition.root if isinstance(condition.root, ir.Predicate) else ir.Truth(value=condition.root)
    return Checked(rule.query, root, rule.profile, rule.diagnostics)
