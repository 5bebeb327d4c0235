"""How a rule may be evaluated: always as a batch, and perhaps as events stream in or on the edge; and why not.

Source: Adobe's documentation of streaming and edge segmentation, with the criteria in force since 20 May 2025
(``rules="2025-05"``) or those before (``"legacy"``), which definitions made earlier keep until they are edited.
``docs/pql.md`` names what the documentation leaves open and what is assumed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from app.pql import ir
from app.pql.ast import Duration
from app.pql.checker import Checked
from app.pql.schema import EVENTS_FIELD
from app.pql.spans import NOWHERE, Span

Rules: TypeAlias = Literal["2025-05", "legacy"]
Method: TypeAlias = Literal["batch", "streaming", "edge"]

_MEMBERSHIP_FIELD: Final = "segmentMembership"
_AUDIENCE_MANAGER: Final = "AAMSegments"
_HOURS: Final = {"millisecond": 1 / 3_600_000, "second": 1 / 3_600, "minute": 1 / 60, "hour": 1.0, "day": 24.0}
_WITHIN_A_DAY: Final = frozenset({"millisecond", "second", "minute", "hour", "day"})
_BOTH: Final[tuple[Method, ...]] = ("streaming", "edge")
_STREAMING: Final[tuple[Method, ...]] = ("streaming",)
_EDGE: Final[tuple[Method, ...]] = ("edge",)


@dataclass(frozen=True, slots=True)
class ReferencedSegment:
    """What is known of a segment that a rule refers to."""

    method: Method = "batch"
    is_profile_only: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a rule cannot be evaluated by some methods. ``span`` is the clause that decides it."""

    code: str
    message: str
    span: Span
    methods: tuple[Method, ...]


@dataclass(frozen=True, slots=True)
class Eligibility:
    """The methods that a rule may be evaluated by, and every reason against the others, in the order of the text."""

    streaming: bool
    edge: bool
    reasons: tuple[Reason, ...]
    batch: bool = True

    def allows(self, method: Method) -> bool:
        """Tell whether a rule may be evaluated by a method."""
        return {"batch": self.batch, "streaming": self.streaming, "edge": self.edge}[method]


def classify(
    checked: Checked,
    segments: Mapping[str, ReferencedSegment] | None = None,
    *,
    rules: Rules = "2025-05",
    strict_segment_refs: bool = True,
) -> Eligibility:
    """Return how a rule may be evaluated.

    Args:
        checked: the rule.
        segments: what is known of the segments that it refers to, by id; one that is missing may be of any kind.
        rules: the criteria to hold it against.
        strict_segment_refs: whether a segment beside an event keeps a rule from streaming, as the table of the
            documentation has it; its own example on the same page says otherwise.

    """
    facts = _Facts(checked)
    known = segments or {}
    found = [*facts.exclusions, *_of_events(facts, rules), *_of_segments(facts, known, rules, strict_segment_refs)]
    reasons = tuple(sorted(dict.fromkeys(found), key=lambda one: (one.span, one.code)))
    barred = {method for reason in reasons for method in reason.methods}
    return Eligibility("streaming" not in barred, "edge" not in barred, reasons)


@dataclass(slots=True)
class _EventTest:
    """One look at the events: where it stands, its window, and how many events it needs."""

    span: Span
    is_within_a_day: bool = False
    has_window: bool = False
    count: int = 1
    is_negated: bool = False


def _of_events(facts: _Facts, rules: Rules) -> Iterator[Reason]:
    tests = facts.tests
    if not tests:
        return
    is_single = len(tests) == 1 and tests[0].count == 1
    for test in tests:
        if not test.is_within_a_day:
            yield from _window_reason(test, rules, is_single=is_single)
    if not is_single and rules == "2025-05":
        decisive = tests[1] if len(tests) > 1 else tests[0]
        yield Reason("several-events", "Edge segmentation looks at one event only.", decisive.span, _EDGE)
    if facts.is_negation:
        methods = _BOTH if rules == "2025-05" else _STREAMING
        message = "The rule as a whole says that something did not happen."
        yield Reason("negation", message, facts.root_span, methods)


