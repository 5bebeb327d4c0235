"""A small world for both meanings of a rule: documents for the slow evaluator, the same in tables for the statement.

It has one field of every kind that the language knows, and its profiles are hostile: missing values, empty arrays,
equal timestamps, duplicate ids, times at the edges of days and of summer time, texts full of wildcards and quotes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from app import pql
from app.pql.checker import Checked
from app.pql.layout import Child, Lookup, Memberships, Table
from app.pql.reference import matches
from app.pql.schema import XDMSchema
from app.pql.sql import to_sql

NOW = datetime(2025, 3, 30, 12, 0, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
PRODUCT = "_xdm.context.product"


def _fields(**kinds: Any) -> dict[str, Any]:
    shapes = {
        "string": {"type": "string"},
        "long": {"type": "integer"},
        "double": {"type": "number"},
        "boolean": {"type": "boolean"},
        "date": {"type": "string", "format": "date"},
        "instant": {"type": "string", "format": "date-time"},
    }
    return {"type": "object", "properties": {k: shapes[v] if isinstance(v, str) else v for k, v in kinds.items()}}


def _array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _map(values: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values}


ITEM = _fields(SKU="string", name="string", quantity="long", price="double")
EVENT = _fields(
    _id="string",
    eventType="string",
    timestamp="instant",
    value="double",
    count="long",
    web=_fields(page="string", visits="long"),
    items=_array(ITEM),
)
PROFILE = _fields(
    name="string",
    level="string",
    points="long",
    bonus="long",
    spend="double",
    active="boolean",
    joinedAt="instant",
    birthDate="date",
    storeSku="string",
    address=_fields(city="string", since="instant"),
    perks=_array({"type": "string"}),
    wishes=_array({"type": "string"}),
    scores=_array({"type": "integer"}),
    visits=_map({"type": "integer"}),
    homes=_map(_fields(city="string", rooms="long")),
    identityMap=_map(_array(_fields(id="string", primary="boolean"))),
    segmentMembership=_map(_map(_fields(status="string"))),
)
RECORD = _fields(sku="string", category="string", margin="double")
SCHEMA = XDMSchema.from_json_schema(PROFILE, EVENT, {PRODUCT: RECORD})

_SQL = {"string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}

PROFILES = Table("profiles", "n")
EVENTS = Table("events", "n", ("e",), ("e",))
ITEMS = Table("items", "n", ("e", "i"), ("i",))
PERKS, WISHES, SCORES = (Table(name, "n", ("i",)) for name in ("perks", "wishes", "scores"))
VISITS, HOMES = (Table(name, "n", ("k",)) for name in ("visits", "homes"))
IDENTITIES = Table("identities", "n", ("k", "i"), ("i",))
STATUSES = Table("statuses", "n", ("k", "s"))
PRODUCTS = Table("products", None, ("sku",))

_OWN = (("n", "n"),)
_CHILDREN = {
    ("profiles", ("xEvent",)): Child(EVENTS, _OWN, present="has_events"),
    ("profiles", ("perks",)): Child(PERKS, _OWN, value="v", present="has_perks"),
    ("profiles", ("wishes",)): Child(WISHES, _OWN, value="v", present="has_wishes"),
    ("profiles", ("scores",)): Child(SCORES, _OWN, value="v", present="has_scores"),
    ("profiles", ("visits",)): Child(VISITS, _OWN, value="v", keys=("k",), present="has_visits"),
    ("profiles", ("homes",)): Child(HOMES, _OWN, keys=("k",), present="has_homes"),
    ("profiles", ("identityMap",)): Child(IDENTITIES, _OWN, keys=("k",), present="has_identityMap"),
    ("profiles", ("segmentMembership",)): Child(STATUSES, _OWN, keys=("k", "s"), present="has_segmentMembership"),
    ("events", ("items",)): Child(
        ITEMS,
        (("n", "n"), ("e", "e")),
        present="has_items",
        repeated=((("eventType",), "event_type"), (("timestamp",), "event_time")),
    ),
}


class WorldLayout:
    """Where the fields of this world are."""

    profiles = PROFILES
    memberships = Memberships("members", "n", "segment")

    def column(self, table: Table, path: tuple[str, ...]) -> str | None:
        return ".".join(path) if path in _COLUMNS.get(table.name, {}) else None

    def child(self, table: Table, path: tuple[str, ...]) -> Child | None:
        return _CHILDREN.get((table.name, path))

    def lookup(self, class_name: str) -> Lookup | None:
        return Lookup(PRODUCTS, "sku") if class_name == PRODUCT else None


def _scalars(shape: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {}
    for name, kind in shape["properties"].items():
        if "properties" in kind:
            found |= _scalars(kind, (*prefix, name))
        elif kind["type"] in _SQL:
            by_format = {"date": "DATE", "date-time": "TIMESTAMP"}
            found[(*prefix, name)] = by_format.get(kind.get("format", ""), _SQL[kind["type"]])
    return found


_COLUMNS = {
    "profiles": _scalars(PROFILE),
    "events": _scalars(EVENT),
    "items": _scalars(ITEM),
    "homes": _scalars(_fields(city="string", rooms="long")),
    "identities": _scalars(_fields(id="string", primary="boolean")),
    "statuses": _scalars(_fields(status="string")),
    "products": _scalars(RECORD),
}
_KEYS = {
    "profiles": [
        "n BIGINT",
        *(
            f'"has_{name}" BOOLEAN'
            for name in ("events", "perks", "wishes", "scores", "visits", "homes", "identityMap", "segmentMembership")
        ),
    ],
    "events": ["n BIGINT", "e BIGINT", "has_items BOOLEAN"],
    "items": ["n BIGINT", "e BIGINT", "i BIGINT", "event_type VARCHAR", "event_time TIMESTAMP"],
    "perks": ["n BIGINT", "i BIGINT", "v VARCHAR"],
    "wishes": ["n BIGINT", "i BIGINT", "v VARCHAR"],
    "scores": ["n BIGINT", "i BIGINT", "v BIGINT"],
    "visits": ["n BIGINT", "k VARCHAR", "v BIGINT"],
    "homes": ["n BIGINT", "k VARCHAR"],
    "identities": ["n BIGINT", "k VARCHAR", "i BIGINT"],
    "statuses": ["n BIGINT", "k VARCHAR", "s VARCHAR"],
    "products": [],
    "members": ["n BIGINT", "segment VARCHAR"],
}


@dataclass
class World:
    """Profiles as documents and in tables."""

    documents: list[dict[str, Any]]
    records: dict[str, dict[str, dict[str, Any]]]
    segments: list[frozenset[str]]
    connection: duckdb.DuckDBPyConnection

    def by_statement(self, checked: Checked, now: datetime = NOW, zone: tzinfo = UTC) -> list[int]:
        """Return the numbers of the profiles that the statement selects."""
        compiled = to_sql(checked, WorldLayout(), now, zone)
        rows = self.connection.execute(compiled.sql(), compiled.parameters).fetchall()
        return sorted(number for (number,) in rows)

    def by_reference(self, checked: Checked, now: datetime = NOW, zone: tzinfo = UTC) -> list[int]:
        """Return the numbers of the profiles that the slow evaluator says match."""
        return [
            number
            for number, document in enumerate(self.documents)
            if matches(checked, document, now, zone, records=self.records, segments=self.segments[number])
        ]


def check(rule: str) -> Checked:
    """Return a rule checked against this world's schema."""
    return pql.check(pql.parse(rule), SCHEMA)


