"""A pql/json tree to the tree of `ast`: strict on node types and kinds, keeping the keys that it does not know.

A node is read in one of two worlds: paths that start at a parameter, and names. ``parameterReference`` 1 is the element
of the nearest implicit scope, ``up`` climbs out of it; in the text that is a bare path, ``this``, ``^`` or ``$1``.
Old spellings (``quantification``, ``fnCreate``, ``XDMObject``, ``NOT``) give the tree of their new ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar, cast

from app.errors import PQLError
from app.pql import ast
from app.pql.diagnostics import Diagnostic, did_you_mean
from app.pql.functions import CALLS, METHODS, Family
from app.pql.json_document import fail, fail_too_deep, kind_of, load, note, shown
from app.pql.json_nodes import Node, check_name, split_relation
from app.pql.json_scope import NameScope
from app.pql.origin import Extras, Origin, Place, keys_to
from app.pql.parser import MAX_DEPTH, UNITS, parse
from app.pql.printer import format_expression
from app.pql.spans import Span

_LITERAL_TYPES: Final = {
    one.lower(): one
    for one in (
        *("String", "Integer", "Double", "Number", "Boolean", "List", "DateTime", "Timestamp"),
        *("TimeUnit", "TimeDirection", "Comparison", "XDMObject"),
    )
}
_OLD_PREFIX: Final = "xdm:"
_PERIOD: Final = re.compile(r"(this|last|next)\s+([a-z]+)", re.IGNORECASE)
_TIME_WORDS: Final = frozenset({"now", "today", "yesterday", "tomorrow"})
_COMPARATORS: Final = frozenset({"=", "!=", "<", "<=", ">", ">="})
_COMPARISONS: Final = {**{one: one for one in _COMPARATORS}, "in": "in", "notin": "notIn", "like": "like"}
_ARITHMETIC: Final = frozenset("+-*/%")
_AGGREGATES: Final = frozenset({"sum", "average", "min", "max"})
NodeT = TypeVar("NodeT", bound=ast.Node)

_SCOPED: Final = frozenset({Family.SCOPED, Family.AGGREGATE})


def parse_json(value: str | Mapping[str, Any]) -> ast.Query:
    """Return the tree of a rule in pql/json, given as JSON text or as the object that it holds.

    The query's ``text`` is the canonical text; spans point into it, and its ``origin`` knows the place in the JSON.

    Raises:
        PQLError: the document is no rule. Its one diagnostic names the node type and the place, such as
            ``$.params[1].object``.

    """
    reader = _Reader()
    try:
        body = reader.root(load(value))
    except RecursionError:
        fail_too_deep()
    return reader.query(body)


class _Reader:
    """Reads one document. Places and unknown keys are noted beside the tree, by the identity of its nodes."""

    def __init__(self) -> None:
        self._notes: list[Diagnostic] = []
        self._pending: list[tuple[Place, dict[str, Any]]] = []
        self._places: dict[int, Place] = {}
        self._extras: dict[int, Extras] = {}
        self._alive: list[ast.Node] = []
        self._level = 0

    # The whole rule

    def root(self, document: Mapping[str, Any]) -> ast.Expr:
        """Return the body of the rule; a lambda round it only names the parameters."""
        node = Node(document, None)
        if node.type in {"lambda", "fnCreate"}:
            names, body = self._lambda_parts(node)
            parameters = {name: number for number, name in enumerate(names, 1)}
            return self.expression(body, NameScope(parameters))
        return self.expression(node, NameScope({}))

    def query(self, body: ast.Expr) -> ast.Query:
        """Return the query for a tree: read once more from its canonical text, which gives the spans."""
        try:
            query = parse(format_expression(body))
        except PQLError as problem:
            first = problem.diagnostics[0]
            fail(first.code, first.message, None, first.hint)
        if query.body != body or query.parameters:
            fail("no-text-form", "This tree cannot be written as PQL text.", None)
        places: dict[Span, Place] = {}
        extras: dict[int, Extras] = {}
        for index, (ours, theirs) in enumerate(zip(ast.walk(body), ast.walk(query.body), strict=True)):
            if id(ours) in self._places:
                places.setdefault(theirs.span, self._places[id(ours)])
            if id(ours) in self._extras:
                extras[index] = self._extras[id(ours)]
        for place, _ in self._pending:
            self._notes.append(note("unknown-key", "Keys that are not known here are not kept.", place))
        return replace(query, origin=Origin(places, extras, tuple(self._notes)))

    # Dispatch

    def expression(self, node: Node, scope: NameScope) -> ast.Expr:
        """Return the expression for a node."""
        reader = _READERS.get(node.type)
        if reader is None:
            node.fail("node-kind", f"A {node.type} node has no value, and one is needed here.")
        self._level += 1
        if self._level > MAX_DEPTH:
            fail_too_deep()
        mark = self._seen(node)
        result = reader(self, node, scope)
        self._level -= 1
        return self._made(result, node.place, mark)

    def _seen(self, node: Node) -> int:
        """Note the unknown keys of a node; return a mark for those that it and the nodes within it leave."""
        mark = len(self._pending)
        if extras := node.extras():
            self._pending.append((node.place, extras))
        return mark

    def _made(self, made: NodeT, place: Place, mark: int) -> NodeT:
        """Note where a node of the tree came from, and give it the unknown keys noted since ``mark``."""
        self._alive.append(made)
        self._places[id(made)] = place
        if len(self._pending) > mark:
            start = len(keys_to(place))
            self._extras[id(made)] = tuple((keys_to(at)[start:], extras) for at, extras in self._pending[mark:])
            del self._pending[mark:]
        return made

    # Literals

    def _literal(self, node: Node, scope: NameScope) -> ast.Expr:
        value = node.value("value")
        kind = self._literal_type(node)
        match kind:
            case "XDMObject":
                if value != "profile":
                    node.fail("literal", 'An XDMObject literal is "profile", the old root of paths.')
                return self._path(scope.depth, (), scope)
            case "DateTime" | "Timestamp":
                return _moment(node.text("value"))
            case "TimeUnit" | "TimeDirection" | "Comparison":
                node.fail("literal", f"A {kind} literal belongs to a test on time and has no value of its own.")
        return _constant(kind, value, node.at("value"))

    def _literal_type(self, node: Node) -> str | None:
        if not node.has("literalType"):
            return None
        given = node.text("literalType")
        kind = _LITERAL_TYPES.get(given.lower())
        if kind is None:
            hint = did_you_mean(given, _LITERAL_TYPES.values()) or f"They are {', '.join(_LITERAL_TYPES.values())}."
            node.fail("literal-type", f"The literalType {shown(given)} is not known.", hint)
        return kind

    def _word(self, node: Node, key: str, kind: str) -> str:
        """Return the word in a literal that is not a value: a unit, a direction or a comparison."""
        literal = node.child(key, "literal")
        self._seen(literal)
        if self._literal_type(literal) not in {None, kind, "String"}:
            literal.fail("literal-type", f"The {key} of a {node.type} node is a {kind} literal.")
        return literal.text("value").lower()

    # Names and paths

    def _lookup(self, node: Node, scope: NameScope) -> ast.Expr:
        """Read a path from its last field inwards, without recursion."""
        steps: list[ast.Step] = []
        while True:
            steps.append(self._step(node))
            if not node.has("object"):
                return self._path(0, tuple(reversed(steps)), scope)
            inner = Node(node.value("object"), node.at("object"))
            if inner.type != "fieldLookup":
                break
            self._seen(inner)
            node = inner
        path = tuple(reversed(steps))
        found = self._base_level(inner, scope)
        if found is not None:
            return self._path(found, path, scope)
        base = self.expression(inner, scope)
        return ast.Path(base, path)

    def _base_level(self, node: Node, scope: NameScope) -> int | None:
        """Return how many scopes out the path at a node starts, None when it starts at a value of another kind."""
        if node.type == "parameterReference" and node.integer("position", 1, least=1) == 1:
            self._seen(node)
            return node.integer("up", 0)
        if node.type == "varRef" and scope.names.get(node.name("varName")) == 1:
            self._seen(node)
            return scope.depth
        if node.type == "literal" and self._literal_type(node) == "XDMObject" and node.value("value") == "profile":
            self._seen(node)
            return scope.depth
        return None

    def _step(self, node: Node) -> ast.Step:
        given = node.name("fieldName")
        name, relation = split_relation(given)
        if name.startswith(_OLD_PREFIX):
            name = name.removeprefix(_OLD_PREFIX)
            message = f"The prefix of {shown(given)} belongs to an older form of pql/json and was left out."
            self._notes.append(note("old-prefix", message, node.at("fieldName")))
        check_name(name, node.type, node.at("fieldName"))
        return self._made(ast.Step(name, relation), node.place, len(self._pending))

    def _reference(self, node: Node, scope: NameScope) -> ast.Expr:
        position = node.integer("position", 1, least=1)
        if position > 99:
            node.fail("parameter", "A parameterReference counts from 1 to 99.")
        if position > 1:
            return ast.Parameter(position)
        return self._path(node.integer("up", 0), (), scope)

    def _path(self, levels: int, steps: tuple[ast.Step, ...], scope: NameScope) -> ast.Expr:
        """Return a path from the object ``levels`` scopes out, in the shortest spelling of the text."""
        if levels > MAX_DEPTH:
            fail_too_deep()
        base: ast.Expr = ast.Up(levels) if levels else ast.This() if scope.depth else ast.Parameter(1)
        if not steps:
            return base
        first, *rest = steps
        if levels == 0 and first.name not in scope.names:
            base, steps = ast.Name(first.name, first.relation), tuple(rest)
            self._alive.append(base)
            self._places[id(base)] = self._places[id(first)]
        return ast.Path(base, steps) if steps else base

    def _variable(self, node: Node, scope: NameScope) -> ast.Expr:
        name = node.name("varName")
        if name not in scope.names:
            hint = did_you_mean(name, scope.names) or "A field of the profile is a fieldLookup."
            node.fail("unbound-variable", f"No variable {shown(name)} is bound here.", hint)
        number = scope.names[name]
        if number is None:
            return ast.Name(name)
        return ast.Parameter(number) if number > 1 else self._path(scope.depth, (), scope)

    # Functions

    def _apply(self, node: Node, scope: NameScope) -> ast.Expr:
        name = node.name("fnName")
        params = node.children("params")
        reader = _FUNCTIONS.get(name) or _FUNCTIONS.get(name.lower())
        if reader is not None:
            return reader(self, node, params, scope)
        if name in _AGGREGATES and _takes_select(params, 2) and _names_parameters(params[1]):
            return self._comprehension(node, params, scope)
        if name in METHODS:
            return self._method(node, name, params, scope)
        if name not in CALLS:
            message = f"The function {shown(name)} is not known."
            self._notes.append(note("unknown-function", message, node.at("fnName"), did_you_mean(name, METHODS)))
        return ast.Call(name, tuple(self._argument(one, scope) for one in params))

    def _argument(self, node: Node, scope: NameScope) -> ast.Expr:
        if node.type in {"lambda", "fnCreate"}:
            mark = self._seen(node)
            names, body = self._lambda_parts(node)
            if not names:
                node.fail("node-kind", f"A {node.type} node without params stands only in a function over elements.")
            inner = self.expression(body, scope.binding(*names))
            return self._made(ast.Lambda(names, inner), node.place, mark)
        return self.expression(node, scope)

    def _method(self, node: Node, name: str, params: list[Node], scope: NameScope) -> ast.Expr:
        if not params:
            node.fail("argument-count", f"The params of {shown(name)} begin with the value that it is applied to.")
        receiver = self.expression(params[0], scope)
        is_scoped = METHODS[name].family in _SCOPED
        arguments: list[ast.Expr] = []
        for index, one in enumerate(params[1:]):
            if is_scoped and index == 0 and one.type in {"lambda", "fnCreate"} and not _names_parameters(one):
                self._seen(one)
                arguments.append(self.expression(self._lambda_parts(one)[1], scope.inside()))
            elif is_scoped and index == 0 and one.type not in {"lambda", "fnCreate"}:
                one.fail("node-kind", f"What {shown(name)} computes from each element is a lambda, not {one.type}.")
            else:
                arguments.append(self._argument(one, scope))
        if name == "filter" and len(arguments) == 1 and not isinstance(arguments[0], ast.Lambda):
            if isinstance(arguments[0], ast.IntegerLiteral):
                hint = "Use `head` for the first item, after `topN` for a given order."
                node.fail("positional-access", "An array has no access by position.", hint)
            return ast.Filter(receiver, arguments[0])
        return ast.MethodCall(receiver, name, tuple(arguments))

    def _lambda_parts(self, node: Node) -> tuple[tuple[str, ...], Node]:
        names: list[str] = []
        for index, one in enumerate(node.array("params")):
            place: Place = (node.at("params"), index)
            if not isinstance(one, Mapping):
                fail("json-kind", f'A param of a {node.type} node is {{"varName": ...}}, not {kind_of(one)}.', place)
            name = one.get("varName")
            if not isinstance(name, str):
                fail("missing-key", f"A param of a {node.type} node has a varName that is a string.", place)
            check_name(name, node.type, place)
            if name in names:
                fail("duplicate-name", f"The parameter {shown(name)} is named twice.", place)
            names.append(name)
            if others := {key: value for key, value in one.items() if key not in {"varName", "nodeType"}}:
                self._pending.append((place, others))
        return tuple(names), node.child("body")

    def _lambda_alone(self, node: Node, _scope: NameScope) -> ast.Expr:
        node.fail("node-kind", f"A {node.type} node stands only as an argument of a function.")

    def _logical(self, node: Node, params: list[Node], scope: NameScope) -> ast.Expr:
        operator = cast("ast.LogicalOperator", node.text("fnName").lower())
        operands: list[ast.Expr] = []
        for one in params:
            operand = self.expression(one, scope)
            same = isinstance(operand, ast.Logical) and operand.operator == operator
            operands.extend(operand.operands if same and isinstance(operand, ast.Logical) else [operand])
        if not operands:
            node.fail("argument-count", f"The function {operator} has no params.")
        return operands[0] if len(operands) == 1 else ast.Logical(operator, tuple(operands))

    def _not(self, node: Node, params: list[Node], scope: NameScope) -> ast.Expr:
        (operand,) = _exactly(node, params, 1)
        return ast.Not(self.expression(operand, scope))

    def _comparison(self, node: Node, params: list[Node], scope: NameScope) -> ast.Expr:
        left, right = _exactly(node, params, 2)
        operator = cast("ast.ComparisonOperator", _COMPARISONS[node.text("fnName").lower()])
        return ast.Comparison(operator, self.expression(left, scope), self.expression(right, scope))

    def _arithmetic(self, node: Node, params: list[Node], scope: NameScope) -> ast.Expr:
        operator = cast("ast.ArithmeticOperator", node.text("fnName"))
        if operator == "-" and len(params) == 1:
            return self._negate(node, params, scope)
        if len(params) < 2:
            _exactly(node, params, 2)
        result = self.expression(params[0], scope)
        for one in params[1:]:
            result = ast.Arithmetic(operator, result, self.expression(one, scope))
        return result

    def _negate(self, node: Node, params: list[Node], scope: NameScope) -> ast.Expr:
        (param,) = _exactly(node, params, 1)
        operand = self.expression(param, scope)
        match operand:
            case ast.IntegerLiteral(value) if value != -(2**63):
                return ast.IntegerLiteral(-value)
            case ast.DoubleLiteral(value):
                return ast.DoubleLiteral(-value)
        return ast.Negation(operand)

    def _list(self, _node: Node, params: list[Node], scope: NameScope) -> ast.Expr:
        return ast.ListExpr(tuple(self._argument(one, scope) for one in params))

    def _object(self, node: Node, params: list[Node], scope: NameScope) -> ast.Expr:
        if len(params) % 2:
            node.fail("argument-count", "The params of object are pairs of a key and a value.")
        members: dict[str, ast.Expr] = {}
        for key, value in zip(params[::2], params[1::2], strict=True):
            self._seen(key)
            name = self._string(key, "A key of object")
            if name in members:
                key.fail("duplicate-key", f"The key {shown(name)} is there twice.")
            members[name] = self._argument(value, scope)
        return ast.ObjectExpr(tuple(members.items()))

    def _let(self, node: Node, params: list[Node], scope: NameScope) -> ast.Expr:
        value, function = _exactly(node, params, 2)
        if function.type not in {"lambda", "fnCreate"}:
            function.fail("node-kind", f"The second param of let is a lambda, not {function.type}.")
        self._seen(function)
        names, body = self._lambda_parts(function)
        if len(names) != 1:
            function.fail("argument-count", "The lambda of let has one param, the name.")
        return ast.Let(names[0], self.expression(value, scope), self.expression(body, scope.binding(*names)))

    def _model_instances(self, node: Node, params: list[Node], _scope: NameScope) -> ast.Expr:
        (literal,) = _exactly(node, params, 1)
        self._seen(literal)
        text = self._string(literal, "The class of modelInstances")
        class_name, separator, version = text.partition(";version=")
        if not class_name or set(text) & set("{}\r\n") or (separator and not version.isascii()):
            literal.fail("class-reference", f"{shown(text)} names no class.")
        if separator and not (version.isdecimal() and len(version) <= 9):
            literal.fail("class-reference", "What follows `;version=` is not a number.")
        return ast.ClassReference(class_name.strip(), int(version) if separator else None)

    def _string(self, node: Node, what: str) -> str:
        if node.type != "literal" or self._literal_type(node) not in {None, "String"}:
            node.fail("node-kind", f"{what} is a String literal.")
        return node.text("value")

    # Bindings

    def _select(self, node: Node, scope: NameScope) -> ast.Expr:
        bindings, _ = self._bindings(node, scope)
        return ast.Select(bindings)

    def _bindings(self, node: Node, scope: NameScope) -> tuple[tuple[ast.Binding, ...], NameScope]:
        bindings: list[ast.Binding] = []
        for one in node.children("variables", "varDecl"):
            mark = self._seen(one)
            name = one.name("varName")
            source = self.expression(one.child("from"), scope)
            scope = scope.binding(name)
            where = self.expression(one.child("where"), scope) if one.has("where") else None
            bindings.append(self._made(ast.Binding(name, source, where), one.place, mark))
        if not bindings:
            node.fail("argument-count", f"The variables of a {node.type} node are empty.")
        return tuple(bindings), scope

    def _quantified(self, node: Node, params: list[Node], scope: NameScope) -> ast.Expr:
        name = node.text("fnName")
        if not _takes_select(params, 1):
            return self._method(node, name, params, scope)
        self._seen(params[0])
        bindings, _ = self._bindings(params[0], scope)
        return ast.Quantified("exists" if name == "exists" else "forall", bindings)

    def _quantification(self, node: Node, scope: NameScope) -> ast.Expr:
        bindings, _ = self._bindings(node, scope)
        quantifier = node.text("quantifier").lower()
        if quantifier not in {"some", "exists", "all", "forall", "none", "one"}:
            node.fail("quantifier", "The quantifier of a quantification node is some, all, none or one.")
        if quantifier == "one":
            return ast.Comparison("=", ast.MethodCall(ast.Select(bindings), "count", ()), ast.IntegerLiteral(1))
        quantified = ast.Quantified("forall" if quantifier in {"all", "forall"} else "exists", bindings)
        return ast.Not(quantified) if quantifier == "none" else quantified

    def _comprehension(self, node: Node, params: list[Node], scope: NameScope) -> ast.Expr:
        select, function = params
        self._seen(select)
        bindings, inner = self._bindings(select, scope)
        self._seen(function)
        names, body = self._lambda_parts(function)
        if names != tuple(binding.name for binding in bindings):
            function.fail("argument-count", f"The lambda of {node.text('fnName')} has the variables as its params.")
        kind = node.text("fnName")
        return ast.Comprehension(
            "sum" if kind == "sum" else "average" if kind == "average" else "min" if kind == "min" else "max",
            self.expression(body, inner),
            bindings,
        )

    # Time

    def _occurs(self, node: Node, scope: NameScope) -> ast.Expr:
        timestamp = self.expression(node.child("timestamp"), scope)
        return ast.Occurs(timestamp, self._time_test(node, scope))

    def _time_test(self, node: Node, scope: NameScope) -> ast.TimeTest:
        when = node.child("when", "timeQualification", "range")
        mark = self._seen(when)
        test = self._within(when, scope) if when.type == "timeQualification" else self._period(when, scope)
        self._made(test, when.place, mark)
        return self._made(ast.IgnoreYear(test), when.place, mark) if node.boolean("ignoreYear") else test

    def _within(self, node: Node, scope: NameScope) -> ast.Within | ast.Beyond:
        direction = self._word(node, "direction", "TimeDirection")
        if direction not in {"before", "after", "from"}:
            node.fail("direction", f"The direction {shown(direction)} is not before, after or from.")
        reference = self.expression(node.child("reference"), scope)
        if not node.has("duration") and not node.has("comparison"):
            if direction == "from":
                node.fail("direction", "The direction from needs a comparison and a duration.")
            return ast.Beyond("before" if direction == "before" else "after", reference)
        kind = cast("ast.Direction", direction)
        return ast.Within(self._comparator(node), self._duration(node), kind, reference)

    def _period(self, node: Node, scope: NameScope) -> ast.Between | ast.During:
        if node.has("period"):
            return ast.During(self.expression(node.child("period"), scope))
        start = self.expression(node.child("start"), scope)
        return ast.Between(start, self.expression(node.child("end"), scope))

    def _comparator(self, node: Node) -> ast.Comparator:
        word = self._word(node, "comparison", "Comparison")
        if word not in _COMPARATORS:
            node.fail("comparison", f"The comparison {shown(word)} of a {node.type} node is not known.")
        return cast("ast.Comparator", word)

    def _duration(self, node: Node) -> ast.Duration:
        duration = node.child("duration", "duration")
        mark = self._seen(duration)
        count = duration.child("count", "literal")
        self._seen(count)
        if self._literal_type(count) not in {None, "Integer", "Number"}:
            count.fail("literal-type", "The count of a duration node is an Integer literal.")
        number = count.integer("value")
        unit = UNITS.get(self._word(duration, "unit", "TimeUnit"))
        if unit is None:
            duration.fail("unit", f"The unit of a duration node is one of {', '.join(ast.UNITS)}.")
        return self._made(ast.Duration(number, unit), duration.place, mark)

    # Chains

    def _chain(self, node: Node, scope: NameScope) -> ast.Expr:
        collection = self.expression(node.child("collection"), scope)
        order_by = self._order(node.child("orderBy"))
        links: list[ast.Element | ast.Gap] = []
        inner = scope.inside()
        for one in node.children("elements", "element", "gap"):
            mark = self._seen(one)
            if one.type == "gap":
                gap = ast.Gap(self._comparator(one), self._duration(one))
                links.append(self._made(gap, one.place, mark))
                continue
            element = self._made(self._element(one, inner), one.place, mark)
            links.append(element)
            if gives_label(element):
                inner = inner.binding(element.name)
        if not links:
            node.fail("empty-chain", "The elements of a chain node are empty.")
        return ast.Chain(collection, order_by, tuple(links))

    def _order(self, node: Node) -> tuple[str, ...]:
        names: list[str] = []
        path = self.expression(node, NameScope({}))
        match path:
            case ast.Name(name, None):
                names = [name]
            case ast.Path(ast.Name(name, None), steps) if all(step.relation is None for step in steps):
                names = [name, *(step.name for step in steps)]
        if not names:
            node.fail("node-kind", f"The orderBy of a chain node is a path of the event, not {node.type}.")
        return tuple(names)

    def _element(self, node: Node, scope: NameScope) -> ast.Element:
        what = node.child("what")
        if what.type in {"lambda", "fnCreate"}:
            self._seen(what)
            names, what = self._lambda_parts(what)
            if names:
                what.fail("node-kind", "The lambda in the what of an element node has no params.")
        condition = self.expression(what, scope)
        when = self._time_test(node, scope) if node.has("when") else None
        return ast.Element(node.name("name"), condition, when, self._count(node), node.boolean("negated"))

    def _count(self, node: Node) -> ast.Count:
        if not node.has("countRange"):
            return ast.Count(node.integer("count", 1), None)
        bounds = node.child("countRange", "range")
        self._seen(bounds)
        if bounds.boolean("all"):
            return ast.Count(None, None, every=True)
        least = bounds.integer("min") if bounds.has("min") else None
        most = bounds.integer("max") if bounds.has("max") else None
        if least is None and most is None:
            bounds.fail("missing-key", "The countRange of an element node has a min or a max.")
        return ast.Count(least, most)


def gives_label(element: ast.Element) -> bool:
    """Tell whether later elements of a chain can name this one: only where an event was surely taken."""
    return not element.negated and (element.count.minimum or 0) > 0


_Reading = Callable[[_Reader, Node, NameScope], ast.Expr]
_READERS: Final[dict[str, _Reading]] = {
    "literal": _Reader._literal,
    "fieldLookup": _Reader._lookup,
    "parameterReference": _Reader._reference,
    "fnApply": _Reader._apply,
    "varRef": _Reader._variable,
    "select": _Reader._select,
    "lambda": _Reader._lambda_alone,
    "fnCreate": _Reader._lambda_alone,
    "chain": _Reader._chain,
    "occurs": _Reader._occurs,
    "quantification": _Reader._quantification,
}

_FunctionReading = Callable[[_Reader, Node, list[Node], NameScope], ast.Expr]
_FUNCTIONS: Final[dict[str, _FunctionReading]] = {
    "and": _Reader._logical,
    "or": _Reader._logical,
    "not": _Reader._not,
    **dict.fromkeys(_COMPARISONS, _Reader._comparison),
    **dict.fromkeys(_ARITHMETIC, _Reader._arithmetic),
    "negate": _Reader._negate,
    "list": _Reader._list,
    "object": _Reader._object,
    "let": _Reader._let,
    "modelinstances": _Reader._model_instances,
    "exists": _Reader._quantified,
    "forall": _Reader._quantified,
}
SYNTAX: Final = frozenset(_FUNCTIONS)
"""Names, in lower case, of what is a function in pql/json only; in the text it is an operator or a form of its own."""


def _exactly(node: Node, params: list[Node], count: int) -> list[Node]:
    if len(params) != count:
        wanted = "one param" if count == 1 else f"{count} params"
        node.fail("argument-count", f"The function {shown(node.text('fnName'))} has {wanted}, not {len(params)}.")
    return params


def _takes_select(params: list[Node], count: int) -> bool:
    return len(params) == count and params[0].type == "select"


def _names_parameters(node: Node) -> bool:
    return node.type in {"lambda", "fnCreate"} and bool(node.array("params"))


def _constant(kind: str | None, value: object, place: Place) -> ast.Expr:
    """Return a literal; its kind is told by the value when the document does not name it."""
    match kind, value:
        case ((None | "Boolean"), bool()):
            return ast.BooleanLiteral(value)
        case ((None | "Integer" | "Number"), int()) if not isinstance(value, bool):
            return ast.IntegerLiteral(_in_range(value, place))
        case ((None | "Double" | "Number"), float()):
            return ast.DoubleLiteral(value)
        case "Double", int() if not isinstance(value, bool):
            return ast.DoubleLiteral(float(_in_range(value, place)))
        case ((None | "String"), str()):
            return ast.StringLiteral(value)
        case ((None | "List"), list() | tuple()):
            return ast.ListExpr(tuple(_constant(None, one, (place, index)) for index, one in enumerate(value)))
    literal = "literal node" if kind is None else f"{kind} literal"
    return fail("literal", f"A {literal} cannot hold {kind_of(value)}.", place)


def _in_range(value: int, place: Place) -> int:
    if not -(2**63) <= value < 2**63:
        fail("integer-range", "This integer does not fit into 64 bits.", place, "Use a Double literal.")
    return value


def _moment(text: str) -> ast.Expr:
    """Return what a DateTime or Timestamp literal means: a word, a period, a whole day, or else text to be coerced."""
    word = text.strip().lower()
    if word in _TIME_WORDS:
        return ast.TimeWord("now" if word == "now" else cast("Any", word))
    found = _PERIOD.fullmatch(word)
    if found is not None and found.group(2) in UNITS:
        return ast.CalendarPeriod(cast("Any", found.group(1)), UNITS[found.group(2)])
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return ast.StringLiteral(text)
    if moment.time() == moment.time().min and (moment.utcoffset() is None or not moment.utcoffset()):
        numbers = (moment.year, moment.month, moment.day)
        return ast.Call("date", tuple(ast.IntegerLiteral(number) for number in numbers))
    return ast.StringLiteral(text)
