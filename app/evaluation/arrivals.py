"""Records that come in after a data set was made: new profiles, changed attributes, events. Written in small batches.

A record is an XDM document with the identities of the profile that it belongs to. Profiles are found by identity;
a record whose identities nobody has makes a new profile, and one that knows several profiles belongs to the one with
the lowest number (identity graphs are not joined). Attributes that a record names replace those of the profile, others
stay. An event whose ``_id`` its profile has already is dropped, as AEP does.

All functions work on a connection inside the caller's transaction, and block. What a field holds that is not in the
data model is left out. Values that an enumeration of the database does not know yet are added to it.
"""
# ruff: noqa: S608 - names come from the model, values are always bound

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import duckdb

from app.errors import InvalidRequest
from app.evaluation import model
from app.evaluation.model import Codes, Entity, Field

Connection = duckdb.DuckDBPyConnection
Document = Mapping[str, Any]

_MAX_EXTENSIONS = 16
"""After so many additions to an enumeration its columns become plain text: each addition rewrites them."""

_INTEGER_LIMIT = 2**31

_LARGEST_POSITION = 255
"""Places in an array are kept in one byte."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One identity of a profile: the namespace's code, such as ``Email``, and the value in it."""

    namespace: str
    id: str


@dataclass(frozen=True, slots=True)
class Record:
    """What came in for one profile. ``attributes`` is a (partial) profile document, ``events`` are event documents.

    ``identities`` name the profile, the primary one first; at least one.
    """

    identities: tuple[Identity, ...]
    attributes: Document | None = None
    events: tuple[Document, ...] = ()


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a record went: the profile's number, whether it ``is_new``, and how many events were not there before."""

    profile_no: int
    is_new: bool
    new_events: int


@dataclass(slots=True)
class _Rows:
    """Values of a table's columns, to be written in one statement."""

    entity: Entity
    names: tuple[str, ...]
    values: dict[str, list[Any]] = field(default_factory=dict)
    size: int = 0

    def add(self, row: Mapping[str, Any]) -> None:
        for name in self.names:
            self.values.setdefault(name, []).append(row.get(name))
        self.size += 1


def _rows_of(entity: Entity) -> _Rows:
    return _Rows(entity, tuple(name for name, _ in entity.columns))


@dataclass(slots=True)
class _Batch:
    """All that a call writes; ``updates`` are keyed by the columns that they set."""

    profiles: _Rows = field(default_factory=lambda: _rows_of(model.PROFILES))
    identities: _Rows = field(default_factory=lambda: _rows_of(model.IDENTITIES))
    perks: _Rows = field(default_factory=lambda: _rows_of(model.PERKS))
    events: _Rows = field(default_factory=lambda: _rows_of(model.EVENTS))
    items: _Rows = field(default_factory=lambda: _rows_of(model.ITEMS))
    updates: dict[tuple[str, ...], _Rows] = field(default_factory=dict)
    new_perks_of: list[int] = field(default_factory=list)

    def inserts(self) -> tuple[_Rows, ...]:
        return (self.profiles, self.identities, self.perks, self.events, self.items)


def append(
    connection: Connection, namespace: str, records: Sequence[Record], numbers: Sequence[int] | None = None
) -> list[Placed]:
    """Write records and return where each went, in order.

    ``numbers`` are the profiles that the records belong to, where the caller has decided that: a number that no
    profile has makes a new profile. Raises `InvalidRequest` for a value that its field cannot hold; then nothing may
    be committed.
    """
    if numbers is None:
        numbers, new = _resolve(connection, records)
    else:
        new = _not_there(connection, numbers, records)
    batch = _Batch()
    for number, record in new.items():
        _add_profile(batch, number, record)
    _add_attributes(batch, namespace, numbers, records)
    added = _add_events(connection, batch, namespace, numbers, records)
    # Before anything is written: the database does not change the columns of a table with unsaved rows.
    _make_room(connection, batch)
    _write(connection, batch)
    return [Placed(number, number in new, events) for number, events in zip(numbers, added, strict=True)]


def profile_numbers(connection: Connection, identities: Iterable[Identity]) -> dict[Identity, int]:
    """Return the numbers of the profiles that have these identities; unknown ones are left out."""
    wanted = set(identities)
    sql = f"""SELECT namespace::VARCHAR, identity, min({model.PROFILE_KEY}) FROM {model.IDENTITIES.table}
              WHERE identity IN (SELECT unnest($1::VARCHAR[])) GROUP BY ALL"""
    rows = connection.execute(sql, [[one.id for one in wanted]]).fetchall()
    found = {Identity(namespace, value): number for namespace, value, number in rows}
    return {identity: found[identity] for identity in wanted if identity in found}


