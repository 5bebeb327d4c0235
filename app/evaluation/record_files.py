"""Files of records: JSON lines, CSV and Parquet, read as XDM documents with the place that each came from.

A column or member may be nested as XDM nests it, or be a path with dots (``person.name.firstName``). A plain text under
``identityMap.<namespace>`` is the profile's identity there. Empty cells are absent members.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from app.errors import InvalidRequest
from app.evaluation.arrivals import Identity, Record

Document = dict[str, Any]

SUFFIXES = (".jsonl", ".ndjson", ".csv", ".parquet")
_FETCHED_ROWS = 2_000


def read(path: Path) -> Iterator[tuple[str, Document]]:
    """Yield (place, document) for each record of a file; the place reads ``people.csv, line 7``.

    Raises InvalidRequest for a file that is not there, is of another kind, or cannot be read.
    """
    if not path.is_file():
        raise InvalidRequest(f"There is no file {path}.", hint="Paths are relative to the scenario's folder.")
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            yield from _json_lines(path)
        case ".csv":
            yield from _rows(path, "read_csv(?, header = true)", "line", 2)
        case ".parquet":
            yield from _rows(path, "read_parquet(?)", "row", 1)
        case other:
            known = ", ".join(SUFFIXES)
            raise InvalidRequest(f"{path} is of no kind that is read: {other!r}.", hint=f"Use one of {known}.")


def count(path: Path) -> int:
    """Return how many records a file has, as far as that is told without reading them; 0 when it cannot be told."""
    try:
        if path.suffix.lower() in {".jsonl", ".ndjson"}:
            with path.open("rb") as lines:
                return sum(1 for line in lines if line.strip())
        source = "read_parquet(?)" if path.suffix.lower() == ".parquet" else "read_csv(?, header = true)"
        with duckdb.connect() as connection:
            row = connection.execute(f"SELECT count(*) FROM {source}", [str(path)]).fetchone()  # noqa: S608
    except (OSError, duckdb.Error):
        return 0  # whoever reads it says what is wrong
    return 0 if row is None else int(row[0])


def profile_record(document: Document) -> Record:
    """Return what a profile document says, with the events under its ``xEvent``. Raises InvalidRequest."""
    attributes = {name: value for name, value in document.items() if name not in {"identityMap", "xEvent"}}
    events = document.get("xEvent") or []
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise InvalidRequest("xEvent must be an array of events.")
    return Record(_identities(document), attributes or None, tuple(events))


def event_record(document: Document) -> Record:
    """Return an event with the profile that its ``identityMap`` names. Raises InvalidRequest."""
    event = {name: value for name, value in document.items() if name != "identityMap"}
    return Record(_identities(document), None, (event,))


def _identities(document: Document) -> tuple[Identity, ...]:
    found: list[tuple[bool, Identity]] = []
    listed = document.get("identityMap")
    for namespace, entries in listed.items() if isinstance(listed, dict) else ():
        for entry in entries if isinstance(entries, list) else [entries]:
            value = entry.get("id") if isinstance(entry, dict) else entry
            if value is None or value == "":
                continue
            is_primary = isinstance(entry, dict) and entry.get("primary") is True
            found.append((is_primary, Identity(namespace, str(value))))
    if not found:
        raise InvalidRequest(
            "The record has no identity.",
            hint='Add "identityMap": {"Email": [{"id": "..."}]} or a column identityMap.Email.',
        )
    return tuple(identity for _, identity in sorted(found, key=lambda one: not one[0]))


def _json_lines(path: Path) -> Iterator[tuple[str, Document]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{path.name}, line {number}"
            try:
                document = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as fault:
                raise InvalidRequest(f"{place}: {fault}.", hint="Each line must be one JSON object.") from fault
            if not isinstance(document, dict):
                raise InvalidRequest(f"{place}: not a JSON object.", hint="Each line must be one JSON object.")
            yield place, _nested(document)


def _rows(path: Path, source: str, unit: str, first: int) -> Iterator[tuple[str, Document]]:
    """Yield the rows of a table function. Rows become JSON in the database, whose times and numbers it knows best."""
    with duckdb.connect() as connection:
        try:
            result = connection.execute(f"SELECT to_json(source)::VARCHAR FROM {source} AS source", [str(path)])  # noqa: S608
            number = first
            while rows := result.fetchmany(_FETCHED_ROWS):
                for (text,) in rows:
                    yield f"{path.name}, {unit} {number}", _nested(_without_nulls(msgspec.json.decode(text)))
                    number += 1
        except duckdb.Error as fault:
            reason = str(fault).splitlines()[0]
            raise InvalidRequest(
                f"{path.name} cannot be read: {reason}", hint="Check its columns and quotes."
            ) from fault


def _without_nulls(value: Any) -> Any:
    """Return a value without the members that are null: an empty cell says nothing of a field."""
    match value:
        case dict():
            return {name: _without_nulls(one) for name, one in value.items() if one is not None}
        case list():
            return [_without_nulls(one) for one in value]
    return value


def _nested(document: Document) -> Document:
    """Return a document whose names with dots have become objects in objects."""
    result: Document = {}
    for name, value in document.items():
        *parents, last = name.split(".")
        place = result
        for parent in parents:
            inner = place.setdefault(parent, {})
            if not isinstance(inner, dict):
                inner = place[parent] = {}
            place = inner
        if isinstance(value, dict) and isinstance(place.get(last), dict):
            place[last].update(value)
        else:
            place[last] = value
    return result
