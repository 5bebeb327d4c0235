"""The generated parts of ``docs/pql.md``: the functions, and what was seen of each construct of the language.

``python -m tests.pql.language_page`` writes both anew. The functions come from `app.pql.functions`. The table of the
constructs is made of runs: each rule of `tests.pql.constructs` goes through every part of the compiler, over a small
sample of the Luma customers in DuckDB, and a cell says what happened.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb

from app import pql
from app.errors import PQLError
from app.evaluation import model
from app.evaluation.dataset import Dataset
from app.evaluation.engine import Engine
from app.evaluation.layout import SampleLayout
from app.evaluation.luma import SampleSpec
from app.evaluation.schema import event_union, lookups, profile_union
from app.pql.functions import FUNCTIONS, Family, Function
from app.pql.layout import Child, Memberships, Table
from app.pql.reference import matches
from app.pql.schema import XDMSchema
from app.pql.sql import to_sql
from tests.pql.constructs import MEMBERSHIPS, SECTIONS
from tests.pql.rules import NAMESPACE

PAGE: Final = Path(__file__).parents[2] / "docs/pql.md"
NOW: Final = datetime(2025, 11, 24, 12, tzinfo=UTC)
SEGMENT: Final = "c0ffee00-0000-4000-8000-000000000001"
PROFILES: Final = 120
COLUMNS: Final = ("parse", "JSON", "check", "reference", "SQL")

_MEMBERSHIP: Final = {"type": "object", "properties": {"status": {"type": "string"}}}
_MEMBERSHIPS: Final = {
    "type": "object",
    "additionalProperties": {"type": "object", "additionalProperties": _MEMBERSHIP},
}
_FAMILIES: Final[Mapping[str, frozenset[Family]]] = {
    "Strings": frozenset({Family.STRING_TEST, Family.PATTERN, Family.STRING_COMPARE}),
    "Null and conditions": frozenset({Family.NULL_TEST, Family.CONDITIONAL}),
    "Dates": frozenset({Family.DATE, Family.DATE_PART, Family.CLOCK}),
    "Arrays and sets": frozenset({Family.SET, Family.ARRAY, Family.SCOPED}),
    "Aggregates": frozenset({Family.AGGREGATE}),
    "Maps": frozenset({Family.MAP, Family.ENTRY}),
    "Segments": frozenset({Family.SEGMENT}),
}


# The functions


def functions() -> str:
    """Return the functions of the language as tables in Markdown, in the order of the table in code."""
    parts = []
    for title, families in _FAMILIES.items():
        rows = [_function_row(function) for function in FUNCTIONS if function.family in families]
        parts.append("\n".join([f"### {title}", "", "| function | meaning | example |", "| --- | --- | --- |", *rows]))
    return "\n\n".join(parts)


def _function_row(function: Function) -> str:
    return f"| {_code(function.signature)} | {function.summary} | {_code(function.example)} |"


def _code(text: str) -> str:
    """Return text as code in a cell of a table; back quotes in it are fenced by two."""
    fence = "``" if "`" in text else "`"
    space = " " if "`" in text else ""
    return fence + space + text.replace("|", "\\|") + space + fence


# The constructs


@dataclass(frozen=True, slots=True)
class Sample:
    """The same customers as XDM documents, by number, and in tables; every third of them is in the segment."""

    documents: tuple[dict[str, Any], ...]
    records: Mapping[str, Mapping[str, Mapping[str, Any]]]
    connection: duckdb.DuckDBPyConnection
    schema: XDMSchema
    layout: SampleLayout


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one construct. ``cells`` has one word for each of `COLUMNS`; ``matched`` counts profiles."""

    name: str
    rule: str
    cells: tuple[str, ...]
    matched: int


class _LayoutWithMemberships(SampleLayout):
    """The sample's tables and one for memberships, which a sandbox has and the sample does not."""

    _STATUSES = Table("memberships", model.PROFILE_KEY, row_key=("namespace", "segment"))
    _OF_PROFILE = ((model.PROFILE_KEY, model.PROFILE_KEY),)

    def column(self, table: Table, path: tuple[str, ...]) -> str | None:
        """Return the column of a scalar."""
        if table.name == self._STATUSES.name:
            return "status" if path == ("status",) else None
        return super().column(table, path)

    def child(self, table: Table, path: tuple[str, ...]) -> Child | None:
        """Return the table of an array or a map."""
        if (table.name, path) == (self.profiles.name, ("segmentMembership",)):
            return Child(self._STATUSES, self._OF_PROFILE, keys=("namespace", "segment"))
        return super().child(table, path)

    @property
    def memberships(self) -> Memberships | None:
        """Who is in which segment."""
        return Memberships(self._STATUSES.name, model.PROFILE_KEY, "segment")


def open_sample(folder: Path) -> Sample:
    """Make the sample in a folder and return it, its tables open."""
    path = folder / "luma.duckdb"
    documents = asyncio.run(_made(path))
    connection = duckdb.connect(str(path), config={"threads": 1})
    connection.execute(
        "CREATE TABLE memberships (profile_no INTEGER, namespace VARCHAR, segment VARCHAR, status VARCHAR)"
    )
    for number, document in enumerate(documents):
        if number % 3 == 0:
            connection.execute("INSERT INTO memberships VALUES (?, 'ups', ?, 'realized')", [number, SEGMENT])
            document["segmentMembership"] = {"ups": {SEGMENT: {"status": "realized"}}}
    profile = profile_union(NAMESPACE)
    profile = {**profile, "properties": {**profile.get("properties", {}), "segmentMembership": _MEMBERSHIPS}}
    schema = XDMSchema.from_json_schema(profile, event_union(NAMESPACE), lookups(NAMESPACE))
    return Sample(documents, _records(connection), connection, schema, _LayoutWithMemberships(NAMESPACE))


