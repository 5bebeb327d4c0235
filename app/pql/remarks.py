"""What is doubtful about a rule that is otherwise in order: parts that decide nothing, traps, better ways to say it.

These remarks never keep a rule from being used. They are apart from `checker`, because a rule that AEP has stored is
checked each time it is read, but remarked upon only while somebody writes it.
"""

from __future__ import annotations

import math
import operator as operators
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeAlias

from app.pql import ast, ir
from app.pql.checker import Checked, check
from app.pql.diagnostics import Diagnostic, Severity
from app.pql.eligibility import classify
from app.pql.schema import Schema
from app.pql.spans import Span
from app.pql.types import ArrayType, MapType, is_number

MAX_SEQUENTIAL_EVENTS: Final = 6
MAX_AGGREGATIONS: Final = 3
MAX_NESTED_ARRAYS: Final = 2
"""Above these Adobe's Audience Builder warns, or refuses to save (validation of audiences, seen 2025)."""

_MANY_EQUALS: Final = 3
_MOST_COMPARED: Final = 100
"""Conditions and values on one field; more are not compared with each other, which would take too long."""

_HOLDS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operators.eq,
    "!=": operators.ne,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
_OPPOSITE: Final = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}

Operands: TypeAlias = tuple[ir.Expr, ...]


def review(query: ast.Query, schema: Schema | None = None) -> Checked:
    """Return the checked form of a rule with remarks among its diagnostics. Raises `PQLError` as `check` does."""
    checked = check(query, schema)
    found = remarks(checked)
    if query.origin is not None:
        found = tuple(map(query.origin.placed, found))
    ordered = sorted((*checked.diagnostics, *found), key=lambda one: one.span)
    return Checked(checked.query, checked.root, checked.profile, tuple(ordered))


def remarks(checked: Checked) -> tuple[Diagnostic, ...]:
    """Return what is doubtful about a rule, in the order of its text."""
    found: list[Diagnostic] = []
    for node in ir.walk(checked.root):
        match node:
            case ir.And(operands=operands):
                found += _of_and(operands, node.span)
            case ir.Or(operands=operands):
                found += _of_or(operands, node.span)
            case ir.Not(operand=operand):
                found += _of_not(operand, node.span)
            case ir.Comparison(left=ir.Constant() as left, right=ir.Constant() as right):
                found += _of_constants(node, left, right)
            case ir.Chain(elements=elements) if len(elements) > MAX_SEQUENTIAL_EVENTS:
                message = f"The chain has {len(elements)} events; Adobe saves no more than {MAX_SEQUENTIAL_EVENTS}."
                found.append(_warning("many-sequential-events", message, node.span, "Split the rule into segments."))
    found += _missing_windows(checked)
    found += _sizes(checked)
    return tuple(sorted(dict.fromkeys(found), key=lambda one: (one.span, one.code)))


def _warning(code: str, message: str, span: Span, hint: str | None = None) -> Diagnostic:
    return Diagnostic(Severity.WARNING, code, message, span, hint)


def _note(code: str, message: str, span: Span, hint: str | None = None) -> Diagnostic:
    return Diagnostic(Severity.INFORMATION, code, message, span, hint)


# Parts that decide nothing


def _of_and(operands: Operands, span: Span) -> Iterator[Diagnostic]:
    yield from _constant_parts(operands, decides=False)
    yield from _repeated(operands)
    if _has_opposites(operands):
        yield _warning("always-false", "A part and its opposite cannot hold together.", span, "Remove one of them.")
    for subject, tests in _by_subject(operands).items():
        if len(tests) > 1 and not _can_hold(tests):
            where = tests[0].span.to(tests[-1].span)
            message = "No value meets all of these conditions on one field."
            yield _warning("always-false", message, where, "Write `or` between them, or correct the bounds.")
        elif len(tests) > 1 and is_number(subject.type):
            yield from _implied(tests)


