"""Names and types: from the tree as written to the checked tree.

The checker resolves every name against the schema, spells shorthands out, and collects diagnostics. It goes on after
an error, so that one run tells everything that is wrong. Functions and methods are checked in `calls`, time in `when`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from app.pql import ast, ir
from app.pql.calls import check_call, check_method
from app.pql.chains import check_chain
from app.pql.diagnostics import Diagnostic, Severity, did_you_mean, error, rejection
from app.pql.occurs import check_occurs, check_period
from app.pql.parser import RESERVED_WORDS
from app.pql.schema import OpenSchema, Schema
from app.pql.scope import Scope, element_of
from app.pql.spans import Span
from app.pql.times import instant_from_text
from app.pql.types import (
    BOOLEAN,
    DATETIME,
    DOUBLE,
    LONG,
    STRING,
    UNKNOWN,
    ArrayType,
    MapType,
    ObjectType,
    Primitive,
    Scalar,
    TuplesType,
    Type,
    UnknownType,
    describe,
    is_instant,
    is_number,
    least_common,
    primitive_of,
)

MAX_EXPANDED_NODES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Checked:
    """A rule that holds together: ``root`` is its meaning, ``diagnostics`` what is doubtful about it."""

    query: ast.Query
    root: ir.Predicate
    profile: ir.Variable
    diagnostics: tuple[Diagnostic, ...] = field(compare=False)


def check(query: ast.Query, schema: Schema | None = None) -> Checked:
    """Return the checked form of a rule.

    Args:
        query: the rule as parsed.
        schema: the fields that exist; without one, every field is of unknown type.

    Raises:
        PQLError: the rule breaks a rule of the language. All diagnostics are in it, warnings too.

    """
    checker = Checker(schema or OpenSchema())
    root = checker.rule(query)
    found = tuple(sorted(checker.diagnostics, key=lambda one: one.span))
    if query.origin is not None:
        found = (*query.origin.notes, *map(query.origin.placed, found))
    if any(one.severity is Severity.ERROR for one in found):
        raise rejection(query.text, found)
    return Checked(query, root, checker.profile, found)


class Checker:
    """Checks one rule. Methods return a checked expression, and `ir.Invalid` where a diagnostic was given."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.profile = ir.Variable("profile", schema.profile)
        self.diagnostics: list[Diagnostic] = []
        self._expanded_nodes = 0

    def rule(self, query: ast.Query) -> ir.Predicate:
        """Return the checked root, which must be able to hold or not hold."""
        scope = Scope({}, (self.profile,))
        if len(query.parameters) > 1:
            hint = "The rule of a segment has one parameter, the profile."
            self.error("parameters", "A segment has no second parameter.", query.body.span, hint)
        if query.parameters:
            reference = ir.Reference(self.profile.type, self.profile)
            scope = replace(scope, names={query.parameters[0]: reference})
        value = self.expression(query.body, scope)
        if isinstance(value.type, Scalar) and value.type.primitive is not Primitive.BOOLEAN:
            message = f"The rule gives {describe(value.type)}, but a segment needs true or false."
            self.error("not-boolean", message, query.body.span, "Compare it with something.")
        return self.truth(value)

    # Diagnostics

    def error(self, code: str, message: str, span: Span, hint: str | None = None) -> ir.Invalid:
        """Note an error and return what stands in for the value that could not be made."""
        self.diagnostics.append(error(code, message, span, hint))
        return ir.Invalid(UNKNOWN, span=span)

    def warn(self, code: str, message: str, span: Span, hint: str | None = None) -> None:
        """Note a doubt that does not keep the rule from being used."""
        self.diagnostics.append(Diagnostic(Severity.WARNING, code, message, span, hint))

    def inform(self, code: str, message: str, span: Span, hint: str | None = None) -> None:
        """Note something worth knowing, once for each place."""
        found = Diagnostic(Severity.INFORMATION, code, message, span, hint)
        if found not in self.diagnostics:
            self.diagnostics.append(found)

    # Dispatch

    def expression(self, node: ast.Expr, scope: Scope) -> ir.Expr:
        """Return the checked form of any expression."""
        return _CHECKS[type(node)](self, node, scope)

    def condition(self, node: ast.Expr, scope: Scope) -> ir.Predicate:
        """Return the checked form of an expression that stands where true or false is needed."""
        return self.truth(self.expression(node, scope))

    def truth(self, value: ir.Expr) -> ir.Predicate:
        """Return a predicate for a value: arrays hold when not empty, other values when they are there."""
        if isinstance(value, ir.Predicate):
            return value
        match value.type:
            case Scalar(primitive=Primitive.BOOLEAN) | UnknownType():
                return ir.Truth(value, span=value.span)
            case TuplesType() if isinstance(value, ir.Tuples):
                return ir.Some(value.bindings, span=value.span)
            case ArrayType(element):
                binding = ir.Binding(ir.Variable("any", element), value)
                return ir.Some((binding,), span=value.span)
            case MapType(_, element):
                values = ir.MapValues(ArrayType(element), value, span=value.span)
                return ir.Some((ir.Binding(ir.Variable("any", element), values),), span=value.span)
            case Scalar():
                found = describe(value.type).capitalize()
                message = f"{found} stands where true or false is needed; it is read as `is there`."
                self.warn("not-boolean", message, value.span, "Write `.isNotNull()` or a comparison.")
        return ir.Not(ir.IsNull(value, span=value.span), span=value.span)

    # Literals

    def _literal(self, node: ast.Expr, _scope: Scope) -> ir.Expr:
        match node:
            case ast.StringLiteral(text):
                return ir.Constant(STRING, text, span=node.span)
            case ast.IntegerLiteral(integer):
                return ir.Constant(LONG, integer, span=node.span)
            case ast.DoubleLiteral(double):
                return ir.Constant(DOUBLE, double, span=node.span)
            case ast.BooleanLiteral(truth):
                return ir.Constant(BOOLEAN, truth, span=node.span)
        raise TypeError(f"{type(node).__name__} is no literal")

    def _list(self, node: ast.ListExpr, scope: Scope) -> ir.Expr:
        items = tuple(self.expression(item, scope) for item in node.items)
        element: Type = UNKNOWN
        for item in items:
            common = least_common(element, item.type)
            if common is None:
                message = f"The list mixes {describe(element)} and {describe(item.type)}."
                return self.error("mixed-list", message, item.span, "All members of a list are of one kind.")
            element = common
        return ir.ListOf(ArrayType(element), items, span=node.span)

    def _object(self, node: ast.ObjectExpr, scope: Scope) -> ir.Expr:
        members = tuple((key, self.expression(value, scope)) for key, value in node.members)
        type_ = ObjectType("Object", {key: value.type for key, value in members})
        return ir.ObjectOf(type_, members, span=node.span)

    # Names and paths

    def _name(self, node: ast.Name, scope: Scope) -> ir.Expr:
        bound = scope.names.get(node.name)
        if bound is None:
            here = scope.implicit[-1]
            base = ir.Reference(here.type, here, span=Span(node.span.start, node.span.start))
            return self.step(base, ast.Step(node.name, node.relation, span=node.span))
        if node.relation is not None:
            hint = "A relation starts at a field that holds the key of a record."
            return self.error("relation", f"`{node.name}` is a variable, not a field.", node.span, hint)
        return self._use(bound, node.span)

    def _use(self, bound: ir.Expr, span: Span) -> ir.Expr:
        """Return what a name stands for. A named tuple set is copied, within the limit on the rule's size."""
        if isinstance(bound, ir.Reference):
            return ir.Reference(bound.type, bound.variable, span=span)
        if isinstance(bound, ir.Tuples):
            self._expanded_nodes += sum(1 for _ in ir.walk(bound))
            if self._expanded_nodes > MAX_EXPANDED_NODES:
                hint = "Name the count or the truth of the select instead."
                return self.error("too-large", "The rule is too large once its names are replaced.", span, hint)
        return replace(bound, span=span)

    def _path(self, node: ast.Path, scope: Scope) -> ir.Expr:
        value = self.expression(node.base, scope)
        for step in node.steps:
            value = self.step(value, step)
        return value

    def step(self, base: ir.Expr, step: ast.Step) -> ir.Expr:
        """Return the field of ``base`` that one step of a path names."""
        span = base.span.to(step.span)
        match base.type:
            case ObjectType() as object_:
                return self._field(base, object_, step, span)
            case ArrayType():
                return self._projection(base, step, span)
            case MapType(_, value):
                key = ir.Constant(STRING, step.name, span=step.span)
                return self._related(ir.Lookup(value, base, key, span=span), step, span)
            case UnknownType():
                return self._related(_member(base, step.name, UNKNOWN, span), step, span)
        message = f"`{step.name}` cannot be a field of {describe(base.type)}."
        return self.error("no-fields", message, step.span)

    def _field(self, base: ir.Expr, object_: ObjectType, step: ast.Step, span: Span) -> ir.Expr:
        type_ = object_.fields.get(step.name)
        if type_ is None:
            if not object_.is_open:
                return self._unknown_field(base, object_, step)
            type_ = UNKNOWN
        return self._related(_member(base, step.name, type_, span), step, span)

    def _unknown_field(self, base: ir.Expr, object_: ObjectType, step: ast.Step) -> ir.Expr:
        if step.name == "null" and isinstance(base, ir.Reference):
            hint = "Write `.isNull()` or `.isNotNull()` behind the path."
            return self.error("null-literal", "PQL has no null literal.", step.span, hint)
        prefix = ".".join(base.path) + "." if isinstance(base, ir.Field) else ""
        whole = prefix + step.name
        near = did_you_mean(whole, [prefix + name for name in object_.fields]) or self._elsewhere(base, whole)
        message = f"{_whose(base)} has no field `{whole}`."
        return self.error("unknown-field", message, step.span, near)

    def _elsewhere(self, base: ir.Expr, whole: str) -> str | None:
        """Return a hint with fields of this path that stand under another object, such as the tenant's own."""
        root = base
        while isinstance(root, ir.Field):
            root = root.object
        if not isinstance(root.type, ObjectType):
            return None
        paths = list(field_paths(root.type))
        exact = [one for one in paths if one.endswith("." + whole)]
        if exact:
            return "Did you mean " + " or ".join(f"`{one}`" for one in exact[:3]) + "?"
        return did_you_mean(whole, paths)

    def _projection(self, base: ir.Expr, step: ast.Step, span: Span) -> ir.Expr:
        """Return ``array.field``: the field of each item, flattened, without nulls."""
        if isinstance(base, ir.Mapped) and base.projects:
            body = self.step(base.body, step)
            source, variable = base.source, base.variable
        else:
            if not isinstance(base.type, ArrayType):
                raise TypeError(f"{base.type} is no array")
            source, variable = base, ir.Variable("item", base.type.element)
            body = self.step(ir.Reference(variable.type, variable, span=base.span), step)
        if isinstance(body, ir.Invalid):
            return body
        element = body.type.element if isinstance(body.type, ArrayType) else body.type
        return ir.Mapped(ArrayType(element), source, variable, body, projects=True, span=span)

    def _related(self, key: ir.Expr, step: ast.Step, span: Span) -> ir.Expr:
        """Return ``key``, or the record that it points to when the step is a relation."""
        if step.relation is None:
            return key
        if any(isinstance(node, ir.Related) for node in ir.walk(key)):
            return self.error("chained-relation", "A relation cannot start at a related record.", step.span)
        if not isinstance(key.type, UnknownType) and primitive_of(key.type) is not Primitive.STRING:
            hint = "For an array, take its items with select or a filter."
            return self.error("relation", f"A relation starts at a string, not {describe(key.type)}.", step.span, hint)
        record = self.schema.record(step.relation)
        if record is None:
            return self.error("unknown-class", f"The schema has no class `{step.relation}`.", step.span)
        return ir.Related(record, key, step.relation, span=span)

    def _this(self, node: ast.This, scope: Scope) -> ir.Expr:
        here = scope.implicit[-1]
        return ir.Reference(here.type, here, span=node.span)

    def _up(self, node: ast.Up, scope: Scope) -> ir.Expr:
        if node.levels >= len(scope.implicit):
            depth = len(scope.implicit) - 1
            hint = "Each `^` climbs out of one filter; variables of select are reached by their names."
            message = f"There are {depth} filters round this place, so `{'^' * node.levels}` leads nowhere."
            return self.error("too-many-levels", message, node.span, hint)
        variable = scope.implicit[-1 - node.levels]
        return ir.Reference(variable.type, variable, span=node.span)

    def _parameter(self, node: ast.Parameter, _scope: Scope) -> ir.Expr:
        if node.number != 1:
            hint = "The rule of a segment has one parameter, the profile: $1."
            return self.error("parameters", f"There is no parameter ${node.number}.", node.span, hint)
        return ir.Reference(self.profile.type, self.profile, span=node.span)

    def _class_reference(self, node: ast.ClassReference, _scope: Scope) -> ir.Expr:
        hint = "In a segment a class is reached from a field: path.field@{class}.attribute"
        return self.error("decisioning-only", "A class as a source belongs to decisioning formulas.", node.span, hint)

    # Logic

    def _logical(self, node: ast.Logical, scope: Scope) -> ir.Expr:
        operands = tuple(self.condition(operand, scope) for operand in node.operands)
        return (ir.And if node.operator == "and" else ir.Or)(operands, span=node.span)

    def _not(self, node: ast.Not, scope: Scope) -> ir.Expr:
        return ir.Not(self.condition(node.operand, scope), span=node.span)

    def _comparison(self, node: ast.Comparison, scope: Scope) -> ir.Expr:
        left = self.expression(node.left, scope)
        if node.operator in {"in", "notIn"}:
            return self._membership(node, left, scope)
        right = self.expression(node.right, scope)
        if node.operator == "like":
            return self._like(node, left, right)
        return self.compare(node.operator, left, right, node.span)

    def compare(self, operator: str, left: ir.Expr, right: ir.Expr, span: Span) -> ir.Expr:
        """Return a comparison of two values; a scalar against an array holds when it does for any member."""
        if isinstance(left, ir.Invalid) or isinstance(right, ir.Invalid):
            return ir.Invalid(BOOLEAN, span=span)
        if isinstance(left.type, ArrayType) and isinstance(right.type, ArrayType):
            return self._compare_lists(operator, left, right, span)
        if isinstance(left.type, ArrayType):
            return self.lift(left, lambda one: self.compare(operator, one, right, span))
        if isinstance(right.type, ArrayType):
            return self.lift(right, lambda one: self.compare(operator, left, one, span))
        if isinstance(left.type, ObjectType) and isinstance(right.type, ObjectType) and operator in {"=", "!="}:
            return self._compare_elements(operator, left, right, span)
        coerced = self.coerce(left, right, span, ordered=operator not in {"=", "!="})
        if coerced is None:
            return ir.Invalid(BOOLEAN, span=span)
        return ir.Comparison(_COMPARATORS[operator], left, coerced, span=span)

    def _compare_lists(self, operator: str, left: ir.Expr, right: ir.Expr, span: Span) -> ir.Expr:
        if operator not in {"=", "!="}:
            hint = "Two arrays compare with =, !=, intersects, subsetOf and supersetOf."
            return self.error("wrong-types", f"Arrays have no `{operator}`.", span, hint)
        self.same_elements(left, right, span)
        return ir.SameList(left, right, negated=operator == "!=", span=span)

    def _compare_elements(self, operator: str, left: ir.Expr, right: ir.Expr, span: Span) -> ir.Expr:
        if not (isinstance(left, ir.Reference) and isinstance(right, ir.Reference)):
            hint = "Compare their fields."
            return self.error("wrong-types", "Objects are compared only as variables of select.", span, hint)
        same = ir.SameElement(left, right, span=span)
        return same if operator == "=" else ir.Not(same, span=span)

    def lift(self, array: ir.Expr, make: Callable[[ir.Expr], ir.Expr]) -> ir.Expr:
        """Apply ``make`` to each item of an array: some item must meet a predicate, other values make an array."""
        if not isinstance(array.type, ArrayType):
            raise TypeError(f"{array.type} is no array")
        variable = ir.Variable("item", array.type.element)
        body = make(ir.Reference(variable.type, variable, span=array.span))
        if isinstance(body, ir.Invalid):
            return body
        if isinstance(body, ir.Predicate):
            message = "This is an array: the test holds when some item meets it."
            self.inform("array-projection", message, array.span, "Use .forall(...) when every item must meet it.")
            return ir.Some((ir.Binding(variable, array, body),), span=body.span)
        return ir.Mapped(ArrayType(body.type), array, variable, body, projects=True, span=body.span)

    def same_elements(self, left: ir.Expr, right: ir.Expr, span: Span) -> None:
        """Note an error unless two arrays hold scalars of one kind."""
        for side in (left, right):
            element = side.type.element if isinstance(side.type, ArrayType) else UNKNOWN
            if not isinstance(element, Scalar | UnknownType):
                self.error("wrong-types", f"This is an array of {element}, not of single values.", side.span)
                return
        if least_common(left.type, right.type) is None:
            self.error("wrong-types", f"{left.type} and {right.type} have no values in common.", span)

    def coerce(self, left: ir.Expr, right: ir.Expr, span: Span, *, ordered: bool = False) -> ir.Expr | None:
        """Return ``right`` as something that compares with ``left``, or None after noting why it does not."""
        if isinstance(left.type, UnknownType) or isinstance(right.type, UnknownType):
            return right
        left_kind, right_kind = primitive_of(left.type), primitive_of(right.type)
        if left_kind is None or right_kind is None:
            which = left.type if left_kind is None else right.type
            hint = "Use .get(key) or .values()." if isinstance(which, MapType) else "Name one of its fields."
            self.error("wrong-types", f"{describe(which).capitalize()} cannot be compared.", span, hint)
            return None
        if ordered and left_kind is Primitive.BOOLEAN:
            self.error("wrong-types", "true and false have no order.", span, "Use = or !=.")
            return None
        if is_number(left.type) and is_number(right.type):
            return right
        if is_instant(left.type) and is_instant(right.type):
            return right
        if left_kind is right_kind:
            self._check_enumeration(left, right)
            return right
        coerced = _from_text(left.type, right)
        if coerced is None:
            self._incomparable(left, right, span)
        return coerced

    def _check_enumeration(self, left: ir.Expr, right: ir.Expr) -> None:
        for enum, literal in ((left, right), (right, left)):
            values = enum.type.values if isinstance(enum.type, Scalar) else None
            if values is not None and isinstance(literal, ir.Constant) and literal.value not in values:
                hint = did_you_mean(str(literal.value), values) or "Known values: " + ", ".join(values[:8])
                message = f'"{literal.value}" is not among the values of this field.'
                self.warn("not-in-enumeration", message, literal.span, hint)

    def _incomparable(self, left: ir.Expr, right: ir.Expr, span: Span) -> None:
        hint = None
        if primitive_of(left.type) is Primitive.BOOLEAN:
            hint = "Write true or false, without quotes."
        elif is_instant(left.type) and isinstance(right, ir.Constant) and isinstance(right.value, str):
            hint = 'Write date(2024, 5, 31), or a timestamp with its zone: "2024-05-31T08:00:00Z".'
        elif is_number(left.type) and primitive_of(right.type) is Primitive.STRING:
            hint = "Write a number, without quotes."
        elif primitive_of(left.type) is Primitive.STRING and isinstance(right, ir.Constant):
            hint = "Put the value in double quotes."
        message = f"{describe(left.type).capitalize()} cannot be compared with {describe(right.type)}."
        self.error("wrong-types", message, right.span if right.span != left.span else span, hint)

    def _membership(self, node: ast.Comparison, left: ir.Expr, scope: Scope) -> ir.Expr:
        right = self.expression(node.right, scope)
        if isinstance(left, ir.Invalid) or isinstance(right, ir.Invalid):
            return ir.Invalid(BOOLEAN, span=node.span)
        if not isinstance(right.type, ArrayType | UnknownType):
            hint = 'Write a list: in ["gold", "platinum"].'
            return self.error("wrong-types", f"`{node.operator}` needs a list on its right.", node.right.span, hint)
        if isinstance(left.type, ArrayType):
            return self.lift(left, lambda one: self.member_of(one, right, node.span, negated=node.operator == "notIn"))
        return self.member_of(left, right, node.span, negated=node.operator == "notIn")

    def member_of(self, value: ir.Expr, array: ir.Expr, span: Span, *, negated: bool) -> ir.Expr:
        """Return the test that a scalar is (not) among the members of an array."""
        if not isinstance(value.type, Scalar | UnknownType):
            return self.error("wrong-types", f"{describe(value.type).capitalize()} cannot be in a list.", value.span)
        if not isinstance(array, ir.ListOf):
            element = array.type.element if isinstance(array.type, ArrayType) else UNKNOWN
            sample = ir.Reference(element, ir.Variable("item", element), span=array.span)
            if self.coerce(value, sample, span) is None:
                return ir.Invalid(BOOLEAN, span=span)
            return ir.Contains(array, value, negated, span=span)
        if not array.items:
            self.warn("always-false", "Nothing is in an empty list, and nothing is tested against one.", array.span)
        members = [self.coerce(value, item, span) for item in array.items]
        kept = [one for one in members if one is not None]
        if len(kept) < len(members):
            return ir.Invalid(BOOLEAN, span=span)
        constants = tuple(one for one in kept if isinstance(one, ir.Constant | ir.Day | ir.Instant))
        if len(constants) < len(kept):
            list_ = ir.ListOf(array.type, tuple(kept), span=array.span)
            return ir.Contains(list_, value, negated, span=span)
        return ir.OneOf(value, constants, negated, span=span)

    def _like(self, node: ast.Comparison, left: ir.Expr, right: ir.Expr) -> ir.Expr:
        if isinstance(left.type, ArrayType):
            return self.lift(left, lambda one: self._like(node, one, right))
        for side in (left, right):
            if not self.is_text(side):
                return self.error("wrong-types", f"`like` needs strings, not {describe(side.type)}.", side.span)
        return ir.Like(left, right, span=node.span)

    def is_text(self, value: ir.Expr) -> bool:
        """Tell whether a value is, or may be, a string."""
        return isinstance(value.type, UnknownType) or primitive_of(value.type) is Primitive.STRING

    # Arithmetic

    def _arithmetic(self, node: ast.Arithmetic, scope: Scope) -> ir.Expr:
        left, right = self.expression(node.left, scope), self.expression(node.right, scope)
        for side in (left, right):
            if not (is_number(side.type) or isinstance(side.type, UnknownType)):
                return self._not_a_number(node.operator, side)
        type_: Type = LONG
        if node.operator == "/" or DOUBLE in (left.type, right.type):
            type_ = DOUBLE
        elif UNKNOWN in (left.type, right.type):
            type_ = UNKNOWN
        return ir.Arithmetic(type_, node.operator, left, right, span=node.span)

    def _not_a_number(self, operator: str, side: ir.Expr) -> ir.Expr:
        hint = None
        if isinstance(side.type, ArrayType):
            hint = "Add up an array with .sum(), or take each item with .map(...)."
        elif is_instant(side.type):
            hint = "Distances in time are written with occurs: T occurs <= 14 days before now."
        elif primitive_of(side.type) is Primitive.STRING:
            hint = "PQL does not join strings."
        message = f"`{operator}` needs numbers, not {describe(side.type)}."
        return self.error("wrong-types", message, side.span, hint)

    def _negation(self, node: ast.Negation, scope: Scope) -> ir.Expr:
        operand = self.expression(node.operand, scope)
        if not (is_number(operand.type) or isinstance(operand.type, UnknownType)):
            return self._not_a_number("-", operand)
        return ir.Arithmetic(operand.type, "-", ir.Constant(LONG, 0, span=node.span), operand, span=node.span)

    # Names that a rule gives

    def _filter(self, node: ast.Filter, scope: Scope) -> ir.Expr:
        source = self.array(self.expression(node.source, scope), node.source.span)
        if source is None:
            return ir.Invalid(UNKNOWN, span=node.span)
        variable = ir.Variable("item", element_of(source))
        condition = self.condition(node.condition, scope.inside(variable))
        return ir.Kept(ArrayType(variable.type), source, variable, condition, span=node.span)

    def array(self, value: ir.Expr, span: Span) -> ir.Expr | None:
        """Return an array to take elements of, or None after noting why there is none."""
        if isinstance(value, ir.Invalid):
            return None
        match value.type:
            case ArrayType() | UnknownType():
                return value
            case ObjectType():
                self.warn("object-as-array", "This is one object; it is read as an array of one.", span)
                return ir.ListOf(ArrayType(value.type), (value,), span=value.span)
            case MapType():
                hint = "Use .values() for the values of a map, .get(key) for one of them."
                self.error("wrong-types", "This is a map, not an array.", span, hint)
            case TuplesType():
                hint = "Filter the array that select reads, or use where."
                self.error("wrong-types", "The result of select can only be counted or tested.", span, hint)
            case _:
                self.error("wrong-types", f"This is {describe(value.type)}, not an array.", span)
        return None

    def _let(self, node: ast.Let, scope: Scope) -> ir.Expr:
        value = self.expression(node.value, scope)
        if isinstance(value, ir.Tuples):
            inner = Scope({**scope.names, node.name: value}, scope.implicit)
            return self.expression(node.body, inner)
        variable = ir.Variable(node.name, value.type)
        self._warn_of_shadowing(node.name, scope, node.span)
        body = self.expression(node.body, scope.naming(variable))
        if isinstance(body, ir.Tuples):
            body = self.truth(body)
        if isinstance(body, ir.Predicate):
            return ir.Truth(ir.Let(BOOLEAN, variable, value, body, span=node.span), span=node.span)
        return ir.Let(body.type, variable, value, body, span=node.span)

    def bindings(self, nodes: tuple[ast.Binding, ...], scope: Scope) -> tuple[tuple[ir.Binding, ...], Scope]:
        """Return the bindings of a select and the scope in which all their names are known."""
        bindings: list[ir.Binding] = []
        for node in nodes:
            source = self.array(self.expression(node.source, scope), node.source.span)
            self._warn_of_shadowing(node.name, scope, node.span)
            variable = ir.Variable(node.name, UNKNOWN if source is None else element_of(source))
            scope = scope.naming(variable)
            where = None if node.where is None else self._where(node.where, variable, scope)
            bindings.append(ir.Binding(variable, source or ir.Invalid(UNKNOWN, span=node.span), where))
        return tuple(bindings), scope

    def _where(self, node: ast.Expr, variable: ir.Variable, scope: Scope) -> ir.Predicate:
        before = len(self.diagnostics)
        condition = self.condition(node, scope)
        fields = variable.type.fields if isinstance(variable.type, ObjectType) else {}
        for index, one in enumerate(self.diagnostics[before:], before):
            name = one.message.rpartition("has no field `")[2].partition("`")[0].partition(".")[0]
            if one.code == "unknown-field" and name in fields:
                hint = f"In a where, a field of the element starts with its name: `{variable.name}.{name}`."
                self.diagnostics[index] = replace(one, hint=hint)
        return condition

    def _warn_of_shadowing(self, name: str, scope: Scope, span: Span) -> None:
        if name in scope.names:
            self.warn("shadowed-name", f"`{name}` hides a variable of the same name.", span, "Choose another name.")
        elif name.lower() in RESERVED_WORDS:
            self.warn("keyword-name", f"`{name}` is also a word of the language.", span, "Choose another name.")

    def _select(self, node: ast.Select, scope: Scope) -> ir.Expr:
        bindings, _ = self.bindings(node.bindings, scope)
        elements = tuple(binding.variable.type for binding in bindings)
        return ir.Tuples(TuplesType(elements), bindings, span=node.span)

    def _quantified(self, node: ast.Quantified, scope: Scope) -> ir.Expr:
        bindings, _ = self.bindings(node.bindings, scope)
        if node.quantifier == "exists":
            return ir.Some(bindings, span=node.span)
        last = bindings[-1]
        condition = last.where or ir.Truth(ir.Constant(BOOLEAN, True, span=node.span), span=node.span)
        return ir.Every((*bindings[:-1], replace(last, where=None)), condition, span=node.span)

    def _comprehension(self, node: ast.Comprehension, scope: Scope) -> ir.Expr:
        bindings, inner = self.bindings(node.bindings, scope)
        value = self.expression(node.value, inner)
        return self.aggregate(node.function, bindings, value, node.span)

    def aggregate(self, function: str, bindings: tuple[ir.Binding, ...], value: ir.Expr, span: Span) -> ir.Expr:
        """Return an aggregate of a value over tuples; the value must suit the function."""
        if isinstance(value, ir.Invalid):
            return value
        kind = value.type
        suits = isinstance(kind, UnknownType) or is_number(kind)
        if function in {"min", "max"}:
            suits = suits or is_instant(kind) or primitive_of(kind) is Primitive.STRING
        if not suits:
            wanted = "numbers, instants or strings" if function in {"min", "max"} else "numbers"
            hint = "Name a field of the elements in the parentheses." if isinstance(kind, ObjectType) else None
            return self.error("wrong-types", f"`{function}` needs {wanted}, not {describe(kind)}.", value.span, hint)
        type_ = DOUBLE if function == "average" else Scalar(kind.primitive) if isinstance(kind, Scalar) else kind
        return ir.Aggregate(type_, _AGGREGATES[function], bindings, value, span=span)

    def _lambda(self, node: ast.Lambda, _scope: Scope) -> ir.Expr:
        return self.error("misplaced-lambda", "A lambda stands only as the argument of a method.", node.span)