def _window_reason(test: _EventTest, rules: Rules, *, is_single: bool) -> Iterator[Reason]:
    code, message = "no-window", "The event has no time window of at most 24 hours."
    if test.has_window:
        code, message = "window-too-long", "The time window is not one of at most 24 hours that ends now."
    if rules == "2025-05" or not is_single:
        yield Reason(code, message, test.span, _BOTH)
    elif test.has_window:
        yield Reason(code, message, test.span, _STREAMING)  # edge allowed a single event any relative window
    else:
        yield Reason(code, message, test.span, _EDGE)  # streaming needed no window on a single event


def _of_segments(facts: _Facts, known: Mapping[str, ReferencedSegment], rules: Rules, strict: bool) -> Iterator[Reason]:
    for segment_id, span in facts.segments:
        segment = known.get(segment_id)
        profile_only = segment is not None and segment.is_profile_only
        if facts.tests:
            if strict and not (rules == "legacy" and profile_only):
                message = "A rule about events that refers to a segment as well is not evaluated as events stream in."
                yield Reason("segment-beside-event", message, span, _STREAMING)
            if not profile_only:
                message = "On the edge a segment beside an event must be about profile attributes only."
                yield Reason("segment-beside-event", message, span, _EDGE)
        elif segment is not None and segment.method == "streaming":
            message = "A segment of segments on the edge refers to batch or edge segments."
            yield Reason("streaming-segment", message, span, _EDGE)


