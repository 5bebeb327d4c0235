"""All conditions on one kind of document at once: a document in, one bit for each condition that it meets out.

Every condition has a lane, a bit of a whole number. For each field that conditions ask about there is a channel: a
value of the field in, the lanes that this value does not rule out, out. What a channel finds is remembered by value, so
that a thousand conditions on one field cost one look-up. The document meets the conditions whose lanes all channels
leave in. Conditions that name event types are kept apart by type, so that an event meets its own type's channels only.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from app.evaluation.streaming.fields import Getter, getter
from app.evaluation.streaming.predicates import FieldTest, Test, Variables, document_test, field_test, key_of
from app.pql import Checked, ir

EVENT_TYPE: Final = ("eventType",)
_REMEMBERED_VALUES: Final = 4_096
_REMEMBERED_TYPES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a lane asks of a document: all of the tests. A lane that asks nothing needs no rule."""

    tests: tuple[ir.Expr, ...]
    document: Variables
    rule: Checked | None


@dataclass(slots=True)
class _Lane:
    """The tests of a lane, compiled. ``types`` are the event types that it can only be met by; None is any."""

    bit: int
    fields: list[FieldTest]
    others: list[tuple[object, Test]]
    types: frozenset[str] | None


class DocumentIndex:
    """Tells which lanes a document meets. ``by_type`` is for events: lanes are kept apart by event type."""

    def __init__(self, lanes: Mapping[int, Wanted], *, by_type: bool) -> None:
        self._lanes = [_compile(bit, wanted) for bit, wanted in lanes.items()]
        self._by_type = by_type
        self._parts: dict[str | None, _Part] = {}

    def match(self, document: Mapping[str, Any]) -> int:
        """Return the lanes of the conditions that a document meets."""
        kind = document.get("eventType") if self._by_type else None
        if not isinstance(kind, str):
            kind = None
        part = self._parts.get(kind)
        if part is None:
            if len(self._parts) >= _REMEMBERED_TYPES:
                self._parts.clear()
            part = self._parts[kind] = _Part([lane for lane in self._lanes if _can_be(lane, kind)])
        return part.match(document)


def _can_be(lane: _Lane, kind: str | None) -> bool:
    return lane.types is None or kind in lane.types


def _compile(bit: int, wanted: Wanted) -> _Lane:
    lane = _Lane(bit, [], [], None)
    if wanted.rule is None:
        return lane
    for test in wanted.tests:
        single = field_test(test, wanted.document)
        if single is not None:
            lane.fields.append(replace(single, key=repr(key_of(test))))
            if single.path == EVENT_TYPE and single.items is None and single.values is not None:
                named = frozenset(single.values)
                lane.types = named if lane.types is None else lane.types & named
        else:
            lane.others.append((repr(key_of(test)), document_test(test, wanted.rule, wanted.document)))
    return lane


class _Part:
    """The channels of the lanes that one event type can meet."""

    def __init__(self, lanes: list[_Lane]) -> None:
        channels: dict[tuple[object, ...], dict[int, list[FieldTest]]] = defaultdict(dict)
        others: dict[object, tuple[Test, int]] = {}
        self._all = 0
        for lane in lanes:
            bit = 1 << lane.bit
            self._all |= bit
            for number, single in _numbered(lane.fields):
                channels[single.path, single.items, number].setdefault(lane.bit, []).append(single)
            for key, test in lane.others:
                others[key] = (test, others.get(key, (test, 0))[1] | bit)
        self._channels = [_Channel(self._all, lanes_of) for lanes_of in channels.values()]
        self._others = [(test, asking, self._all & ~asking) for test, asking in others.values()]

    def match(self, document: Mapping[str, Any]) -> int:
        mask = self._all
        for channel in self._channels:
            mask &= channel.match(document)
            if not mask:
                return 0
        for test, asking, rest in self._others:
            if mask & asking and not test(document):
                mask &= rest
        return mask


def _numbered(tests: Iterable[FieldTest]) -> Iterable[tuple[int, FieldTest]]:
    """Number the tests of one array, since each of them may be met by another item."""
    counts: dict[tuple[object, ...], int] = defaultdict(int)
    for test in tests:
        place = (test.path, test.items)
        yield (counts[place] if test.items is not None else 0), test
        counts[place] += 1


