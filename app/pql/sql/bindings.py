"""Tuples of elements, as joined rows.

An element and what is in it need one table instead of two when the inner table repeats all that is read of the outer
one. ``select E from xEvent where E.eventType = "commerce.purchases", I from E.productListItems where I.SKU = "A"``
reads nothing of the event but its type, which each row of the items holds as well; so the items alone are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.pql import ir
from app.pql.layout import Child
from app.pql.sql.objects import child_of
from app.pql.sql.places import Place, Row, Spot, Value
from app.pql.sql.spelling import SQL, column, table
from app.pql.sql.writer import Writer


def bind_all(writer: Writer, bindings: Sequence[ir.Binding], spot: Spot, read: Sequence[ir.Expr] = ()) -> Spot:
    """Add the tuples of bindings to the spot's frame; return the spot at which their variables are known.

    ``read`` is what else will read the variables.
    """
    conditions = [one.where for one in bindings if one.where is not None]
    left = list(bindings)
    while left:
        first = left.pop(0)
        sources = [one.source for one in left]
        bound = _by_inner_table(writer, first, left[0], (*conditions, *sources[1:], *read), spot) if left else None
        if bound is None:
            element = writer.rows(first.source, spot)
            spot = spot.naming(first.variable, element.place)
            taken = [first]
        else:
            spot = bound
            taken = [first, left.pop(0)]
        for one in taken:
            if one.where is not None:
                spot.frame.conditions.append(writer.predicate(one.where, spot))
    return spot


def _by_inner_table(
    writer: Writer, outer: ir.Binding, inner: ir.Binding, read: Iterable[ir.Expr], spot: Spot
) -> Spot | None:
    """Add two bindings by the inner one's table alone; None where that is not possible."""
    tables = _tables(writer, outer, inner, spot)
    if tables is None:
        return None
    owner, outer_child, inner_child = tables
    repeated = dict(inner_child.repeated)
    if not _reads_only(outer.variable, read, frozenset(repeated), by_identity=outer_child.table.unique_ids):
        return None
    alias = writer.alias()
    row = Row(spot.frame, alias, inner_child.table)
    above = {there: here for here, there in outer_child.join}
    ties: list[tuple[SQL, SQL]] = [
        (owner.column(above[here]), column(alias, there)) for here, there in inner_child.join if here in above
    ]
    spot.frame.add_tied(table(inner_child.table.name, alias), ties)
    stand_in = Row(spot.frame, alias, outer_child.table, repeated=repeated)
    element: Place = row if inner_child.value is None else Value(row.column(inner_child.value), spot.frame)
    return spot.naming(outer.variable, stand_in).naming(inner.variable, element)


def _tables(writer: Writer, outer: ir.Binding, inner: ir.Binding, spot: Spot) -> tuple[Row, Child, Child] | None:
    """Return the owner, the outer and the inner table when both arrays are tables, one within the other."""
    if not isinstance(outer.source, ir.Field) or not isinstance(inner.source, ir.Field):
        return None
    within = inner.source.object
    if not (isinstance(within, ir.Reference) and within.variable is outer.variable):
        return None
    found = child_of(writer, outer.source, spot)
    if found is None or found[1].value is not None or found[1].keys:
        return None
    below = writer.layout.child(found[1].table, inner.source.path)
    if below is None or below.keys or not below.repeated or not set(found[1].table.row_key) <= set(below.table.row_key):
        return None
    return found[0], found[1], below


def _reads_only(
    variable: ir.Variable, nodes: Iterable[ir.Expr], paths: frozenset[tuple[str, ...]], *, by_identity: bool
) -> bool:
    """Tell whether every use of a variable is a field at one of ``paths``, or a question which element it is."""
    for node in nodes:
        uses = fits = 0
        for one in ir.walk(node):
            match one:
                case ir.Reference(variable=found) if found is variable:
                    uses += 1
                case ir.Field(object=ir.Reference(variable=found), path=path) if found is variable and path in paths:
                    fits += 1
                case ir.SameElement(left=left, right=right) if by_identity:
                    fits += sum(isinstance(side, ir.Reference) and side.variable is variable for side in (left, right))
        if uses != fits:
            return False
    return True
