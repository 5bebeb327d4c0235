"""One form for all spellings of a rule, and a hash of it: rules with the same hash mean the same.

The canonical form of ``(P) => !(!(2 < P.loyalty.level)) and P.loyalty.level > 2`` is ``loyalty.level > 2``. These
spellings become one, and nothing else:

- the profile by name, as ``$1`` or left out; ``this.x`` and ``x``; ``^.x`` and a name for the outer element;
- the names that a rule gives (aliases, labels, parameters), which become ``v0``, ``v1`` by their depth;
- the order and repetition of the operands of ``and`` and ``or``, and of the members of a list that is read as a set;
- the two sides of a comparison (constants go right, ``a > b`` is ``b < a``) and of ``+`` and ``*``;
- double negation; ``x.isNotNull()`` and ``not (x.isNull())``;
- ``x in ["a"]`` and ``x = "a"``; ``x.equals("a")``, ``x.equals("a", true)`` and ``x = "a"``; ``notEqualTo`` and ``!=``;
- ``select`` where true or false is needed, and ``exists``; ``.filter((x) => ...)`` and ``[...]``.

All of them are exact for absent values too. ``x notIn ["a"]`` is not made ``x != "a"``: where nothing is known about
the field, a number is not in a list of strings, but does not compare with one either.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Any, Final, NamedTuple, TypeAlias

from app.pql import ast
from app.pql.functions import CALLS, METHODS, Family
from app.pql.printer import format_expression

HASH_VERSION: Final = "pql-1"
"""Part of what is hashed; it changes when the canonical form does."""

SCOPED_METHODS: Final = frozenset(
    name for name, function in METHODS.items() if function.family in {Family.SCOPED, Family.AGGREGATE}
)
"""Methods whose first argument sees the element as its implicit scope."""

_SET_METHODS: Final = frozenset({"intersects", "subsetOf", "supersetOf", "intersection"})
_PREDICATE_METHODS: Final = frozenset(
    name
    for name, function in METHODS.items()
    if function.family in {Family.STRING_TEST, Family.NULL_TEST} or "→ Boolean" in function.signature
)
_PREDICATE_CALLS: Final = frozenset(name for name, function in CALLS.items() if "→ Boolean" in function.signature)
_FLIPPED: Final[dict[str, ast.ComparisonOperator]] = {
    "=": "=",
    "!=": "!=",
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
}
_GIVEN_NAME: Final = re.compile(r"v_*\d+")
_LITERALS: Final = (ast.StringLiteral, ast.IntegerLiteral, ast.DoubleLiteral, ast.BooleanLiteral)


@dataclass(frozen=True)
class Canonical:
    """A rule in canonical form. ``tree`` keeps the spans of the text that it came from."""

    tree: ast.Expr
    key: str

    @cached_property
    def text(self) -> str:
        """The canonical text, which has the same hash."""
        return format_expression(self.tree)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical form, as 64 hexadecimal digits."""
        return sha256(f"{HASH_VERSION}:{self.key}".encode("utf-8", "surrogatepass")).hexdigest()


def canonical(query: ast.Query) -> Canonical:
    """Return the canonical form of a rule. No schema is needed, and a rule that the checker refuses has one too."""
    prefix = "v"
    while True:
        canonicalizer = _Canonicalizer(prefix)
        names: dict[str, int | str] = {query.parameters[0]: 0} if query.parameters else {}
        form = canonicalizer.truth(query.body, _Place(names, 0, 0))
        if not canonicalizer.clashes:
            return Canonical(form.node, form.key)
        prefix += "_"


class _Form(NamedTuple):
    """A canonical node and a text that tells it from every other."""

    node: Any
    key: str
    parts: tuple[_Form, ...] = ()
    """The operands of ``and``, ``or`` and ``not``."""


class _Place(NamedTuple):
    """Where an expression stands: what names mean there, how many implicit scopes and given names are round it.

    A name means the implicit scope of a level (an int, 0 is the profile) or a variable (a str, its canonical name).
    """

    names: dict[str, int | str]
    level: int
    given: int

    def inside(self, name: str | None = None) -> _Place:
        """Return the place in a further implicit scope, whose element may have a name as well."""
        names = self.names if name is None else {**self.names, name: self.level + 1}
        return _Place(names, self.level + 1, self.given)


