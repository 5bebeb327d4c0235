"""The members of atoms as bitmaps, for one range of profiles at a time."""
# ruff: noqa: S608 - statements are made of names of the model and of compiled rules with bound values

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from pyroaring import BitMap

from app.evaluation import bitmaps, model
from app.evaluation.batch.columns import ColumnTests, by_column
from app.evaluation.dataset import Connection
from app.evaluation.layout import SampleLayout
from app.evaluation.selection import restricted_to
from app.evaluation.statements import Selection, selection
from app.pql import Checked, to_sql


class AtomScan:
    """Finds the members of atoms. Statements are compiled once and run for every range."""

    def __init__(self, atoms: Mapping[int, Checked], layout: SampleLayout, now: datetime, zone: ZoneInfo) -> None:
        """Compile the atoms. Raises `PQLError` for one that the data set cannot evaluate."""
        self._tests = ColumnTests(layout, now, zone)
        self._columns = by_column(atoms, layout)
        self._alone = {
            number: selection(to_sql(atom, layout, now, zone)) for number, atom in self._columns.pop(None, {}).items()
        }

    @property
    def is_simple(self) -> bool:
        """Whether no statement joins or groups, so that memory does not grow with the number of profiles."""
        heavy = ("JOIN ", "GROUP BY ", " IN (SELECT ", "EXISTS(", "DISTINCT ")
        return not self._columns and not any(word in one.sql for one in self._alone.values() for word in heavy)

    def run(self, connection: Connection, numbers: range, profiles: int) -> Iterator[dict[int, BitMap]]:
        """Yield the members of all atoms among the profiles of a range, in portions as they are found."""
        for column, tests in self._columns.items():
            assert column is not None  # noqa: S101 - what reads no single column was taken out
            yield self._tests.members(connection, column, tests, numbers)
        for number, alone in self._alone.items():
            yield {number: _members(connection, alone, numbers, profiles)}


def _members(connection: Connection, selection: Selection, numbers: range, profiles: int) -> BitMap:
    window = bitmaps.whole_containers(numbers)
    tables = "" if len(numbers) == profiles else f"WITH {restricted_to(numbers).rstrip(', ')} "
    sql = f"""{tables}SELECT {bitmaps.bitstring_sql(model.PROFILE_KEY, window)}
              FROM ({selection.sql}) AS matched({model.PROFILE_KEY})"""
    [(bits,)] = connection.execute(sql, selection.parameters).fetchall()
    return bitmaps.from_bitstring(bits, window)