def next_number(connection: Connection) -> int:
    """Return the number that the next new profile gets."""
    row = connection.execute(f"SELECT coalesce(max({model.PROFILE_KEY}) + 1, 0) FROM {model.PROFILES.table}").fetchone()
    return int(row[0]) if row else 0


# Without the tables


def check(namespace: str, record: Record) -> None:
    """Find out whether `append` can keep a record, without a connection. Raises `InvalidRequest`."""
    batch = _Batch()
    _require_identities(record)
    _add_profile(batch, 0, record)
    _add_attributes(batch, namespace, (0,), (record,))
    for event in record.events:
        _add_event(batch, namespace, event, {model.PROFILE_KEY: 0, model.EVENT_KEY: 0})
    for rows in batch.inserts():
        for name in ("position", "item_no"):
            if max(rows.values.get(name, ()), default=0) > _LARGEST_POSITION:
                raise InvalidRequest(f"A record may have {_LARGEST_POSITION + 1} values in one array at most.")


def new_document(record: Record) -> dict[str, Any]:
    """Return the document of the profile that a record would make, without the record's attributes and events."""
    identities: dict[str, list[dict[str, Any]]] = {}
    for one in dict.fromkeys(record.identities):
        identities.setdefault(one.namespace, []).append({"id": one.id, "primary": one == record.identities[0]})
    return {model.IDENTITY_MAP_PATH[0]: identities}


def with_attributes(namespace: str, profile: Document, attributes: Document) -> dict[str, Any]:
    """Return a profile's document after a record with these attributes, as it can be read from the tables then."""
    changed: list[tuple[model.Path, Any]] = []
    for column in model.PROFILES.fields:
        path = column.path_in(namespace)
        value = _at(attributes, path)
        if value is not None:
            kept = _column_value(column, value)
            if isinstance(kept, datetime):
                kept = kept.isoformat(timespec="milliseconds") + "Z"
            changed.append((path, kept.isoformat() if isinstance(kept, date) else kept))
    perks = _perks(namespace, attributes)
    if perks is not None:
        changed.append((model.path_in(model.PERKS_PATH, namespace), perks or None))
    found = dict(profile)
    for path, value in changed:
        found = _replaced(found, path, value)
    return found


def _replaced(document: Document, path: model.Path, value: Any) -> dict[str, Any]:
    """Return a copy of a document with another value at a path; None takes away what is there."""
    name, *rest = path
    if rest:
        inner = document.get(name)
        return {**document, name: _replaced(inner if isinstance(inner, Mapping) else {}, tuple(rest), value)}
    kept = {key: one for key, one in document.items() if key != name}
    return kept if value is None else {**document, name: value}


# Profiles


def _not_there(connection: Connection, numbers: Sequence[int], records: Sequence[Record]) -> dict[int, Record]:
    """Return the first record of each number that no profile has."""
    sql = f"""SELECT {model.PROFILE_KEY} FROM {model.PROFILES.table}
              WHERE {model.PROFILE_KEY} IN (SELECT unnest($1::INTEGER[]))"""
    there = {row[0] for row in connection.execute(sql, [sorted(set(numbers))]).fetchall()}
    new: dict[int, Record] = {}
    for number, record in zip(numbers, records, strict=True):
        if number not in there:
            new.setdefault(number, record)
    return new


def _require_identities(record: Record) -> None:
    if not record.identities:
        raise InvalidRequest("A record needs at least one identity.", hint="Send an identityMap with the record.")


def _resolve(connection: Connection, records: Sequence[Record]) -> tuple[list[int], dict[int, Record]]:
    """Return the profile number of each record, and the first record of each new profile, by number."""
    known = profile_numbers(connection, (identity for record in records for identity in record.identities))
    following = next_number(connection)
    numbers: list[int] = []
    new: dict[int, Record] = {}
    for record in records:
        _require_identities(record)
        number = min((known[one] for one in record.identities if one in known), default=None)
        if number is None:
            number, following = following, following + 1
            new[number] = record
            known.update(dict.fromkeys(record.identities, number))
        numbers.append(number)
    return numbers, new


def _add_profile(batch: _Batch, number: int, record: Record) -> None:
    bits = 0
    positions: dict[str, int] = {}
    for identity in dict.fromkeys(record.identities):
        position = positions[identity.namespace] = positions.get(identity.namespace, -1) + 1
        bits |= 1 << _namespace_bit(identity.namespace)
        batch.identities.add(
            {
                model.PROFILE_KEY: number,
                model.IDENTITY_NAMESPACE_COLUMN: identity.namespace,
                "position": position,
                "identity": identity.id,
                "is_primary": identity == record.identities[0],
            }
        )
    # As in the sample, the external id says nothing of the person; here it only has to be one of a kind.
    batch.profiles.add({model.PROFILE_KEY: number, model.PROFILE_ID: f"B{number:025d}", model.NAMESPACE_BITS: bits})


