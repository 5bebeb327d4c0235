"""Predicates: each is true or false and never NULL, so that NOT over it means what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlglot import exp

from app.pql import ir, times
from app.pql.sql.arrays import exists
from app.pql.sql.bindings import bind_all
from app.pql.sql.chains import chain
from app.pql.sql.objects import absent, written_once
from app.pql.sql.places import Element, Frame, Row, Spot, Value
from app.pql.sql.spelling import (
    SQL,
    all_of,
    any_of,
    column,
    folded,
    function,
    is_known,
    negated,
    settled,
    table,
)
from app.pql.sql.values import as_instant, is_day_value, ordered_list, text
from app.pql.sql.writer import Rule, Writer
from app.pql.times import Endpoint
from app.pql.types import ArrayType, MapType, Primitive, is_instant, primitive_of

_COMPARISONS: Final[dict[str, type[exp.Binary]]] = {
    "=": exp.EQ,
    "!=": exp.NEQ,
    "<": exp.LT,
    "<=": exp.LTE,
    ">": exp.GT,
    ">=": exp.GTE,
}
_STRING_FUNCTIONS: Final = {"startsWith": "starts_with", "endsWith": "ends_with", "contains": "contains"}


# Logic


def conjunction(writer: Writer, node: ir.And, spot: Spot) -> SQL:
    """Write ``and``."""
    return all_of(*(writer.predicate(one, spot) for one in node.operands))


def disjunction(writer: Writer, node: ir.Or, spot: Spot) -> SQL:
    """Write ``or``."""
    return any_of(*(writer.predicate(one, spot) for one in node.operands))


def negation(writer: Writer, node: ir.Not, spot: Spot) -> SQL:
    """Write ``not``."""
    return negated(writer.predicate(node.operand, spot))


def truth(writer: Writer, node: ir.Truth, spot: Spot) -> SQL:
    """Write a Boolean value as a test."""
    return settled(writer.value(node.value, spot))


def null_test(writer: Writer, node: ir.IsNull, spot: Spot) -> SQL:
    """Write whether a value is absent."""
    if isinstance(node.value.type, ArrayType | MapType):
        return negated(writer.present(node.value, spot))
    return absent(writer, writer.place(node.value, spot), node.value.type, node.value)


# Comparisons


def comparison(writer: Writer, node: ir.Comparison, spot: Spot) -> SQL:
    """Write a comparison of two scalars."""
    left, right = comparable(writer, node.left, node.right, spot)
    return settled(_COMPARISONS[node.operator](this=left, expression=right))


def comparable(writer: Writer, left: ir.Expr, right: ir.Expr, spot: Spot) -> tuple[SQL, SQL]:
    """Write two scalars so that they compare as values of one kind."""
    sides = (left, right)
    if any(is_instant(one.type) for one in sides):
        if all(is_day_value(one) for one in sides):
            return writer.value(left, spot), writer.value(right, spot)
        return as_instant(writer, left, spot), as_instant(writer, right, spot)
    both_computed = not any(isinstance(one, ir.Constant) for one in sides)
    if both_computed and any(primitive_of(one.type) is Primitive.STRING for one in sides):
        return text(writer, left, spot), text(writer, right, spot)
    return writer.value(left, spot), writer.value(right, spot)


def one_of(writer: Writer, node: ir.OneOf, spot: Spot) -> SQL:
    """Write ``in`` and ``notIn`` with constants."""
    subject = writer.value(node.value, spot)
    if is_day_value(node.value):
        subject = writer.clock.from_day(subject)
    if not node.members:
        # Nothing is in an empty list, and every value that is there is not in it.
        return is_known(subject) if node.negated else exp.false()
    test = exp.In(this=subject, expressions=[writer.value(one, spot) for one in node.members])
    return settled(exp.Not(this=exp.Paren(this=test)) if node.negated else test)


def same_element(writer: Writer, node: ir.SameElement, spot: Spot) -> SQL:
    """Write whether two variables stand for one element: by its place, or by the ``_id`` of events."""
    left, right = writer.place(node.left, spot), writer.place(node.right, spot)
    if not isinstance(left, Row) or not isinstance(right, Row) or left.table.name != right.table.name:
        return exp.false()
    keys = [name for name in (left.table.profile_key, *left.table.row_key) if name is not None]
    same_place = all_of(*(exp.EQ(this=left.column(name), expression=right.column(name)) for name in keys))
    name = writer.layout.column(left.table, (*left.prefix, "_id"))
    if name is None or left.table.unique_ids:
        return settled(same_place)
    return any_of(settled(same_place), settled(exp.EQ(this=left.column(name), expression=right.column(name))))


def same_list(writer: Writer, node: ir.SameList, spot: Spot) -> SQL:
    """Write whether two arrays hold the same values in the same order."""
    lists = [ordered_list(writer, one, spot) for one in (node.left, node.right)]
    kind = exp.NEQ if node.negated else exp.EQ
    there = [writer.present(one, spot) for one in (node.left, node.right)]
    return all_of(*there, settled(kind(this=lists[0], expression=lists[1])))


# Strings


def string_test(writer: Writer, node: ir.StringTest, spot: Spot) -> SQL:
    """Write ``equals``, ``contains`` and their likes."""
    subject, argument = (text(writer, one, spot) for one in (node.subject, node.argument))
    if not node.case_sensitive:
        subject, argument = folded(subject), folded(argument)
    if node.relation == "equals":
        test: SQL = exp.EQ(this=subject, expression=argument)
    else:
        test = function(_STRING_FUNCTIONS[node.relation], subject, argument)
    return settled(exp.Not(this=exp.Paren(this=test)) if node.negated else test)


def like(writer: Writer, node: ir.Like, spot: Spot) -> SQL:
    """Write ``like``. A backslash is special only before ``%`` and ``_``, so any other one is doubled."""
    pattern = text(writer, node.pattern, spot)
    slash, double = writer.bind("\\"), writer.bind("\\\\")
    spelled = function("replace", pattern, slash, double)
    for wildcard in "%_":
        spelled = function("replace", spelled, writer.bind("\\\\" + wildcard), writer.bind("\\" + wildcard))
    test = exp.Like(this=text(writer, node.subject, spot), expression=spelled)
    return settled(exp.Escape(this=test, expression=exp.Literal.string("\\")))


def matches(writer: Writer, node: ir.Matches, spot: Spot) -> SQL:
    """Write whether a pattern is found."""
    test = function("regexp_matches", text(writer, node.subject, spot), writer.bind(node.pattern.re2))
    return settled(exp.Not(this=exp.Paren(this=test)) if node.negated else test)


# Time


def occurs(writer: Writer, node: ir.Occurs, spot: Spot) -> SQL:
    """Write ``occurs``."""
    at = as_instant(writer, node.timestamp, spot)
    tests = [
        writer.clock.lies_in(moved, interval, lambda one: endpoint(writer, one, spot))
        for interval in times.window(node.test)
        for moved in _in_years(writer, node, at, interval, spot)
    ]
    return settled(any_of(*tests))


def endpoint(writer: Writer, one: Endpoint, spot: Spot) -> SQL:
    """Write an endpoint of an interval."""
    known = writer.clock.known(one.reference)
    if known is not None:
        return writer.clock.known_endpoint(one, known)
    value = written_once(writer, one.reference, spot, writer.value(one.reference, spot))
    return writer.clock.computed_endpoint(one, value)


def _in_years(writer: Writer, node: ir.Occurs, at: SQL, interval: times.Interval, spot: Spot) -> list[SQL]:
    """Return the timestamp, or with the year left out the timestamp in each year that may count."""
    if not node.ignores_year:
        return [at]
    nearest = interval.low or interval.high
    assert nearest is not None  # noqa: S101 - an interval ends somewhere
    reference = endpoint(writer, replace(nearest, edge="start", count=0, bucket=None), spot)
    year = writer.clock.year_of(reference)
    moves = (0, -1, 1) if interval.is_bounded else (0,)
    years = [
        exp.Add(this=year.copy(), expression=exp.Literal.number(move))
        if move >= 0
        else exp.Sub(this=year.copy(), expression=exp.Literal.number(-move))
        for move in moves
    ]
    return [writer.clock.in_year(at.copy(), one) for one in years]


# Segments


def in_segment(writer: Writer, node: ir.InSegment, spot: Spot) -> SQL:
    """Write whether the profile is in another segment, as the layout's memberships tell."""
    held = writer.layout.memberships
    profile = next((one for one in spot.scope.values() if isinstance(one, Row) and not one.table.row_key), None)
    if held is None or profile is None or profile.table.profile_key is None:
        raise writer.not_held(node, "memberships of segments")
    alias = writer.alias()
    tests = [exp.EQ(this=column(alias, held.segment), expression=writer.bind(node.segment_id))]
    select = exp.Select(expressions=[column(alias, held.profile)], where=exp.Where(this=exp.and_(*tests)))
    query = select.from_(table(held.table, alias))
    return exp.In(this=profile.column(profile.table.profile_key), query=exp.Subquery(this=query))


