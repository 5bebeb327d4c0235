"""Atoms whose statements differ in one bound, one value or both: computed in one read.

Rules ask the same of ever other windows, products and sums: bought SKU A in 30 days, SKU B in 90 days, spent more than
100 or 200. Such statements are equal once the varying constants are taken out. One statement then reads the rows once
and collects the profiles by value and by how many of the bounds, in ascending order, a row passes; the members of each
atom are the union of the groups that pass its own bound.
"""
# ruff: noqa: S608 - statements are made of compiled rules with bound values

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pyroaring import BitMap
from sqlglot import exp

from app.evaluation import bitmaps, model
from app.evaluation.dataset import Connection
from app.evaluation.statements import Plan, conjuncts

_MAX_GROUPS: Final = 256
"""So many bit strings are collected at a time."""

_ABOVE: Final = (exp.GT, exp.GTE)


@dataclass(frozen=True, slots=True)
class Member:
    """An atom of a family: its own ``value`` and ``bound``, None where the family has none."""

    number: int
    value: Any
    bound: Any


@dataclass(frozen=True, slots=True)
class Shape:
    """What the statements of a family have in common: rows with the columns ``profile_no``, ``v`` and ``b``.

    ``above`` compares ``b`` with a bound, as SQL.
    """

    sql: str
    parameters: tuple[object, ...]
    has_value: bool
    above: str | None