def make_world(documents: Iterable[dict[str, Any]], seed: int = 0) -> World:
    """Return a world with these profiles."""
    held = list(documents)
    chance = random.Random(seed)
    connection = duckdb.connect(config={"memory_limit": "1GB", "threads": 1})
    for name, keys in _KEYS.items():
        columns = [*keys, *(f'"{".".join(path)}" {type_}' for path, type_ in _COLUMNS.get(name, {}).items())]
        connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
    records = {
        "A": {"sku": "A", "category": "Men", "margin": 0.5},
        "B": {"sku": "B", "category": "Women"},
        "%": {"sku": "%"},
    }
    for record in records.values():
        _insert(connection, "products", [], record)
    segments = [frozenset(one for one in ("s1", "s2") if chance.random() < 0.5) for _ in held]
    for number, document in enumerate(held):
        _load(connection, number, document)
        for segment in segments[number]:
            connection.execute("INSERT INTO members VALUES (?, ?)", [number, segment])
    return World(held, {PRODUCT: records}, segments, connection)


def _load(connection: duckdb.DuckDBPyConnection, n: int, document: dict[str, Any]) -> None:
    arrays = ("xEvent", "perks", "wishes", "scores", "visits", "homes", "identityMap", "segmentMembership")
    _insert(connection, "profiles", [n, *(document.get(name) is not None for name in arrays)], document)
    for name in ("perks", "wishes", "scores"):
        for i, value in enumerate(document.get(name) or []):
            _insert(connection, name, [n, i, value], {})
    for key, value in (document.get("visits") or {}).items():
        _insert(connection, "visits", [n, key, value], {})
    for key, value in (document.get("homes") or {}).items():
        _insert(connection, "homes", [n, key], value)
    for key, values in (document.get("identityMap") or {}).items():
        for i, value in enumerate(values):
            _insert(connection, "identities", [n, key, i], value)
    for key, values in (document.get("segmentMembership") or {}).items():
        for segment, value in values.items():
            _insert(connection, "statuses", [n, key, segment], value)
    for e, event in enumerate(document.get("xEvent") or []):
        _insert(connection, "events", [n, e, event.get("items") is not None], event)
        for i, item in enumerate(event.get("items") or []):
            repeated = [event.get("eventType"), _stored(event.get("timestamp"), "TIMESTAMP")]
            _insert(connection, "items", [n, e, i, *repeated], item)


