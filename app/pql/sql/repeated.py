"""A plan for tuples of an element and what is in it, when the inner table repeats all that is read of the outer one.

``select E from xEvent where E.eventType = "commerce.purchases", I from E.productListItems where I.SKU = "LUMA-11"``
reads nothing of the event but its type, which each row of the items holds as well; so the items alone are read.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.pql import ir
from app.pql.layout import Child
from app.pql.sql.objects import child_of
from app.pql.sql.places import Row, Spot, Value
from app.pql.sql.spelling import column, table
from app.pql.sql.writer import Writer


def without_repeated(
    writer: Writer, bindings: tuple[ir.Binding, ...], read: tuple[ir.Expr, ...], spot: Spot
) -> Spot | None:
    """Add two bindings to the spot's empty frame by the inner one's table alone; None where that is not possible.

    ``read`` is what else reads the variables.
    """
    if (
        len(bindings) != 2
        or not isinstance(bindings[0].source, ir.Field)
        or not isinstance(bindings[1].source, ir.Field)
    ):
        return None
    outer, inner = bindings
    tables = _tables(writer, bindings[0].source, bindings[1].source, outer.variable, spot)
    if tables is None:
        return None
    owner, outer_child, inner_child = tables
    repeated = dict(inner_child.repeated)
    conditions = [one.where for one in bindings if one.where is not None]
    if not _reads_only(outer.variable, (*conditions, *read), frozenset(repeated)):
        return None
    alias = writer.alias()
    above = {there: here for here, there in outer_child.join}
    ties = [(owner.column(above[here]), column(alias, there)) for here, there in inner_child.join if here in above]
    spot.frame.add(table(inner_child.table.name, alias))
    spot.frame.correlation += ties
    stand_in = Row(spot.frame, alias, outer_child.table, repeated=repeated)
    item = Row(spot.frame, alias, inner_child.table)
    element = item if inner_child.value is None else Value(item.column(inner_child.value), spot.frame)
    known = spot.naming(outer.variable, stand_in).naming(inner.variable, element)
    spot.frame.conditions += [writer.predicate(one, known) for one in conditions]
    return known


def _tables(
    writer: Writer, outer: ir.Field, inner: ir.Field, variable: ir.Variable, spot: Spot
) -> tuple[Row, Child, Child] | None:
    """Return the owner, the outer and the inner table when both arrays are tables, one within the other."""
    if not (isinstance(inner.object, ir.Reference) and inner.object.variable is variable):
        return None
    found = child_of(writer, outer, spot)
    if found is None or found[1].value is not None or found[1].keys:
        return None
    below = writer.layout.child(found[1].table, inner.path)
    if below is None or below.keys or not below.repeated:
        return None
    return found[0], found[1], below


def _reads_only(variable: ir.Variable, nodes: Iterable[ir.Expr], paths: frozenset[tuple[str, ...]]) -> bool:
    """Tell whether every use of a variable is one of the fields at ``paths``."""
    for node in nodes:
        fields = [
            one
            for one in ir.walk(node)
            if isinstance(one, ir.Field) and isinstance(one.object, ir.Reference) and one.object.variable is variable
        ]
        uses = sum(1 for one in ir.walk(node) if isinstance(one, ir.Reference) and one.variable is variable)
        if uses != len(fields) or any(one.path not in paths for one in fields):
            return False
    return True
