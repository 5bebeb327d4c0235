"""Tree to canonical text.

The text is a fixed point: parsing it gives the same tree, and printing that gives the same text. Parentheses stand
only where precedence needs them, and always round ``select``, quantifiers, ``let`` and comprehensions as operands.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import singledispatch

from app.pql import ast
from app.pql.parser import OPERATOR_WORDS, RESERVED_WORDS

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_ESCAPED = re.compile('["\\\\\\x00-\\x1f\\x7f\\u0085\\u2028\\u2029]')
_PLURALS = {"century": "centuries", "millennium": "millennia"}
_NO_FUNCTIONS = OPERATOR_WORDS | {"select", "chain"}


class _Level(IntEnum):
    """How tightly an expression binds; a looser one needs parentheses inside a tighter one."""

    PREFIX = 0
    OR = 1
    AND = 2
    NOT = 3
    RELATION = 4
    ADDITIVE = 5
    MULTIPLICATIVE = 6
    UNARY = 7
    POSTFIX = 8


_ARITHMETIC_LEVEL = {
    "+": _Level.ADDITIVE,
    "-": _Level.ADDITIVE,
    "*": _Level.MULTIPLICATIVE,
    "/": _Level.MULTIPLICATIVE,
    "%": _Level.MULTIPLICATIVE,
}
_LOGICAL_LEVEL = {"and": _Level.AND, "or": _Level.OR}


def format_query(query: ast.Query) -> str:
    """Return the canonical text of a rule."""
    if query.parameters:
        return f"({', '.join(map(format_name, query.parameters))}) => {format_expression(query.body)}"
    return format_expression(query.body)


def format_expression(expression: ast.Expr) -> str:
    """Return the canonical text of an expression."""
    return _text(expression)


def format_name(name: str) -> str:
    """Return a name as it is written at the start of a path: in back quotes where it would read as something else."""
    return format_segment(name) if name.lower() not in RESERVED_WORDS else f"`{name}`"


def format_segment(name: str) -> str:
    """Return a name as it is written after a dot, where every word is a name."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    return "`" + name.replace("`", "``") + "`"


def format_string(value: str) -> str:
    """Return a string in double quotes, with as few escapes as possible."""
    return '"' + _ESCAPED.sub(lambda found: _ESCAPES.get(found.group(), f"\\u{ord(found.group()):04x}"), value) + '"'


def format_duration(duration: ast.Duration) -> str:
    """Return a duration with its unit in the singular for 1 and in the plural otherwise."""
    if duration.count == 1:
        return f"1 {duration.unit}"
    return f"{duration.count} {_PLURALS.get(duration.unit, duration.unit + 's')}"


def format_time_test(test: ast.TimeTest) -> str:
    """Return what follows ``occurs``, or stands in ``WHEN(...)``."""
    match test:
        case ast.Within(comparator, duration, direction, reference):
            return f"{comparator} {format_duration(duration)} {direction} {_operand(reference, _Level.ADDITIVE)}"
        case ast.Beyond(direction, reference):
            return f"{direction} {_operand(reference, _Level.ADDITIVE)}"
        case ast.Between(start, end):
            return f"between {_operand(start, _Level.ADDITIVE)} and {_operand(end, _Level.ADDITIVE)}"
        case ast.During(period):
            return _operand(period, _Level.ADDITIVE)
        case ast.IgnoreYear(inner):
            return f"ignoreYear {format_time_test(inner)}"


@singledispatch
def _text(node: ast.Expr) -> str:
    raise TypeError(f"no text for {type(node).__name__}")


@_text.register
def _(node: ast.StringLiteral) -> str:
    return format_string(node.value)


@_text.register
def _(node: ast.IntegerLiteral) -> str:
    return str(node.value)


@_text.register
def _(node: ast.DoubleLiteral) -> str:
    return repr(node.value)


@_text.register
def _(node: ast.BooleanLiteral) -> str:
    return "true" if node.value else "false"


@_text.register
def _(node: ast.ListExpr) -> str:
    return f"[{_list(node.items)}]"


@_text.register
def _(node: ast.ObjectExpr) -> str:
    return "{" + ", ".join(f"{format_string(key)}: {_text(value)}" for key, value in node.members) + "}"


@_text.register
def _(node: ast.Name) -> str:
    return format_name(node.name) + _relation(node.relation)


@_text.register
def _(node: ast.Parameter) -> str:
    return f"${node.number}"


@_text.register
def _(_node: ast.This) -> str:
    return "this"


@_text.register
def _(node: ast.Up) -> str:
    return "^" * node.levels


@_text.register
def _(node: ast.ClassReference) -> str:
    version = "" if node.version is None else f";version={node.version}"
    return f"@{{{node.class_name}{version}}}"


@_text.register
def _(node: ast.Path) -> str:
    steps = "".join(f".{format_segment(step.name)}{_relation(step.relation)}" for step in node.steps)
    return _operand(node.base, _Level.POSTFIX) + steps


@_text.register
def _(node: ast.Logical) -> str:
    level = _Level(_LOGICAL_LEVEL[node.operator] + 1)
    return f" {node.operator} ".join(_operand(operand, level) for operand in node.operands)


@_text.register
def _(node: ast.Not) -> str:
    if isinstance(node.operand, ast.Not):
        # Parentheses would nest deeper than the rule does, beyond what the parser reads.
        return f"not {_text(node.operand)}"
    return f"not ({_text(node.operand)})"


@_text.register
def _(node: ast.Comparison) -> str:
    return f"{_operand(node.left, _Level.ADDITIVE)} {node.operator} {_operand(node.right, _Level.ADDITIVE)}"


@_text.register
def _(node: ast.Arithmetic) -> str:
    level = _ARITHMETIC_LEVEL[node.operator]
    return f"{_operand(node.left, level)} {node.operator} {_operand(node.right, _Level(level + 1))}"


@_text.register
def _(node: ast.Negation) -> str:
    text = _operand(node.operand, _Level.UNARY)
    # A blank keeps two signs apart, and keeps a number from taking the sign as its own.
    return f"- {text}" if text.startswith("-") else f"-{text}"


@_text.register
def _(node: ast.Call) -> str:
    name = f"`{node.name}`" if node.name.lower() in _NO_FUNCTIONS else format_segment(node.name)
    return f"{name}({_list(node.arguments)})"


@_text.register
def _(node: ast.MethodCall) -> str:
    return f"{_operand(node.receiver, _Level.POSTFIX)}.{format_segment(node.name)}({_list(node.arguments)})"


@_text.register
def _(node: ast.Filter) -> str:
    return f"{_operand(node.source, _Level.POSTFIX)}[{_text(node.condition)}]"


@_text.register
def _(node: ast.Lambda) -> str:
    return f"({', '.join(map(format_name, node.parameters))}) => {_text(node.body)}"


@_text.register
def _(node: ast.Let) -> str:
    return f"let {format_name(node.name)} = {_operand(node.value, _Level.ADDITIVE)} in {_text(node.body)}"


@_text.register
def _(node: ast.Select) -> str:
    return f"select {_bindings(node.bindings)}"


@_text.register
def _(node: ast.Quantified) -> str:
    return f"{node.quantifier} {_bindings(node.bindings)}"


@_text.register
def _(node: ast.Comprehension) -> str:
    return f"{node.function} {_comprehended(node.value)} over {_bindings(node.bindings)}"


@_text.register
def _(node: ast.TimeWord) -> str:
    return node.word


@_text.register
def _(node: ast.CalendarPeriod) -> str:
    return f"{node.which} {node.unit}"


@_text.register
def _(node: ast.Occurs) -> str:
    return f"{_operand(node.timestamp, _Level.ADDITIVE)} occurs {format_time_test(node.test)}"


@_text.register
def _(node: ast.Chain) -> str:
    order_by = format_name(node.order_by[0]) + "".join(f".{format_segment(one)}" for one in node.order_by[1:])
    links = ", ".join(_link(link) for link in node.links)
    return f"CHAIN({_operand(node.collection, _Level.POSTFIX)}, {order_by}, [{links}])"


def _link(link: ast.Element | ast.Gap) -> str:
    if isinstance(link, ast.Gap):
        return f"GAP({link.comparator} {format_duration(link.duration)})"
    parts = [f"{format_name(link.name)}: {'not ' if link.negated else ''}WHAT({_text(link.what)})"]
    if link.when is not None:
        parts.append(f"WHEN({format_time_test(link.when)})")
    if link.count != ast.Count():
        parts.append(f"COUNT({_count(link.count)})")
    return " ".join(parts)


def _count(count: ast.Count) -> str:
    match count:
        case ast.Count(every=True):
            return "all"
        case ast.Count(int(low), None):
            return str(low)
        case ast.Count(None, high):
            return f"<= {high}"
        case ast.Count(low, high) if low == high:
            return f"= {low}"
    return f"between {count.minimum} and {count.maximum}"


def _bindings(bindings: tuple[ast.Binding, ...]) -> str:
    return ", ".join(_binding(binding) for binding in bindings)


def _binding(binding: ast.Binding) -> str:
    text = f"{format_name(binding.name)} from {_operand(binding.source, _Level.POSTFIX)}"
    if binding.where is None:
        return text
    where = binding.where
    # `let` and lambdas are no operands of `or`, which is what a `where` reads.
    return f"{text} where {_operand(where, _Level.OR)}"


def _comprehended(value: ast.Expr) -> str:
    text = _operand(value, _Level.ADDITIVE)
    # The operand must not begin with a sign, a list or a word that ends the aggregate's reading as an operator.
    return text if text[0].isalnum() or text[0] in '_"`$^@' else f"({text})"


def _list(items: tuple[ast.Expr, ...]) -> str:
    return ", ".join(_text(item) for item in items)


def _relation(class_name: str | None) -> str:
    return "" if class_name is None else f"@{{{class_name}}}"


def _operand(node: ast.Expr, level: _Level) -> str:
    text = _text(node)
    return f"({text})" if _level(node) < level else text


def _level(node: ast.Expr) -> _Level:
    match node:
        case ast.Lambda() | ast.Let() | ast.Select() | ast.Quantified() | ast.Comprehension():
            return _Level.PREFIX
        case ast.Logical(operator):
            return _LOGICAL_LEVEL[operator]
        case ast.Not():
            return _Level.NOT
        case ast.Comparison() | ast.Occurs():
            return _Level.RELATION
        case ast.Arithmetic(operator):
            return _ARITHMETIC_LEVEL[operator]
        case ast.Negation():
            return _Level.UNARY
        case ast.IntegerLiteral(value) | ast.DoubleLiteral(value) if str(value).startswith("-"):
            return _Level.UNARY
    return _Level.POSTFIX
