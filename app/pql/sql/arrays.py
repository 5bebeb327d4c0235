"""Arrays: each is rows in the frame of whoever asks for its elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlglot import exp

from app.pql import ir
from app.pql.layout import Child
from app.pql.sql.objects import absent, child_of, project
from app.pql.sql.places import Element, Frame, Many, Place, Row, Spot, Value
from app.pql.sql.spelling import (
    SQL,
    cast,
    column,
    derived,
    function,
    is_known,
    named,
    negated,
    number,
    settled,
    table,
)
from app.pql.sql.writer import Writer
from app.pql.types import ArrayType, MapType, Primitive, Type, primitive_of

_COLUMN_TYPES: Final = {
    Primitive.STRING: "VARCHAR",
    Primitive.BOOLEAN: "BOOLEAN",
    Primitive.LONG: "BIGINT",
    Primitive.DOUBLE: "DOUBLE",
    Primitive.DATE: "DATE",
    Primitive.DATETIME: "TIMESTAMP",
}


def rows(writer: Writer, node: ir.Expr, spot: Spot) -> Element:
    """Add the elements of an array to the spot's frame, and return what stands for each."""
    rule = _ROWS.get(type(node))
    if rule is None:
        hint = "Use an array of the profile or of its events."
        raise writer.unfit(node, "The elements of this value cannot be listed.", hint)
    return rule(writer, node, spot)


def exists(frame: Frame) -> SQL:
    """Return whether the frame has rows.

    Where nothing but the owner's key ties it to what is around it, the owner is looked for among all keys at once.
    """
    if len(frame.correlation) == 1:
        here, there = frame.correlation[0]
        alone = frame.select(there.copy(), correlated=False)
        if _stands_alone(alone):
            return exp.In(this=here.copy(), query=exp.Subquery(this=alone))
    return exp.Exists(this=frame.select(exp.Literal.number(1)))


def _stands_alone(select: exp.Select) -> bool:
    inside = {one.name for one in select.find_all(exp.TableAlias)}
    return all(one.table in inside for one in select.find_all(exp.Column) if one.table)


def ordered_by(aggregated: exp.Expr, order: Sequence[SQL]) -> SQL:
    """Return an aggregate that takes its rows in an order."""
    if not order:
        return aggregated
    value = aggregated.this
    keys = [exp.Ordered(this=key.copy(), nulls_first=False) for key in order]
    aggregated.set("this", exp.Order(this=value, expressions=keys))
    return aggregated


def child_rows(writer: Writer, owner: Row, child: Child, spot: Spot) -> Row:
    """Add the rows of an exploded array or map to the spot's frame."""
    alias = writer.alias()
    row = Row(spot.frame, alias, child.table)
    pairs: list[tuple[SQL, SQL]] = [(owner.column(here), column(alias, there)) for here, there in child.join]
    spot.frame.add_tied(table(child.table.name, alias), pairs)
    return row


def _order_of(row: Row) -> tuple[SQL, ...]:
    return tuple(row.column(name) for name in row.table.order or row.table.row_key)


def _of_field(writer: Writer, node: ir.Field, spot: Spot) -> Element:
    found = child_of(writer, node, spot)
    if found is None:
        return _of_place(writer, node, spot)
    owner, child = found
    row = child_rows(writer, owner, child, spot)
    place: Place = row if child.value is None else Value(row.column(child.value), spot.frame)
    return Element(place, _order_of(row))


def _of_place(writer: Writer, node: ir.Expr, spot: Spot) -> Element:
    place = writer.place(node, spot)
    if not isinstance(place, Many):
        raise writer.unfit(node, "The elements of this value cannot be listed.", "Use an array.")
    return writer.rows(place.node, Spot(place.scope, spot.frame))


