"""Whether an array or a map is there at all: an empty one is, an absent one is not."""

from __future__ import annotations

from sqlglot import exp

from app.pql import ir
from app.pql.sql.objects import child_of
from app.pql.sql.places import Many, Spot
from app.pql.sql.spelling import SQL, all_of, is_known, settled, when
from app.pql.sql.writer import Writer
from app.pql.types import MapType


def present(writer: Writer, node: ir.Expr, spot: Spot) -> SQL:
    """Return whether an array or a map is there; never NULL."""
    match node:
        case ir.Kept() | ir.Mapped() | ir.Distinct() | ir.Grouped():
            return writer.present(node.source, spot)
        case ir.ListOf() | ir.MapKeys() | ir.MapValues():
            return exp.true()
        case ir.MappedEntries(map=inner) | ir.EntriesToMap(entries=inner):
            return writer.present(inner, spot)
        case ir.Ranked(source=source, size=size):
            return all_of(writer.present(source, spot), is_known(writer.value(size, spot)))
        case ir.Intersection(left=left, right=right):
            return all_of(writer.present(left, spot), writer.present(right, spot))
        case ir.Conditional(condition=condition, then=then, otherwise=otherwise):
            sides = writer.present(then, spot), writer.present(otherwise, spot)
            return when(writer.predicate(condition, spot), *sides)
        case ir.Let():
            return writer.present(node.body, spot.naming(node.variable, writer.place(node.value, spot)))
        case ir.Field():
            return _of_field(writer, node, spot)
        case ir.Lookup():
            return _has_rows(writer, node, spot)
    return _of_place(writer, node, spot)


def _of_field(writer: Writer, node: ir.Field, spot: Spot) -> SQL:
    found = child_of(writer, node, spot)
    if found is None:
        return _of_place(writer, node, spot)
    owner, child = found
    return _has_rows(writer, node, spot) if child.present is None else settled(owner.column(child.present))


def _of_place(writer: Writer, node: ir.Expr, spot: Spot) -> SQL:
    place = writer.place(node, spot)
    if isinstance(place, Many) and place.node is not node:
        return writer.present(place.node, Spot(place.scope, spot.frame))
    raise writer.unfit(
        node, "Whether this array is there cannot be told.", "Use an array of the profile or of its events."
    )


def _has_rows(writer: Writer, node: ir.Expr, spot: Spot) -> SQL:
    frame = spot.below()
    inner = spot.inside(frame)
    if isinstance(node.type, MapType):
        writer.entries(node, inner)
    else:
        writer.rows(node, inner)
    return exp.Exists(this=frame.select(exp.Literal.number(1)))