class _Facts:
    """What the criteria ask about a rule, gathered in one pass."""

    def __init__(self, checked: Checked) -> None:
        self.tests: list[_EventTest] = []
        self.segments: list[tuple[str, Span]] = []
        self.exclusions: list[Reason] = []
        self.root_span = checked.query.body.span
        self._profile = checked.profile
        self._origins: dict[ir.Variable, ir.Variable] = {}
        self._trace(checked.root)
        self._visit(checked.root)
        for node in ir.walk(checked.root):
            self._note(node)
        self.is_negation = bool(self.tests) and (
            _is_negation(checked.root) or all(test.is_negated for test in self.tests)
        )

    # What stands anywhere

    def _note(self, node: object) -> None:
        match node:
            case ir.InSegment(segment_id):
                self.segments.append((segment_id, node.span))
            case ir.Lookup() | ir.Field():
                self._note_membership(node)
            case ir.Related(_, _, class_name):
                self._exclude("relation", f"The rule reads records of the class {class_name}.", node.span)
            case ir.Every() | ir.Aggregate() | ir.Ranked() | ir.Grouped():
                self._note_aggregate(node)
            case ir.Occurs(ignores_year=True):
                self._exclude("ignore-year", "Days compared without their year are evaluated in batches.", node.span)
            case ir.Comparison() | ir.SameElement() | ir.StringTest() | ir.SetTest() | ir.Contains() | ir.Occurs():
                if len(self._events_in(node)) > 1:
                    self._exclude("joined-events", "The clause compares two events with each other.", node.span)

    def _note_aggregate(self, node: ir.Every | ir.Aggregate | ir.Ranked | ir.Grouped) -> None:
        match node:
            case ir.Every(bindings) if any(self._reads_events(one.source) for one in bindings):
                self._exclude("forall-events", "The rule is about all events of a profile.", node.span)
            case ir.Aggregate(_, function, bindings) if function != "count":
                if any(self._reads_events(one.source) for one in bindings):
                    self._exclude("event-aggregate", f"`{function}` over events is evaluated in batches.", node.span)
            case ir.Ranked(_, source) | ir.Grouped(_, source) if self._reads_events(source):
                self._exclude("event-aggregate", "Events are put in order or in groups.", node.span)

    def _note_membership(self, node: ir.Lookup | ir.Field) -> None:
        match node:
            case ir.Lookup(_, ir.Lookup(_, map_, ir.Constant(_, str(namespace))), ir.Constant(_, str(segment_id))):
                if self._is_field(map_, _MEMBERSHIP_FIELD):
                    self._membership(namespace, segment_id, node.span)
            case ir.Field(_, object_, (first, namespace, segment_id, *_)) if first == _MEMBERSHIP_FIELD:
                if self._is_profile(object_):
                    self._membership(namespace, segment_id, node.span)

    def _membership(self, namespace: str, segment_id: str, span: Span) -> None:
        if namespace == _AUDIENCE_MANAGER:
            self._exclude("audience-manager", "The rule refers to an Audience Manager segment.", span)
        else:
            self.segments.append((segment_id, span))

    def _exclude(self, code: str, message: str, span: Span) -> None:
        self.exclusions.append(Reason(code, message, span, _BOTH))

    # Looks at the events

    def _visit(self, node: object, needed: int = 1) -> None:
        """Find every look at the events, and go on with what stands in its conditions."""
        match node:
            case ir.Chain(collection, elements=elements) if self._reads_events(collection):
                self.tests.extend(_of_element(one, node) for one in elements)
                for one in elements:
                    self._visit(one.what)
                return
            case ir.Comparison(operator, ir.Aggregate(_, "count") as counted, ir.Constant(_, int(number))):
                self._visit(counted, number + 1 if operator == ">" else number if operator in {">=", "="} else 1)
                return
            case ir.Some(bindings) | ir.Every(bindings) | ir.Aggregate(_, _, bindings):
                conditions = [one.where for one in bindings if one.where is not None]
                for binding in bindings:
                    self._binding(binding, conditions, max(needed, 1), node)
                conditions.extend(part for part in _parts_beside_bindings(node))
                for condition in conditions:
                    self._visit(condition)
                return
            case ir.Expr() if self._reads_events(node):
                self.tests.append(_tested(node.span, _windows_in(node)))
                self._visit_conditions(node)
                return
        for child in ir.children(node):
            self._visit(child)

    def _binding(self, binding: ir.Binding, conditions: list[ir.Expr], needed: int, node: ir.Expr) -> None:
        if not self._reads_events(binding.source):
            self._visit(binding.source)
            return
        windows = _windows_in(binding.source)
        windows.extend(one for condition in conditions for one in _windows_on(binding, condition))
        test = _tested(node.span, windows)
        test.count = needed
        self.tests.append(test)
        self._visit_conditions(binding.source)

    def _visit_conditions(self, source: object) -> None:
        while source is not None:
            match source:
                case ir.Kept(_, _, _, condition):
                    self._visit(condition)
                case ir.Mapped(_, _, _, body):
                    self._visit(body)
            source = _source(source)

    def _reads_events(self, node: object) -> bool:
        while node is not None:
            match node:
                case ir.Field(_, object_, (first, *_)) if first == EVENTS_FIELD and self._is_profile(object_):
                    return True
                case ir.Field(_, object_):
                    node = object_
                case _:
                    node = _source(node)
        return False

    def _is_profile(self, node: object) -> bool:
        return isinstance(node, ir.Reference) and node.variable is self._profile

    def _is_field(self, node: object, name: str) -> bool:
        return isinstance(node, ir.Field) and node.path == (name,) and self._is_profile(node.object)

    # Which event a variable belongs to

    def _trace(self, root: object) -> None:
        """Note for each variable the event that it is, or is a part of."""
        for node in ir.walk(root):
            match node:
                case ir.Binding(variable, source) | ir.Kept(_, source, variable) | ir.Mapped(_, source, variable):
                    self._note_origin(variable, source)
                case ir.Ranked(_, source, variable) | ir.Grouped(_, source, variable):
                    self._note_origin(variable, source)
                case ir.Chain(collection, elements=elements):
                    for element in elements:
                        self._note_origin(element.variable, collection)

    def _note_origin(self, variable: ir.Variable, source: ir.Expr) -> None:
        if self._reads_events(source):
            self._origins[variable] = variable
            return
        inner = [one.variable for one in ir.walk(source) if isinstance(one, ir.Reference)]
        found = [self._origins[one] for one in inner if one in self._origins]
        if found:
            self._origins[variable] = found[0]

    def _events_in(self, node: object) -> set[ir.Variable]:
        """Return the events that a clause reads from outside of itself."""
        bound, read = set(), []
        for one in ir.walk(node):
            match one:
                case ir.Binding(variable) | ir.Kept(_, _, variable) | ir.Mapped(_, _, variable):
                    bound.add(variable)
                case ir.Reference(_, variable) if variable in self._origins:
                    read.append(variable)
        return {self._origins[variable] for variable in read if variable not in bound}