def _of_or(operands: Operands, span: Span) -> Iterator[Diagnostic]:
    yield from _constant_parts(operands, decides=True)
    yield from _repeated(operands)
    if _has_opposites(operands):
        yield _warning("always-true", "A part or its opposite always holds.", span, "Remove one of them.")
    yield from _many_equals(operands)
    for tests in _by_subject(operands).values():
        equals = [test for test in tests if test.operator == "="]
        if len(equals) >= _MANY_EQUALS:
            where = equals[0].span.to(equals[-1].span)
            yield _note(
                "use-in", "These conditions ask for one of several values of one field.", where, "Write in [...]."
            )
        if any(_covers(one, other) for one in tests for other in tests if one is not other):
            where = tests[0].span.to(tests[-1].span)
            message = "This holds for every profile where the field has a value."
            yield _warning("always-true", message, where, "Write `.isNotNull()`, if that is meant.")


def _many_equals(operands: Operands) -> Iterator[Diagnostic]:
    equals: dict[ir.Expr, list[Span]] = defaultdict(list)
    for operand in operands:
        match operand:
            case ir.Comparison(operator="=", left=left, right=ir.Constant()):
                equals[left].append(operand.span)
    for spans in equals.values():
        if len(spans) >= _MANY_EQUALS:
            message = "These conditions ask for one of several values of one field."
            yield _note("use-in", message, spans[0].to(spans[-1]), "Write in [...].")


def _constant_parts(operands: Operands, *, decides: bool) -> Iterator[Diagnostic]:
    for operand in operands:
        value = _truth_of(operand)
        if value is decides:
            code = "always-true" if decides else "always-false"
            word = "true" if decides else "false"
            yield _warning(code, f"This part makes the whole always {word}.", operand.span, "Remove it.")
        elif value is not None:
            yield _warning("no-effect", "This part decides nothing.", operand.span, "Remove it.")


def _truth_of(operand: ir.Expr) -> bool | None:
    match operand:
        case ir.Truth(value=ir.Constant(value=bool(value))) | ir.Constant(value=bool(value)):
            return value
    return None


def _repeated(operands: Operands) -> Iterator[Diagnostic]:
    seen: set[ir.Expr] = set()
    for operand in operands:
        if operand in seen:
            yield _warning("repeated-part", "This part stands here twice.", operand.span, "Remove one of them.")
        seen.add(operand)


def _has_opposites(operands: Operands) -> bool:
    plain = set(operands)
    return any(isinstance(one, ir.Not) and one.operand in plain for one in operands)


def _of_constants(node: ir.Comparison, left: ir.Constant, right: ir.Constant) -> Iterator[Diagnostic]:
    if _HOLDS[node.operator](left.value, right.value):
        yield _warning("always-true", "This compares two literals and always holds.", node.span, "Remove it.")
    else:
        yield _warning("always-false", "This compares two literals and never holds.", node.span, "Name a field.")


# Bounds on one field


@dataclass(frozen=True, slots=True)
class _Test:
    """A field against a literal, or against several for ``in``."""

    operator: str
    values: tuple[Any, ...]
    span: Span

    def admits(self, value: object) -> bool:
        return any(_HOLDS[self.operator](value, one) for one in self.values)


def _by_subject(operands: Operands) -> dict[ir.Expr, list[_Test]]:
    found: dict[ir.Expr, list[_Test]] = defaultdict(list)
    for operand in operands:
        match operand:
            case ir.Comparison(operator=operator, left=left, right=ir.Constant(value=value)) if not _is_constant(left):
                found[left].append(_Test(operator, (value,), operand.span))
            case ir.OneOf(value=subject, members=members, negated=False) if members:
                values = [one.value for one in members if isinstance(one, ir.Constant)]
                if len(values) == len(members):
                    found[subject].append(_Test("=", tuple(values), operand.span))
    return {key: tests for key, tests in found.items() if sum(len(one.values) for one in tests) <= _MOST_COMPARED}


def _is_constant(node: ir.Expr) -> bool:
    return isinstance(node, ir.Constant | ir.Day | ir.Instant | ir.Period)


def _can_hold(tests: list[_Test]) -> bool:
    """Tell whether some value meets all tests: one that they name, or one between those."""
    named = {value for test in tests for value in test.values}
    if not _comparable(named):
        return True
    return any(all(test.admits(value) for test in tests) for value in _candidates(named))


