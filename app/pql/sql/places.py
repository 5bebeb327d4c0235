"""What a variable stands for while a statement is written, and the select that is being written around it.

A `Frame` is one SELECT under construction: tables joined in order, and conditions. Whatever needs another table, such
as the record behind a relation, joins it to the frame of the innermost variable that it depends on, once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from sqlglot import exp

from app.pql import ir
from app.pql.layout import Table
from app.pql.sql.spelling import SQL, all_of, column, conjuncts


@dataclass(slots=True, eq=False)
class Frame:
    """One SELECT. ``depth`` is the number of frames around it. ``correlation`` joins its first table to its owner."""

    depth: int
    correlation: list[tuple[SQL, SQL]] = field(default_factory=list)
    conditions: list[SQL] = field(default_factory=list)
    joined: dict[tuple[object, ...], Place] = field(default_factory=dict)
    _source: SQL | None = None
    _joins: list[exp.Join] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Tell whether there is no table yet."""
        return self._source is None

    def add(self, source: SQL, *conditions: SQL) -> None:
        """Add a table; rows stay that meet the conditions."""
        if self._source is None:
            self._source = source
            self.conditions.extend(conditions)
        else:
            self._joins.append(exp.Join(this=source, on=all_of(*conditions)))

    def add_tied(self, source: SQL, ties: list[tuple[SQL, SQL]]) -> None:
        """Add a table whose columns equal the owner's: (owner's column, the table's own) each."""
        if self._source is None:
            self.add(source)
            self.correlation += ties
        else:
            self.add(source, *(exp.EQ(this=there, expression=self.tied(here)) for here, there in ties))

    def tied(self, owner: SQL) -> SQL:
        """Return the column of the first table that equals the owner's, so that others join to it; else the owner's."""
        return next((there for here, there in self.correlation if here == owner), owner).copy()

    def add_optional(self, source: SQL, condition: SQL) -> None:
        """Add a table that has at most one row for each row so far; where it has none, its columns are NULL."""
        if self._source is None:
            self._source = exp.Subquery(
                this=exp.Select(expressions=[exp.Literal.number(1)]),
                alias=exp.TableAlias(this=exp.to_identifier("one")),
            )
        self._joins.append(exp.Join(this=source, on=condition, side="LEFT"))

    def select(self, *expressions: SQL, correlated: bool = True) -> exp.Select:
        """Return the SELECT. Without ``correlated`` its first table is not tied to its owner."""
        tests = [one for condition in self.conditions for one in conjuncts(condition)]
        if correlated:
            tests += [exp.EQ(this=there.copy(), expression=here.copy()) for here, there in self.correlation]
        select = exp.Select(expressions=list(expressions))
        if self._source is not None:
            select = select.from_(self._source)
        for join in self._joins:
            select.append("joins", join)
        if tests:
            select.set("where", exp.Where(this=exp.and_(*tests)))
        return select


@dataclass(frozen=True, slots=True)
class Row:
    """An XDM object in a table's row; ``prefix`` leads to an object within it.

    ``repeated`` are the only fields to be had when another table's row stands in for this one: path to column.
    """

    frame: Frame
    alias: str
    table: Table
    prefix: tuple[str, ...] = ()
    repeated: Mapping[tuple[str, ...], str] | None = None

    def column(self, name: str) -> SQL:
        """Return a column of the row."""
        return column(self.alias, name)

    def within(self, path: tuple[str, ...]) -> Row:
        """Return the object at a path in this one."""
        return replace(self, prefix=(*self.prefix, *path))


@dataclass(frozen=True, slots=True)
class Value:
    """A single value; ``frame`` is where its columns come from, None for a constant."""

    sql: SQL
    frame: Frame | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """An object that the rule makes."""

    members: Mapping[str, Place]


@dataclass(frozen=True, slots=True)
class Pair:
    """A map entry that the rule makes."""

    key: Place
    value: Place


@dataclass(frozen=True, slots=True)
class Many:
    """An array or a map, written out only where it is used. ``scope`` is what its variables stand for."""

    node: ir.Expr
    scope: Scope


@dataclass(frozen=True, slots=True)
class Choice:
    """One of two objects."""

    condition: SQL
    frames: frozenset[Frame]
    then: Place
    otherwise: Place


Place: TypeAlias = Row | Value | Made | Pair | Many | Choice
Scope: TypeAlias = Mapping[ir.Variable, Place]


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an expression is written: what variables stand for, and the innermost frame."""

    scope: Scope
    frame: Frame

    def naming(self, variable: ir.Variable, place: Place) -> Spot:
        """Return the spot at which a variable stands for something."""
        return Spot({**self.scope, variable: place}, self.frame)

    def inside(self, frame: Frame) -> Spot:
        """Return the spot in a frame within this one."""
        return Spot(self.scope, frame)

    def below(self) -> Frame:
        """Return a new frame within this one."""
        return Frame(self.frame.depth + 1)


@dataclass(frozen=True, slots=True)
class Element:
    """What stands for each element of an array, and the keys of their order in the document."""

    place: Place
    order: tuple[SQL, ...] = ()


def free_variables(node: object) -> frozenset[ir.Variable]:
    """Return the variables that an expression refers to, those that it binds itself included."""
    return frozenset(one.variable for one in ir.walk(node) if isinstance(one, ir.Reference))


def frames_of(place: Place) -> Iterator[Frame]:
    """Yield the frames whose tables a place reads."""
    match place:
        case Row(frame=frame):
            yield frame
        case Value(frame=frame):
            if frame is not None:
                yield frame
        case Made(members=members):
            for one in members.values():
                yield from frames_of(one)
        case Pair(key=key, value=value):
            yield from frames_of(key)
            yield from frames_of(value)
        case Many(node=node, scope=scope):
            yield from frames_read(node, scope)
        case Choice(frames=frames, then=then, otherwise=otherwise):
            yield from frames
            yield from frames_of(then)
            yield from frames_of(otherwise)


def frames_read(node: object, scope: Scope) -> Iterator[Frame]:
    """Yield the frames whose tables an expression reads."""
    for variable in free_variables(node):
        if variable in scope:
            yield from frames_of(scope[variable])


def home_of(node: object, spot: Spot) -> Frame:
    """Return the innermost frame that an expression depends on; a constant is at home in the spot's own."""
    return max(frames_read(node, spot.scope), key=lambda frame: frame.depth, default=spot.frame)
