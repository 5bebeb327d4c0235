"""Atoms that read one column of the profiles: decided once for each value of the column.

Thousands of rules test the same few attributes. Instead of reading a column once for each test, every test is run over
the column's distinct values, of which there are few; each value gets a *signature*, the tests that it passes; and one
read of the column collects the profiles of each signature.

The compiler is not asked for anything new: to it the distinct values are profiles with a single field.
"""
# ruff: noqa: S608 - statements are made of names of the model and of compiled rules with bound values

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Final

from pyroaring import BitMap
from sqlglot import exp

from app.evaluation import bitmaps, model
from app.evaluation.dataset import Connection
from app.evaluation.layout import SampleLayout
from app.evaluation.model import Path
from app.pql import Checked, ir, to_sql
from app.pql.layout import Table

_VALUES: Final = Table("column_values", "value_no")

_TESTS_PER_SIGNATURE: Final = 62
"""A signature is one signed 64-bit number."""

_MAX_SIGNATURES: Final = 256
"""So many bit strings are collected in one read; with more, the tests are split."""

_FEWEST_TESTS: Final = 4
"""With fewer, a statement for each is faster."""

_ON_A_VALUE = (
    *(ir.And, ir.Or, ir.Not, ir.Comparison, ir.OneOf, ir.StringTest, ir.Like, ir.Matches, ir.IsNull, ir.Truth),
    *(ir.Occurs, ir.Within, ir.Beyond, ir.Between, ir.During, ir.Period, ir.Day, ir.Instant, ir.DatePart),
    *(ir.Constant, ir.Reference, ir.Field, ir.Arithmetic, ir.Conditional, ir.RegexGroup, ir.ListOf),
)


class ValuesLayout(SampleLayout):
    """The layout in which each distinct value of one column is a profile."""

    @property
    def profiles(self) -> Table:
        """The table of values."""
        return _VALUES

    def column(self, table: Table, path: Path) -> str | None:
        """Return the column of a field of the profile."""
        return self._columns[model.PROFILES.table].get(path) if table == _VALUES else None


def column_of(atom: Checked, layout: SampleLayout) -> str | None:
    """Return the only column of the profiles that an atom reads; None when it reads more, or something else."""
    columns = columns_of(atom, layout) or set()
    return columns.pop() if len(columns) == 1 else None


def columns_of(atom: Checked, layout: SampleLayout) -> set[str] | None:
    """Return the columns of the profiles that an atom reads; None when it reads something else as well."""
    columns = set()
    for node in ir.walk(atom.root):
        if not isinstance(node, _ON_A_VALUE):
            return None
        match node:
            case ir.Field(object=ir.Reference(variable=variable), path=path) if variable is atom.profile:
                name = layout.column(layout.profiles, path)
                if name is None:
                    return None
                columns.add(name)
            case ir.Field():
                return None
    return columns


class ColumnTests:
    """Finds the members of atoms that read one column."""

    def __init__(self, layout: SampleLayout, now: datetime, zone: tzinfo) -> None:
        self._layout = ValuesLayout(layout.namespace)
        self._now = now
        self._zone = zone

    def members(
        self, connection: Connection, column: str, tests: Mapping[int, Checked], numbers: range
    ) -> dict[int, BitMap]:
        """Return the members of each test among the profiles of a range, by the tests' numbers."""
        found: dict[int, BitMap] = {}
        waiting = [list(tests)[i : i + _TESTS_PER_SIGNATURE] for i in range(0, len(tests), _TESTS_PER_SIGNATURE)]
        while waiting:
            chunk = waiting.pop()
            self._sign(connection, column, [tests[one] for one in chunk], numbers)
            sql = "SELECT count(DISTINCT signature) FROM temp.signatures"
            [(signatures,)] = connection.execute(sql).fetchall()
            if signatures > _MAX_SIGNATURES and len(chunk) > 1:
                waiting += [chunk[::2], chunk[1::2]]
                continue
            by_signature = _collect(connection, column, numbers)
            for bit, number in enumerate(chunk):
                sets = [bitmap for signature, bitmap in by_signature.items() if signature >> bit & 1]
                found[number] = BitMap.union(*sets) if sets else BitMap()
        return found

    def _sign(self, connection: Connection, column: str, tests: Sequence[Checked], numbers: range) -> None:
        """Make the table of the values that pass some test, with their signatures."""
        parameters: list[object] = []
        passed = []
        for bit, test in enumerate(tests):
            query = to_sql(test, self._layout, self._now, self._zone)
            sql = _renumbered(query.select, len(parameters)).sql(dialect="duckdb")
            parameters += query.parameters
            passed.append(f"SELECT value_no, {1 << bit}::BIGINT AS passed FROM ({sql}) AS test(value_no)")
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE signatures AS
                WITH column_values AS MATERIALIZED (
                    SELECT (row_number() OVER ())::INTEGER AS value_no, {column}
                    FROM (SELECT DISTINCT {column} FROM {model.PROFILES.table} WHERE {_within(numbers)}))
                SELECT {column}, sum(passed)::BIGINT AS signature
                FROM column_values JOIN ({" UNION ALL ".join(passed)}) USING (value_no) GROUP BY {column}""",
            parameters,
        )


def _collect(connection: Connection, column: str, numbers: range) -> dict[int, BitMap]:
    window = bitmaps.whole_containers(numbers)
    sql = f"""SELECT signature, {bitmaps.bitstring_sql(model.PROFILE_KEY, window)}
              FROM {model.PROFILES.table} AS profile
              JOIN temp.signatures AS signed ON profile.{column} IS NOT DISTINCT FROM signed.{column}
              WHERE {_within(numbers)} GROUP BY signature"""
    rows = connection.execute(sql).fetchall()
    return {signature: bitmaps.from_bitstring(bits, window) for signature, bits in rows}


def _within(numbers: range) -> str:
    return f"{model.PROFILE_KEY} >= {numbers.start} AND {model.PROFILE_KEY} < {numbers.stop}"


def _renumbered(select: exp.Select, offset: int) -> exp.Expr:
    """Return a statement whose placeholders count from ``offset`` + 1."""

    def move(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Parameter):
            return exp.Parameter(this=exp.Literal.number(int(node.this.this) + offset))
        return node

    return select.transform(move)


def by_column(atoms: Mapping[int, Checked], layout: SampleLayout) -> dict[str | None, dict[int, Checked]]:
    """Return the atoms by the one column that they read; under None those that share no column with others."""
    groups: dict[str | None, dict[int, Checked]] = defaultdict(dict)
    for number, atom in atoms.items():
        groups[column_of(atom, layout)][number] = atom
    for column in [name for name, tests in groups.items() if name is not None and len(tests) < _FEWEST_TESTS]:
        groups[None] |= groups.pop(column)
    return groups