def _source(node: object) -> ir.Expr | None:
    """Return the array or map that a node takes its elements from."""
    match node:
        case ir.Kept() | ir.Mapped() | ir.Distinct() | ir.Ranked() | ir.Head() | ir.Grouped():
            return node.source
        case ir.MapKeys() | ir.MapValues() | ir.MappedEntries() | ir.Lookup():
            return node.map
        case ir.EntriesToMap(_, entries):
            return entries
    return None


def _parts_beside_bindings(node: ir.Expr) -> Iterator[ir.Expr]:
    match node:
        case ir.Every(_, condition):
            yield condition
        case ir.Aggregate(_, _, _, value) if value is not None:
            yield value


def _of_element(element: ir.ChainElement, chain: ir.Chain) -> _EventTest:
    windows = [] if element.when is None else [element.when]
    windows.extend(_windows_of(element.variable, element.what))
    test = _tested(_span_of(element, chain), windows)
    test.count, test.is_negated = max(element.minimum, element.maximum or 0, 1), element.negated
    return test


def _span_of(element: ir.ChainElement, chain: ir.Chain) -> Span:
    span = element.what.span
    return span if span != NOWHERE else chain.span


def _tested(span: Span, windows: list[ir.Expr]) -> _EventTest:
    return _EventTest(span, any(map(_is_within_a_day, windows)), bool(windows))


def _windows_in(source: ir.Expr) -> list[ir.Expr]:
    """Return the windows in the filters that an array went through."""
    windows: list[ir.Expr] = []
    node: ir.Expr | None = source
    while node is not None:
        if isinstance(node, ir.Kept):
            windows.extend(_windows_of(node.variable, node.condition))
        node = _source(node)
    return windows


def _windows_on(binding: ir.Binding, condition: ir.Expr) -> list[ir.Expr]:
    """Return the windows that a condition sets to the events of a binding, or to their projected timestamps."""
    is_projected = isinstance(binding.source, ir.Mapped) and isinstance(binding.source.body, ir.Field)
    return _windows_of(binding.variable, condition, is_timestamp=is_projected)


def _windows_of(variable: ir.Variable, condition: ir.Expr, *, is_timestamp: bool = False) -> list[ir.Expr]:
    """Return the time tests that every event meeting a condition must meet."""
    match condition:
        case ir.And(operands):
            return [one for operand in operands for one in _windows_of(variable, operand, is_timestamp=is_timestamp)]
        case ir.Truth(value):
            return _windows_of(variable, value, is_timestamp=is_timestamp)
        case ir.Occurs(ir.Field(_, ir.Reference(_, owner), ("timestamp",))) if owner is variable:
            return [condition]
        case ir.Occurs(ir.Reference(_, owner)) if owner is variable and is_timestamp:
            return [condition]
    return []


def _is_within_a_day(window: ir.Expr) -> bool:
    """Tell whether a window is at most 24 hours long and ends now. Twenty-four hours themselves are within."""
    match window:
        case ir.Occurs(_, ir.During(ir.Period(_, unit, 0))):
            return unit in _WITHIN_A_DAY
        case ir.Occurs(_, ir.Within("<" | "<=", duration, "before", reference)):
            return _hours(duration) <= 24 and _is_now_or_today(reference)
    return False


def _hours(duration: Duration) -> float:
    return duration.count * _HOURS.get(duration.unit, 1_000.0)


def _is_now_or_today(reference: ir.Expr) -> bool:
    return isinstance(reference, ir.Period) and reference.offset == 0 and (reference.unit is None or reference.is_today)


def _is_negation(root: ir.Expr) -> bool:
    """Tell whether a rule says nothing but that things are not so."""
    match root:
        case ir.Truth(value):
            return _is_negation(value)
        case ir.And(operands):
            return all(map(_is_negation, operands))
        case ir.Not(ir.IsNull()):
            return False
        case ir.Not(ir.Not(inner)):
            return _is_negation(inner)
    return isinstance(root, ir.Not)