def field_paths(object_: ObjectType, prefix: str = "", depth: int = 0) -> list[str]:
    """Return the dotted paths of all fields that are reached through objects."""
    found: list[str] = []
    for name, type_ in object_.fields.items():
        found.append(prefix + name)
        if isinstance(type_, ObjectType) and depth < 12:
            found.extend(field_paths(type_, f"{prefix}{name}.", depth + 1))
    return found


def _whose(base: ir.Expr) -> str:
    root = base
    while isinstance(root, ir.Field):
        root = root.object
    if isinstance(root, ir.Related):
        return f"The record of class {root.class_name}"
    if isinstance(root.type, ObjectType) and root.type.name in {"Profile", "ExperienceEvent"}:
        return "The profile" if root.type.name == "Profile" else "The event"
    return f"`{root.type}`" if isinstance(root.type, ObjectType) else "This"


def _member(base: ir.Expr, name: str, type_: Type, span: Span) -> ir.Field:
    """Return a field, as one path where it continues another."""
    if isinstance(base, ir.Field):
        return ir.Field(type_, base.object, (*base.path, name), span=span)
    return ir.Field(type_, base, (name,), span=span)


def _from_text(target: Type, value: ir.Expr) -> ir.Expr | None:
    """Return a string literal as a number or an instant, when that loses nothing."""
    if not (isinstance(value, ir.Constant) and isinstance(value.value, str)):
        return None
    try:
        if is_number(target):
            return _number_from_text(value.value, value.span)
        if is_instant(target):
            return _instant(value.value, value.span)
    except (ValueError, OverflowError):
        return None
    return None