@dataclass(slots=True)
class _Channel:
    """All tests of one field. A lane that asks nothing of it is in every answer."""

    everything: int
    tests: dict[int, list[FieldTest]]
    _indifferent: int = field(init=False)
    _absent: int = field(init=False)
    _single: FieldTest = field(init=False)
    _get: Getter = field(init=False)
    _items: Getter | None = field(init=False)
    _layers: list[_Layer] = field(init=False)
    _known: dict[Any, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        asking = sum(1 << bit for bit in self.tests)
        self._indifferent = self.everything & ~asking
        absent = (bit for bit, tests in self.tests.items() if all(one.fits_absent for one in tests))
        self._absent = self._indifferent | sum(1 << bit for bit in absent)
        self._single = next(iter(self.tests.values()))[0]
        self._get = getter(self._single.path) if self._single.path else lambda value: value
        self._items = None if self._single.items is None else getter(self._single.items)
        self._layers = [_Layer(self.everything, self.tests, depth) for depth in range(self._most_tests())]

    def _most_tests(self) -> int:
        return max(len(tests) for tests in self.tests.values())

    def match(self, document: Any) -> int:
        """Return the lanes that the document's value, or some item's, leaves in."""
        if self._items is not None:
            return self._match_items(document)
        value = self._single.read(self._get(document))
        return self._absent if value is None else self._indifferent | self._fitting(value)

    def _match_items(self, document: Any) -> int:
        assert self._items is not None  # noqa: S101 - the caller looked
        mask = self._indifferent
        items = self._items(document)
        if isinstance(items, list):
            for item in items:
                value = self._single.read(self._get(item))
                if value is not None:
                    mask |= self._fitting(value)
        return mask

    def _fitting(self, value: Any) -> int:
        known = self._known.get(value)
        if known is not None:
            return known
        mask = self.everything
        for layer in self._layers:
            mask &= layer.fitting(value)
        if len(self._known) >= _REMEMBERED_VALUES:
            self._known.clear()
        self._known[value] = mask
        return mask


class _Layer:
    """One test of each lane of a channel, each kept where a value finds it fastest; equal tests are asked once.

    A lane with two tests of the field has the second one in the second layer; a lane with fewer is in every answer.
    """

    def __init__(self, everything: int, tests: Mapping[int, list[FieldTest]], depth: int) -> None:
        self._by_value: dict[Any, int] = defaultdict(int)
        limits: dict[str, list[tuple[float, int]]] = defaultdict(list)
        asked: dict[object, tuple[Test, int]] = {}
        self._indifferent = everything
        for bit, of_lane in tests.items():
            if depth >= len(of_lane):
                continue
            self._indifferent &= ~(1 << bit)
            single = of_lane[depth]
            if single.values is not None:
                for value in single.values:
                    self._by_value[value] |= 1 << bit
            elif single.limit is not None:
                limits[single.limit[0]].append((single.limit[1], 1 << bit))
            else:
                asked[single.key] = (single.test, asked.get(single.key, (single.test, 0))[1] | 1 << bit)
        self._by_value = dict(self._by_value)
        self._limits = [_Limits(operator, found) for operator, found in limits.items()]
        self._asked = list(asked.values())

    def fitting(self, value: Any) -> int:
        """Return the lanes that a value leaves in."""
        mask = self._indifferent | self._by_value.get(value, 0)
        for limits in self._limits:
            mask |= limits.fitting(value)
        for test, lanes in self._asked:
            if test(value):
                mask |= lanes
        return mask


class _Limits:
    """Comparisons of one field with many numbers, by one operator: a value in, the lanes whose limit it keeps, out."""

    def __init__(self, operator: str, found: list[tuple[float, int]]) -> None:
        found.sort(key=lambda one: one[0])
        self._numbers = [number for number, _ in found]
        upward = operator in {">", ">="}
        # masks[n] holds the lanes that are met when n limits lie below the value.
        self._masks = [0] * (len(found) + 1)
        if upward:
            for index, (_, bit) in enumerate(found):
                self._masks[index + 1] = self._masks[index] | bit
        else:
            for index in range(len(found) - 1, -1, -1):
                self._masks[index] = self._masks[index + 1] | found[index][1]
        # A limit that equals the value counts as below it for >= and <, and as above it for > and <=.
        self._place = bisect_right if operator in {">=", "<"} else bisect_left

    def fitting(self, value: float) -> int:
        return self._masks[self._place(self._numbers, value)]
