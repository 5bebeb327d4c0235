"""Checked tree to SQL: a statement that selects the numbers of the profiles that a rule holds for.

    spelling     how pieces of a statement are spelled, from closed sets of words
    places       what a variable stands for, and the select under construction around it
    clock        time
    writer       the state of one compilation, where the others meet
    values       single values
    objects      objects: members, related records, values of maps, first elements
    arrays       arrays, as rows
    maps         maps, as entries
    bindings     tuples of elements, as joined rows
    presence     whether an array or a map is there at all
    predicates   tests that are true or false
    chains       events in order

Every literal is a numbered parameter, every name a quoted identifier of the layout's own. Each test is wrapped so that
it is true or false and never NULL, and ``NOT`` over it means what it says. An array is rows of its table: a test on it
is a semi-join, an aggregate a sub-query. Times that a rule names (``now``, ``today``, days) are computed and bound.

`app.pql.reference` is the judge: both select the same profiles. What these tables do not hold, or no statement can
say, is refused with its place in the rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from sqlglot import exp

from app.pql.checker import Checked
from app.pql.layout import Layout
from app.pql.sql.arrays import rows
from app.pql.sql.maps import entries
from app.pql.sql.objects import place
from app.pql.sql.places import Frame, Row, Spot
from app.pql.sql.predicates import PREDICATES
from app.pql.sql.presence import present
from app.pql.sql.spelling import column, number, table
from app.pql.sql.values import VALUES
from app.pql.sql.writer import Rules, Writer

RULES = Rules(VALUES, PREDICATES, place, rows, entries, present)


@dataclass(frozen=True, slots=True)
class CompiledQuery:
    """A statement with one column of distinct profile numbers, and the values of its placeholders."""

    select: exp.Select
    parameters: tuple[object, ...]

    def sql(self, dialect: str = "duckdb") -> str:
        """Return the statement as text."""
        return self.select.sql(dialect=dialect)


def to_sql(checked: Checked, layout: Layout, now: datetime, zone: tzinfo = UTC) -> CompiledQuery:
    """Compile a rule for a layout.

    Args:
        checked: the rule.
        layout: where the fields are.
        now: the instant of evaluation, aware.
        zone: the zone of days, months and years; UTC or one with a name.

    Raises:
        PQLError: the layout lacks what the rule reads (``not-held``), no statement can say a part of it
            (``not-evaluable``), or it grows too large when names are written out (``too-large``).

    """
    profiles = layout.profiles
    if profiles.profile_key is None:
        raise ValueError("the profiles of a layout need a column with their number")
    writer = Writer(checked.query.text, layout, now, zone, RULES)
    frame = Frame(0)
    frame.add(table(profiles.name, "p"))
    spot = Spot({checked.profile: Row(frame, "p", profiles)}, frame)
    frame.conditions.append(writer.predicate(checked.root, spot))
    return _numbered(frame.select(column("p", profiles.profile_key)), writer.parameters)


def _numbered(select: exp.Select, values: list[object]) -> CompiledQuery:
    """Number the placeholders anew in the order of the statement; some were written for parts that another replaced."""
    numbers: dict[str, int] = {}
    for parameter in select.find_all(exp.Parameter):
        written = parameter.this.name
        new = numbers.setdefault(written, len(numbers) + 1)
        parameter.set("this", number(new))
    return CompiledQuery(select, tuple(values[int(written) - 1] for written in numbers))
