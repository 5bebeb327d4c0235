"""Compiled rules made fast for these tables, with the same answer.

The compiler writes every test so that it is never NULL, starts every statement at the profiles and asks for aggregates
profile by profile. That is right everywhere, and slow here: a wrapped comparison cannot skip row groups, and joining a
million profiles in costs more than finding the events. These passes over the statement's tree change the plan only.
Each relies on something that holds in the tables of `model`, which its docstring names.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlglot import exp

from app.evaluation import model
from app.pql import CompiledQuery

_CODES: Final = {
    (entity.table, name): codes.name
    for entity in model.TABLES
    for name, sql_type in entity.columns
    for codes in model.ENUMERATIONS
    if codes.name == sql_type
}
_REPEATED: Final = frozenset(name for name, _ in model.ITEMS.keys) & frozenset(name for name, _ in model.EVENTS.columns)
"""Columns of an event that each of its items holds as well."""

_COMPARISONS: Final[dict[type[exp.Expr], Callable[[Any, Any], bool]]] = {
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
}


Parameters = Sequence[object]


@dataclass(frozen=True, slots=True)
class Plan:
    """A statement that gives profile numbers, some perhaps more than once, and the values of its placeholders."""

    select: exp.Select
    parameters: tuple[object, ...] = ()

    @property
    def sql(self) -> str:
        """The statement as text."""
        return self.select.sql(dialect="duckdb")


def plan(query: CompiledQuery) -> Plan:
    """Return a compiled rule as a fast statement."""
    select = query.select.copy()
    for one in _PASSES:
        select = one(select, query.parameters)
    return Plan(select, query.parameters)


def one_id(select: exp.Select, _: Parameters) -> exp.Select:
    """Tell events apart by their place alone: no profile has two events with one ``_id``, and none is without."""
    for either in list(select.find_all(exp.Or)):
        place, by_id = either.this, _unwrapped(either.expression)
        if isinstance(by_id, exp.EQ) and _names(by_id) == ["event_id", "event_id"]:
            tied = {model.PROFILE_KEY, model.EVENT_KEY}
            if set(_names(place)) == tied and _aliases(place) == _aliases(by_id):
                either.replace(place)
    return select


def loosened(select: exp.Select, _: Parameters) -> exp.Select:
    """Take the wrapping off tests that only let rows through or not: there NULL and false are both "no"."""
    for one in select.find_all(exp.Where, exp.Having, exp.Join):
        if not isinstance(one, exp.Join):
            one.set("this", _loose(one.this))
        elif not one.side and one.args.get("on") is not None:
            one.set("on", _loose(one.args["on"]))
    return select


def _loose(test: exp.Expr) -> exp.Expr:
    """Descend through AND and OR, to the next NOT or value."""
    match test:
        case exp.Paren():
            return exp.Paren(this=_loose(test.this))
        case exp.And() | exp.Or():
            return type(test)(this=_loose(test.this), expression=_loose(test.expression))
    return _loose(_unwrapped(test)) if test is not _unwrapped(test) else test


def _unwrapped(test: exp.Expr) -> exp.Expr:
    match test:
        case exp.Coalesce(this=exp.Expr() as wrapped, expressions=[exp.Boolean(this=False)]):
            return wrapped
    return test


def uncast(select: exp.Select, _: Parameters) -> exp.Select:
    """Compare two columns of one enumeration as they are, not as text: a value has one code."""
    tables = {table.alias: table.name for table in select.find_all(exp.Table)}

    def codes(side: exp.Expr) -> str | None:
        column = side.this if isinstance(side, exp.Cast) else None
        return _CODES.get((tables.get(column.table, ""), column.name)) if isinstance(column, exp.Column) else None

    for equal in select.find_all(exp.EQ):
        left, right = equal.this, equal.expression
        if codes(left) is not None and codes(left) == codes(right):
            equal.set("this", left.this)
            equal.set("expression", right.this)
    return select


def unbounded(select: exp.Select, _: Parameters) -> exp.Select:
    """Leave moved times as they are: no event lies outside the years 1 to 9999 to which they would be confined."""
    for case in list(select.find_all(exp.Case)):
        match case.args["ifs"][0].args["true"]:
            case exp.Anonymous(name="greatest", expressions=[_, exp.Anonymous(name="least", expressions=[_, moved])]):
                if _is_only_branch(case, moved) and isinstance(case.parent, exp.LTE | exp.LT | exp.GTE | exp.GT):
                    case.replace(moved)
    return select


def _is_only_branch(case: exp.Case, moved: exp.Expr) -> bool:
    test = case.args["ifs"][0].this
    known = test.this.unnest() if isinstance(test, exp.Not) else None
    is_only = len(case.args["ifs"]) == 1 and case.args.get("default") is None and case.this is None
    return is_only and isinstance(known, exp.Is) and known.this.unnest() == moved.unnest()


def from_items(select: exp.Select, _: Parameters) -> exp.Select:
    """Read no events where their items are read and hold all that is asked: every item belongs to one event."""
    for scope in [one for one in select.find_all(exp.Select) if one.args.get("joins")]:
        for join in list(scope.args["joins"]):
            event = _event_of_items(scope, join)
            if event is not None:
                _drop_event(scope, join, event)
    return select


def _event_of_items(scope: exp.Select, join: exp.Join) -> exp.Table | None:
    """Return the table of events that a join of items leads from, when the items hold all that is read of it."""
    if not isinstance(join.this, exp.Table) or join.this.name != model.ITEMS.table or join.side:
        return None
    equals = [one for one in conjuncts(join.args["on"]) if isinstance(one, exp.EQ)]
    pairs = {one.this.name: one.expression.table for one in equals if isinstance(one.expression, exp.Column)}
    tied_to = {pairs.get(model.PROFILE_KEY), pairs.get(model.EVENT_KEY)}
    for table in _tables(scope):
        if tied_to == {table.alias} and table.name == model.EVENTS.table:
            read = {one.name for one in scope.find_all(exp.Column) if one.table == table.alias}
            return table if read <= _REPEATED | {model.PROFILE_KEY, model.EVENT_KEY} else None
    return None


def _drop_event(scope: exp.Select, join: exp.Join, event: exp.Table) -> None:
    items = join.this
    own = {(one.this.name, one.expression.name) for one in conjuncts(join.args["on"]) if isinstance(one, exp.EQ)}
    if own != {(name, name) for name in (model.PROFILE_KEY, model.EVENT_KEY)}:
        return
    for column in list(scope.find_all(exp.Column)):
        if column.table == event.alias:
            column.set("table", exp.to_identifier(items.alias, quoted=True))
    # The items take the place of their event; the join that brought them goes.
    place = event.parent
    scope.args["joins"].remove(join)
    assert place is not None  # noqa: S101 - a table stands in FROM or in a join
    place.set("this", items)


def grouped(select: exp.Select, parameters: Parameters) -> exp.Select:
    """Compute an aggregate that is compared with a constant once for all profiles, by group.

    A profile without rows has no group. Where that profile meets the test (``count() < 3``) the groups that do not
    meet it are taken away from all.
    """
    for test in list(select.find_all(*_COMPARISONS)):
        found = _aggregate(test)
        if found is None:
            continue
        inner, owner, aggregate = found
        right = test.expression
        passes_empty = _holds_for_nobody(type(test), aggregate, parameters[int(right.this.name) - 1])
        having: exp.Expr = type(test)(this=aggregate.copy(), expression=right.copy())
        if passes_empty:
            having = exp.Not(this=exp.Coalesce(this=exp.Paren(this=having), expressions=[exp.false()]))
        query = _by_owner(inner, owner, having)
        among: exp.Expr = exp.In(this=owner[0].copy(), query=exp.Subquery(this=query))
        place = test.parent if test.parent is not None and _unwrapped(test.parent) is test else test
        place.replace(exp.Not(this=exp.Paren(this=among)) if passes_empty else among)
    return select


Owner = tuple[exp.Column, exp.Column]


def _aggregate(test: exp.Expr) -> tuple[exp.Select, Owner, exp.Expr] | None:
    """Return the sub-query on the left, (owner's key, own key), and its aggregate, when the right is a constant."""
    query = test.this.unnest() if isinstance(test.this, exp.Paren | exp.Subquery) else None
    if not isinstance(query, exp.Select) or not isinstance(test.expression, exp.Parameter):
        return None
    where = query.args.get("where")
    [value, *others] = query.expressions
    if others or where is None or not value.find(exp.AggFunc, exp.Anonymous) or query.args.get("group"):
        return None
    inside = {one.alias for one in query.find_all(exp.TableAlias)} | {one.alias for one in query.find_all(exp.Table)}
    outside = [one for one in query.find_all(exp.Column) if one.table not in inside]
    ties = [one for one in conjuncts(where.this) if isinstance(one, exp.EQ) and one.expression in outside]
    if len(outside) != 1 or len(ties) != 1 or not isinstance(ties[0].this, exp.Column):
        return None
    own, owner = ties[0].this, ties[0].expression
    is_profile = owner.table == "p" and owner.name == own.name == model.PROFILE_KEY
    return (query, (owner, own), value) if is_profile else None


def _by_owner(inner: exp.Select, owner: Owner, having: exp.Expr) -> exp.Select:
    query = inner.copy()
    where = query.args["where"]
    kept = [one.copy() for one in conjuncts(where.this) if not (isinstance(one, exp.EQ) and one.expression == owner[0])]
    query.set("where", exp.Where(this=exp.and_(*kept)) if kept else None)
    query.set("expressions", [owner[1].copy()])
    return query.group_by(owner[1].copy(), copy=False).having(having, copy=False)


def _holds_for_nobody(kind: type[exp.Expr], aggregate: exp.Expr, constant: object) -> bool:
    """Tell whether a profile without rows meets the test: its count and sum are 0, anything else is NULL."""
    is_zero = isinstance(aggregate, exp.Count) or any(
        isinstance(one.expressions[0], exp.Literal) for one in aggregate.find_all(exp.Coalesce)
    )
    return is_zero and isinstance(constant, int | float) and bool(_COMPARISONS[kind](0, constant))


def rooted(select: exp.Select, _: Parameters) -> exp.Select:
    """Start at the rows among which a profile is looked for, where nothing else is asked of it: every row has one."""
    where, (key,) = select.args.get("where"), select.expressions
    test = where.this.unnest() if where is not None else None
    if isinstance(test, exp.In) and test.this == key and isinstance(test.args.get("query"), exp.Subquery):
        inner = test.args["query"].this
        return inner if isinstance(inner, exp.Select) else select
    return select


def conjuncts(test: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the tests that AND joins."""
    test = test.unnest()
    if isinstance(test, exp.And):
        yield from conjuncts(test.this)
        yield from conjuncts(test.expression)
    else:
        yield test


def _tables(scope: exp.Select) -> list[exp.Table]:
    source = scope.args.get("from_") or scope.args.get("from")
    places = [source.this if source is not None else None, *(join.this for join in scope.args.get("joins") or ())]
    return [one for one in places if isinstance(one, exp.Table)]


def _names(node: exp.Expr) -> list[str]:
    return [one.name for one in node.find_all(exp.Column)]


def _aliases(node: exp.Expr) -> set[str]:
    return {one.table for one in node.find_all(exp.Column)}


_PASSES: Final[tuple[Callable[[exp.Select, Parameters], exp.Select], ...]] = (
    *(one_id, loosened, uncast, unbounded),
    *(from_items, grouped, loosened, rooted),
)
