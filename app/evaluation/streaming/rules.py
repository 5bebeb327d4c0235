"""Every streaming definition of a sandbox, compiled together.

Each definition has a lane, a bit of a whole number, and so has each condition that several parts of a rule share. The
lanes of simple rules (one event and the profile's attributes, joined by ``and``) come first: for those, the lanes that
hold for the events, and those that hold for the attributes, *are* the membership, for all rules at once. Rules that
join conditions in another way follow, and then the conditions that they join.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.evaluation.streaming.chains import ChainTest, SumTest
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
    SumCondition,
    WholeCondition,
    conditions_of,
    take_apart,
)
from app.evaluation.streaming.fields import to_datetime
from app.evaluation.streaming.index import DocumentIndex, Wanted
from app.evaluation.streaming.windows import Window
from app.pql import Checked, ir
from app.pql.reference import matches

_REMEMBERED: Final = 20_000

Affected = tuple[int, list[tuple[int, "Truth"]]]
"""Rules as (lane's bit, truth), and the bits of all of them together."""

Truth = Callable[[int], bool]
"""Joined conditions that hold in (their lanes less `Rules.first_joined`), whether a rule holds out."""


@dataclass(frozen=True, slots=True, eq=False)
class InWindow:
    """The lanes that an event meets in one window. ``searched`` are chains that change when it comes or goes."""

    window_no: int
    window: Window
    lanes: int
    searched: tuple[Chain, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """What one event meets. Events that meet the same share one of these.

    ``chains`` are all that have a place for it, ``decisive`` those of them that it can change when no event is later.
    ``summed`` are the tests that add up a number of it.
    """

    lanes: int
    windows: tuple[InWindow, ...]
    chains: tuple[Chain, ...]
    decisive: tuple[Chain, ...]
    summed: tuple[SumTest, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """A chain, or a sum, and its own lane's bit. ``needed`` and ``ending`` are those of the test, at hand."""

    bit: int
    test: ChainTest | SumTest
    needed: int
    ending: int


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

    def joined_bit(self, condition: Condition) -> int:
        """Return the bit of a condition among the joined ones alone, which are far fewer than all lanes."""
        return 1 << (self.of(condition) - self.first)


@dataclass(frozen=True, slots=True)
class _Simple:
    """A rule that asks for one condition on events at most, perhaps not to hold, and for attributes."""

    condition: EventCondition | ChainCondition | SumCondition | WholeCondition | None
    negated: bool
    facts: tuple[ProfileCondition, ...]


@dataclass(slots=True)
class _Compiled:
    """Conditions by lane while they are collected. A chain, and a whole condition, may have several lanes' bits."""

    lanes: _Lanes
    events: dict[int, EventCondition] = field(default_factory=dict)
    facts: dict[int, tuple[ProfileCondition, ...]] = field(default_factory=dict)
    chains: dict[ChainCondition | SumCondition, int] = field(default_factory=dict)
    wholes: dict[WholeCondition, int] = field(default_factory=dict)

    def add(self, lane: int, condition: Condition) -> None:
        match condition:
            case EventCondition():
                self.events[lane] = condition
            case ProfileCondition():
                self.facts[lane] = (condition,)
            case ChainCondition() | SumCondition():
                self.chains[condition] = self.chains.get(condition, 0) | 1 << lane
            case WholeCondition():
                self.wholes[condition] = self.wholes.get(condition, 0) | 1 << lane

    def compiled_chains(self) -> tuple[Chain, ...]:
        """Compile the chains; their elements get lanes of their own."""
        found = []
        for condition, bits in self.chains.items():
            if isinstance(condition, SumCondition):
                events, lanes = [condition.event], [self.lanes.of(condition.event)]
                test: ChainTest | SumTest = SumTest(condition, lanes[0])
            else:
                events = [element.event for element in condition.elements]
                lanes = [self.lanes.of(event) for event in events]
                test = ChainTest(condition.elements, lanes)
            for lane, event in zip(lanes, events, strict=True):
                self.add(lane, event)
            found.append(Chain(bits, test, test.needed, test.ending))
        return tuple(found)


class Rules:
    """The compiled definitions. Immutable; another set of definitions is another one of these.

    ``segment_ids`` are the definitions by lane, ``lanes`` the lanes by definition. Masks: ``simple`` are the lanes of
    simple rules, ``eventless`` those of them that ask about no event, ``inverted`` those whose condition on events must
    not hold, ``others`` the lanes of all other rules, ``joined`` those of the conditions that other rules join.
    """

    def __init__(self, definitions: Mapping[str, Checked]) -> None:
        """Compile. Raises `NotStreamable` for a rule that asks for other records or segments."""
        apart = {segment_id: take_apart(rule) for segment_id, rule in definitions.items()}
        simple = {one: found for one, formula in apart.items() if (found := _simple(formula)) is not None}
        self.segment_ids = (*simple, *(one for one in apart if one not in simple))
        self.lanes = {segment_id: lane for lane, segment_id in enumerate(self.segment_ids)}
        self.simple = (1 << len(simple)) - 1
        self.others = (1 << len(self.segment_ids)) - 1 & ~self.simple
        self.eventless = sum(1 << lane for lane, one in enumerate(simple.values()) if one.condition is None)
        self.inverted = sum(1 << lane for lane, one in enumerate(simple.values()) if one.negated)
        compiled = _Compiled(_Lanes(len(self.segment_ids)))
        for lane, one in enumerate(simple.values()):
            compiled.facts[lane] = one.facts
            if one.condition is not None:
                compiled.add(lane, one.condition)
        self._join([apart[one] for one in self.segment_ids[len(simple) :]], compiled)
        self._index(compiled)
        self._matches: dict[int, Match] = {}
        self._chain_sets: dict[int, tuple[Chain, ...]] = {}

    def _join(self, formulas: Sequence[Formula], compiled: _Compiled) -> None:
        lanes = compiled.lanes
        self.first_joined = lanes.first
        self._by_condition: dict[int, list[int]] = {}
        for number, formula in enumerate(formulas):
            for condition in conditions_of(formula):
                self._by_condition.setdefault(lanes.of(condition) - lanes.first, []).append(number)
        self.joined = sum(1 << lane for lane in lanes.given.values())
        first = len(self.segment_ids) - len(formulas)
        self._joins = [(1 << first + number, _truth(formula, lanes)) for number, formula in enumerate(formulas)]
        self._affected: OrderedDict[int, Affected] = OrderedDict()
        for condition, lane in lanes.given.items():
            compiled.add(lane, condition)

    def _index(self, compiled: _Compiled) -> None:
        self.chains = compiled.compiled_chains()
        self.unneeding_chains = tuple(chain for chain in self.chains if not chain.needed)
        self.wholes = tuple(Whole(bits, one, _with_root(one)) for one, bits in compiled.wholes.items())
        self._by_chain_lane: dict[int, list[Chain]] = {}
        for chain in self.chains:
            for lane in lanes_of(chain.test.lanes):
                self._by_chain_lane.setdefault(lane, []).append(chain)
        self._chain_lanes = sum(1 << lane for lane in self._by_chain_lane)
        events = {lane: Wanted(one.tests, one.event, one.rule) for lane, one in compiled.events.items()}
        self._events = DocumentIndex(events, by_type=True)
        self._facts = DocumentIndex({lane: _wanted(facts) for lane, facts in compiled.facts.items()}, by_type=False)
        by_window: dict[Window, int] = {}
        for lane, event in compiled.events.items():
            by_window[event.window] = by_window.get(event.window, 0) | 1 << lane
        self._windows = tuple(by_window.items())

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
        chains = self._chains_of(lanes & self._chain_lanes)
        searched = [chain for chain in chains if not chain.test.is_ordered]
        windows = [
            InWindow(number, window, inside, tuple(one for one in searched if one.test.lanes & inside))
            for number, (window, of_window) in enumerate(self._windows)
            if (inside := lanes & of_window)
        ]
        decisive = tuple(one for one in chains if one.test.decisive & lanes)
        summed = tuple(one.test for one in chains if isinstance(one.test, SumTest))
        return Match(lanes, tuple(windows), chains, decisive, summed)

    def _chains_of(self, lanes: int) -> tuple[Chain, ...]:
        found = self._chain_sets.get(lanes)
        if found is None:
            if len(self._chain_sets) >= _REMEMBERED:
                self._chain_sets.clear()
            chains = (chain for lane in lanes_of(lanes) for chain in self._by_chain_lane[lane])
            found = self._chain_sets[lanes] = tuple(dict.fromkeys(chains))
        return found

    def affected(self, conditions: int) -> Affected:
        """Return the rules that join any of these conditions, which are numbered among the joined."""
        found = self._affected.get(conditions)
        if found is None:
            numbers = {number for lane in lanes_of(conditions) for number in self._by_condition.get(lane, ())}
            rules = [self._joins[number] for number in sorted(numbers)]
            if len(self._affected) >= _REMEMBERED:
                self._affected.popitem(last=False)
            found = self._affected[conditions] = (sum(bit for bit, _ in rules), rules)
        return found

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


def _simple(formula: Formula) -> _Simple | None:
    """Return the form of a rule that joins one condition on events, and attributes, by ``and`` alone."""
    found: list[tuple[EventCondition | ChainCondition | SumCondition | WholeCondition, bool]] = []
    facts: list[ProfileCondition] = []
    waiting: list[Formula] = [formula]
    while waiting:
        match waiting.pop():
            case All(parts):
                waiting += parts
            case Holds(ProfileCondition() as fact):
                facts.append(fact)
            case Holds(condition) if not isinstance(condition, ProfileCondition):
                found.append((condition, False))
            case Not(Holds(condition)) if not isinstance(condition, ProfileCondition):
                found.append((condition, True))
            case _:
                return None
    if len(found) > 1:
        return None
    if not found:
        return _Simple(None, negated=False, facts=tuple(facts))
    return _Simple(*found[0], tuple(facts))


def _truth(formula: Formula, lanes: _Lanes) -> Truth:
    """Return a formula as a closure over the lanes that hold."""
    match formula:
        case Holds(condition):
            bit = lanes.joined_bit(condition)
            return lambda mask: bool(mask & bit)
        case Not(Holds(condition)):
            absent = lanes.joined_bit(condition)
            return lambda mask: not mask & absent
        case Not(part):
            negated = _truth(part, lanes)
            return lambda mask: not negated(mask)
        case AnyOf(parts) if all(isinstance(part, Holds) for part in parts):
            union = sum({lanes.joined_bit(part.condition) for part in parts if isinstance(part, Holds)})
            return lambda mask: bool(mask & union)
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
                required |= lanes.joined_bit(condition)
            case Not(Holds(condition)):
                forbidden |= lanes.joined_bit(condition)
            case _:
                rest.append(_truth(part, lanes))
    if len(rest) == 1:
        (last,) = rest
        return lambda mask: mask & required == required and not mask & forbidden and last(mask)
    if not rest:
        return lambda mask: mask & required == required and not mask & forbidden
    return lambda mask: mask & required == required and not mask & forbidden and all(one(mask) for one in rest)


def _wanted(facts: tuple[ProfileCondition, ...]) -> Wanted:
    """Return what several conditions on the attributes, all of one rule, ask of them together."""
    tests = tuple(test for one in facts for test in one.tests)
    return Wanted(tests, frozenset({facts[0].rule.profile}) if facts else frozenset(), facts[0].rule if facts else None)


def _with_root(condition: WholeCondition) -> Checked:
    rule = condition.rule
    root = condition.root if isinstance(condition.root, ir.Predicate) else ir.Truth(value=condition.root)
    return Checked(rule.query, root, rule.profile, rule.diagnostics)
