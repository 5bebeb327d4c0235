"""Checked trees as closures over one document, from a closed set of templates.

Every literal of a rule becomes a constant that a closure holds; no text of a rule is ever run. A predicate that has no
template here is asked of the reference evaluator, on a document with nothing else in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Final

from app.evaluation.streaming.fields import Getter, getter, readable, reader
from app.pql import Checked, ir
from app.pql.ast import Comparator
from app.pql.reference import fold, matches
from app.pql.types import ArrayType, Primitive, Scalar, primitive_of

Test = Callable[[Any], bool]
"""Document, or value, in; whether it fits, out."""

SOME_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)

COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
MIRRORED: Final[Mapping[Comparator, Comparator]] = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_NUMBERS: Final = frozenset({Primitive.LONG, Primitive.DOUBLE})
_STRINGS: Final[dict[str, Callable[[str, str], bool]]] = {
    "equals": eq,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": lambda subject, argument: argument in subject,
}


@dataclass(frozen=True, slots=True)
class FieldTest:
    """A test of one scalar field. With ``items``, of that field of any item of the array at that path.

    ``values`` are the values that fit, where the test is a choice of values; ``limit`` is a comparison with a number.
    ``test`` takes the value as its type reads it and is never asked about an absent one, except for ``isNull``.
    Tests of one ``key`` are equal.
    """

    path: tuple[str, ...]
    items: tuple[str, ...] | None
    read: Getter
    test: Test
    values: tuple[Any, ...] | None = None
    limit: tuple[str, float] | None = None
    fits_absent: bool = False
    key: object = None


Variables = frozenset[ir.Variable]


def field_test(node: ir.Expr, document: Variables) -> FieldTest | None:
    """Return the test of a single field of the document that the variables stand for, or None when it is none."""
    if isinstance(node, ir.Some):
        return _item_test(node, document)
    if isinstance(node, ir.Contains):
        return _member_test(node, document)
    if isinstance(node, ir.IsNull) and (path := _path(node.value, document)) and readable(node.value):
        return FieldTest(path, None, reader(node.value), lambda value: value is None, fits_absent=True)
    if isinstance(node, ir.Not):
        inner = field_test(node.operand, document)
        if inner is None or inner.items is not None:
            return None
        test = inner.test
        absent = not inner.fits_absent
        return replace(inner, test=lambda value: not test(value), values=None, limit=None, fits_absent=absent)
    found = _value_test(node)
    if found is None:
        return None
    subject, test, values, limit = found
    path = _path(subject, document)
    return None if path is None else FieldTest(path, None, reader(subject), test, values, limit)


def number_at(node: ir.Expr, document: Variables) -> Getter | None:
    """Return what reads a field of the document that is a double, None where it is absent; None for anything else."""
    is_double = primitive_of(node.type) is Primitive.DOUBLE
    return _typed(node, document) if is_double and _path(node, document) is not None else None


def document_test(node: ir.Expr, checked: Checked, document: Variables) -> Test:
    """Return any predicate on the document that the variables stand for, as a closure over the raw document."""
    match node:
        case ir.Constant(_, bool(value)):
            return lambda _: value
        case ir.And(operands=operands):
            tests = tuple(document_test(one, checked, document) for one in operands)
            return lambda found: all(test(found) for test in tests)
        case ir.Or(operands=operands):
            tests = tuple(document_test(one, checked, document) for one in operands)
            return lambda found: any(test(found) for test in tests)
        case ir.Not(operand=operand):
            negated = document_test(operand, checked, document)
            return lambda found: not negated(found)
    single = field_test(node, document)
    if single is not None:
        return _over_document(single)
    return _two_fields(node, document) or _items(node, checked, document) or _asked(node, checked, document)


def _over_document(single: FieldTest) -> Test:
    get, read, test, absent = getter(single.path), single.read, single.test, single.fits_absent
    if single.items is None:

        def holds(document: Any) -> bool:
            value = read(get(document))
            return absent if value is None else test(value)

        return holds
    items = getter(single.items)

    def some(document: Any) -> bool:
        found = items(document)
        if not isinstance(found, list):
            return False
        values = (read(get(item)) for item in found)
        return any(value is not None and test(value) for value in values)

    return some


# Tests of one value -----------------------------------------------------------------------------------------------

_Found = tuple[ir.Expr, Test, tuple[Any, ...] | None, tuple[str, float] | None]


def _value_test(node: ir.Expr) -> _Found | None:
    """Return a test of one value that is not absent: the value, the test, and its short forms."""
    match node:
        case ir.Truth(value=subject) if primitive_of(subject.type) is Primitive.BOOLEAN:
            return subject, bool, (True,), None
        case ir.Comparison(operator=operator, left=left, right=ir.Constant(value=constant)):
            return _compared(left, operator, constant)
        case ir.Comparison(operator=operator, left=ir.Constant(value=constant), right=right):
            return _compared(right, MIRRORED[operator], constant)
        case ir.OneOf(value=subject, members=members, negated=negated):
            return _chosen(subject, members, negated)
        case ir.StringTest(argument=ir.Constant(value=str(argument))) if _is_string(node.subject):
            return _string_test(node, argument)
        case ir.Matches(subject=subject, pattern=pattern, negated=negated) if _is_string(subject):
            found = re.compile(pattern.python).search
            return subject, lambda value: (found(value) is not None) is not negated, None, None
    return None


def _compared(subject: ir.Expr, operator: str, constant: str | float | bool) -> _Found | None:
    compare = COMPARE[operator]
    primitive = primitive_of(subject.type)
    if primitive in _NUMBERS and not isinstance(constant, bool | str):
        as_double = primitive is Primitive.DOUBLE or isinstance(constant, float)
        number: float = float(constant) if as_double else constant
        convert: Callable[[Any], Any] = float if as_double else int
        values = (number,) if operator == "=" else None
        limit = (operator, number) if operator not in {"=", "!="} else None
        return subject, lambda value: compare(convert(value), number), values, limit
    same_kind = {Primitive.STRING: str, Primitive.BOOLEAN: bool}.get(primitive) if primitive else None
    if same_kind is None or not isinstance(constant, same_kind):
        return None
    return subject, lambda value: compare(value, constant), (constant,) if operator == "=" else None, None


def _chosen(subject: ir.Expr, members: tuple[Any, ...], negated: bool) -> _Found | None:
    if not all(isinstance(member, ir.Constant) for member in members):
        return None
    tests = [_compared(subject, "=", member.value) for member in members]
    found = [one for one in tests if one is not None]
    if not readable(subject) or len(found) < len(tests):
        return None
    fits = [one[1] for one in found]
    values = tuple(value for one in found for value in one[2] or ())
    is_choice = not negated and primitive_of(subject.type) is Primitive.STRING
    return subject, lambda value: any(test(value) for test in fits) is not negated, values if is_choice else None, None


def _string_test(node: ir.StringTest, argument: str) -> _Found:
    relation, negated = _STRINGS[node.relation], node.negated
    if not node.case_sensitive:
        folded = fold(argument)
        return node.subject, lambda value: relation(fold(value), folded) is not negated, None, None
    values = (argument,) if node.relation == "equals" and not negated else None
    return node.subject, lambda value: relation(value, argument) is not negated, values, None


def _is_string(node: ir.Expr) -> bool:
    return primitive_of(node.type) is Primitive.STRING


def _path(node: ir.Expr, document: Variables) -> tuple[str, ...] | None:
    match node:
        case ir.Field(object=ir.Reference(variable=variable), path=path) if variable in document and readable(node):
            return path
    return None


# Items of an array ------------------------------------------------------------------------------------------------


def _item_test(node: ir.Some, document: Variables) -> FieldTest | None:
    """Return the test of one field of any item: ``items.field = x``, or ``items[field = x]``."""
    binding, where = node.bindings[0], node.bindings[0].where
    if len(node.bindings) != 1 or where is None:
        return None
    match binding.source:
        case ir.Mapped(source=source, variable=item, body=ir.Field() as body, projects=True):
            items, found, path = _array(source, document), _value_test(where), _path(body, frozenset({item}))
            on_item = found is not None and found[0] == ir.Reference(body.type, binding.variable)
            if items is None or found is None or path is None or not on_item:
                return None
            return FieldTest(path, items, reader(body), found[1], found[2], found[3])
        case source:
            items = _array(source, document)
            inner = field_test(where, frozenset({binding.variable})) if items is not None else None
            if inner is None or inner.items is not None or inner.fits_absent:
                return None
            return replace(inner, items=items)


def _member_test(node: ir.Contains, document: Variables) -> FieldTest | None:
    """Return the test that an array of strings holds a given one."""
    items = _array(node.array, document)
    match node:
        case ir.Contains(array=ir.Field(type=ArrayType(Scalar(Primitive.STRING) as element)), negated=False):
            constant = node.value.value if isinstance(node.value, ir.Constant) else None
            if items is None or not isinstance(constant, str):
                return None
            found = _compared(ir.Constant(element, ""), "=", constant)
            assert found is not None  # noqa: S101 - two strings compare
            return FieldTest((), items, reader(ir.Constant(element, "")), found[1], found[2])
    return None


def _array(node: ir.Expr, document: Variables) -> tuple[str, ...] | None:
    match node:
        case ir.Field(object=ir.Reference(variable=variable), path=path) if variable in document:
            return path
    return None


def _items(node: ir.Expr, checked: Checked, document: Variables) -> Test | None:
    """Return the test that some item of an array of the document meets a condition on the item alone."""
    if not isinstance(node, ir.Some) or len(node.bindings) != 1:
        return None
    (binding,) = node.bindings
    path = _array(binding.source, document)
    item = frozenset({binding.variable})
    if path is None or binding.where is None or not is_about(binding.where, item):
        return None
    items = getter(path)
    test = document_test(binding.where, checked, item) if _has_template(binding.where, item) else None
    if test is None:
        return None

    def some(found: Any) -> bool:
        array = items(found)
        return isinstance(array, list) and any(test(one) for one in array)

    return some


def _has_template(node: ir.Expr, document: Variables) -> bool:
    """Tell whether `document_test` gets by without the reference, which cannot be asked about an item alone."""
    match node:
        case ir.Constant():
            return True
        case ir.And(operands=operands) | ir.Or(operands=operands):
            return all(_has_template(one, document) for one in operands)
        case ir.Not(operand=operand):
            return _has_template(operand, document)
    return field_test(node, document) is not None or _two_fields(node, document) is not None


def _two_fields(node: ir.Expr, document: Variables) -> Test | None:
    match node:
        case ir.Comparison(operator=operator, left=left, right=right) if _path(left, document) and _path(
            right, document
        ):
            kinds = {primitive_of(left.type), primitive_of(right.type)}
            if len(kinds) > 1 and not kinds <= _NUMBERS:
                return None
            compare = COMPARE[operator]
            convert: Callable[[Any], Any] = float if Primitive.DOUBLE in kinds else lambda value: value
            first, second = _typed(left, document), _typed(right, document)

            def holds(found: Any) -> bool:
                one, other = first(found), second(found)
                return one is not None and other is not None and compare(convert(one), convert(other))

            return holds
    return None


def _typed(node: ir.Expr, document: Variables) -> Getter:
    path = _path(node, document)
    assert path is not None  # noqa: S101 - the caller looked
    get, read = getter(path), reader(node)
    return lambda found: read(get(found))


# What has no template ---------------------------------------------------------------------------------------------


def _asked(node: ir.Expr, checked: Checked, document: Variables) -> Test:
    """Return the reference's answer. An event is put to it as the only one of an otherwise empty profile."""
    if checked.profile in document:
        rule = replace(checked, root=_predicate(node))
        return lambda found: matches(rule, found, SOME_TIME)
    variable = next((one for one in references(node) if one in document), next(iter(document)))
    root = ir.Some(bindings=(ir.Binding(variable, events_of(checked), node),))
    rule = replace(checked, root=root)
    return lambda found: matches(rule, {"xEvent": [found]}, SOME_TIME)