# Arrays


def some(writer: Writer, node: ir.Some, spot: Spot) -> SQL:
    """Write whether some tuple qualifies."""
    frame = spot.below()
    bind_all(writer, node.bindings, spot.inside(frame))
    return exists(frame)


def every(writer: Writer, node: ir.Every, spot: Spot) -> SQL:
    """Write whether every tuple meets the condition: none that does not."""
    frame = spot.below()
    inner = bind_all(writer, node.bindings, spot.inside(frame), (node.condition,))
    frame.conditions.append(negated(writer.predicate(node.condition, inner)))
    return negated(exists(frame))


def _element(writer: Writer, array: ir.Expr, spot: Spot) -> tuple[Frame, Spot, ir.Reference, Element]:
    """Return a frame with the elements of an array, and a reference that stands for each."""
    frame = spot.below()
    inner = spot.inside(frame)
    element = writer.rows(array, inner)
    type_ = array.type.element if isinstance(array.type, ArrayType) else array.type
    variable = ir.Variable("item", type_)
    return frame, inner.naming(variable, element.place), ir.Reference(type_, variable, span=array.span), element


def contains(writer: Writer, node: ir.Contains, spot: Spot) -> SQL:
    """Write whether a value is in an array."""
    among = _is_among(writer, node.value, node.array, spot)
    value = writer.value(node.value, spot)
    tests = [writer.present(node.array, spot), is_known(value)]
    return all_of(*tests, negated(among) if node.negated else among)