def _insert(connection: duckdb.DuckDBPyConnection, table: str, keys: list[Any], document: Mapping[str, Any]) -> None:
    values = list(keys)
    for path, type_ in _COLUMNS.get(table, {}).items():
        found: Any = document
        for part in path:
            found = found.get(part) if isinstance(found, Mapping) else None
        values.append(_stored(found, type_))
    connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' for _ in values)})", values)


def _stored(value: Any, type_: str) -> Any:
    if type_ == "TIMESTAMP" and value is not None:
        return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
    return date.fromisoformat(value) if type_ == "DATE" and value is not None else value


# Hostile profiles

WORDS = [
    "gold",
    "Gold",
    "GOLD",
    "silver",
    "",
    "%",
    "a_b",
    "ab",
    "a",
    "b",
    "é",
    "straße",
    "\\",
    'quo"te',
    "x' OR 1=1 --",
]
TYPES = ["buy", "view", "cart"]
_SPECIAL = [
    NOW,
    datetime(2025, 3, 30, 0, 0, tzinfo=UTC),  # midnight, and an hour before clocks go forward in Berlin
    datetime(2025, 3, 29, 23, 0, tzinfo=UTC),  # midnight in Berlin
    datetime(2025, 3, 30, 1, 0, tzinfo=UTC),
    datetime(2024, 10, 27, 0, 30, tzinfo=UTC),  # half past two in Berlin, the first of two
    datetime(2024, 10, 27, 1, 30, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 0, tzinfo=UTC),
    datetime(2024, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=UTC),
]


def hostile_profiles(count: int, seed: int) -> list[dict[str, Any]]:
    """Return profiles made to break rules; the same for the same seed."""
    chance = random.Random(seed)
    return [_profile(chance) for _ in range(count)]


def _maybe(chance: random.Random, value: Any, share: float = 0.8) -> Any:
    return value if chance.random() < share else None


def _instant(chance: random.Random) -> str:
    if chance.random() < 0.4:
        return chance.choice(_SPECIAL).isoformat()
    return (
        NOW - timedelta(hours=chance.choice([0, 1, 2, 24, 25, 48, 168, 720, 721]), minutes=chance.choice([0, 30]))
    ).isoformat()


