"""Maps: each is entries in the frame of whoever asks for them."""

from __future__ import annotations

from sqlglot import exp

from app.pql import ir
from app.pql.layout import Child
from app.pql.sql.arrays import child_rows, in_one, numbered, same_key
from app.pql.sql.objects import child_of, project
from app.pql.sql.places import Many, Pair, Place, Row, Spot, Value
from app.pql.sql.spelling import column, derived, is_known, named
from app.pql.sql.writer import MapEntry, Writer
from app.pql.types import ArrayType, MapType


def entries(writer: Writer, node: ir.Expr, spot: Spot) -> MapEntry:
    """Add the entries of a map to the spot's frame, and return what stands for each."""
    match node:
        case ir.Field():
            found = child_of(writer, node, spot)
            if found is not None:
                return _of_table(writer, node, found[0], found[1], spot)
        case ir.Let():
            return writer.entries(node.body, spot.naming(node.variable, writer.place(node.value, spot)))
        case ir.Grouped():
            return _grouped(writer, node, spot)
        case ir.EntriesToMap():
            return _of_entries(writer, node, spot)
        case ir.Lookup():
            return _of_map_in_map(writer, node, spot)
    place = writer.place(node, spot)
    if isinstance(place, Many) and place.node is not node:
        return writer.entries(place.node, Spot(place.scope, spot.frame))
    raise writer.unfit(node, "The entries of this map cannot be listed.", "Use a map of the profile, or groupBy.")


def _of_table(writer: Writer, node: ir.Expr, owner: Row, child: Child, spot: Spot) -> MapEntry:
    if not isinstance(node.type, MapType):
        raise writer.unfit(node, "This is no map.", "Use an array function.")
    if not isinstance(node.type.value, ArrayType | MapType):
        row = child_rows(writer, owner, child, spot)
        value: Place = row if child.value is None else Value(row.column(child.value), spot.frame)
        return MapEntry(row.column(child.keys[0]), value, (row.column(child.keys[0]),))
    frame = spot.below()
    row = child_rows(writer, owner, child, spot.inside(frame))
    key = row.column(child.keys[0])
    alias = writer.alias()
    query = frame.select(named(key, "k")).group_by(key.copy(), copy=False)
    spot.frame.add(derived(query, alias, lateral=not spot.frame.is_empty))
    own = column(alias, "k")
    variable = ir.Variable("key", node.type.key)
    within = ir.Lookup(node.type.value, node, ir.Reference(variable.type, variable), span=node.span)
    scope = {**spot.scope, variable: Value(own, spot.frame)}
    return MapEntry(own, Many(within, scope), (own,))


def _of_map_in_map(writer: Writer, node: ir.Lookup, spot: Spot) -> MapEntry:
    found = child_of(writer, node.map, spot) if isinstance(node.map, ir.Field) else None
    if found is None or len(found[1].keys) < 2:
        raise writer.unfit(node, "The map within this map cannot be listed.", "Ask for one of its keys.")
    owner, child = found
    row = child_rows(writer, owner, child, spot)
    spot.frame.conditions.append(same_key(writer, row.column(child.keys[0]), node.key, spot))
    value: Place = row if child.value is None else Value(row.column(child.value), spot.frame)
    key = row.column(child.keys[1])
    return MapEntry(key, value, (key,))


def _grouped(writer: Writer, node: ir.Grouped, spot: Spot) -> MapEntry:
    """Add a row for each key; its group is the elements that have the key, written out where it is used."""
    frame = spot.below()
    inner = spot.inside(frame)
    element = writer.rows(node.source, inner)
    key = writer.value(node.key, inner.naming(node.variable, element.place))
    frame.conditions.append(is_known(key.copy()))
    alias = writer.alias()
    query = frame.select(named(exp.Min(this=in_one(element.order)), "n"), named(key.copy(), "k"))
    query = query.group_by(key.copy(), copy=False)
    spot.frame.add(derived(query, alias, lateral=not spot.frame.is_empty))
    own = column(alias, "k")
    variable = ir.Variable("key", node.key.type)
    same = ir.Comparison("=", node.key, ir.Reference(variable.type, variable), span=node.span)
    group = ir.Kept(node.source.type, node.source, node.variable, same, span=node.span)
    scope = {**spot.scope, variable: Value(own, spot.frame)}
    return MapEntry(own, Many(group, scope), (column(alias, "n"),))


def _of_entries(writer: Writer, node: ir.EntriesToMap, spot: Spot) -> MapEntry:
    """Add the entries that the rule makes; of several with one key the last counts, at the place of the first."""
    frame = spot.below()
    element = writer.rows(node.entries, spot.inside(frame))
    if not isinstance(element.place, Pair) or not isinstance(element.place.key, Value):
        raise writer.unfit(node, "A map is made of mapEntry(key, value).", "Write .map(mapEntry(key, value)).")
    key = element.place.key.sql
    frame.conditions.append(is_known(key.copy()))
    columns, rebuild = project(writer, element.place, frame, node)
    latest = [exp.Ordered(this=one.copy(), desc=True, nulls_first=False) for one in element.order]
    first = exp.Window(this=exp.Min(this=in_one(element.order)), partition_by=[key.copy()])
    last, place, alias = writer.alias(), writer.alias(), writer.alias()
    query = frame.select(named(numbered(latest, partition=[key]), last), named(first, place), *columns)
    spot.frame.add(derived(query, alias, lateral=not spot.frame.is_empty))
    spot.frame.conditions.append(exp.EQ(this=column(alias, last), expression=exp.Literal.number(1)))
    pair = rebuild(spot.frame, alias)
    assert isinstance(pair, Pair)  # noqa: S101 - a pair is carried as a pair
    assert isinstance(pair.key, Value)  # noqa: S101 - and its key as a value
    return MapEntry(pair.key.sql, pair.value, (column(alias, place),))
