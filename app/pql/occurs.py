"""Checks of time: ``occurs``, ``WHEN`` and the words for periods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.pql import ast, ir
from app.pql.scope import Scope
from app.pql.types import DATETIME, ArrayType, UnknownType, describe, is_instant

if TYPE_CHECKING:
    from app.pql.checker import Checker

_WORD_OFFSETS: Final = {"today": 0, "yesterday": -1, "tomorrow": 1}
_WHICH_OFFSETS: Final = {"last": -1, "this": 0, "next": 1}


def check_period(_checker: Checker, node: ast.TimeWord | ast.CalendarPeriod, _scope: Scope) -> ir.Expr:
    """Return ``now``, a day word or a calendar period. As a value, a period is its start."""
    match node:
        case ast.TimeWord("now"):
            return ir.Period(DATETIME, None, 0, span=node.span)
        case ast.TimeWord(word):
            return ir.Period(DATETIME, "day", _WORD_OFFSETS[word], is_today=word == "today", span=node.span)
        case ast.CalendarPeriod(which, unit):
            return ir.Period(DATETIME, unit, _WHICH_OFFSETS[which], span=node.span)


def check_occurs(checker: Checker, node: ast.Occurs, scope: Scope) -> ir.Expr:
    """Return ``timestamp occurs test``; over an array it holds when it does for some item."""
    timestamp = checker.expression(node.timestamp, scope)
    return occurs(checker, timestamp, node.test, scope)


def occurs(checker: Checker, timestamp: ir.Expr, test: ast.TimeTest, scope: Scope) -> ir.Expr:
    """Return the test of a timestamp that is already checked."""
    if isinstance(timestamp.type, ArrayType):
        return checker.lift(timestamp, lambda one: occurs(checker, one, test, scope))
    if not (is_instant(timestamp.type) or isinstance(timestamp.type, UnknownType)):
        message = f"`occurs` needs a timestamp, not {describe(timestamp.type)}."
        return checker.error("wrong-types", message, timestamp.span)
    ignores_year = isinstance(test, ast.IgnoreYear)
    plain = test.test if isinstance(test, ast.IgnoreYear) else test
    checked = _test(checker, plain, scope)
    span = timestamp.span.to(test.span)
    if checked is None:
        return ir.Invalid(DATETIME, span=span)
    return ir.Occurs(timestamp, checked, ignores_year, span=span)


def _test(
    checker: Checker, test: ast.Within | ast.Beyond | ast.Between | ast.During, scope: Scope
) -> ir.TimeTest | None:
    match test:
        case ast.Within(comparator, duration, direction, reference):
            at = _reference(checker, reference, scope)
            return None if at is None else ir.Within(comparator, duration, direction, at)
        case ast.Beyond(direction, reference):
            at = _reference(checker, reference, scope)
            return None if at is None else ir.Beyond(direction, at)
        case ast.During(period):
            at = _reference(checker, period, scope)
            return None if at is None else ir.During(at)
        case ast.Between(start, end):
            low, high = _reference(checker, start, scope), _reference(checker, end, scope)
            if low is None or high is None:
                return None
            if isinstance(low, ir.Day) and isinstance(high, ir.Day) and low.day > high.day:
                message = "The period ends before it starts, so nothing is in it."
                checker.warn("always-false", message, test.span, "Exchange the two dates.")
            return ir.Between(low, high)


def _reference(checker: Checker, node: ast.Expr, scope: Scope) -> ir.Expr | None:
    """Return what a time is compared with: an instant, a day or a period."""
    value = checker.expression(node, scope)
    if isinstance(value, ir.Invalid):
        return None
    sample = ir.Reference(DATETIME, ir.Variable("timestamp", DATETIME), span=node.span)
    if isinstance(value, ir.Constant) and isinstance(value.value, str):
        return checker.coerce(sample, value, node.span)
    if is_instant(value.type) or isinstance(value.type, UnknownType):
        return value
    hint = "Use now, today, last month, date(2024, 5, 31) or a timestamp field."
    checker.error("wrong-types", f"A time is needed here, not {describe(value.type)}.", node.span, hint)
    return None
