"""Objects and what is in them: members, related records, values of maps, first elements.

Each is a place. What needs a table of its own joins it, once, to the frame of the innermost variable that it reads.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from app.pql import ir
from app.pql.layout import Child
from app.pql.sql.places import (
    Choice,
    Frame,
    Made,
    Many,
    Pair,
    Place,
    Row,
    Spot,
    Value,
    frames_of,
    frames_read,
    free_variables,
    home_of,
)
from app.pql.sql.spelling import (
    SQL,
    all_of,
    any_of,
    cast,
    column,
    derived,
    is_known,
    is_null,
    named,
    negated,
    table,
    when,
)
from app.pql.sql.writer import Writer
from app.pql.types import ArrayType, MapType, ObjectType, Primitive, Type, primitive_of


def place(writer: Writer, node: ir.Expr, spot: Spot) -> Place:
    """Return what stands for a value of any kind."""
    match node:
        case ir.Reference(variable=variable):
            return spot.scope[variable]
        case ir.Field():
            return _member(writer, node, writer.place(node.object, spot), node.path)
        case ir.Let():
            return writer.place(node.body, spot.naming(node.variable, writer.place(node.value, spot)))
        case ir.ObjectOf(members=members):
            return Made({key: writer.place(value, spot) for key, value in members})
        case ir.Entry(key=key, value=value):
            return Pair(writer.place(key, spot), writer.place(value, spot))
        case ir.Related():
            return _joined_once(spot, node, ("related", node), lambda home: _related(writer, node, spot, home))
        case ir.Lookup() if not isinstance(node.type, ArrayType | MapType):
            return _joined_once(spot, node, ("lookup", node), lambda home: _looked_up(writer, node, spot, home))
        case ir.Head():
            return _joined_once(spot, node, ("head", node), lambda home: _first(writer, node, spot, home))
    if isinstance(node.type, ArrayType | MapType):
        return Many(node, spot.scope)
    if isinstance(node, ir.Conditional) and isinstance(node.type, ObjectType):
        condition = writer.predicate(node.condition, spot)
        frames = frozenset(frames_read(node.condition, spot.scope))
        return Choice(condition, frames, writer.place(node.then, spot), writer.place(node.otherwise, spot))
    return _single(writer, node, spot)


def _single(writer: Writer, node: ir.Expr, spot: Spot) -> Value:
    frames = sorted(frames_read(node, spot.scope), key=lambda frame: frame.depth)
    return Value(writer.value(node, spot), frames[-1] if frames else None)


def _member(writer: Writer, node: ir.Field, owner: Place, path: tuple[str, ...]) -> Place:
    match owner:
        case Row():
            return _field_of_row(writer, node, owner, path)
        case Made(members=members):
            found = members.get(path[0])
            if found is None:
                raise writer.unfit(node, f"The object has no `{path[0]}`.", "Name one of its members.")
            return found if len(path) == 1 else _member(writer, node, found, path[1:])
        case Choice(condition=condition, frames=frames, then=then, otherwise=otherwise):
            sides = [_member(writer, node, one, path) for one in (then, otherwise)]
            return _chosen(condition, frames, sides[0], sides[1])
    raise writer.unfit(node, "Fields of this value cannot be reached.", "Name the field where the value is made.")


def _chosen(condition: SQL, frames: frozenset[Frame], then: Place, otherwise: Place) -> Place:
    if isinstance(then, Value) and isinstance(otherwise, Value):
        read = {*frames, *frames_of(then), *frames_of(otherwise)}
        frame = max(read, key=lambda one: one.depth, default=None)
        return Value(when(condition.copy(), then.sql.copy(), otherwise.sql.copy()), frame)
    return Choice(condition, frames, then, otherwise)


def _field_of_row(writer: Writer, node: ir.Field, row: Row, path: tuple[str, ...]) -> Place:
    whole = (*row.prefix, *path)
    if isinstance(node.type, ArrayType | MapType):
        variable = ir.Variable("owner", node.object.type)
        # Written out where it is used: the owner is known already, whatever expression led to it.
        return Many(
            ir.Field(node.type, ir.Reference(node.object.type, variable), path, span=node.span), {variable: row}
        )
    if isinstance(node.type, ObjectType):
        return row.within(path)
    if row.repeated is not None:
        return Value(row.column(row.repeated[whole]), row.frame)
    name = writer.layout.column(row.table, whole)
    if name is None:
        raise writer.not_held(node, f"field `{'.'.join(whole)}`")
    return Value(row.column(name), row.frame)


def child_of(writer: Writer, node: ir.Field, spot: Spot) -> tuple[Row, Child] | None:
    """Return the row that an array or a map in a table belongs to, and its table; None for one that the rule makes."""
    owner = writer.place(node.object, spot)
    if not isinstance(owner, Row):
        return None
    whole = (*owner.prefix, *node.path)
    child = writer.layout.child(owner.table, whole)
    if child is None:
        raise writer.not_held(node, f"array or map `{'.'.join(whole)}`")
    return owner, child


def absent(writer: Writer, place: Place, type_: Type, node: ir.Expr) -> SQL:
    """Return whether a value is null; an object is when nothing in it has a value."""
    match place:
        case Value(sql=sql):
            return is_null(sql.copy())
        case Row():
            return negated(any_of(*_values_in(writer, place, type_, node)))
        case Made(members=members) if isinstance(type_, ObjectType):
            return all_of(*(absent(writer, one, type_.fields[key], node) for key, one in members.items()))
        case Choice(condition=condition, then=then, otherwise=otherwise):
            sides = [absent(writer, one, type_, node) for one in (then, otherwise)]
            return when(condition.copy(), sides[0], sides[1])
        case Many(node=many, scope=scope):
            return negated(writer.present(many, Spot(scope, max(frames_of(place), key=lambda one: one.depth))))
    raise writer.unfit(node, "Whether this value is there cannot be told.", "Test one of its fields.")


def _values_in(writer: Writer, row: Row, type_: Type, node: ir.Expr) -> list[SQL]:
    """Return a test for each field of an object that may have a value."""
    found: list[SQL] = []
    fields = type_.fields if isinstance(type_, ObjectType) else {}
    for name, field_type in fields.items():
        whole = (*row.prefix, name)
        if isinstance(field_type, ObjectType):
            found += _values_in(writer, row.within((name,)), field_type, node)
        elif isinstance(field_type, ArrayType | MapType):
            if writer.layout.child(row.table, whole) is not None:
                variable = ir.Variable("owner", type_)
                field = ir.Field(field_type, ir.Reference(type_, variable), (name,), span=node.span)
                found.append(writer.present(field, Spot({variable: row}, row.frame)))
        else:
            held = writer.layout.column(row.table, whole)
            if held is not None:
                found.append(is_known(row.column(held)))
    return found


# What is joined


def _joined_once(spot: Spot, node: ir.Expr, key: tuple[object, ...], join: Callable[[Frame], Place]) -> Place:
    """Join a table to the frame that the node is at home in, unless that was done before."""
    home = home_of(node, spot)
    # The same words mean the same only while their variables stand for the same.
    stands = tuple(id(spot.scope[one]) for one in sorted(free_variables(node), key=id) if one in spot.scope)
    whole = (*key, stands)
    if whole not in home.joined:
        home.joined[whole] = join(home)
    return home.joined[whole]


def written_once(writer: Writer, node: ir.Expr, spot: Spot, value: SQL) -> SQL:
    """Return a value for use in several places: one that holds a sub-query is computed in a join of its own."""
    if value.find(exp.Select) is None:
        return value
    home = home_of(node, spot)
    alias = writer.alias()
    home.add_optional(derived(exp.Select(expressions=[named(value, "v")]), alias, lateral=True), exp.true())
    return column(alias, "v")


def _related(writer: Writer, node: ir.Related, spot: Spot, home: Frame) -> Place:
    lookup = writer.layout.lookup(node.class_name)
    if lookup is None:
        raise writer.not_held(node, f"records of the class {node.class_name}")
    alias = writer.alias()
    key = writer.value(node.key, spot.inside(home))
    home.add_optional(table(lookup.table.name, alias), exp.EQ(this=column(alias, lookup.key), expression=key))
    return Row(home, alias, lookup.table)


def _looked_up(writer: Writer, node: ir.Lookup, spot: Spot, home: Frame) -> Place:
    below = Frame(home.depth + 1)
    inner = Spot(spot.scope, below)
    entry = writer.entries(node.map, inner)
    key = cast(writer.value(node.key, inner), "VARCHAR") if _is_text(node.key) else writer.value(node.key, inner)
    own = cast(entry.key, "VARCHAR") if _is_text(node.key) else entry.key
    below.conditions.append(exp.EQ(this=own, expression=key))
    columns, rebuild = project(writer, entry.value, below, node)
    alias = writer.alias()
    home.add_optional(derived(below.select(*columns), alias, lateral=True), exp.true())
    return rebuild(home, alias)


def _first(writer: Writer, node: ir.Head, spot: Spot, home: Frame) -> Place:
    below = Frame(home.depth + 1)
    element = writer.rows(node.source, Spot(spot.scope, below))
    columns, rebuild = project(writer, element.place, below, node)
    select = below.select(*columns)
    for key in element.order:
        select = select.order_by(exp.Ordered(this=key.copy(), nulls_first=False), append=True, copy=False)
    alias = writer.alias()
    home.add_optional(derived(select.limit(1, copy=False), alias, lateral=True), exp.true())
    return rebuild(home, alias)


def _is_text(node: ir.Expr) -> bool:
    return primitive_of(node.type) is Primitive.STRING


Rebuild = Callable[[Frame, str], Place]


def project(writer: Writer, place: Place, inner: Frame, node: ir.Expr) -> tuple[list[SQL], Rebuild]:
    """Return the columns that carry a place out of a sub-query, and what makes the place anew from them outside."""
    projection = _Projection(writer, inner, node)
    rebuild = projection.of(place)
    return projection.columns or [exp.Literal.number(1)], rebuild


class _Projection:
    """Collects columns. A row is carried whole, and only one can be: names of columns must not meet."""

    def __init__(self, writer: Writer, inner: Frame, node: ir.Expr) -> None:
        self.columns: list[SQL] = []
        self._writer = writer
        self._inner = inner
        self._node = node
        self._whole_row: str | None = None

    def of(self, place: Place) -> Rebuild:
        if not any(frame.depth >= self._inner.depth for frame in frames_of(place)):
            return lambda _frame, _alias: place
        match place:
            case Value(sql=sql):
                name = self._writer.alias()
                self.columns.append(named(sql.copy(), name))
                return lambda frame, alias: Value(column(alias, name), frame)
            case Row():
                return self._row(place)
            case Made(members=members):
                rebuilds = {key: self.of(one) for key, one in members.items()}
                return lambda frame, alias: Made({key: one(frame, alias) for key, one in rebuilds.items()})
            case Pair(key=key, value=value):
                of_key, of_value = self.of(key), self.of(value)
                return lambda frame, alias: Pair(of_key(frame, alias), of_value(frame, alias))
            case Many(node=node, scope=scope):
                used = free_variables(node)
                kept = {variable: self.of(one) for variable, one in scope.items() if variable in used}
                return lambda frame, alias: Many(node, {one: make(frame, alias) for one, make in kept.items()})
        raise self._writer.unfit(
            self._node, "One of two objects cannot be carried this far.", "Choose between two fields."
        )

    def _row(self, row: Row) -> Rebuild:
        if self._whole_row not in {None, row.alias}:
            hint = "Name the fields that are needed instead of whole objects."
            raise self._writer.unfit(self._node, "Two whole objects cannot be carried together.", hint)
        if self._whole_row is None:
            self._whole_row = row.alias
            star = exp.Column(this=exp.Star(), table=exp.to_identifier(row.alias, quoted=True))
            self.columns.append(star)
        prefix, held, repeated = row.prefix, row.table, row.repeated
        return lambda frame, alias: Row(frame, alias, held, prefix, repeated)
