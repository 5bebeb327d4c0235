"""A rule in plain English, as a list that keeps its structure::

    A profile qualifies when all of these hold:
    - loyalty level is one of "gold", "platinum"
    - there is an event (E) such that:
      - E's commerce purchases value is greater than 0
      - E's timestamp is at most 14 days before now

The words follow the tree as written, so that each part of the explanation has its part of the rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from app.pql import ast
from app.pql.printer import format_duration
from app.pql.schema import EVENTS_FIELD

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[_\-:]+")
_COMPARISONS: Final = {
    "=": "is",
    "!=": "is known and is not",
    "<": "is less than",
    "<=": "is at most",
    ">": "is greater than",
    ">=": "is at least",
    "in": "is one of",
    "notIn": "is known and is none of",
    "like": "has the pattern",
}
_ARITHMETIC: Final = {"+": "plus", "-": "minus", "*": "times", "/": "divided by", "%": "modulo"}
_QUANTITIES: Final = {"<": "less than", "<=": "at most", ">": "more than", ">=": "at least", "=": "", "!=": "not"}
_STRING_TESTS: Final = {
    "equals": "is",
    "notEqualTo": "is known and is not",
    "startsWith": "begins with",
    "doesNotStartWith": "is known and does not begin with",
    "endsWith": "ends with",
    "doesNotEndWith": "is known and does not end with",
    "contains": "contains",
    "doesNotContain": "is known and does not contain",
    "matches": "matches the pattern",
    "doesNotMatch": "is known and does not match the pattern",
}
_SET_TESTS: Final = {
    "intersects": "{} has something in common with {}",
    "subsetOf": "everything in {} is among {}",
    "supersetOf": "{} holds all of {}",
    "includes": "{} includes {}",
    "intersection": "what {} has in common with {}",
}
_PLAIN_METHODS: Final = {
    "isNull": "{} is missing",
    "isNotNull": "{} is known",
    "getYear": "the year of {}",
    "getMonth": "the month of {}",
    "getDayOfMonth": "the day of the month of {}",
    "distinct": "the different values of {}",
    "head": "the first of {}",
    "keys": "the keys of {}",
    "values": "the values of {}",
    "count": "the number of {}",
}
_CALLS: Final = {
    "currentYear": "the current year",
    "currentMonth": "the current month",
    "currentDayOfMonth": "today's day of the month",
}
_AGGREGATES: Final = {
    "sum": "the sum",
    "average": "the average",
    "min": "the lowest value",
    "max": "the highest value",
}


def explain(query: ast.Query) -> str:
    """Return what a rule says in plain English, one clause on a line, nested as in the rule."""
    writer = _Explainer(query)
    match query.body:
        case ast.BooleanLiteral(value):
            return "Every profile qualifies." if value else "No profile qualifies."
    lines = writer.lines(query.body, "A profile qualifies when ", 0)
    if len(lines) == 1:
        lines[0] += "."
    return "\n".join(lines)


def field_words(path: tuple[str, ...]) -> str:
    """Return a path in words: ``homeAddress.countryCode`` is "home address country code"; tenants are left out."""
    segments = [one for index, one in enumerate(path) if not (one.startswith("_") and index + 1 < len(path))]
    words = [word for one in segments for word in _HUMP.sub(" ", one).split()]
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words) or ".".join(path)


class _Explainer:
    """Writes the parts of one rule. ``lines`` makes list items, ``phrase`` words within a line."""

    def __init__(self, query: ast.Query) -> None:
        self._profile = frozenset(query.parameters[:1])
        self._given = frozenset(_given_names(query.body))

    # Clauses

    def lines(self, node: ast.Expr, lead: str, depth: int) -> list[str]:
        """Return the lines of a clause; the first begins with ``lead``, those below are indented further."""
        match node:
            case ast.Logical(operator, operands):
                heading = "all of these hold:" if operator == "and" else "at least one of these holds:"
                return [lead + heading, *self._items(operands, depth)]
            case ast.Not(ast.Logical(operator, operands)):
                heading = "not all of these hold:" if operator == "and" else "none of these holds:"
                return [lead + heading, *self._items(operands, depth)]
            case ast.Not(operand):
                return self.lines(operand, lead + "it is not so that ", depth)
            case ast.Select(bindings) | ast.Quantified("exists", bindings):
                return self._there_is(bindings, lead, depth)
            case ast.Quantified("forall", bindings):
                return self._for_every(bindings, lead, depth)
            case ast.Chain():
                return self._chain(node, lead, depth)
            case ast.Let(name, value, body):
                named = f"{lead}with {name} for {self.phrase(value)}: "
                return self.lines(body, named, depth)
            case ast.Filter(source, condition) if _is_long(condition):
                heading = f"{lead}there is one of {self.phrase(source)} for which "
                return self.lines(condition, heading, depth)
            case ast.MethodCall(receiver, "exists", (condition,)):
                return self.lines(_body(condition), f"{lead}for at least one of {self.phrase(receiver)}, ", depth)
            case ast.MethodCall(receiver, "forall", (condition,)):
                return self.lines(_body(condition), f"{lead}for every one of {self.phrase(receiver)}, ", depth)
            case ast.Comparison(operator, ast.MethodCall(source, "count", ()), ast.IntegerLiteral(number)) if (
                operator in _QUANTITIES and isinstance(source, ast.Select | ast.Filter)
            ):
                return self._counted(source, f"{_QUANTITIES[operator]} {number}".strip(), lead, depth)
        return [lead + self.truth(node)]

    def _items(self, operands: tuple[ast.Expr, ...], depth: int) -> list[str]:
        lead = "  " * depth + "- "
        return [line for operand in operands for line in self.lines(operand, lead, depth + 1)]

    def _there_is(self, bindings: tuple[ast.Binding, ...], lead: str, depth: int) -> list[str]:
        heading = f"{lead}there is " + " and ".join(map(self._binding, bindings))
        wheres = [one.where for one in bindings if one.where is not None]
        return self._all_of(wheres, f"{heading} such that ", depth) if wheres else [heading]

    def _for_every(self, bindings: tuple[ast.Binding, ...], lead: str, depth: int) -> list[str]:
        named = " and ".join(self._binding(one, with_article=False) for one in bindings)
        lines, item = [f"{lead}for every {named}, this holds:"], "  " * depth + "- "
        for one in bindings[:-1]:
            if one.where is not None:
                lines.extend(self.lines(one.where, f"{item}provided that ", depth + 1))
        asserted = bindings[-1].where or ast.BooleanLiteral(True)
        return [*lines, *self.lines(asserted, item, depth + 1)]

    def _all_of(self, conditions: list[ast.Expr], lead: str, depth: int) -> list[str]:
        if len(conditions) == 1:
            return self.lines(conditions[0], lead, depth)
        operands: list[ast.Expr] = []
        for one in conditions:
            operands.extend(one.operands if isinstance(one, ast.Logical) and one.operator == "and" else (one,))
        return [lead + "all of these hold:", *self._items(tuple(operands), depth)]

    def _binding(self, binding: ast.Binding, *, with_article: bool = True) -> str:
        if _is_events(binding.source, self._profile):
            return f"an event ({binding.name})" if with_article else f"event ({binding.name})"
        article = "an item" if with_article else "item"
        return f"{article} ({binding.name}) of {self.phrase(binding.source)}"

    def _counted(self, source: ast.Select | ast.Filter, quantity: str, lead: str, depth: int) -> list[str]:
        if isinstance(source, ast.Filter):
            heading = f"{lead}there are {quantity} of {self.phrase(source.source)} for which "
            return self.lines(source.condition, heading, depth)
        named = " and ".join(self._binding(one, with_article=False) for one in source.bindings)
        wheres = [one.where for one in source.bindings if one.where is not None]
        heading = f"{lead}the number of {named} is {quantity}"
        return self._all_of(wheres, f"{heading}, counting those for which ", depth) if wheres else [heading]

    def _chain(self, node: ast.Chain, lead: str, depth: int) -> list[str]:
        events = "events" if _is_events(node.collection, self._profile) else self.phrase(node.collection)
        order = "" if node.order_by == ("timestamp",) else f" by {field_words(node.order_by)}"
        lines = [f"{lead}{events} happened in this order{order}:"]
        item = "  " * depth + "- "
        distance = ""
        for link in node.links:
            if isinstance(link, ast.Gap):
                distance = f"{_quantity(link.comparator, format_duration(link.duration))} later, "
                continue
            heading = f"{item}{distance}{_occurrences(link)} ({link.name})"
            if link.when is not None:
                heading += f" whose time is {self.time(link.when)}"
            distance = ""
            if link.what == ast.BooleanLiteral(True):
                lines.append(heading)
            else:
                lines.extend(self.lines(link.what, f"{heading}, where ", depth + 1))
        return lines

    # Words within a line

    def truth(self, node: ast.Expr) -> str:
        """Return a clause in words."""
        match node:
            case ast.Name() | ast.Path() | ast.Parameter() | ast.This() | ast.Up():
                return f"{self.phrase(node)} is true, or is there"
            case ast.Filter():
                return f"there is one of {self.phrase(node)}"
            case ast.Select() | ast.Quantified() | ast.Chain() | ast.Let() | ast.Logical():
                return " ".join(line.strip() for line in self.lines(node, "", 0))
        return self.phrase(node)

    def phrase(self, node: ast.Expr) -> str:
        """Return an expression in words."""
        return _PHRASES[type(node)](self, node)

    def _string(self, node: ast.StringLiteral) -> str:
        return f'"{node.value}"'

    def _number(self, node: ast.IntegerLiteral | ast.DoubleLiteral) -> str:
        return str(node.value)

    def _boolean(self, node: ast.BooleanLiteral) -> str:
        return "true" if node.value else "false"

    def _list(self, node: ast.ListExpr) -> str:
        return ", ".join(map(self.phrase, node.items)) or "nothing"

    def _object(self, node: ast.ObjectExpr) -> str:
        return "an object of " + ", ".join(f'"{key}": {self.phrase(value)}' for key, value in node.members)

    def _name(self, node: ast.Name) -> str:
        return self._path(ast.Path(node, ()))

    def _path(self, node: ast.Path) -> str:
        base, steps = node.base, node.steps
        owner = ""
        match base:
            case ast.Name(name) if name in self._profile:
                pass
            case ast.Name(name) if name in self._given:
                owner = name
            case ast.Name(name, relation):
                steps = (ast.Step(name, relation), *steps)
            case ast.Parameter(1):
                owner = "" if steps else "the profile"
            case ast.This():
                owner = "" if steps else "the value itself"
            case ast.Up():
                owner = "the outer element"
            case _:
                owner = self.phrase(base)
        return self._fields(owner, steps)

    def _fields(self, owner: str, steps: tuple[ast.Step, ...]) -> str:
        names: list[str] = []
        text = owner
        for step in steps:
            names.append(step.name)
            if step.relation is not None:
                record = f"the {field_words(tuple(step.relation.split('.')[-1:]))} record of"
                text = f"{record} {_owned(text, names)}"
                names = []
        return _owned(text, names) if names else text or "the profile"

    def _this(self, _node: ast.This) -> str:
        return "the value itself"

    def _parameter(self, node: ast.Parameter) -> str:
        return "the profile" if node.number == 1 else f"parameter {node.number}"

    def _up(self, _node: ast.Up) -> str:
        return "the outer element"

    def _class_reference(self, node: ast.ClassReference) -> str:
        version = "" if node.version is None else f", version {node.version}"
        return f"the records of the class {node.class_name}{version}"

    def _logic(self, node: ast.Expr) -> str:
        match node:
            case ast.Logical(operator, operands):
                return f" {operator} ".join(f"({self.truth(one)})" for one in operands)
            case ast.Not(operand):
                return f"it is not so that {self.truth(operand)}"
        return self.truth(node)

    def _comparison(self, node: ast.Comparison) -> str:
        return f"{self.phrase(node.left)} {_COMPARISONS[node.operator]} {self.phrase(node.right)}"

    def _arithmetic(self, node: ast.Arithmetic) -> str:
        sides = [
            f"({self.phrase(one)})" if isinstance(one, ast.Arithmetic) else self.phrase(one)
            for one in (node.left, node.right)
        ]
        return f"{sides[0]} {_ARITHMETIC[node.operator]} {sides[1]}"

    def _negation(self, node: ast.Negation) -> str:
        return f"minus {self.phrase(node.operand)}"

    def _call(self, node: ast.Call) -> str:
        arguments = [self.phrase(one) for one in node.arguments]
        match node.name, node.arguments:
            case "date", (ast.IntegerLiteral(year), ast.IntegerLiteral(month), ast.IntegerLiteral(day)):
                return f"{year:04}-{month:02}-{day:02}"
            case "inSegment", _:
                return f"the profile is in the segment {', '.join(arguments)}"
            case "if", (condition, _, _):
                return f"({arguments[1]} if {self.truth(condition)}, otherwise {arguments[2]})"
            case "mapEntry", (_, _):
                return f"{arguments[1]} for {arguments[0]}"
            case "stringCompare", (ast.StringLiteral(operation), _, values, *rest) if operation in _STRING_TESTS:
                some = "any of " if isinstance(values, ast.ListExpr) else ""
                return f"{arguments[1]} {_STRING_TESTS[operation]} {some}{arguments[2]}{_letter_case(tuple(rest))}"
        return _CALLS.get(node.name) or f"{node.name} of {', '.join(arguments) or 'nothing'}"

    def _method(self, node: ast.MethodCall) -> str:
        receiver, name, arguments = self.phrase(node.receiver), node.name, node.arguments
        if name in _PLAIN_METHODS and not arguments:
            return _PLAIN_METHODS[name].format(receiver)
        if name in _STRING_TESTS and arguments:
            text = self.phrase(arguments[0])
            return f"{receiver} {_STRING_TESTS[name]} {text}{_letter_case(arguments[1:])}"
        if name in _SET_TESTS and len(arguments) == 1:
            return _SET_TESTS[name].format(receiver, self.phrase(arguments[0]))
        if name in _AGGREGATES:
            of = f" of {self.phrase(_body(arguments[0]))}" if arguments else ""
            return f"{_AGGREGATES[name]}{of} over {receiver}"
        return self._rarer_method(receiver, name, arguments)

    def _rarer_method(self, receiver: str, name: str, arguments: tuple[ast.Expr, ...]) -> str:
        words = [self.phrase(_body(one)) for one in arguments]
        match name, words:
            case "exists", []:
                return f"there is one of {receiver}"
            case "exists", [_]:
                return f"for at least one of {receiver}, {self.truth(_body(arguments[0]))}"
            case "forall", [_]:
                return f"for every one of {receiver}, {self.truth(_body(arguments[0]))}"
            case "filter", [_]:
                return f"those of {receiver} for which {self.truth(_body(arguments[0]))}"
            case "map", [body]:
                return f"{body} for each of {receiver}"
            case "groupBy", [key]:
                return f"{receiver} grouped by {key}"
            case "topN", [key, size]:
                return f"the {size} of {receiver} with the highest {key}"
            case "bottomN", [key, size]:
                return f"the {size} of {receiver} with the lowest {key}"
            case "get", [key]:
                return f"the entry {key} of {receiver}"
            case "regexGroup", [pattern, *group]:
                return f"what group {group[0] if group else 1} of the pattern {pattern} finds in {receiver}"
        return f"{name} of {receiver}" + (f" with {', '.join(words)}" if words else "")

    def _filter(self, node: ast.Filter) -> str:
        return f"those of {self.phrase(node.source)} for which {self.truth(node.condition)}"

    def _lambda(self, node: ast.Lambda) -> str:
        return f"{self.phrase(node.body)} (for each {' and '.join(node.parameters)})"

    def _select(self, node: ast.Select) -> str:
        return f"cases in which {self.truth(node)}"

    def _comprehension(self, node: ast.Comprehension) -> str:
        named = " and ".join(self._binding(one, with_article=False) for one in node.bindings)
        wheres = [self.truth(one.where) for one in node.bindings if one.where is not None]
        condition = f" for which {' and '.join(wheres)}" if wheres else ""
        return f"{_AGGREGATES[node.function]} of {self.phrase(node.value)} over every {named}{condition}"

    # Time

    def _time_word(self, node: ast.TimeWord) -> str:
        return node.word

    def _period(self, node: ast.CalendarPeriod) -> str:
        return f"{node.which} {node.unit}"

    def _occurs(self, node: ast.Occurs) -> str:
        return f"{self.phrase(node.timestamp)} is {self.time(node.test)}"

    def time(self, test: ast.TimeTest) -> str:
        """Return what a timestamp has to meet, in words that follow "is"."""
        match test:
            case ast.Within(comparator, duration, "from", reference):
                return f"{_quantity(comparator, format_duration(duration))} before or after {self.phrase(reference)}"
            case ast.Within(comparator, duration, direction, reference):
                return f"{_quantity(comparator, format_duration(duration))} {direction} {self.phrase(reference)}"
            case ast.Beyond(direction, reference):
                return f"{direction} {self.phrase(reference)}"
            case ast.Between(start, end):
                return f"between {self.phrase(start)} and {self.phrase(end)}"
            case ast.During(period):
                return f"within {self.phrase(period)}"
            case ast.IgnoreYear(inner):
                return f"{self.time(inner)}, whatever the year"


def _given_names(root: ast.Node) -> Iterator[str]:
    """Yield the names that a rule gives to elements and values."""
    for node in ast.walk(root):
        match node:
            case ast.Binding(name) | ast.Let(name) | ast.Element(name):
                yield name
            case ast.Lambda(parameters):
                yield from parameters


def _quantity(comparator: str, amount: str) -> str:
    return f"{_QUANTITIES[comparator]} {amount}".strip()


def _occurrences(element: ast.Element) -> str:
    count = element.count
    if element.negated:
        return "no event"
    match count:
        case ast.Count(every=True):
            return "only events"
        case ast.Count(1, None):
            return "an event"
        case ast.Count(int(low), None):
            return f"at least {low} events"
        case ast.Count(None, high):
            return f"at most {high} events"
        case ast.Count(low, high) if low == high:
            return f"exactly {low} events"
    return f"{count.minimum} to {count.maximum} events"


def _owned(owner: str, names: list[str]) -> str:
    words = field_words(tuple(names))
    if words == field_words((EVENTS_FIELD,)):
        words = "events"
    elif names[0] == EVENTS_FIELD:
        words = "events' " + field_words(tuple(names[1:]))
    return f"{owner}'s {words}" if owner else words


def _letter_case(rest: tuple[ast.Expr, ...]) -> str:
    return " (in upper or lower case)" if rest and rest[0] == ast.BooleanLiteral(False) else ""


def _body(argument: ast.Expr) -> ast.Expr:
    return argument.body if isinstance(argument, ast.Lambda) and len(argument.parameters) == 1 else argument


def _is_long(node: ast.Expr) -> bool:
    return isinstance(node, ast.Logical | ast.Select | ast.Quantified | ast.Chain | ast.Filter)


def _is_events(node: ast.Expr, profile: frozenset[str]) -> bool:
    match node:
        case ast.Name(name):
            return name == EVENTS_FIELD
        case ast.Path(ast.Parameter(1), (ast.Step(name),)):
            return name == EVENTS_FIELD
        case ast.Path(ast.Name(root), (ast.Step(name),)):
            return root in profile and name == EVENTS_FIELD
    return False


_Phrase: TypeAlias = Callable[[_Explainer, Any], str]
_PHRASES: Final[dict[type[ast.Expr], _Phrase]] = {
    ast.StringLiteral: _Explainer._string,
    ast.IntegerLiteral: _Explainer._number,
    ast.DoubleLiteral: _Explainer._number,
    ast.BooleanLiteral: _Explainer._boolean,
    ast.ListExpr: _Explainer._list,
    ast.ObjectExpr: _Explainer._object,
    ast.Name: _Explainer._name,
    ast.Path: _Explainer._path,
    ast.This: _Explainer._this,
    ast.Parameter: _Explainer._parameter,
    ast.Up: _Explainer._up,
    ast.ClassReference: _Explainer._class_reference,
    ast.Logical: _Explainer._logic,
    ast.Not: _Explainer._logic,
    ast.Comparison: _Explainer._comparison,
    ast.Arithmetic: _Explainer._arithmetic,
    ast.Negation: _Explainer._negation,
    ast.Call: _Explainer._call,
    ast.MethodCall: _Explainer._method,
    ast.Filter: _Explainer._filter,
    ast.Lambda: _Explainer._lambda,
    ast.Let: _Explainer._logic,
    ast.Select: _Explainer._select,
    ast.Quantified: _Explainer._logic,
    ast.Comprehension: _Explainer._comprehension,
    ast.TimeWord: _Explainer._time_word,
    ast.CalendarPeriod: _Explainer._period,
    ast.Occurs: _Explainer._occurs,
    ast.Chain: _Explainer._logic,
}
