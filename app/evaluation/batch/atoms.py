"""The members of atoms as bitmaps, for one range of profiles at a time."""
# ruff: noqa: S608 - statements are made of names of the model and of compiled rules with bound values

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo

from pyroaring import BitMap

from app.evaluation import bitmaps, model, statements
from app.evaluation.batch.columns import ColumnTests, by_column
from app.evaluation.batch.families import families
from app.evaluation.dataset import Connection
from app.evaluation.layout import SampleLayout
from app.evaluation.selection import restricted_to
from app.pql import Checked, to_sql

_HEAVY = ("JOIN ", "GROUP BY ", " IN (SELECT ", "EXISTS(", "DISTINCT ")


class AtomScan:
    """Finds the members of atoms. Statements are compiled once and run for every range."""

    def __init__(self, atoms: Mapping[int, Checked], layout: SampleLayout, now: datetime, zone: tzinfo) -> None:
        """Compile the atoms. Raises `PQLError` for one that the data set cannot evaluate."""
        self._tests = ColumnTests(layout, now, zone)
        self._columns = by_column(atoms, layout)
        plans = {
            number: statements.plan(to_sql(atom, layout, now, zone))
            for number, atom in self._columns.pop(None, {}).items()
        }
        self._families, others = families(plans)
        self._alone = {number: (plan.sql, plan.parameters) for number, plan in others.items()}

    @property
    def is_simple(self) -> bool:
        """Whether no statement joins or groups, so that memory does not grow with the number of profiles."""
        is_heavy = any(word in sql for sql, _ in self._alone.values() for word in _HEAVY)
        return not (self._columns or self._families or is_heavy)

    def run(self, connection: Connection, numbers: range, profiles: int) -> Iterator[dict[int, BitMap]]:
        """Yield the members of all atoms among the profiles of a range, in portions as they are found."""
        window = bitmaps.whole_containers(numbers)
        tables = "" if len(numbers) == profiles else f"WITH {restricted_to(numbers).rstrip(', ')} "
        for column, tests in self._columns.items():
            assert column is not None  # noqa: S101 - what reads no single column was taken out
            yield self._tests.members(connection, column, tests, numbers)
        for family in self._families:
            yield from family.run(connection, tables, window)
        for number, (sql, parameters) in self._alone.items():
            collected = f"""{tables}SELECT {bitmaps.bitstring_sql(model.PROFILE_KEY, window)}
                            FROM ({sql}) AS matched({model.PROFILE_KEY})"""
            [(bits,)] = connection.execute(collected, parameters).fetchall()
            yield {number: bitmaps.from_bitstring(bits, window)}