def _of_list(writer: Writer, node: ir.ListOf, spot: Spot) -> Element:
    if len(node.items) == 1 and not isinstance(_element_type(node), ArrayType | MapType):
        place = writer.place(node.items[0], spot)
        spot.frame.add(derived(exp.Select(expressions=[named(number(1), "one")]), writer.alias(), lateral=False))
        return Element(place)
    type_ = _COLUMN_TYPES.get(primitive_of(_element_type(node)))  # type: ignore[arg-type]  # None is no key
    selects: list[exp.Select] = []
    for position, item in enumerate(node.items):
        value = writer.value(item, spot)
        selects.append(
            exp.Select(expressions=[named(number(position), "n"), named(cast(value, type_) if type_ else value, "v")])
        )
    if not selects:
        nothing = [named(number(0), "n"), named(exp.Null(), "v")]
        selects.append(exp.Select(expressions=nothing, where=exp.Where(this=exp.false())))
    return _from_query(writer, _united(selects), spot)


def _united(selects: Sequence[exp.Query]) -> exp.Query:
    whole = selects[0]
    for select in selects[1:]:
        whole = exp.Union(this=whole, expression=select, distinct=False)
    return whole


def _from_query(writer: Writer, query: exp.Query, spot: Spot) -> Element:
    """Add a sub-query with the columns ``n``, the order, and ``v``, the value."""
    alias = writer.alias()
    spot.frame.add(derived(query, alias, lateral=not spot.frame.is_empty))
    return Element(Value(column(alias, "v"), spot.frame), (column(alias, "n"),))


def _element_type(array: ir.Expr) -> Type:
    return array.type.element if isinstance(array.type, ArrayType) else array.type


def _let(writer: Writer, node: ir.Let, spot: Spot) -> Element:
    return writer.rows(node.body, spot.naming(node.variable, writer.place(node.value, spot)))


def _kept(writer: Writer, node: ir.Kept, spot: Spot) -> Element:
    element = writer.rows(node.source, spot)
    condition = writer.predicate(node.condition, spot.naming(node.variable, element.place))
    spot.frame.conditions.append(condition)
    return element


def _intersection(writer: Writer, node: ir.Intersection, spot: Spot) -> Element:
    variable = ir.Variable("item", _element_type(node.left))
    among = ir.Contains(node.right, ir.Reference(variable.type, variable), span=node.span)
    kept = ir.Kept(node.left.type, node.left, variable, among, span=node.span)
    return writer.rows(ir.Distinct(node.type, kept, span=node.span), spot)


def _map_keys(writer: Writer, node: ir.MapKeys, spot: Spot) -> Element:
    entry = writer.entries(node.map, spot)
    return Element(Value(entry.key, spot.frame), entry.order)


def _map_values(writer: Writer, node: ir.MapValues, spot: Spot) -> Element:
    entry = writer.entries(node.map, spot)
    return Element(entry.value, entry.order)


def _mapped_entries(writer: Writer, node: ir.MappedEntries, spot: Spot) -> Element:
    entry = writer.entries(node.map, spot)
    inner = spot.naming(node.key, Value(entry.key, spot.frame)).naming(node.value, entry.value)
    return Element(writer.place(node.body, inner), entry.order)


def _mapped(writer: Writer, node: ir.Mapped, spot: Spot) -> Element:
    element = writer.rows(node.source, spot)
    inner = spot.naming(node.variable, element.place)
    if not node.projects:
        return Element(writer.place(node.body, inner), element.order)
    if isinstance(node.body.type, ArrayType):
        below = writer.rows(node.body, inner)
        element = Element(below.place, (*element.order, *below.order))
        type_ = node.body.type.element
    else:
        element = Element(writer.place(node.body, inner), element.order)
        type_ = node.body.type
    # A projection has no nulls in it.
    spot.frame.conditions.append(negated(absent(writer, element.place, type_, node)))
    return element


def _distinct(writer: Writer, node: ir.Distinct, spot: Spot) -> Element:
    frame = spot.below()
    element = writer.rows(node.source, spot.inside(frame))
    if not isinstance(element.place, Value):
        raise writer.unfit(node, "Only single values are told apart.", "Name a field of the objects.")
    value = element.place.sql
    frame.conditions.append(is_known(value.copy()))
    first = exp.Min(this=in_one(element.order))
    select = frame.select(named(first, "n"), named(value.copy(), "v")).group_by(value.copy(), copy=False)
    return _from_query(writer, select, spot)


def in_one(order: Sequence[SQL]) -> SQL:
    """Return keys of an order as one value that sorts as they do, one after the other."""
    keys = [key.copy() for key in order]
    return keys[0] if len(keys) == 1 else function("row", *keys) if keys else number(0)


