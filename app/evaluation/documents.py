"""Profiles as XDM documents: rows of the tables put back together, with the events under ``xEvent``.

For reading single profiles, and for judging the compiled statements against a plain evaluation of the same data.
Times are ISO 8601 texts in UTC with milliseconds, days are ISO dates; absent values are left out, never null.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from app.evaluation import model
from app.evaluation.dataset import Connection
from app.evaluation.model import Entity, Path

Document = dict[str, Any]
Numbers = range | Sequence[int]


def profile_by_id(connection: Connection, namespace: str, profile_id: str) -> Document | None:
    """Return the profile with this external id, or None."""
    number = number_of(connection, profile_id)
    return None if number is None else profiles(connection, namespace, range(number, number + 1))[number]


def number_of(connection: Connection, profile_id: str) -> int | None:
    """Return the number of the profile with this external id, or None."""
    sql = f"SELECT {model.PROFILE_KEY} FROM {model.PROFILES.table} WHERE {model.PROFILE_ID} = ?"  # noqa: S608
    row = connection.execute(sql, [profile_id]).fetchone()
    return None if row is None else int(row[0])


def profile_by_number(connection: Connection, namespace: str, number: int) -> tuple[int, str, Document] | None:
    """Return the profile with this number as (number, external id, document), or None."""
    sql = f"SELECT {model.PROFILE_ID} FROM {model.PROFILES.table} WHERE {model.PROFILE_KEY} = ?"  # noqa: S608
    row = connection.execute(sql, [number]).fetchone()
    if row is None:
        return None
    return number, str(row[0]), profiles(connection, namespace, range(number, number + 1))[number]


def profiles_by_namespace(connection: Connection, below: int) -> dict[str, int]:
    """Count the profiles with numbers under ``below`` that have an identity of each namespace, by its code."""
    column, key = model.IDENTITY_NAMESPACE_COLUMN, model.PROFILE_KEY
    sql = f"SELECT {column}, count(DISTINCT {key}) FROM {model.IDENTITIES.table} WHERE {key} < ? GROUP BY ALL"  # noqa: S608
    return {str(code): int(count) for code, count in connection.execute(sql, [below]).fetchall()}


def profiles(connection: Connection, namespace: str, numbers: Numbers) -> dict[int, Document]:
    """Return the profiles of some numbers, by number."""
    found = {row[0]: document for row, document in _rows(connection, model.PROFILES, namespace, numbers)}
    for row, identity in _rows(connection, model.IDENTITIES, namespace, numbers, order="position"):
        _member(found[row[0]], model.IDENTITY_MAP_PATH).setdefault(row[1], []).append(identity)
    for row, _ in _rows(connection, model.PERKS, namespace, numbers, order="position"):
        _put(found[row[0]], model.path_in(model.PERKS_PATH, namespace), row[2], append=True)
    for number, events in _events(connection, namespace, numbers).items():
        _put(found[number], model.EVENTS_PATH, events)
    return found


def numbers_with_events_since(connection: Connection, since: datetime) -> list[int]:
    """Return the numbers of the profiles that have an event at an instant (aware) or later."""
    sql = f"SELECT DISTINCT {model.PROFILE_KEY} FROM {model.EVENTS.table} WHERE {model.EVENT_TIME} >= ? ORDER BY ALL"  # noqa: S608
    rows = connection.execute(sql, [since.astimezone(UTC).replace(tzinfo=None)]).fetchall()
    return [row[0] for row in rows]


def numbers_by_identity(connection: Connection, identities: Mapping[str, Collection[str]]) -> set[int]:
    """Return the numbers of the profiles that have one of some identities, by namespace code in any letter case."""
    column = model.IDENTITIES.fields[0].column
    found: set[int] = set()
    for code, values in identities.items():
        sql = (
            f"SELECT DISTINCT {model.PROFILE_KEY} FROM {model.IDENTITIES.table} "  # noqa: S608
            f"WHERE lower({model.IDENTITY_NAMESPACE_COLUMN}::VARCHAR) = lower(?) AND {column} IN (SELECT unnest(?))"
        )
        found.update(row[0] for row in connection.execute(sql, [code, list(values)]).fetchall())
    return found


def lookup_records(connection: Connection, namespace: str) -> dict[str, dict[str, Document]]:
    """Return the records of all lookup classes: by dotted class name, then by primary identity."""
    records: dict[str, dict[str, Document]] = {}
    for lookup in model.LOOKUPS:
        class_name = ".".join(model.path_in(lookup.class_name, namespace))
        key = lookup.key.path_in(namespace)
        rows = _rows(connection, lookup.entity, namespace, None)
        records[class_name] = {_get(document, key): document for _, document in rows}
    return records


def _events(connection: Connection, namespace: str, numbers: Numbers) -> dict[int, list[Document]]:
    items: dict[int, list[Document]] = defaultdict(list)
    for row, item in _rows(connection, model.ITEMS, namespace, numbers, order="item_no"):
        items[row[1]].append(item)
    events: dict[int, list[Document]] = defaultdict(list)
    order = f"{model.EVENT_TIME}, {model.EVENT_KEY}"
    for row, event in _rows(connection, model.EVENTS, namespace, numbers, order=order):
        if row[1] in items:
            _put(event, model.ITEMS_PATH, items[row[1]])
        events[row[0]].append(event)
    return events


def _rows(
    connection: Connection, entity: Entity, namespace: str, numbers: Numbers | None, *, order: str = "ALL"
) -> Iterator[tuple[Sequence[Any], Document]]:
    """Yield each row's key columns and its fields as a document."""
    columns = ", ".join(name for name, _ in entity.columns)
    where = "" if numbers is None else f"WHERE {model.PROFILE_KEY} {_among(numbers)}"
    sql = f"SELECT {columns} FROM {entity.table} {where} ORDER BY {order}"  # noqa: S608
    paths = [field.path_in(namespace) for field in entity.fields]
    for row in connection.execute(sql).fetchall():
        yield row, _document(zip(paths, row[len(entity.keys) :], strict=True))


def _among(numbers: Numbers) -> str:
    if isinstance(numbers, range):
        return f"BETWEEN {numbers.start} AND {numbers.stop - 1}"
    return f"IN ({', '.join(str(int(number)) for number in numbers) or 'NULL'})"


def _document(values: Iterable[tuple[Path, Any]]) -> Document:
    document: Document = {}
    for path, value in values:
        if value is not None:
            _put(document, path, _json_value(value))
    return document


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    return value.isoformat() if isinstance(value, date) else value


def _member(document: Document, path: Path) -> Document:
    """Return the object at ``path``, made if it is not there."""
    for part in path:
        document = document.setdefault(part, {})
    return document


def _put(document: Document, path: Path, value: Any, *, append: bool = False) -> None:
    parent = _member(document, path[:-1])
    if append:
        parent.setdefault(path[-1], []).append(value)
    else:
        parent[path[-1]] = value


def _get(document: Document, path: Path) -> Any:
    value: Any = document
    for part in path:
        value = value[part]
    return value