def _number_from_text(text: str, span: Span) -> ir.Expr | None:
    if text.removeprefix("-").isdecimal() and text.isascii() and len(text) <= 18:
        return ir.Constant(LONG, int(text), span=span)
    number = float(text)
    finite = number - number == 0 and text.isascii() and "_" not in text and text.strip() == text
    return ir.Constant(DOUBLE, number, span=span) if finite else None


def _instant(text: str, span: Span) -> ir.Expr | None:
    at = instant_from_text(text)
    if at is None:
        return None
    return ir.Instant(DATETIME, at, span=span) if isinstance(at, datetime) else ir.Day(DATETIME, at, span=span)


_COMPARATORS: Final[dict[str, ast.Comparator]] = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_AGGREGATES: Final[dict[str, Literal["sum", "average", "min", "max"]]] = {
    "sum": "sum",
    "average": "average",
    "min": "min",
    "max": "max",
}

_Check: TypeAlias = Callable[[Checker, Any, Scope], ir.Expr]
_CHECKS: Final[dict[type[ast.Expr], _Check]] = {
    ast.StringLiteral: Checker._literal,
    ast.IntegerLiteral: Checker._literal,
    ast.DoubleLiteral: Checker._literal,
    ast.BooleanLiteral: Checker._literal,
    ast.ListExpr: Checker._list,
    ast.ObjectExpr: Checker._object,
    ast.Name: Checker._name,
    ast.Path: Checker._path,
    ast.This: Checker._this,
    ast.Up: Checker._up,
    ast.Parameter: Checker._parameter,
    ast.ClassReference: Checker._class_reference,
    ast.Logical: Checker._logical,
    ast.Not: Checker._not,
    ast.Comparison: Checker._comparison,
    ast.Arithmetic: Checker._arithmetic,
    ast.Negation: Checker._negation,
    ast.Filter: Checker._filter,
    ast.Let: Checker._let,
    ast.Select: Checker._select,
    ast.Quantified: Checker._quantified,
    ast.Comprehension: Checker._comprehension,
    ast.Lambda: Checker._lambda,
    ast.Call: check_call,
    ast.MethodCall: check_method,
    ast.TimeWord: check_period,
    ast.CalendarPeriod: check_period,
    ast.Occurs: check_occurs,
    ast.Chain: check_chain,
}
