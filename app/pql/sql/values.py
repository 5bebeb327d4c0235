"""Single values: constants, fields, arithmetic, times, strings, aggregates."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

from app.pql import ir
from app.pql.sql.arrays import ordered_by
from app.pql.sql.bindings import bind_all
from app.pql.sql.objects import written_once
from app.pql.sql.places import Spot, Value
from app.pql.sql.spelling import (
    SQL,
    all_of,
    cast,
    function,
    grouped,
    number,
    when,
)
from app.pql.sql.writer import Rule, Writer
from app.pql.types import Primitive, primitive_of

_OPERATORS: Final[dict[str, type[exp.Binary]]] = {
    "+": exp.Add,
    "-": exp.Sub,
    "*": exp.Mul,
    "/": exp.Div,
    "%": exp.Mod,
}
_EXTREMES: Final[dict[str, type[exp.AggFunc]]] = {"min": exp.Min, "max": exp.Max}


def constant(writer: Writer, node: ir.Constant, _spot: Spot) -> SQL:
    """Write a literal: a placeholder."""
    if isinstance(node.value, bool):
        return exp.Boolean(this=node.value)
    return writer.bind(node.value)


def known_time(writer: Writer, node: ir.Day | ir.Instant | ir.Period, _spot: Spot) -> SQL:
    """Write a time that depends on nothing but now: an instant, or the start of a day or a period."""
    known = writer.clock.known(node)
    assert known is not None  # noqa: S101 - such a time reads no column
    return writer.clock.instant(known[0])


def from_place(writer: Writer, node: ir.Expr, spot: Spot) -> SQL:
    """Write a single value that is reached through a variable, an object, a relation, a map or an array."""
    place = writer.place(node, spot)
    if not isinstance(place, Value):
        raise writer.unfit(node, "A single value is needed here.", "Name one of its fields.")
    return place.sql.copy()


def conditional(writer: Writer, node: ir.Conditional, spot: Spot) -> SQL:
    """Write ``if``."""
    then, otherwise = (_branch(writer, one, node, spot) for one in (node.then, node.otherwise))
    return when(writer.predicate(node.condition, spot), then, otherwise)


def _branch(writer: Writer, branch: ir.Expr, node: ir.Conditional, spot: Spot) -> SQL:
    if primitive_of(node.type) is Primitive.STRING:
        return text(writer, branch, spot)
    if primitive_of(node.type) is Primitive.DATETIME:
        return as_instant(writer, branch, spot)
    return writer.value(branch, spot)


def let(writer: Writer, node: ir.Let, spot: Spot) -> SQL:
    """Write the body of a ``let`` with its name bound."""
    return writer.value(node.body, spot.naming(node.variable, writer.place(node.value, spot)))


def text(writer: Writer, node: ir.Expr, spot: Spot) -> SQL:
    """Write a string as text, also where its column is an enumeration."""
    return cast(writer.value(node, spot), "VARCHAR")


def as_instant(writer: Writer, node: ir.Expr, spot: Spot) -> SQL:
    """Write a time as an instant; a column's day is its start."""
    written = written_once(writer, node, spot, writer.value(node, spot))
    return writer.clock.from_day(written) if is_day_value(node) else written


def is_day_value(node: ir.Expr) -> bool:
    """Tell whether a value is a day in a column; a day or a period that the rule names is an instant already."""
    return primitive_of(node.type) is Primitive.DATE and not isinstance(node, ir.Day | ir.Period | ir.Instant)


def date_part(writer: Writer, node: ir.DatePart, spot: Spot) -> SQL:
    """Write the year, month or day of a time."""
    return writer.clock.part(node.part, writer.value(node.instant, spot), is_day=is_day_value(node.instant))


# Arithmetic


def arithmetic(writer: Writer, node: ir.Arithmetic, spot: Spot) -> SQL:
    """Write arithmetic. What is not finite, or beyond 64 bits, is NULL at every step."""
    if primitive_of(node.type) is Primitive.LONG:
        return _on_longs(writer, node, spot)
    steps: list[SQL] = []
    result = _on_doubles(writer, node, spot, steps)
    checks = [function("isfinite", writer.again(step, node)) for step in steps]
    return when(all_of(*checks), result)


def _on_longs(writer: Writer, node: ir.Arithmetic, spot: Spot) -> SQL:
    left = cast(writer.value(node.left, spot), "HUGEINT")
    right = cast(written_once(writer, node.right, spot, writer.value(node.right, spot)), "HUGEINT")
    if node.operator == "%":
        right = when(exp.NEQ(this=writer.again(right, node), expression=number(0)), right)
    result = grouped(_OPERATORS[node.operator](this=left, expression=right))
    return exp.TryCast(this=result, to=exp.DataType.build("BIGINT"))


