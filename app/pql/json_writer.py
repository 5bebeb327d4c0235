"""The tree of a rule to pql/json, in the newest spelling of every node; unknown keys that were read are put back.

Names are resolved as the checker resolves them: bound ones become ``varRef``, all others paths from a parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeAlias

from app.pql import ast
from app.pql.diagnostics import error, rejection
from app.pql.functions import METHODS, Family
from app.pql.json_document import fail_too_deep, write
from app.pql.json_reader import SYNTAX, gives_label
from app.pql.json_scope import NameScope
from app.pql.origin import Extras

JSON: TypeAlias = dict[str, Any]

_PLURALS: Final = {"century": "centuries", "millennium": "millennia"}
_SCOPED: Final = frozenset({Family.SCOPED, Family.AGGREGATE})
_LITERALS: Final[dict[type[ast.Expr], str]] = {
    ast.StringLiteral: "String",
    ast.IntegerLiteral: "Integer",
    ast.DoubleLiteral: "Double",
    ast.BooleanLiteral: "Boolean",
}


def to_json(query: ast.Query) -> JSON:
    """Return the pql/json tree of a rule.

    Raises:
        PQLError: the rule holds what pql/json cannot say, such as a call of a method as a function.

    """
    writer = _Writer(query)
    scope = NameScope({name: number for number, name in enumerate(query.parameters, 1)})
    try:
        return writer.expression(query.body, scope)
    except RecursionError:
        fail_too_deep()


def to_json_text(query: ast.Query) -> str:
    """Return the pql/json tree of a rule as compact JSON, which is how a definition holds it. Raises PQLError."""
    return write(to_json(query))


class _Writer:
    def __init__(self, query: ast.Query) -> None:
        self._text = query.text
        self._extras: dict[int, Extras] = {}
        if query.origin is not None and query.origin.extras:
            kept = query.origin.extras
            nodes = enumerate(ast.walk(query.body))
            self._extras = {id(node): kept[index] for index, node in nodes if index in kept}

    def expression(self, node: ast.Expr, scope: NameScope) -> JSON:
        """Return the JSON node of an expression."""
        writer = _WRITERS.get(type(node))
        if writer is None:
            raise TypeError(f"no JSON for {type(node).__name__}")
        return self._made(node, writer(self, node, scope))

    def _made(self, node: ast.Node, written: JSON) -> JSON:
        """Put the unknown keys of a node back where they were, as far as that place is written."""
        for way, extras in self._extras.get(id(node), ()):
            target = _reach(written, way)
            if target is not None:
                target.update({key: value for key, value in extras.items() if key not in target})
        return written

    # Literals

    def _literal(self, node: Any, _scope: NameScope) -> JSON:
        return _literal(_LITERALS[type(node)], node.value)

    def _list(self, node: ast.ListExpr, scope: NameScope) -> JSON:
        if all(_is_constant(item) for item in node.items):
            return _literal("List", _raw(node))
        return _apply("list", [self.expression(item, scope) for item in node.items])

    def _object(self, node: ast.ObjectExpr, scope: NameScope) -> JSON:
        params: list[JSON] = []
        for key, value in node.members:
            params += [_literal("String", key), self.expression(value, scope)]
        return _apply("object", params)

    # Names and paths

    def _name(self, node: ast.Name, scope: NameScope) -> JSON:
        if node.relation is None and node.name in scope.names:
            number = scope.names[node.name]
            return {"nodeType": "varRef", "varName": node.name} if number is None else _root(number, scope)
        return self._lookup(node, ast.Step(node.name, node.relation, span=node.span), _parameter())

    def _path(self, node: ast.Path, scope: NameScope) -> JSON:
        written = self.expression(node.base, scope)
        for step in node.steps:
            written = self._lookup(step, step, written)
        return written

    def _lookup(self, node: ast.Node, step: ast.Step, base: JSON) -> JSON:
        if "@{" in step.name:
            self._refuse(node, f"The field name `{step.name}` would read as a relation.")
        name = step.name.removeprefix("xdm:")
        if step.relation is not None:
            name += f"@{{{step.relation}}}"
        written = {"nodeType": "fieldLookup", "fieldName": name, "object": base}
        return self._made(step, written) if node is step else written

    def _parameter(self, node: ast.Parameter, scope: NameScope) -> JSON:
        return _root(node.number, scope)

    def _this(self, _node: ast.This, _scope: NameScope) -> JSON:
        return _parameter()

    def _up(self, node: ast.Up, _scope: NameScope) -> JSON:
        return {**_parameter(), "up": node.levels}

    def _class_reference(self, node: ast.ClassReference, _scope: NameScope) -> JSON:
        version = "" if node.version is None else f";version={node.version}"
        return _apply("modelInstances", [_literal("String", node.class_name + version)])

    # Operators

    def _logical(self, node: ast.Logical, scope: NameScope) -> JSON:
        return _apply(node.operator, [self.expression(one, scope) for one in node.operands])

    def _binary(self, node: ast.Comparison | ast.Arithmetic, scope: NameScope) -> JSON:
        return _apply(node.operator, [self.expression(node.left, scope), self.expression(node.right, scope)])

    def _not(self, node: ast.Not, scope: NameScope) -> JSON:
        return _apply("not", [self.expression(node.operand, scope)])

    def _negation(self, node: ast.Negation, scope: NameScope) -> JSON:
        return _apply("negate", [self.expression(node.operand, scope)])

    # Calls, filters and bound names

    def _call(self, node: ast.Call, scope: NameScope) -> JSON:
        if node.name.lower() in SYNTAX or node.name in METHODS:
            self._refuse(node, f"`{node.name}` is not called as a function.")
        return _apply(node.name, [self.expression(one, scope) for one in node.arguments])

    def _method(self, node: ast.MethodCall, scope: NameScope) -> JSON:
        function = METHODS.get(node.name)
        if function is None:
            self._refuse(node, f"`{node.name}` is no function of PQL.")
        params = [self.expression(node.receiver, scope)]
        for index, one in enumerate(node.arguments):
            is_scoped = index == 0 and function.family in _SCOPED and not isinstance(one, ast.Lambda)
            params.append(self._scoped(one, scope) if is_scoped else self.expression(one, scope))
        return _apply(node.name, params)

    def _filter(self, node: ast.Filter, scope: NameScope) -> JSON:
        return _apply("filter", [self.expression(node.source, scope), self._scoped(node.condition, scope)])

    def _scoped(self, body: ast.Expr, scope: NameScope) -> JSON:
        if isinstance(body, ast.Lambda):
            return self.expression(body, scope)
        return _lambda((), self.expression(body, scope.inside()))

    def _lambda(self, node: ast.Lambda, scope: NameScope) -> JSON:
        return _lambda(node.parameters, self.expression(node.body, scope.binding(*node.parameters)))

    def _let(self, node: ast.Let, scope: NameScope) -> JSON:
        body = self.expression(node.body, scope.binding(node.name))
        return _apply("let", [self.expression(node.value, scope), _lambda((node.name,), body)])

    def _select(self, node: ast.Select, scope: NameScope) -> JSON:
        return self._bindings(node.bindings, scope)[0]

    def _quantified(self, node: ast.Quantified, scope: NameScope) -> JSON:
        return _apply(node.quantifier, [self._bindings(node.bindings, scope)[0]])

    def _comprehension(self, node: ast.Comprehension, scope: NameScope) -> JSON:
        select, inner = self._bindings(node.bindings, scope)
        names = tuple(binding.name for binding in node.bindings)
        return _apply(node.function, [select, _lambda(names, self.expression(node.value, inner))])

    def _bindings(self, bindings: tuple[ast.Binding, ...], scope: NameScope) -> tuple[JSON, NameScope]:
        variables: list[JSON] = []
        for binding in bindings:
            written = {"nodeType": "varDecl", "varName": binding.name, "from": self.expression(binding.source, scope)}
            scope = scope.binding(binding.name)
            if binding.where is not None:
                written["where"] = self.expression(binding.where, scope)
            variables.append(self._made(binding, written))
        return {"nodeType": "select", "variables": variables}, scope

    # Time

    def _time_word(self, node: ast.TimeWord, _scope: NameScope) -> JSON:
        return _literal("Timestamp", node.word)

    def _calendar_period(self, node: ast.CalendarPeriod, _scope: NameScope) -> JSON:
        return _literal("Timestamp", f"{node.which} {node.unit}")

    def _occurs(self, node: ast.Occurs, scope: NameScope) -> JSON:
        timestamp = self.expression(node.timestamp, scope)
        return {"nodeType": "occurs", "timestamp": timestamp, **self._when(node.test, scope)}

    def _when(self, test: ast.TimeTest, scope: NameScope) -> JSON:
        """Return the keys ``when`` and, for a test on day and month alone, ``ignoreYear``."""
        if isinstance(test, ast.IgnoreYear):
            return {**self._when(test.test, scope), "ignoreYear": True}
        return {"when": self._made(test, self._time_test(test, scope))}

    def _time_test(self, test: ast.Within | ast.Beyond | ast.Between | ast.During, scope: NameScope) -> JSON:
        match test:
            case ast.Within(comparator, duration, direction, reference):
                return {
                    "nodeType": "timeQualification",
                    "comparison": _literal("Comparison", comparator),
                    "duration": self._duration(duration),
                    "direction": _literal("TimeDirection", direction),
                    "reference": self.expression(reference, scope),
                }
            case ast.Beyond(direction, reference):
                return {
                    "nodeType": "timeQualification",
                    "direction": _literal("TimeDirection", direction),
                    "reference": self.expression(reference, scope),
                }
            case ast.Between(start, end):
                written = {"start": self.expression(start, scope), "end": self.expression(end, scope)}
                return {"nodeType": "range", **written}
            case ast.During(period):
                return {"nodeType": "range", "period": self.expression(period, scope)}

    def _duration(self, node: ast.Duration) -> JSON:
        unit = _PLURALS.get(node.unit, f"{node.unit}s")
        parts = {"count": _literal("Integer", node.count), "unit": _literal("TimeUnit", unit)}
        return self._made(node, {"nodeType": "duration", **parts})

    # Chains

    def _chain(self, node: ast.Chain, scope: NameScope) -> JSON:
        first, *rest = node.order_by
        order: JSON = {"nodeType": "fieldLookup", "fieldName": first}
        for name in rest:
            order = {"nodeType": "fieldLookup", "fieldName": name, "object": order}
        inner, elements = scope.inside(), list[JSON]()
        for link in node.links:
            if isinstance(link, ast.Gap):
                comparison = _literal("Comparison", link.comparator)
                gap = {"nodeType": "gap", "comparison": comparison, "duration": self._duration(link.duration)}
                elements.append(self._made(link, gap))
                continue
            elements.append(self._made(link, self._element(link, inner)))
            if gives_label(link):
                inner = inner.binding(link.name)
        collection = self.expression(node.collection, scope)
        return {"nodeType": "chain", "collection": collection, "orderBy": order, "elements": elements}

    def _element(self, node: ast.Element, inner: NameScope) -> JSON:
        written: JSON = {"nodeType": "element", "name": node.name}
        match node.count:
            case ast.Count(minimum=1, maximum=None, every=False):
                pass
            case ast.Count(minimum=int(least), maximum=None, every=False):
                written["count"] = least
            case count:
                written["countRange"] = _count_range(count)
        if node.negated:
            written["negated"] = True
        written["what"] = _lambda((), self.expression(node.what, inner))
        return written if node.when is None else {**written, **self._when(node.when, inner)}

    def _refuse(self, node: ast.Node, message: str) -> NoReturn:
        hint = "The checker tells what is wrong with the rule; pql/json holds valid rules."
        raise rejection(self._text, [error("no-json-form", f"{message} It has no form in pql/json.", node.span, hint)])


_WRITERS: Final[dict[type[ast.Expr], Callable[[_Writer, Any, NameScope], JSON]]] = {
    ast.StringLiteral: _Writer._literal,
    ast.IntegerLiteral: _Writer._literal,
    ast.DoubleLiteral: _Writer._literal,
    ast.BooleanLiteral: _Writer._literal,
    ast.ListExpr: _Writer._list,
    ast.ObjectExpr: _Writer._object,
    ast.Name: _Writer._name,
    ast.Path: _Writer._path,
    ast.Parameter: _Writer._parameter,
    ast.This: _Writer._this,
    ast.Up: _Writer._up,
    ast.ClassReference: _Writer._class_reference,
    ast.Logical: _Writer._logical,
    ast.Comparison: _Writer._binary,
    ast.Arithmetic: _Writer._binary,
    ast.Not: _Writer._not,
    ast.Negation: _Writer._negation,
    ast.Call: _Writer._call,
    ast.MethodCall: _Writer._method,
    ast.Filter: _Writer._filter,
    ast.Lambda: _Writer._lambda,
    ast.Let: _Writer._let,
    ast.Select: _Writer._select,
    ast.Quantified: _Writer._quantified,
    ast.Comprehension: _Writer._comprehension,
    ast.TimeWord: _Writer._time_word,
    ast.CalendarPeriod: _Writer._calendar_period,
    ast.Occurs: _Writer._occurs,
    ast.Chain: _Writer._chain,
}


def _literal(kind: str, value: object) -> JSON:
    return {"nodeType": "literal", "literalType": kind, "value": value}


def _apply(name: str, params: list[JSON]) -> JSON:
    return {"nodeType": "fnApply", "fnName": name, "params": params}


def _lambda(names: tuple[str, ...], body: JSON) -> JSON:
    return {"nodeType": "lambda", "params": [{"varName": name} for name in names], "body": body}


def _parameter(position: int = 1) -> JSON:
    return {"nodeType": "parameterReference", "position": position}


def _root(number: int, scope: NameScope) -> JSON:
    """Return the reference to a parameter of the rule; the first one lies as many scopes out as there are."""
    written = _parameter(number)
    if number == 1 and scope.depth:
        written["up"] = scope.depth
    return written


def _count_range(count: ast.Count) -> JSON:
    if count.every:
        return {"nodeType": "range", "all": True}
    bounds = {"min": count.minimum, "max": count.maximum}
    return {"nodeType": "range", **{key: value for key, value in bounds.items() if value is not None}}


def _is_constant(node: ast.Expr) -> bool:
    if isinstance(node, ast.ListExpr):
        return all(_is_constant(item) for item in node.items)
    return type(node) in _LITERALS


def _raw(node: Any) -> Any:
    return [_raw(item) for item in node.items] if isinstance(node, ast.ListExpr) else node.value


def _reach(written: JSON, way: tuple[str | int, ...]) -> JSON | None:
    target: Any = written
    for key in way:
        try:
            target = target[key]
        except (KeyError, IndexError, TypeError):
            return None
    return target if isinstance(target, dict) else None