def _known(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None}


def _item(chance: random.Random) -> dict[str, Any]:
    return _known(
        {
            "SKU": _maybe(chance, chance.choice(["A", "B", "C", "%"])),
            "name": _maybe(chance, chance.choice(WORDS)),
            "quantity": _maybe(chance, chance.choice([0, 1, 2, 3])),
            "price": _maybe(chance, chance.choice([0.0, 0.5, 9.25, 20.0])),
        }
    )


def _event(chance: random.Random) -> dict[str, Any]:
    return _known(
        {
            "_id": _maybe(chance, chance.choice(["e1", "e2", "e3", "e4", "e5", "e6"])),
            "eventType": _maybe(chance, chance.choice(TYPES), 0.9),
            "timestamp": _maybe(chance, _instant(chance), 0.95),
            "value": _maybe(chance, chance.choice([-1.5, 0.0, 1.0, 99.75])),
            "count": _maybe(chance, chance.choice([-2, 0, 1, 7])),
            "web": _maybe(
                chance, _known({"page": _maybe(chance, chance.choice(WORDS)), "visits": _maybe(chance, 2)}), 0.6
            ),
            "items": _maybe(chance, [_item(chance) for _ in range(chance.choice([0, 1, 2, 3]))]),
        }
    )


def _profile(chance: random.Random) -> dict[str, Any]:
    words = lambda: [chance.choice(["gold", "silver", "lounge", "", "%"]) for _ in range(chance.choice([0, 1, 2, 3]))]  # noqa: E731
    return _known(
        {
            "name": _maybe(chance, chance.choice(WORDS)),
            "level": _maybe(chance, chance.choice(WORDS)),
            "points": _maybe(chance, chance.choice([0, 1, -7, 250, 2**62, -(2**63), 2**63 - 1])),
            "bonus": _maybe(chance, chance.choice([0, 2, 3, 2**62])),
            "spend": _maybe(chance, chance.choice([0.0, -2.5, 12.75, 1e300])),
            "active": _maybe(chance, chance.choice([True, False])),
            "joinedAt": _maybe(chance, _instant(chance)),
            "birthDate": _maybe(chance, chance.choice(["2000-02-29", "1999-03-30", "1985-12-31", "2025-03-30"])),
            "storeSku": _maybe(chance, chance.choice(["A", "B", "C"])),
            "address": _maybe(
                chance,
                _known({"city": _maybe(chance, chance.choice(WORDS)), "since": _maybe(chance, _instant(chance))}),
            ),
            "perks": _maybe(chance, words()),
            "wishes": _maybe(chance, words()),
            "scores": _maybe(chance, [chance.choice([0, 1, 2, 5, 2**62]) for _ in range(chance.choice([0, 1, 3]))]),
            "visits": _maybe(chance, {key: chance.choice([1, 2, 9]) for key in "xyz" if chance.random() < 0.6}),
            "homes": _maybe(
                chance,
                {
                    key: _known({"city": _maybe(chance, chance.choice(WORDS)), "rooms": 2})
                    for key in "ab"
                    if chance.random() < 0.6
                },
            ),
            "identityMap": _maybe(
                chance,
                {
                    key: [
                        _known({"id": chance.choice(WORDS), "primary": _maybe(chance, True, 0.5)})
                        for _ in range(chance.choice([1, 2]))
                    ]
                    for key in ("Email", "ECID")
                    if chance.random() < 0.6
                },
            ),
            "segmentMembership": _maybe(
                chance,
                {
                    key: {
                        one: {"status": chance.choice(["realized", "exited"])}
                        for one in ("s1", "s2")
                        if chance.random() < 0.7
                    }
                    for key in ("ups", "AAM")
                    if chance.random() < 0.7
                },
            ),
            "xEvent": _maybe(chance, [_event(chance) for _ in range(chance.choice([0, 1, 2, 3, 5, 8]))], 0.9),
        }
    )