def _namespace_bit(namespace: str) -> int:
    try:
        return model.IDENTITY_NAMESPACE.values.index(namespace)
    except ValueError:
        known = ", ".join(model.IDENTITY_NAMESPACE.values)
        raise InvalidRequest(
            f"There is no identity namespace {namespace!r}.", hint=f"Namespaces are {known}."
        ) from None


def _add_attributes(batch: _Batch, namespace: str, numbers: Sequence[int], records: Sequence[Record]) -> None:
    """Note the columns that the records name, one group for each set of columns, and the perks."""
    rows: dict[int, dict[str, Any]] = {}
    perks: dict[int, list[str]] = {}
    for number, record in zip(numbers, records, strict=True):
        if record.attributes is not None:
            rows.setdefault(number, {}).update(_columns(model.PROFILES, namespace, record.attributes))
            given = _perks(namespace, record.attributes)
            if given is not None:
                perks[number] = given
    for number, row in rows.items():
        if row:
            names = (model.PROFILE_KEY, *row)
            group = batch.updates.setdefault(names, _Rows(model.PROFILES, names))
            group.add(row | {model.PROFILE_KEY: number})
    for number, values in perks.items():
        batch.new_perks_of.append(number)
        for position, perk in enumerate(values):
            batch.perks.add({model.PROFILE_KEY: number, "position": position, "perk": perk})


def _perks(namespace: str, document: Document) -> list[str] | None:
    path = model.path_in(model.PERKS_PATH, namespace)
    values = _at(document, path)
    if values is None:
        return None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _mismatch(path, "an array of strings")
    return values


# Events


def _add_events(
    connection: Connection, batch: _Batch, namespace: str, numbers: Sequence[int], records: Sequence[Record]
) -> list[int]:
    """Note the events that are not there yet, and return how many of each record are new."""
    added = [0] * len(records)
    if not any(record.events for record in records):
        return added
    seen = _event_ids(connection, {number for number, record in zip(numbers, records, strict=True) if record.events})
    event_no = _next_event_no(connection)
    for index, (number, record) in enumerate(zip(numbers, records, strict=True)):
        for event in record.events:
            event_id = event.get("_id")
            if (number, event_id) not in seen:
                _add_event(batch, namespace, event, {model.PROFILE_KEY: number, model.EVENT_KEY: event_no})
                seen.add((number, str(event_id)))
                added[index] += 1
                event_no += 1
    return added


def _add_event(batch: _Batch, namespace: str, event: Document, keys: Mapping[str, int]) -> None:
    row = _columns(model.EVENTS, namespace, event)
    if "event_id" not in row or model.EVENT_TIME not in row:
        raise InvalidRequest("An event needs an _id and a timestamp.", hint="Send both with every event.")
    row |= keys
    batch.events.add(row)
    _add_items(batch.items, namespace, event, row)


def _event_ids(connection: Connection, numbers: set[int]) -> set[tuple[int, str]]:
    sql = f"""SELECT {model.PROFILE_KEY}, event_id FROM {model.EVENTS.table}
              WHERE {model.PROFILE_KEY} IN (SELECT unnest($1::INTEGER[]))"""
    return set(connection.execute(sql, [sorted(numbers)]).fetchall())


def _next_event_no(connection: Connection) -> int:
    row = connection.execute(f"SELECT coalesce(max({model.EVENT_KEY}) + 1, 0) FROM {model.EVENTS.table}").fetchone()
    return int(row[0]) if row else 0


def _add_items(items: _Rows, namespace: str, event: Document, event_row: Mapping[str, Any]) -> None:
    listed = _at(event, model.ITEMS_PATH)
    if listed is None:
        return
    if not isinstance(listed, list) or not all(isinstance(item, Mapping) for item in listed):
        raise _mismatch(model.ITEMS_PATH, "an array of objects")
    for item_no, item in enumerate(listed):
        of_event = {name: event_row.get(name) for name, _ in model.ITEMS.keys}
        items.add(_columns(model.ITEMS, namespace, item) | of_event | {"item_no": item_no})


# Values


def _columns(entity: Entity, namespace: str, document: Document) -> dict[str, Any]:
    """Return the columns of the fields that a document has."""
    values = {column.column: (column, _at(document, column.path_in(namespace))) for column in entity.fields}
    return {name: _column_value(column, value) for name, (column, value) in values.items() if value is not None}


