"""Checks of functions and methods, one for each family of `functions`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Final, cast

from app.pql import ast, ir
from app.pql.diagnostics import did_you_mean
from app.pql.functions import CALLS, METHODS, PERSONALIZATION_ONLY, Family, Function
from app.pql.regex import Pattern, UnsupportedPattern, read_pattern
from app.pql.scope import Scope, element_of
from app.pql.spans import Span
from app.pql.types import (
    BOOLEAN,
    DATETIME,
    LONG,
    STRING,
    UNKNOWN,
    ArrayType,
    EntryType,
    MapType,
    ObjectType,
    Scalar,
    TuplesType,
    UnknownType,
    describe,
    is_instant,
    least_common,
)

if TYPE_CHECKING:
    from app.pql.checker import Checker

_STRING_TESTS: Final[dict[str, tuple[ir.StringRelation, bool]]] = {
    "equals": ("equals", False),
    "notEqualTo": ("equals", True),
    "startsWith": ("startsWith", False),
    "doesNotStartWith": ("startsWith", True),
    "endsWith": ("endsWith", False),
    "doesNotEndWith": ("endsWith", True),
    "contains": ("contains", False),
    "doesNotContain": ("contains", True),
}
_DATE_PARTS: Final = {
    "getYear": "year",
    "getMonth": "month",
    "getDayOfMonth": "day",
    "currentYear": "year",
    "currentMonth": "month",
    "currentDayOfMonth": "day",
}


def check_call(checker: Checker, node: ast.Call, scope: Scope) -> ir.Expr:
    """Return the checked form of ``name(arguments)``."""
    function = CALLS.get(node.name)
    if function is None:
        return _unknown_function(checker, node.name, node.span)
    if not _has_right_count(checker, function, node.arguments, node):
        return ir.Invalid(UNKNOWN, span=node.span)
    return _CALL_CHECKS[function.family](checker, node, scope)


def check_method(checker: Checker, node: ast.MethodCall, scope: Scope) -> ir.Expr:
    """Return the checked form of ``receiver.name(arguments)``."""
    receiver = checker.expression(node.receiver, scope)
    function = METHODS.get(node.name)
    if function is None:
        return _unknown_method(checker, node, receiver)
    if isinstance(receiver, ir.Invalid) or not _has_right_count(checker, function, node.arguments, node):
        return ir.Invalid(UNKNOWN, span=node.span)
    return _METHOD_CHECKS[function.family](checker, node, receiver, scope)


def _unknown_function(checker: Checker, name: str, span: Span) -> ir.Expr:
    message = f"There is no function `{name}`."
    if name in METHODS:
        return checker.error("unknown-function", message, span, f"`{name}` is a method: value.{name}(...)")
    if name == "inAudience":
        hint = 'In a segment write inSegment("...").'
        return checker.error("unknown-function", "`inAudience` belongs to journeys.", span, hint)
    return checker.error("unknown-function", message, span, _function_hint(name, CALLS))


def _unknown_method(checker: Checker, node: ast.MethodCall, receiver: ir.Expr) -> ir.Expr:
    if receiver.type == BOOLEAN and not isinstance(receiver, ir.Invalid):
        message = f"True or false has no method `{node.name}`."
        return checker.error("unknown-function", message, node.name_span)
    message = f"There is no method `{node.name}`."
    return checker.error("unknown-function", message, node.name_span, _function_hint(node.name, METHODS))


def _function_hint(name: str, known: dict[str, Function]) -> str | None:
    if name in PERSONALIZATION_ONLY:
        return "It belongs to the personalization dialect, not to segments."
    return did_you_mean(name, known)


def _has_right_count(
    checker: Checker, function: Function, arguments: tuple[ast.Expr, ...], node: ast.Call | ast.MethodCall
) -> bool:
    if function.least <= len(arguments) <= function.most:
        return True
    if function.name in {"equals", "notEqualTo"} and len(arguments) > 1:
        hint = 'For one of several values write in ["gold", "platinum"].'
        checker.error("argument-count", f"`{function.name}` compares with one string.", node.span, hint)
        return False
    wanted = str(function.least) if function.least == function.most else f"{function.least} or {function.most}"
    plural = "" if wanted == "1" else "s"
    message = f"`{function.name}` takes {wanted} argument{plural}, not {len(arguments)}."
    checker.error("argument-count", message, node.span, f"It reads: {function.example}")
    return False


# Calls


def _date(checker: Checker, node: ast.Call, _scope: Scope) -> ir.Expr:
    numbers = [one.value for one in node.arguments if isinstance(one, ast.IntegerLiteral)]
    if len(numbers) < 3:
        hint = "Write numbers: date(2024, 5, 31)."
        return checker.error("invalid-date", "The parts of a date are whole numbers.", node.span, hint)
    try:
        return ir.Day(DATETIME, date(*numbers), span=node.span)
    except (ValueError, OverflowError):
        hint = "The order is year, month (1 to 12), day."
        return checker.error("invalid-date", "There is no such day.", node.span, hint)


def _clock(_checker: Checker, node: ast.Call, _scope: Scope) -> ir.Expr:
    now = ir.Period(DATETIME, None, 0, span=node.span)
    return ir.DatePart(LONG, cast("ir.DatePartName", _DATE_PARTS[node.name]), now, span=node.span)


def _conditional(checker: Checker, node: ast.Call, scope: Scope) -> ir.Expr:
    condition = checker.condition(node.arguments[0], scope)
    then, otherwise = (checker.expression(argument, scope) for argument in node.arguments[1:])
    type_ = least_common(then.type, otherwise.type)
    if type_ is None:
        message = f"`if` gives {describe(then.type)} or {describe(otherwise.type)}; both must be of one kind."
        return checker.error("wrong-types", message, node.span)
    result = ir.Conditional(type_, condition, then, otherwise, span=node.span)
    return ir.Truth(result, span=node.span) if type_ == BOOLEAN else result


def _segment(checker: Checker, node: ast.Call, _scope: Scope) -> ir.Expr:
    argument = node.arguments[0]
    if not isinstance(argument, ast.StringLiteral) or not argument.value:
        hint = 'Write inSegment("c0ffee00-0000-4000-8000-000000000001").'
        return checker.error("wrong-types", "`inSegment` takes the id of a segment in quotes.", argument.span, hint)
    return ir.InSegment(argument.value, span=node.span)


def _entry(checker: Checker, node: ast.Call, scope: Scope) -> ir.Expr:
    key, value = (checker.expression(argument, scope) for argument in node.arguments)
    return ir.Entry(EntryType(key.type, value.type), key, value, span=node.span)


def _string_compare(checker: Checker, node: ast.Call, scope: Scope) -> ir.Expr:
    operation, subject, values = node.arguments[:3]
    name = operation.value if isinstance(operation, ast.StringLiteral) else ""
    known = {*_STRING_TESTS, "matches", "doesNotMatch"}
    if name not in known:
        hint = did_you_mean(name, known) or "The operations are " + ", ".join(sorted(known)) + "."
        return checker.error("wrong-types", "This is no operation of stringCompare.", operation.span, hint)
    texts = values.items if isinstance(values, ast.ListExpr) else (values,)
    tests = []
    for text in texts:
        negated = name.startswith(("doesNot", "not"))
        if name in {"matches", "doesNotMatch"}:
            call = ast.MethodCall(subject, "matches", (text,), name_span=operation.span, span=node.span)
            test = checker.expression(call, scope)
            test = replace(test, negated=negated) if isinstance(test, ir.Matches) else test
        else:
            arguments = (text, *node.arguments[3:])
            test = checker.expression(
                ast.MethodCall(subject, name, arguments, name_span=operation.span, span=node.span), scope
            )
        tests.append(checker.truth(test))
    if not tests:
        return checker.error("wrong-types", "There is nothing to compare with.", values.span)
    if len(tests) == 1:
        return tests[0]
    return (ir.And if name.startswith(("doesNot", "not")) else ir.Or)(tuple(tests), span=node.span)


# Strings


def _string_test(checker: Checker, node: ast.MethodCall, receiver: ir.Expr, scope: Scope) -> ir.Expr:
    argument = checker.expression(node.arguments[0], scope)
    if isinstance(argument, ir.Invalid):
        return argument
    if isinstance(argument.type, ArrayType):
        hint = 'For one of several values write in ["gold", "platinum"].'
        return checker.error("wrong-types", f"`{node.name}` compares with one string.", argument.span, hint)
    case_sensitive = _case_switch(checker, node.arguments[1:])
    if case_sensitive is None:
        return ir.Invalid(BOOLEAN, span=node.span)
    return _tested(checker, node, receiver, argument, case_sensitive=case_sensitive)


def _tested(
    checker: Checker, node: ast.MethodCall, subject: ir.Expr, argument: ir.Expr, *, case_sensitive: bool
) -> ir.Expr:
    if isinstance(subject.type, ArrayType):
        return checker.lift(subject, lambda one: _tested(checker, node, one, argument, case_sensitive=case_sensitive))
    for side in (subject, argument):
        if not checker.is_text(side):
            hint = "Compare with =." if node.name == "equals" else None
            message = f"`{node.name}` compares strings, not {describe(side.type)}."
            return checker.error("wrong-types", message, side.span, hint)
    relation, negated = _STRING_TESTS[node.name]
    return ir.StringTest(relation, subject, argument, case_sensitive, negated, span=node.span)


def _case_switch(checker: Checker, arguments: tuple[ast.Expr, ...]) -> bool | None:
    if not arguments:
        return True
    if isinstance(arguments[0], ast.BooleanLiteral):
        return arguments[0].value
    hint = "For one of several values write in [...]." if isinstance(arguments[0], ast.StringLiteral) else None
    checker.error("wrong-types", "Case sensitivity is true or false, written out.", arguments[0].span, hint)
    return None


def _pattern(checker: Checker, node: ast.MethodCall, receiver: ir.Expr, _scope: Scope) -> ir.Expr:
    literal = node.arguments[0]
    if not isinstance(literal, ast.StringLiteral):
        return checker.error("wrong-types", "A pattern is a string literal.", literal.span)
    try:
        pattern = read_pattern(literal.value)
    except UnsupportedPattern as problem:
        hint = f"It is at character {problem.offset + 1} of the pattern."
        return checker.error("pattern", str(problem), literal.span, hint)
    group = _group(checker, node, pattern)
    return _matched(checker, node, receiver, pattern, group)


def _group(checker: Checker, node: ast.MethodCall, pattern: Pattern) -> int:
    if node.name != "regexGroup":
        return 0
    number = node.arguments[1] if len(node.arguments) > 1 else ast.IntegerLiteral(1, span=node.span)
    if not isinstance(number, ast.IntegerLiteral) or not 0 <= number.value <= pattern.groups:
        message = f"The pattern has {pattern.groups} groups; the number of one of them, or 0, is needed."
        checker.error("pattern", message, number.span, "A group is what stands in parentheses.")
        return 0
    if number.value in pattern.unclear_groups:
        message = "This group may be left out and may be empty, which not all engines tell apart."
        checker.error("pattern", message, number.span, "Let the group take at least one character: (a+)? for (a*)?")
    return number.value


def _matched(checker: Checker, node: ast.MethodCall, subject: ir.Expr, pattern: Pattern, group: int) -> ir.Expr:
    if isinstance(subject.type, ArrayType):
        return checker.lift(subject, lambda one: _matched(checker, node, one, pattern, group))
    if not checker.is_text(subject):
        return checker.error(
            "wrong-types", f"`{node.name}` needs a string, not {describe(subject.type)}.", subject.span
        )
    if node.name == "matches":
        return ir.Matches(subject, pattern, span=node.span)
    return ir.RegexGroup(STRING, subject, pattern, group, span=node.span)


# Any value, dates


def _null_test(checker: Checker, node: ast.MethodCall, receiver: ir.Expr, _scope: Scope) -> ir.Expr:
    if isinstance(receiver, ir.Tuples) or (isinstance(receiver, ir.Mapped) and receiver.projects):
        absent: ir.Predicate = ir.Not(checker.truth(receiver), span=node.span)
    else:
        absent = ir.IsNull(receiver, span=node.span)
    return absent if node.name == "isNull" else ir.Not(absent, span=node.span)


def _date_part(checker: Checker, node: ast.MethodCall, receiver: ir.Expr, scope: Scope) -> ir.Expr:
    if isinstance(receiver.type, ArrayType):
        return checker.lift(receiver, lambda one: _date_part(checker, node, one, scope))
    if not (is_instant(receiver.type) or isinstance(receiver.type, UnknownType)):
        message = f"`{node.name}` needs a date, not {describe(receiver.type)}."
        return checker.error("wrong-types", message, receiver.span)
    return ir.DatePart(LONG, cast("ir.DatePartName", _DATE_PARTS[node.name]), receiver, span=node.span)


# Arrays and sets


def _set(checker: Checker, node: ast.MethodCall, receiver: ir.Expr, scope: Scope) -> ir.Expr:
    array = checker.array(receiver, node.receiver.span)
    if array is None:
        return ir.Invalid(UNKNOWN, span=node.span)
    argument = checker.expression(node.arguments[0], scope)
    if isinstance(argument, ir.Invalid):
        return argument
    if node.name == "includes":
        sample = ir.Reference(element_of(array), ir.Variable("item", element_of(array)), span=array.span)
        value = checker.coerce(sample, argument, node.span)
        return ir.Invalid(BOOLEAN) if value is None else ir.Contains(array, value, span=node.span)
    other = checker.array(argument, node.arguments[0].span)
    if other is None:
        return ir.Invalid(UNKNOWN, span=node.span)
    checker.same_elements(array, other, node.span)
    if node.name == "intersection":
        return ir.Intersection(array.type, array, other, span=node.span)
    relation = cast("ir.SetRelation", node.name)
    return ir.SetTest(relation, array, other, span=node.span)


def _array(checker: Checker, node: ast.MethodCall, receiver: ir.Expr, _scope: Scope) -> ir.Expr:
    array = checker.array(receiver, node.receiver.span)
    if array is None:
        return ir.Invalid(UNKNOWN, span=node.span)
    element = element_of(array)
    if node.name == "head":
        return ir.Head(element, array, span=node.span)
    if not isinstance(element, Scalar | UnknownType):
        hint = "Name one of their fields: xEvent.web.webPageDetails.name.distinct()"
        return checker.error("wrong-types", "`distinct` compares single values, not objects.", receiver.span, hint)
    return ir.Distinct(array.type, array, span=node.span)


def _scoped(checker: Checker, node: ast.MethodCall, receiver: ir.Expr, scope: Scope) -> ir.Expr:
    if node.name == "map" and (isinstance(receiver.type, MapType) or _maps_entries(node, receiver)):
        type_ = receiver.type if isinstance(receiver.type, MapType) else MapType(UNKNOWN, UNKNOWN)
        return _map_of_entries(checker, node, receiver, type_, scope)
    if isinstance(receiver, ir.Tuples) and node.name == "exists" and not node.arguments:
        return checker.truth(receiver)
    array = checker.array(receiver, node.receiver.span)
    if array is None:
        return ir.Invalid(UNKNOWN, span=node.span)
    return _SCOPED_CHECKS[node.name](checker, node, array, scope)


def _maps_entries(node: ast.MethodCall, receiver: ir.Expr) -> bool:
    """Tell whether a value of unknown type is read as a map, because its lambda wants a key and a value."""
    first = node.arguments[0]
    return isinstance(receiver.type, UnknownType) and isinstance(first, ast.Lambda) and len(first.parameters) == 2


def _element_scope(
    checker: Checker, argument: ast.Expr, array: ir.Expr, scope: Scope
) -> tuple[ir.Variable, ast.Expr, Scope]:
    """Return the variable for an element, what is computed from it, and the scope for that."""
    if isinstance(argument, ast.Lambda):
        if len(argument.parameters) != 1:
            checker.error("argument-count", "The lambda has one parameter here, the element.", argument.span)
        variable = ir.Variable(argument.parameters[0], element_of(array))
        return variable, argument.body, scope.naming(variable)
    variable = ir.Variable("item", element_of(array))
    return variable, argument, scope.inside(variable)


def _exists(checker: Checker, node: ast.MethodCall, array: ir.Expr, scope: Scope) -> ir.Expr:
    if not node.arguments:
        return ir.Some((ir.Binding(ir.Variable("item", element_of(array)), array),), span=node.span)
    variable, body, inner = _element_scope(checker, node.arguments[0], array, scope)
    return ir.Some((ir.Binding(variable, array, checker.condition(body, inner)),), span=node.span)


def _forall(checker: Checker, node: ast.MethodCall, array: ir.Expr, scope: Scope) -> ir.Expr:
    variable, body, inner = _element_scope(checker, node.arguments[0], array, scope)
    return ir.Every((ir.Binding(variable, array),), checker.condition(body, inner), span=node.span)


def _kept(checker: Checker, node: ast.MethodCall, array: ir.Expr, scope: Scope) -> ir.Expr:
    variable, body, inner = _element_scope(checker, node.arguments[0], array, scope)
    condition = checker.condition(body, inner)
    return ir.Kept(ArrayType(element_of(array)), array, variable, condition, span=node.span)


def _mapped(checker: Checker, node: ast.MethodCall, array: ir.Expr, scope: Scope) -> ir.Expr:
    variable, body, inner = _element_scope(checker, node.arguments[0], array, scope)
    value = _settled(checker, checker.expression(body, inner))
    mapped = ir.Mapped(ArrayType(value.type), array, variable, value, projects=False, span=node.span)
    return _as_map(value, mapped)


def _map_of_entries(checker: Checker, node: ast.MethodCall, receiver: ir.Expr, type_: MapType, scope: Scope) -> ir.Expr:
    argument = node.arguments[0]
    if isinstance(argument, ast.Lambda):
        if len(argument.parameters) != 2:
            hint = "Write (K, G) => ... for the key and its value."
            return checker.error("argument-count", "The lambda has two parameters here.", argument.span, hint)
        key, value = ir.Variable(argument.parameters[0], type_.key), ir.Variable(argument.parameters[1], type_.value)
        body = checker.expression(argument.body, scope.naming(key).naming(value))
    else:
        key, value = ir.Variable("key", type_.key), ir.Variable("value", type_.value)
        body = checker.expression(argument, scope.inside(value))
    body = _settled(checker, body)
    return _as_map(body, ir.MappedEntries(ArrayType(body.type), receiver, key, value, body, span=node.span))


def _as_map(body: ir.Expr, array: ir.Expr) -> ir.Expr:
    if isinstance(body.type, EntryType):
        return ir.EntriesToMap(MapType(body.type.key, body.type.value), array, span=array.span)
    return array


def _settled(checker: Checker, value: ir.Expr) -> ir.Expr:
    """Return a value that can be an element: the result of select cannot, but its truth can."""
    return checker.truth(value) if isinstance(value.type, TuplesType) else value


def _grouped(checker: Checker, node: ast.MethodCall, array: ir.Expr, scope: Scope) -> ir.Expr:
    variable, body, inner = _element_scope(checker, node.arguments[0], array, scope)
    key = checker.expression(body, inner)
    if not isinstance(key.type, Scalar | UnknownType):
        return checker.error("wrong-types", f"A key is a single value, not {describe(key.type)}.", key.span)
    type_ = MapType(key.type, ArrayType(element_of(array)))
    return ir.Grouped(type_, array, variable, key, span=node.span)


def _ranked(checker: Checker, node: ast.MethodCall, array: ir.Expr, scope: Scope) -> ir.Expr:
    variable, body, inner = _element_scope(checker, node.arguments[0], array, scope)
    key = checker.expression(body, inner)
    if not isinstance(key.type, Scalar | UnknownType) or key.type == BOOLEAN:
        return checker.error("wrong-types", f"{describe(key.type).capitalize()} gives no order.", key.span)
    size = checker.expression(node.arguments[1], scope)
    if not (size.type == LONG or isinstance(size.type, UnknownType)):
        return checker.error("wrong-types", f"`{node.name}` needs a whole number of elements.", size.span)
    if isinstance(size, ir.Constant) and isinstance(size.value, int) and size.value < 0:
        return checker.error("wrong-types", "The number of elements cannot be negative.", size.span)
    type_ = ArrayType(element_of(array))
    return ir.Ranked(type_, array, variable, key, size, descending=node.name == "topN", span=node.span)


def _aggregate(checker: Checker, node: ast.MethodCall, receiver: ir.Expr, scope: Scope) -> ir.Expr:
    if node.name == "count":
        return _count(checker, node, receiver)
    array = checker.array(receiver, node.receiver.span)
    if array is None:
        return ir.Invalid(UNKNOWN, span=node.span)
    if node.arguments:
        variable, body, inner = _element_scope(checker, node.arguments[0], array, scope)
        value = checker.expression(body, inner)
    else:
        variable = ir.Variable("item", element_of(array))
        value = ir.Reference(variable.type, variable, span=receiver.span)
    return checker.aggregate(node.name, (ir.Binding(variable, array),), value, node.span)


def _count(checker: Checker, node: ast.MethodCall, receiver: ir.Expr) -> ir.Expr:
    if isinstance(receiver, ir.Tuples):
        return ir.Aggregate(LONG, "count", receiver.bindings, None, span=node.span)
    if isinstance(receiver.type, MapType):
        receiver = ir.MapValues(ArrayType(receiver.type.value), receiver, span=receiver.span)
    array = checker.array(receiver, node.receiver.span)
    if array is None:
        return ir.Invalid(UNKNOWN, span=node.span)
    binding = ir.Binding(ir.Variable("item", element_of(array)), array)
    return ir.Aggregate(LONG, "count", (binding,), None, span=node.span)


def _map(checker: Checker, node: ast.MethodCall, receiver: ir.Expr, scope: Scope) -> ir.Expr:
    if isinstance(receiver.type, ArrayType):
        return checker.lift(receiver, lambda one: _map(checker, node, one, scope))
    if not isinstance(receiver.type, MapType | UnknownType):
        hint = "The fields of an object are reached by their names." if isinstance(receiver.type, ObjectType) else None
        return checker.error(
            "wrong-types", f"`{node.name}` needs a map, not {describe(receiver.type)}.", node.span, hint
        )
    type_ = receiver.type if isinstance(receiver.type, MapType) else MapType(UNKNOWN, UNKNOWN)
    if node.name == "keys":
        return ir.MapKeys(ArrayType(type_.key), receiver, span=node.span)
    if node.name == "values":
        return ir.MapValues(ArrayType(type_.value), receiver, span=node.span)
    key = checker.expression(node.arguments[0], scope)
    sample = ir.Reference(type_.key, ir.Variable("key", type_.key), span=receiver.span)
    coerced = checker.coerce(sample, key, node.span) if not isinstance(key, ir.Invalid) else None
    return ir.Invalid(UNKNOWN) if coerced is None else ir.Lookup(type_.value, receiver, coerced, span=node.span)


_CALL_CHECKS: Final[dict[Family, Callable[[Checker, ast.Call, Scope], ir.Expr]]] = {
    Family.DATE: _date,
    Family.CLOCK: _clock,
    Family.CONDITIONAL: _conditional,
    Family.SEGMENT: _segment,
    Family.ENTRY: _entry,
    Family.STRING_COMPARE: _string_compare,
}
_METHOD_CHECKS: Final[dict[Family, Callable[[Checker, ast.MethodCall, ir.Expr, Scope], ir.Expr]]] = {
    Family.STRING_TEST: _string_test,
    Family.PATTERN: _pattern,
    Family.NULL_TEST: _null_test,
    Family.DATE_PART: _date_part,
    Family.SET: _set,
    Family.ARRAY: _array,
    Family.SCOPED: _scoped,
    Family.AGGREGATE: _aggregate,
    Family.MAP: _map,
}
_SCOPED_CHECKS: Final[dict[str, Callable[[Checker, ast.MethodCall, ir.Expr, Scope], ir.Expr]]] = {
    "filter": _kept,
    "exists": _exists,
    "forall": _forall,
    "map": _mapped,
    "groupBy": _grouped,
    "topN": _ranked,
    "bottomN": _ranked,
}