def _comparable(values: set[Any]) -> bool:
    kinds = {str if isinstance(value, str) else bool if isinstance(value, bool) else float for value in values}
    return len(kinds) == 1


def _candidates(values: Iterable[Any]) -> list[Any]:
    ordered = sorted(set(values))
    if isinstance(ordered[0], str):
        return [*ordered, *(value + "\u0000" for value in ordered), ""]
    if isinstance(ordered[0], bool):
        return [True, False]
    between = [(one + other) / 2 for one, other in pairwise(ordered)]
    return [*ordered, *between, -math.inf, math.inf]


def _covers(one: _Test, other: _Test) -> bool:
    """Tell whether every value meets one of two tests."""
    if len(one.values) != 1 or len(other.values) != 1 or not _comparable({*one.values, *other.values}):
        return False
    return all(one.admits(value) or other.admits(value) for value in _candidates((*one.values, *other.values)))


def _implied(tests: list[_Test]) -> Iterator[Diagnostic]:
    """Note a bound that another bound implies."""
    named = _candidates({value for test in tests for value in test.values})
    for test in tests:
        others = [one for one in tests if one is not test and one.operator != "!="]
        if any(all(test.admits(value) for value in named if one.admits(value)) and one != test for one in others):
            yield _note("no-effect", "Another condition on this field already says as much.", test.span, "Remove it.")


# Missing values


def _of_not(operand: ir.Expr, span: Span) -> Iterator[Diagnostic]:
    match operand:
        case ir.Comparison(operator=operator) if operator in _OPPOSITE:
            hint = f"Write `{_OPPOSITE[operator]}` to leave such profiles out."
        case ir.OneOf(negated=False):
            hint = "Write `notIn` to leave such profiles out."
        case ir.StringTest(negated=False):
            hint = "Write the method's negative, such as `doesNotContain` or `notEqualTo`, to leave such profiles out."
        case ir.Or(operands=operands) if _is_one_of_values(operands):
            hint = "Write `notIn [...]`; it leaves profiles without a value out."
            yield _note("use-not-in", "This leaves out several values of one field.", span, hint)
            return
        case _:
            return
    yield _note("keeps-missing", "This also holds where the value is missing.", span, hint)


def _is_one_of_values(operands: Operands) -> bool:
    subjects = {one.left for one in operands if isinstance(one, ir.Comparison) and one.operator == "="}
    return len(subjects) == 1 and all(isinstance(one, ir.Comparison) and one.operator == "=" for one in operands)


# Events and sizes


def _missing_windows(checked: Checked) -> Iterator[Diagnostic]:
    for reason in classify(checked).reasons:
        if reason.code == "no-window":
            hint = "Add a window: `occurs <= 30 days before now`, or WHEN(<= 30 days before now) in a chain."
            yield _note("no-time-window", "This looks at all events, however old they are.", reason.span, hint)


def _sizes(checked: Checked) -> Iterator[Diagnostic]:
    aggregates = [one for one in ir.walk(checked.root) if isinstance(one, ir.Aggregate)]
    if len(aggregates) > MAX_AGGREGATIONS:
        message = f"The rule has {len(aggregates)} aggregations; Adobe advises no more than {MAX_AGGREGATIONS}."
        hint = "Move some into segments of their own."
        yield _warning("many-aggregations", message, aggregates[MAX_AGGREGATIONS].span, hint)
    for node in ir.walk(checked.root):
        if isinstance(node, ir.Expr) and _nesting(node) > MAX_NESTED_ARRAYS:
            message = f"Arrays or maps are nested more than {MAX_NESTED_ARRAYS} levels deep here."
            yield _warning("nested-arrays", message, node.span, "Flatten the data where it is ingested.")
            return


def _nesting(node: ir.Expr) -> int:
    depth, type_ = 0, node.type
    while isinstance(type_, ArrayType | MapType):
        depth += 1
        type_ = type_.element if isinstance(type_, ArrayType) else type_.value
    return depth