async def _made(path: Path) -> tuple[dict[str, Any], ...]:
    dataset = await Dataset.create(path, NAMESPACE, SampleSpec(profiles=PROFILES, seed=3, as_of=NOW))
    try:
        engine = Engine(dataset)
        everybody = await engine.members(pql.check(pql.parse("true")), NOW, limit=PROFILES)
        found = [await engine.profile(member.profile_id) for member in everybody]
        return tuple(document for document in found if document is not None)
    finally:
        await dataset.close()


def _records(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the records that relations point to, by class and by identity."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for lookup in model.LOOKUPS:
        fields = lookup.entity.fields
        rows = connection.sql(f"SELECT {', '.join(one.column for one in fields)} FROM {lookup.entity.table}").fetchall()
        records = found.setdefault(".".join(model.path_in(lookup.class_name, NAMESPACE)), {})
        for row in rows:
            record: dict[str, Any] = {}
            for one, value in zip(fields, row, strict=True):
                _put(record, one.path_in(NAMESPACE), value)
            records[str(row[fields.index(lookup.key)])] = record
    return found


def _put(document: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    if value is None:
        return
    for part in path[:-1]:
        document = document.setdefault(part, {})
    document[path[-1]] = value


def see(name: str, rule: str, sample: Sample) -> Seen:
    """Return what is seen of a rule in each part of the compiler."""
    accepted: set[int] = set()

    def by_reference() -> bool:
        accepted.update(_by_reference(rule, sample))
        return True

    steps: tuple[Callable[[], bool], ...] = (
        lambda: _reads_again(rule),
        lambda: _returns_from_json(rule),
        lambda: _checks(rule, sample.schema),
        by_reference,
        lambda: _by_statement(rule, sample) == accepted,
    )
    return Seen(name, rule, tuple([_outcome(step) for step in steps]), len(accepted))


def _outcome(step: Callable[[], bool]) -> str:
    try:
        return "yes" if step() else "no"
    except PQLError as problem:
        return problem.diagnostics[0].code


def _checks(rule: str, schema: XDMSchema) -> bool:
    """Tell whether a rule is accepted with the schema and without one."""
    query = pql.parse(rule)
    return all(pql.check(query, known).query is query for known in (schema, None))


def _reads_again(rule: str) -> bool:
    """Tell whether the canonical text reads as the same tree and is written as the same text."""
    query = pql.parse(rule)
    written = pql.format_query(query)
    again = pql.parse(written)
    return again.body == query.body and pql.format_query(again) == written


def _returns_from_json(rule: str) -> bool:
    """Tell whether JSON reads as a rule of the same meaning, text and JSON."""
    query = pql.parse(rule)
    written = pql.to_json_text(query)
    again = pql.parse_json(written)
    same_meaning = pql.canonical(again).hash == pql.canonical(query).hash
    return same_meaning and pql.to_json_text(pql.parse(pql.format_query(again))) == written


def _by_reference(rule: str, sample: Sample) -> frozenset[int]:
    checked = pql.check(pql.parse(rule), sample.schema)
    everybody = enumerate(sample.documents)
    return frozenset(number for number, one in everybody if matches(checked, one, NOW, records=sample.records))


def _by_statement(rule: str, sample: Sample) -> frozenset[int]:
    compiled = to_sql(pql.check(pql.parse(rule), sample.schema), sample.layout, NOW)
    return frozenset(number for (number,) in sample.connection.execute(compiled.sql(), compiled.parameters).fetchall())


def constructs(sample: Sample) -> dict[str, list[Seen]]:
    """Return what is seen of every construct, by section."""
    sections = {**SECTIONS, "Segments": {**SECTIONS["Segments"], **MEMBERSHIPS}}
    return {title: [see(name, rule, sample) for name, rule in rules.items()] for title, rules in sections.items()}


def table(found: Mapping[str, list[Seen]]) -> str:
    """Return the table of the constructs in Markdown."""
    head = ["construct", *COLUMNS, "rule that was run"]
    parts = []
    for title, rows in found.items():
        lines = [f"### {title}", "", f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
        lines += [f"| {seen.name} | {' | '.join(seen.cells)} | {_code(_shown(seen.rule))} |" for seen in rows]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _shown(rule: str) -> str:
    return rule.replace(NAMESPACE, "_tenant")


# The page


def replaced(page: str, part: str, text: str) -> str:
    """Return the page with a generated part between its two markers replaced."""
    pattern = rf"(<!-- {part}: [^\n]*-->\n).*?(<!-- end of {part} -->)"
    new, count = re.subn(pattern, lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"the page has {count} places for {part}")
    return new


def main() -> None:
    """Write the generated parts of the page anew."""
    with TemporaryDirectory() as folder:
        sample = open_sample(Path(folder))
        found = constructs(sample)
        sample.connection.close()
    for rows in found.values():
        for seen in rows:
            if "--counts" in sys.argv:
                print(f"{seen.matched:4} {seen.name}")
    page = PAGE.read_text()
    PAGE.write_text(replaced(replaced(page, "functions", functions()), "constructs", table(found)))


if __name__ == "__main__":
    main()