def _at(document: Document, path: model.Path) -> Any:
    value: Any = document
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _column_value(column: Field, value: Any) -> Any:
    match column.type, value:
        case "string", str():
            return value
        case "boolean", bool():
            return value
        case "integer", int() if not isinstance(value, bool) and -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
            return value
        case "number", (int() | float()) if not isinstance(value, bool):
            return float(value)
        case "date", str() if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
            return _parsed(column, date, value)
        case "date-time", str():
            at: datetime = _parsed(column, datetime, value)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).replace(tzinfo=None)
    raise _mismatch(column.path, f"of type {column.type}")


def _parsed(column: Field, kind: type[date | datetime], text: str) -> Any:
    try:
        return kind.fromisoformat(text)
    except ValueError:
        raise _mismatch(column.path, f"of type {column.type}") from None


def _mismatch(path: model.Path, kind: str) -> InvalidRequest:
    return InvalidRequest(f"The field {'.'.join(path)} must be {kind}.", path=path)


# Statements


def _write(connection: Connection, batch: _Batch) -> None:
    if batch.new_perks_of:
        sql = f"DELETE FROM {model.PERKS.table} WHERE {model.PROFILE_KEY} IN (SELECT unnest($1::INTEGER[]))"
        connection.execute(sql, [batch.new_perks_of])
    for rows in batch.inserts():
        if rows.size:
            sql = f"INSERT INTO {rows.entity.table} BY NAME {_select(connection, rows)}"
            connection.execute(sql, list(rows.values.values()))
    for rows in batch.updates.values():
        settings = ", ".join(f"{name} = arrived.{name}" for name in rows.names if name != model.PROFILE_KEY)
        sql = f"""UPDATE {model.PROFILES.table} AS profile SET {settings} FROM ({_select(connection, rows)}) AS arrived
                  WHERE profile.{model.PROFILE_KEY} = arrived.{model.PROFILE_KEY}"""
        connection.execute(sql, list(rows.values.values()))


def _select(connection: Connection, rows: _Rows) -> str:
    """Return the rows as a statement with a placeholder for each column."""
    types = _column_types(connection, rows.entity.table)
    lists = (f"unnest(${index}::{types[name]}[]) AS {name}" for index, name in enumerate(rows.names, start=1))
    return f"SELECT {', '.join(lists)}"


def _make_room(connection: Connection, batch: _Batch) -> None:
    """Add the values that enumerations lack."""
    wanted: dict[str, set[str]] = {}
    for rows in (*batch.inserts(), *batch.updates.values()):
        for name, codes in _codes_of(rows.entity).items():
            wanted.setdefault(codes.name, set()).update(rows.values.get(name, ()))
    for codes in model.ENUMERATIONS:
        values = wanted.get(codes.name, set()) - {None}
        if values:
            _extend(connection, codes, values)


def _codes_of(entity: Entity) -> dict[str, Codes]:
    by_name = {codes.name: codes for codes in model.ENUMERATIONS}
    return {name: by_name[sql_type] for name, sql_type in entity.columns if sql_type in by_name}


def _column_types(connection: Connection, table: str) -> dict[str, str]:
    sql = "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? AND schema_name = 'main'"
    return dict(connection.execute(sql, [table]).fetchall())


def _extend(connection: Connection, codes: Codes, values: set[str]) -> None:
    """Make an enumeration hold these values too, in code-point order, wherever it is used."""
    users = [(entity.table, name) for entity in model.TABLES for name, one in _codes_of(entity).items() if one == codes]
    (table, column) = users[0]
    if not _column_types(connection, table)[column].startswith("ENUM"):
        return
    (members,) = connection.execute(
        f"SELECT enum_range(NULL::{_column_types(connection, table)[column]})::VARCHAR[]"
    ).fetchone() or ([],)
    if values <= set(members):
        return
    extensions = _count_extensions(connection, codes)
    new_type = "VARCHAR" if extensions >= _MAX_EXTENSIONS else f"{codes.name}_{extensions + 1}"
    if extensions < _MAX_EXTENSIONS:
        listed = [sorted(values | set(members))]
        connection.execute(f"CREATE TYPE {new_type} AS ENUM (SELECT unnest($1::VARCHAR[]))", listed)
    for table, column in users:
        connection.execute(f"ALTER TABLE {table} ALTER {column} TYPE {new_type}")


def _count_extensions(connection: Connection, codes: Codes) -> int:
    sql = "SELECT count(*) FROM duckdb_types() WHERE starts_with(type_name, ?)"
    row = connection.execute(sql, [f"{codes.name}_"]).fetchone()
    return int(row[0]) if row else 0