class _Canonicalizer:
    """One pass over a tree; every method returns a node and its key."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.clashes = False

    def value(self, node: ast.Expr, place: _Place) -> _Form:
        """Return the form of an expression whose value counts."""
        return _RULES[type(node)](self, node, place)

    def truth(self, node: ast.Expr, place: _Place) -> _Form:
        """Return the form of an expression of which only counts whether it holds."""
        kind = type(node)
        if kind is ast.Logical:
            return self._operands(node, place)  # type: ignore[arg-type]
        if kind is ast.Not:
            return self._negated(node, place, of_truth=True)  # type: ignore[arg-type]
        if kind is ast.Select:
            return self._quantified(ast.Quantified("exists", node.bindings, span=node.span), place)  # type: ignore[attr-defined]
        if kind is ast.Let:
            return self._let(node, place, self.truth)  # type: ignore[arg-type]
        return _RULES[kind](self, node, place)

    # Literals

    def _string(self, node: ast.StringLiteral, _place: _Place) -> _Form:
        return _Form(node, encode_basestring(node.value))

    def _integer(self, node: ast.IntegerLiteral, _place: _Place) -> _Form:
        return _Form(node, str(node.value))

    def _double(self, node: ast.DoubleLiteral, _place: _Place) -> _Form:
        return _Form(node, repr(node.value))

    def _boolean(self, node: ast.BooleanLiteral, _place: _Place) -> _Form:
        return _Form(node, "true" if node.value else "false")

    def _list(self, node: ast.ListExpr, place: _Place) -> _Form:
        items = [self.value(item, place) for item in node.items]
        return _Form(ast.ListExpr(_nodes(items), span=node.span), f"[{_keys(items)}]")

    def _as_set(self, node: ast.Expr, place: _Place) -> _Form:
        """Return a list of which neither the order nor repetitions count."""
        if not isinstance(node, ast.ListExpr):
            return self.value(node, place)
        items = _sorted_once([self.value(item, place) for item in node.items])
        return _Form(ast.ListExpr(_nodes(items), span=node.span), f"[{_keys(items)}]")

    def _object(self, node: ast.ObjectExpr, place: _Place) -> _Form:
        members = [(key, self.value(value, place)) for key, value in node.members]
        tree = ast.ObjectExpr(tuple((key, form.node) for key, form in members), span=node.span)
        keys = " ".join(f"{encode_basestring(key)} {form.key}" for key, form in members)
        return _Form(tree, f"{{{keys}}}")

    # Names and paths

    def _name(self, node: ast.Name, place: _Place) -> _Form:
        meaning = place.names.get(node.name)
        if meaning is None:
            return self._from(place.level, (ast.Step(node.name, node.relation, span=node.span),), place, node)
        return self._from(meaning, (), place, node)

    def _path(self, node: ast.Path, place: _Place) -> _Form:
        base, steps = node.base, node.steps
        match base:
            case ast.Name(name, relation):
                meaning = place.names.get(name)
                if meaning is not None:
                    return self._from(meaning, steps, place, node)
                return self._from(place.level, (ast.Step(name, relation, span=base.span), *steps), place, node)
            case ast.This():
                return self._from(place.level, steps, place, node)
            case ast.Parameter(1):
                return self._from(0, steps, place, node)
            case ast.Up(levels) if levels <= place.level:
                return self._from(place.level - levels, steps, place, node)
        form = self.value(base, place)
        return _Form(ast.Path(form.node, steps, span=node.span), f"{form.key}{_steps(steps)}")

    def _from(self, start: int | str, steps: tuple[ast.Step, ...], place: _Place, node: ast.Expr) -> _Form:
        """Return the path from an implicit scope or a variable."""
        span = node.span
        base: ast.Expr
        if isinstance(start, str):
            base, key = ast.Name(start, span=span), f"${start}"
        elif start != place.level:
            base, key = ast.Up(place.level - start, span=span), "^" * (place.level - start)
        elif steps:
            first, rest = steps[0], steps[1:]
            if first.name.startswith("v") and _GIVEN_NAME.fullmatch(first.name):
                self.clashes = self.clashes or first.name.rstrip("0123456789") == self._prefix
            base = ast.Name(first.name, first.relation, span=first.span)
            return _Form(ast.Path(base, rest, span=span) if rest else base, _steps(steps))
        else:
            base, key = ast.This(span=span), "this"
        return _Form(ast.Path(base, steps, span=span), key + _steps(steps)) if steps else _Form(base, key)

    def _this(self, node: ast.This, place: _Place) -> _Form:
        return self._from(place.level, (), place, node)

    def _parameter(self, node: ast.Parameter, place: _Place) -> _Form:
        return self._from(0, (), place, node) if node.number == 1 else _Form(node, f"${node.number}")

    def _up(self, node: ast.Up, place: _Place) -> _Form:
        if node.levels > place.level:
            return _Form(node, f"(up {node.levels})")
        return self._from(place.level - node.levels, (), place, node)

    def _class_reference(self, node: ast.ClassReference, _place: _Place) -> _Form:
        return _Form(node, f"@{{{node.class_name};{node.version}}}")

    # Logic and comparison

    def _operands(self, node: ast.Logical, place: _Place) -> _Form:
        """Return a conjunction or disjunction, or its operand where there is but one."""
        operands: list[_Form] = []
        for operand in node.operands:
            form = self.truth(operand, place)
            if form.parts and isinstance(form.node, ast.Logical) and form.node.operator == node.operator:
                operands.extend(form.parts)
            else:
                operands.append(form)
        kept = _sorted_once(operands)
        if len(kept) == 1:
            return kept[0]
        tree = ast.Logical(node.operator, _nodes(kept), span=node.span)
        return _Form(tree, f"({node.operator} {_keys(kept)})", tuple(kept))

    def _logical(self, node: ast.Logical, place: _Place) -> _Form:
        form = self._operands(node, place)
        return form if _is_predicate(form.node) else _not(_not(form, node), node)

    def _not(self, node: ast.Not, place: _Place) -> _Form:
        return self._negated(node, place, of_truth=False)

    def _negated(self, node: ast.Not, place: _Place, *, of_truth: bool) -> _Form:
        operand = self.truth(node.operand, place)
        if isinstance(operand.node, ast.Not) and (of_truth or _is_predicate(operand.parts[0].node)):
            return operand.parts[0]
        return _not(operand, node)

    def _comparison(self, node: ast.Comparison, place: _Place) -> _Form:
        operator = node.operator
        left = self.value(node.left, place)
        if operator in {"in", "notIn"}:
            right = self._as_set(node.right, place)
            members = right.node.items if isinstance(right.node, ast.ListExpr) else ()
            if operator == "in" and len(members) == 1 and isinstance(members[0], _LITERALS):
                return _compared("=", left, _Form(members[0], right.key[1:-1]), node)
            return _compared(operator, left, right, node)
        right = self.value(node.right, place)
        if operator != "like" and _goes_right(left, right, operator):
            return _compared(_FLIPPED[operator], right, left, node)
        return _compared(operator, left, right, node)

    def _arithmetic(self, node: ast.Arithmetic, place: _Place) -> _Form:
        left, right = self.value(node.left, place), self.value(node.right, place)
        if node.operator in {"+", "*"} and right.key < left.key:
            left, right = right, left
        tree = ast.Arithmetic(node.operator, left.node, right.node, span=node.span)
        return _Form(tree, f"({node.operator} {left.key} {right.key})")

    def _negation(self, node: ast.Negation, place: _Place) -> _Form:
        form = self.value(node.operand, place)
        return _Form(ast.Negation(form.node, span=node.span), f"(- {form.key})")

    # Calls and filters

    def _call(self, node: ast.Call, place: _Place) -> _Form:
        arguments = [self.value(argument, place) for argument in node.arguments]
        if node.name == "if" and arguments:
            arguments[0] = self.truth(node.arguments[0], place)
        elif node.name == "stringCompare" and len(arguments) > 2:
            arguments[2] = self._as_set(node.arguments[2], place)
        tree = ast.Call(node.name, _nodes(arguments), span=node.span)
        return _Form(tree, f"({_word(node.name)} {_keys(arguments)})")

    def _method(self, node: ast.MethodCall, place: _Place) -> _Form:
        receiver = self.value(node.receiver, place)
        name, arguments = node.name, node.arguments
        if name in SCOPED_METHODS and arguments:
            return self._scoped(node, receiver, place)
        if name == "isNotNull" and not arguments:
            return _not(_method_form(node, receiver, "isNull", []), node)
        if name in _SET_METHODS and len(arguments) == 1:
            return _method_form(node, receiver, name, [self._as_set(arguments[0], place)])
        forms = [self.value(argument, place) for argument in arguments]
        if len(forms) == 2 and _is_default(name, arguments[1]):
            del forms[1]
        if name in {"equals", "notEqualTo"} and len(forms) == 1 and isinstance(arguments[0], ast.StringLiteral):
            return _compared("=" if name == "equals" else "!=", receiver, forms[0], node)
        return _method_form(node, receiver, name, forms)

    def _scoped(self, node: ast.MethodCall, receiver: _Form, place: _Place) -> _Form:
        first, *rest = node.arguments
        read = self.truth if node.name in {"filter", "exists", "forall"} else self.value
        if isinstance(first, ast.Lambda) and len(first.parameters) == 1:
            form = read(first.body, place.inside(first.parameters[0]))
        elif isinstance(first, ast.Lambda):
            form = self.value(first, place)
        else:
            form = read(first, place.inside())
        if node.name == "filter" and not rest:
            tree = ast.Filter(receiver.node, form.node, span=node.span)
            return _Form(tree, f"{receiver.key}[{form.key}]")
        return _method_form(node, receiver, node.name, [form, *(self.value(one, place) for one in rest)])

    def _filter(self, node: ast.Filter, place: _Place) -> _Form:
        source, condition = self.value(node.source, place), self.truth(node.condition, place.inside())
        tree = ast.Filter(source.node, condition.node, span=node.span)
        return _Form(tree, f"{source.key}[{condition.key}]")

    # Given names

    def _named(self, place: _Place, names: tuple[str, ...]) -> tuple[tuple[str, ...], _Place]:
        """Return the canonical names for given ones, and the place in which they are known."""
        given = tuple(f"{self._prefix}{place.given + index}" for index in range(len(names)))
        known = {**place.names, **dict(zip(names, given, strict=True))}
        return given, _Place(known, place.level, place.given + len(names))

    def _lambda(self, node: ast.Lambda, place: _Place) -> _Form:
        names, inner = self._named(place, node.parameters)
        body = self.value(node.body, inner)
        return _Form(ast.Lambda(names, body.node, span=node.span), f"(=> {' '.join(names)} {body.key})")

    def _let(self, node: ast.Let, place: _Place, read: _Reader | None = None) -> _Form:
        value = self.value(node.value, place)
        (name,), inner = self._named(place, (node.name,))
        body = (read or self.value)(node.body, inner)
        return _Form(ast.Let(name, value.node, body.node, span=node.span), f"(let {value.key} {body.key})")

    def _bindings(self, nodes: tuple[ast.Binding, ...], place: _Place) -> tuple[list[_Form], _Place]:
        forms = []
        for node in nodes:
            source = self.value(node.source, place)
            (name,), place = self._named(place, (node.name,))
            where = None if node.where is None else self.truth(node.where, place)
            tree = ast.Binding(name, source.node, where.node if where else None, span=node.span)
            forms.append(_Form(tree, f"(from {source.key}{' ' + where.key if where else ''})"))
        return forms, place

    def _select(self, node: ast.Select, place: _Place) -> _Form:
        forms, _ = self._bindings(node.bindings, place)
        return _Form(ast.Select(_nodes(forms), span=node.span), f"(select {_keys(forms)})")

    def _quantified(self, node: ast.Quantified, place: _Place) -> _Form:
        forms, _ = self._bindings(node.bindings, place)
        tree = ast.Quantified(node.quantifier, _nodes(forms), span=node.span)
        return _Form(tree, f"({node.quantifier} {_keys(forms)})")

    def _comprehension(self, node: ast.Comprehension, place: _Place) -> _Form:
        forms, inner = self._bindings(node.bindings, place)
        value = self.value(node.value, inner)
        tree = ast.Comprehension(node.function, value.node, _nodes(forms), span=node.span)
        return _Form(tree, f"({node.function} {value.key} {_keys(forms)})")

    # Time and chains

    def _time_word(self, node: ast.TimeWord, _place: _Place) -> _Form:
        return _Form(node, f"({node.word})")

    def _calendar_period(self, node: ast.CalendarPeriod, _place: _Place) -> _Form:
        return _Form(node, f"({node.which} {node.unit})")

    def _occurs(self, node: ast.Occurs, place: _Place) -> _Form:
        timestamp, test = self.value(node.timestamp, place), self._time_test(node.test, place)
        return _Form(ast.Occurs(timestamp.node, test.node, span=node.span), f"(occurs {timestamp.key} {test.key})")

    def _time_test(self, test: ast.TimeTest, place: _Place) -> _Form:
        match test:
            case ast.Within(comparator, duration, direction, reference):
                form = self.value(reference, place)
                tree: ast.Node = ast.Within(comparator, duration, direction, form.node, span=test.span)
                return _Form(tree, f"({comparator} {duration.count} {duration.unit} {direction} {form.key})")
            case ast.Beyond(direction, reference):
                form = self.value(reference, place)
                return _Form(ast.Beyond(direction, form.node, span=test.span), f"({direction} {form.key})")
            case ast.Between(start, end):
                low, high = self.value(start, place), self.value(end, place)
                return _Form(ast.Between(low.node, high.node, span=test.span), f"(between {low.key} {high.key})")
            case ast.During(period):
                form = self.value(period, place)
                return _Form(ast.During(form.node, span=test.span), f"(during {form.key})")
            case ast.IgnoreYear(inner):
                form = self._time_test(inner, place)
                return _Form(ast.IgnoreYear(form.node, span=test.span), f"(ignoreYear {form.key})")

    def _chain(self, node: ast.Chain, place: _Place) -> _Form:
        collection = self.value(node.collection, place)
        labels = tuple(link.name for link in node.links if isinstance(link, ast.Element))
        given, inner = self._named(_Place(place.names, place.level, place.given), labels)
        inner = _Place(place.names, place.level, inner.given)
        links, names = [], iter(given)
        for link in node.links:
            if isinstance(link, ast.Gap):
                duration = link.duration
                links.append(_Form(link, f"(gap {link.comparator} {duration.count} {duration.unit})"))
                continue
            name = next(names)
            links.append(self._element(link, name, inner.inside()))
            if not link.negated and (link.count.minimum or 0) > 0:
                inner = _Place({**inner.names, link.name: name}, inner.level, inner.given)
        tree = ast.Chain(collection.node, node.order_by, _nodes(links), span=node.span)
        order = "".join("." + _word(name) for name in node.order_by)
        return _Form(tree, f"(chain {collection.key} {order} {_keys(links)})")

    def _element(self, node: ast.Element, name: str, place: _Place) -> _Form:
        what = self.truth(node.what, place)
        when = None if node.when is None else self._time_test(node.when, place)
        count = node.count
        tree = ast.Element(name, what.node, when.node if when else None, count, node.negated, span=node.span)
        parts = f"{what.key} {when.key if when else '-'} {count.minimum} {count.maximum}"
        return _Form(tree, f"({'not ' if node.negated else ''}what{' all' if count.every else ''} {parts})")


def _not(form: _Form, node: ast.Expr) -> _Form:
    return _Form(ast.Not(form.node, span=node.span), f"(not {form.key})", (form,))


def _compared(operator: ast.ComparisonOperator, left: _Form, right: _Form, node: ast.Expr) -> _Form:
    tree = ast.Comparison(operator, left.node, right.node, span=node.span)
    return _Form(tree, f"({operator} {left.key} {right.key})")


def _method_form(node: ast.MethodCall, receiver: _Form, name: str, arguments: list[_Form]) -> _Form:
    tree = ast.MethodCall(receiver.node, name, _nodes(arguments), name_span=node.name_span, span=node.span)
    return _Form(tree, f"(.{_word(name)} {receiver.key} {_keys(arguments)})")


def _goes_right(left: _Form, right: _Form, operator: str) -> bool:
    """Tell whether the left side belongs on the right: constants do, otherwise the order of the keys decides.

    Two constants stay, because the left one decides how the right one is read.
    """
    left_is_constant, right_is_constant = _is_constant(left.node), _is_constant(right.node)
    if left_is_constant or right_is_constant:
        return left_is_constant and not right_is_constant
    return operator in {">", ">="} or (operator in {"=", "!="} and right.key < left.key)


def _is_constant(node: ast.Node) -> bool:
    match node:
        case ast.TimeWord() | ast.CalendarPeriod() | ast.Call("date"):
            return True
        case ast.ListExpr(items):
            return all(_is_constant(item) for item in items)
    return isinstance(node, _LITERALS)


def _is_default(name: str, argument: ast.Expr) -> bool:
    """Tell whether the last argument of a method is what it is taken for when it is left out."""
    if name == "regexGroup":
        return argument == ast.IntegerLiteral(1)
    return (
        METHODS[name].family is Family.STRING_TEST and argument == ast.BooleanLiteral(True)
        if name in METHODS
        else False
    )


def _is_predicate(node: ast.Node) -> bool:
    """Tell whether a value is true or false whatever the schema says, never null."""
    match node:
        case ast.Logical() | ast.Not() | ast.Comparison() | ast.Occurs() | ast.Quantified() | ast.Chain():
            return True
        case ast.BooleanLiteral():
            return True
        case ast.MethodCall(_, name):
            return name in _PREDICATE_METHODS
        case ast.Call(name):
            return name in _PREDICATE_CALLS
    return False


def _sorted_once(forms: list[_Form]) -> list[_Form]:
    distinct = {form.key: form for form in reversed(forms)}
    return [distinct[key] for key in sorted(distinct)]


def _nodes(forms: list[_Form]) -> tuple[Any, ...]:
    return tuple([form.node for form in forms])


def _keys(forms: list[_Form]) -> str:
    return " ".join([form.key for form in forms])


def _steps(steps: tuple[ast.Step, ...]) -> str:
    return "".join(
        [
            f".{_word(step.name)}" if step.relation is None else f".{_word(step.name)}@{{{step.relation}}}"
            for step in steps
        ]
    )


def _word(name: str) -> str:
    return name if name.isidentifier() else encode_basestring(name)


_Reader: TypeAlias = Callable[[ast.Expr, _Place], _Form]
_Rule: TypeAlias = Callable[[_Canonicalizer, Any, _Place], _Form]
_RULES: Final[dict[type[ast.Expr], _Rule]] = {
    ast.StringLiteral: _Canonicalizer._string,
    ast.IntegerLiteral: _Canonicalizer._integer,
    ast.DoubleLiteral: _Canonicalizer._double,
    ast.BooleanLiteral: _Canonicalizer._boolean,
    ast.ListExpr: _Canonicalizer._list,
    ast.ObjectExpr: _Canonicalizer._object,
    ast.Name: _Canonicalizer._name,
    ast.Path: _Canonicalizer._path,
    ast.This: _Canonicalizer._this,
    ast.Parameter: _Canonicalizer._parameter,
    ast.Up: _Canonicalizer._up,
    ast.ClassReference: _Canonicalizer._class_reference,
    ast.Logical: _Canonicalizer._logical,
    ast.Not: _Canonicalizer._not,
    ast.Comparison: _Canonicalizer._comparison,
    ast.Arithmetic: _Canonicalizer._arithmetic,
    ast.Negation: _Canonicalizer._negation,
    ast.Call: _Canonicalizer._call,
    ast.MethodCall: _Canonicalizer._method,
    ast.Filter: _Canonicalizer._filter,
    ast.Lambda: _Canonicalizer._lambda,
    ast.Let: _Canonicalizer._let,
    ast.Select: _Canonicalizer._select,
    ast.Quantified: _Canonicalizer._quantified,
    ast.Comprehension: _Canonicalizer._comprehension,
    ast.TimeWord: _Canonicalizer._time_word,
    ast.CalendarPeriod: _Canonicalizer._calendar_period,
    ast.Occurs: _Canonicalizer._occurs,
    ast.Chain: _Canonicalizer._chain,
}