class Family:
    """Atoms of one shape."""

    def __init__(self, shape: Shape, members: Sequence[Member]) -> None:
        self._shape = shape
        self.members = members

    def run(self, connection: Connection, tables: str, window: range) -> Iterator[dict[int, BitMap]]:
        """Yield the members of the family's atoms, some values at a time. ``tables`` begins a WITH list or is empty."""
        by_value: dict[Any, list[Member]] = defaultdict(list)
        for member in self.members:
            by_value[member.value].append(member)
        bounds = sorted({member.bound for member in self.members if member.bound is not None})
        step = max(1, _MAX_GROUPS // (len(bounds) + 1))
        values = list(by_value)
        for begin in range(0, len(values), step):
            chunk = values[begin : begin + step]
            groups = self._groups(connection, tables, window, chunk, bounds)
            yield {one.number: _union(groups, one, bounds) for value in chunk for one in by_value[value]}

    def _groups(
        self, connection: Connection, tables: str, window: range, values: Sequence[Any], bounds: Sequence[Any]
    ) -> dict[tuple[Any, int], BitMap]:
        parameters = [*self._shape.parameters]

        def bind(constant: Any) -> str:
            parameters.append(constant)
            return f"${len(parameters)}"

        of_time = any(isinstance(bound, datetime) for bound in bounds)
        compared = f"{self._shape.above}{'CAST({} AS TIMESTAMP)' if of_time else '{}'}"
        passed = [f"({compared.format(bind(bound))})::UTINYINT" for bound in bounds]
        level = f"({' + '.join(passed)})" if passed else "1"
        tests = [f"v IN ({', '.join(map(bind, values))})"] if self._shape.has_value else []
        tests += [compared.format(bind(bounds[0]))] if bounds else []
        sql = f"""{tables}SELECT {"v::VARCHAR" if self._shape.has_value else "NULL"}, {level} AS passed,
                         {bitmaps.bitstring_sql(model.PROFILE_KEY, window)}
                  FROM ({self._shape.sql}) WHERE {" AND ".join(tests)} GROUP BY ALL"""
        rows = connection.execute(sql, parameters).fetchall()
        return {(value, level): bitmaps.from_bitstring(bits, window) for value, level, bits in rows}


def _union(groups: Mapping[tuple[Any, int], BitMap], member: Member, bounds: Sequence[Any]) -> BitMap:
    needed = 1 if member.bound is None else bounds.index(member.bound) + 1
    found = [bitmap for (value, passed), bitmap in groups.items() if value == member.value and passed >= needed]
    return BitMap.union(*found) if found else BitMap()


def families(plans: Mapping[int, Plan]) -> tuple[list[Family], dict[int, Plan]]:
    """Return the families among statements, by atom, and the statements that are in none."""
    groups: dict[Shape, list[Member]] = defaultdict(list)
    for number, plan in plans.items():
        found = _taken_apart(plan)
        if found is not None:
            shape, value, bound = found
            groups[shape].append(Member(number, value, bound))
    shared = {shape: members for shape, members in groups.items() if len(members) > 1}
    taken = {member.number for members in shared.values() for member in members}
    return [Family(*one) for one in shared.items()], {key: plan for key, plan in plans.items() if key not in taken}


def _taken_apart(plan: Plan) -> tuple[Shape, Any, Any] | None:
    """Return a statement's shape, and the value and the bound that were taken out of it."""
    select = plan.select.copy()
    if select.args.get("having") is not None:
        return _by_aggregate(select, plan.parameters)
    where = select.args.get("where")
    if where is None or any(select.args.get(part) is not None for part in ("group", "distinct", "with_", "with")):
        return None
    return _by_row(select, plan.parameters)


def _by_aggregate(select: exp.Select, parameters: Sequence[object]) -> tuple[Shape, Any, Any] | None:
    test = select.args["having"].this
    if not isinstance(test, _ABOVE) or not isinstance(test.expression, exp.Parameter):
        return None
    bound = _constant(test.expression, parameters)
    if not isinstance(bound, int | float):
        return None
    select.set("having", None)
    _name_columns(select, None, test.this)
    return _shape(select, parameters, None, "b > " if isinstance(test, exp.GT) else "b >= "), None, bound


def _by_row(select: exp.Select, parameters: Sequence[object]) -> tuple[Shape, Any, Any] | None:
    tests = list(conjuncts(select.args["where"].this))
    lower = next((one for one in tests if isinstance(one, _ABOVE) and _is_moment(one)), None)
    equal = next((one for one in tests if isinstance(one, exp.EQ) and _is_value(one)), None)
    if lower is None and equal is None:
        return None
    kept = [one for one in tests if one is not lower and one is not equal]
    select.set("where", exp.Where(this=exp.and_(*(one.copy() for one in kept))) if kept else None)
    _name_columns(select, equal.this if equal is not None else None, lower.this if lower is not None else None)
    above = None if lower is None else "b > " if isinstance(lower, exp.GT) else "b >= "
    value = None if equal is None else _constant(equal.expression, parameters)
    bound = None if lower is None else _constant(lower.expression.this, parameters)
    if equal is not None and not isinstance(value, str):
        return None
    return _shape(select, parameters, value, above), value, bound


def _is_moment(test: exp.Expr) -> bool:
    """Tell whether a test compares a column with a constant instant."""
    right = test.args["expression"]
    if not isinstance(test.this, exp.Column) or not isinstance(right, exp.Cast):
        return False
    return isinstance(right.this, exp.Parameter) and right.to.sql(dialect="duckdb") == "TIMESTAMP"


def _is_value(test: exp.Expr) -> bool:
    """Tell whether a test compares a column with a constant. Rows are stored by event type, so that stays a filter."""
    column = test.this
    is_constant = isinstance(test.args["expression"], exp.Parameter)
    return isinstance(column, exp.Column) and column.name != "event_type" and is_constant


def _constant(node: exp.Expr, parameters: Sequence[object]) -> Any:
    return parameters[int(node.this.name) - 1]


def _name_columns(select: exp.Select, value: exp.Expr | None, bound: exp.Expr | None) -> None:
    [key] = select.expressions
    columns = {model.PROFILE_KEY: key, "v": value, "b": bound}
    named = [exp.alias_(one.copy(), name, quoted=True) for name, one in columns.items() if one is not None]
    select.set("expressions", named)


def _shape(select: exp.Select, parameters: Sequence[object], value: Any, above: str | None) -> Shape:
    """Number the placeholders that are left anew, so that equal statements have equal texts."""
    numbers: dict[str, int] = {}
    for parameter in select.find_all(exp.Parameter):
        number = numbers.setdefault(parameter.this.name, len(numbers) + 1)
        parameter.set("this", exp.Literal.number(number))
    left = tuple(parameters[int(name) - 1] for name in numbers)
    return Shape(select.sql(dialect="duckdb"), left, value is not None, above)