def _is_among(writer: Writer, value: ir.Expr, array: ir.Expr, spot: Spot) -> SQL:
    frame, inner, item, _ = _element(writer, array, spot)
    frame.conditions.append(writer.predicate(ir.Comparison("=", value, item, span=array.span), inner))
    return exists(frame)


def set_test(writer: Writer, node: ir.SetTest, spot: Spot) -> SQL:
    """Write how two arrays relate as sets."""
    there = [writer.present(one, spot) for one in (node.left, node.right)]
    if node.relation == "intersects":
        return all_of(*there, _shares(writer, node.left, node.right, spot))
    smaller, larger = (node.left, node.right) if node.relation == "subsetOf" else (node.right, node.left)
    return all_of(*there, negated(_has_other(writer, smaller, larger, spot)))


def _shares(writer: Writer, left: ir.Expr, right: ir.Expr, spot: Spot) -> SQL:
    frame, inner, item, _ = _element(writer, left, spot)
    element = writer.rows(right, inner)
    type_ = right.type.element if isinstance(right.type, ArrayType) else right.type
    variable = ir.Variable("other", type_)
    same = ir.Comparison("=", item, ir.Reference(type_, variable), span=left.span)
    frame.conditions.append(writer.predicate(same, inner.naming(variable, element.place)))
    return exists(frame)


def _has_other(writer: Writer, smaller: ir.Expr, larger: ir.Expr, spot: Spot) -> SQL:
    frame, inner, item, element = _element(writer, smaller, spot)
    if not isinstance(element.place, Value):
        raise writer.unfit(smaller, "Only arrays of single values compare as sets.", "Name a field of the objects.")
    frame.conditions.append(is_known(element.place.sql.copy()))
    frame.conditions.append(negated(_is_among(writer, item, larger, inner)))
    return exists(frame)


PREDICATES: Final[dict[type[ir.Expr], Rule]] = {
    ir.And: conjunction,
    ir.Or: disjunction,
    ir.Not: negation,
    ir.Truth: truth,
    ir.IsNull: null_test,
    ir.Comparison: comparison,
    ir.OneOf: one_of,
    ir.SameElement: same_element,
    ir.SameList: same_list,
    ir.StringTest: string_test,
    ir.Like: like,
    ir.Matches: matches,
    ir.Occurs: occurs,
    ir.InSegment: in_segment,
    ir.Some: some,
    ir.Every: every,
    ir.Contains: contains,
    ir.SetTest: set_test,
    ir.Chain: chain,
}