def events_of(checked: Checked) -> ir.Field:
    """Return the expression for the events of a rule's profile."""
    profile_type = checked.profile.type
    type_ = profile_type.fields["xEvent"]  # type: ignore[union-attr]  # the profile is an object in every schema
    return ir.Field(type_, ir.Reference(profile_type, checked.profile), ("xEvent",))


def _predicate(node: ir.Expr) -> ir.Predicate:
    return node if isinstance(node, ir.Predicate) else ir.Truth(value=node)


# What a tree speaks of --------------------------------------------------------------------------------------------


def references(node: ir.Expr) -> Variables:
    """Return the variables that a tree reads and does not bind itself."""
    read: set[ir.Variable] = set()
    bound: set[ir.Variable] = set()
    for one in ir.walk(node):
        match one:
            case ir.Reference(variable=variable):
                read.add(variable)
            case ir.Binding(variable=variable) | ir.ChainElement(variable=variable) | ir.Let(variable=variable):
                bound.add(variable)
            case ir.Kept(variable=variable) | ir.Mapped(variable=variable) | ir.Ranked(variable=variable):
                bound.add(variable)
            case ir.Grouped(variable=variable):
                bound.add(variable)
            case ir.MappedEntries(key=key, value=value):
                bound |= {key, value}
    return frozenset(read - bound)


def is_about(node: ir.Expr, document: Variables) -> bool:
    """Tell whether a tree reads nothing but the document: no other variable, no clock, no segment, no other record."""
    if not references(node) <= document:
        return False
    return not any(
        isinstance(one, ir.Period | ir.InSegment | ir.Related) or _ignores_year(one) for one in ir.walk(node)
    )


def _ignores_year(node: object) -> bool:
    return isinstance(node, ir.Occurs) and node.ignores_year


def key_of(node: object, names: dict[ir.Variable, int] | None = None) -> object:
    """Return a value that is equal for trees that differ only in their variables' identities."""
    known = {} if names is None else names
    if isinstance(node, ir.Variable):
        return ("variable", known.setdefault(node, len(known)))
    if isinstance(node, tuple):
        return tuple(key_of(one, known) for one in node)
    fields: Mapping[str, Any] = getattr(type(node), "__dataclass_fields__", {})
    if fields and type(node).__module__ == ir.__name__:
        return (type(node).__name__, *(key_of(getattr(node, name), known) for name in fields if name != "span"))
    return (type(node).__name__, repr(node))