def numbered(order: Sequence[SQL], *, partition: Sequence[SQL] = ()) -> SQL:
    """Return the number of a row in an order whose keys are `exp.Ordered`."""
    return exp.Window(
        this=exp.RowNumber(),
        partition_by=[one.copy() for one in partition],
        order=exp.Order(expressions=[one.copy() for one in order]),
    )


def ascending(order: Sequence[SQL]) -> list[SQL]:
    """Return keys as an order from the least to the greatest, NULL last."""
    return [exp.Ordered(this=key.copy(), nulls_first=False) for key in order]


def _ranked(writer: Writer, node: ir.Ranked, spot: Spot) -> Element:
    frame = spot.below()
    inner = spot.inside(frame)
    element = writer.rows(node.source, inner)
    key = writer.value(node.key, inner.naming(node.variable, element.place))
    order = [exp.Ordered(this=key, desc=node.descending, nulls_first=False), *ascending(element.order)]
    columns, rebuild = project(writer, element.place, frame, node)
    name = writer.alias()
    alias = writer.alias()
    query = frame.select(named(numbered(order), name), *columns)
    spot.frame.add(derived(query, alias, lateral=not spot.frame.is_empty))
    size = writer.value(node.size, spot)
    spot.frame.conditions.append(settled(exp.LTE(this=column(alias, name), expression=size)))
    return Element(rebuild(spot.frame, alias), (column(alias, name),))


def _one_of_two(writer: Writer, node: ir.Conditional, spot: Spot) -> Element:
    condition = writer.predicate(node.condition, spot)
    selects: list[exp.Query] = []
    for branch, test in ((node.then, condition), (node.otherwise, negated(writer.again(condition, node)))):
        frame = spot.below()
        element = writer.rows(branch, spot.inside(frame))
        if not isinstance(element.place, Value):
            raise writer.unfit(
                node, "`if` chooses between arrays of single values only.", "Choose between two conditions."
            )
        frame.conditions.append(test)
        selects.append(
            frame.select(named(numbered(ascending(element.order)), "n"), named(element.place.sql.copy(), "v"))
        )
    return _from_query(writer, _united(selects), spot)


def _looked_up(writer: Writer, node: ir.Lookup, spot: Spot) -> Element:
    """Add the elements of the array that a map holds at a key."""
    if isinstance(node.map, ir.Field):
        found = child_of(writer, node.map, spot)
        if found is not None and len(found[1].keys) == 1:
            owner, child = found
            row = child_rows(writer, owner, child, spot)
            spot.frame.conditions.append(same_key(writer, row.column(child.keys[0]), node.key, spot))
            place: Place = row if child.value is None else Value(row.column(child.value), spot.frame)
            return Element(place, _order_of(row))
    entry = writer.entries(node.map, spot)
    spot.frame.conditions.append(same_key(writer, entry.key, node.key, spot))
    if not isinstance(entry.value, Many):
        raise writer.unfit(node, "The map holds no arrays.", "Compare the value itself.")
    element = writer.rows(entry.value.node, Spot(entry.value.scope, spot.frame))
    return replace(element, order=(*entry.order, *element.order))


def same_key(writer: Writer, own: SQL, key: ir.Expr, spot: Spot) -> SQL:
    """Return whether a map's key is the one that is asked for."""
    asked = writer.value(key, spot)
    if primitive_of(key.type) is Primitive.STRING:
        own, asked = cast(own.copy(), "VARCHAR"), cast(asked, "VARCHAR")
    return settled(exp.EQ(this=own, expression=asked))


_ROWS: Final[dict[type[ir.Expr], Callable[[Writer, Any, Spot], Element]]] = {
    ir.Field: _of_field,
    ir.Reference: _of_place,
    ir.Head: _of_place,
    ir.Let: _let,
    ir.ListOf: _of_list,
    ir.Kept: _kept,
    ir.Mapped: _mapped,
    ir.Distinct: _distinct,
    ir.Ranked: _ranked,
    ir.Intersection: _intersection,
    ir.Conditional: _one_of_two,
    ir.Lookup: _looked_up,
    ir.MapKeys: _map_keys,
    ir.MapValues: _map_values,
    ir.MappedEntries: _mapped_entries,
}