def _on_doubles(writer: Writer, node: ir.Expr, spot: Spot, steps: list[SQL]) -> SQL:
    if not isinstance(node, ir.Arithmetic) or primitive_of(node.type) is Primitive.LONG:
        return cast(written_once(writer, node, spot, writer.value(node, spot)), "DOUBLE")
    writer.spend(1, node)
    left, right = (_on_doubles(writer, one, spot, steps) for one in (node.left, node.right))
    if node.operator in "/%":
        right = when(exp.NEQ(this=writer.again(right, node), expression=number(0)), right)
    step = grouped(_OPERATORS[node.operator](this=left, expression=right))
    steps.append(step)
    return step


# Strings


def regex_group(writer: Writer, node: ir.RegexGroup, spot: Spot) -> SQL:
    """Write what a group of a pattern took, NULL where the pattern is not found."""
    subject = text(writer, node.subject, spot)
    pattern = writer.bind(node.pattern.re2)
    taken = function("regexp_extract", writer.again(subject, node), pattern, number(node.group))
    if node.group in node.pattern.optional_groups:
        # Such a group is never empty when it takes part, so nothing means that it did not.
        taken = exp.Nullif(this=taken, expression=exp.Literal.string(""))
    return when(function("regexp_matches", subject, pattern.copy()), taken)


# Aggregates


def aggregate(writer: Writer, node: ir.Aggregate, spot: Spot) -> SQL:
    """Write a number over tuples as a sub-query."""
    frame = spot.below()
    read = () if node.value is None else (node.value,)
    inner = bind_all(writer, node.bindings, spot.inside(frame), read)
    if node.value is None:
        return exp.Subquery(this=frame.select(exp.Count(this=exp.Star())))
    result = _AGGREGATES[node.function](writer, node, inner)
    return exp.Subquery(this=frame.select(result))


def _sum(writer: Writer, node: ir.Aggregate, spot: Spot) -> SQL:
    assert node.value is not None  # noqa: S101 - only count has none
    value = writer.value(node.value, spot)
    if primitive_of(node.value.type) is Primitive.LONG:
        total: SQL = exp.Coalesce(this=exp.Sum(this=cast(value, "HUGEINT")), expressions=[number(0)])
        return exp.TryCast(this=total, to=exp.DataType.build("BIGINT"))
    total = exp.Coalesce(this=function("fsum", cast(value, "DOUBLE")), expressions=[number(0)])
    return when(function("isfinite", writer.again(total, node)), total)


def _average(writer: Writer, node: ir.Aggregate, spot: Spot) -> SQL:
    assert node.value is not None  # noqa: S101 - only count has none
    value = cast(writer.value(node.value, spot), "DOUBLE")
    return exp.Div(this=function("fsum", value), expression=exp.Count(this=writer.again(value, node)))


def _extreme(writer: Writer, node: ir.Aggregate, spot: Spot) -> SQL:
    assert node.value is not None  # noqa: S101 - only count has none
    return _EXTREMES[node.function](this=writer.value(node.value, spot))


_AGGREGATES: Final = {"sum": _sum, "average": _average, "min": _extreme, "max": _extreme}


def ordered_list(writer: Writer, node: ir.Expr, spot: Spot) -> SQL:
    """Write an array of scalars as a list in the order of the document; an empty one where there is nothing."""
    frame = spot.below()
    element = writer.rows(node, spot.inside(frame))
    if not isinstance(element.place, Value):
        raise writer.unfit(node, "Only arrays of single values compare as a whole.", "Compare a field of their items.")
    listed = ordered_by(exp.ArrayAgg(this=element.place.sql.copy()), element.order)
    empty = exp.Array(expressions=[])
    return exp.Coalesce(this=exp.Subquery(this=frame.select(listed)), expressions=[empty])


VALUES: Final[dict[type[ir.Expr], Rule]] = {
    ir.Constant: constant,
    ir.Day: known_time,
    ir.Instant: known_time,
    ir.Period: known_time,
    ir.Reference: from_place,
    ir.Field: from_place,
    ir.Lookup: from_place,
    ir.Head: from_place,
    ir.Conditional: conditional,
    ir.Let: let,
    ir.DatePart: date_part,
    ir.Arithmetic: arithmetic,
    ir.RegexGroup: regex_group,
    ir.Aggregate: aggregate,
}
