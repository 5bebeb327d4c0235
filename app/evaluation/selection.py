"""Statements over the profiles that a rule selects: how many, of which namespaces, who they are.

A `Selection` is what the compiler made of a rule: a statement with one column of distinct profile numbers. These
functions wrap it and run it on a connection; they block, and are called from worker threads.

Reading a range of profile numbers works by hiding each table behind its own rows of that range: a name bound by
``WITH`` wins over a table of that name, so that the rule's statement is left as it is. Rows are stored by bucket of
profile numbers, hence the database skips what lies outside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyroaring import BitMap

from app.evaluation import bitmaps, model
from app.evaluation.dataset import Connection
from app.evaluation.namespaces import NAMESPACES, IdentityNamespace

_TABLES_OF_PROFILES = tuple(
    entity.table for entity in model.TABLES if any(name == model.PROFILE_KEY for name, _ in entity.keys)
)


@dataclass(frozen=True, slots=True)
class Selection:
    """A statement that gives distinct profile numbers, and the values of its placeholders."""

    sql: str
    parameters: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class NamespaceCount:
    """How many of the selected profiles have an identity in a namespace."""

    namespace: IdentityNamespace
    profiles: int


@dataclass(frozen=True, slots=True)
class Counts:
    """The selected profiles and, for each namespace that occurs among them, how many of them have it."""

    matched: int
    by_namespace: tuple[NamespaceCount, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """All that a segment job keeps of a rule: how many profiles it selects, and which."""

    counts: Counts
    members: BitMap


@dataclass(frozen=True, slots=True)
class Member:
    """A selected profile. ``profile_id`` is its external id (XID); ``identities`` are (namespace code, identity)."""

    profile_id: str
    identities: tuple[tuple[str, str], ...]


def count(connection: Connection, selection: Selection) -> int:
    """Count the selected profiles."""
    row = connection.execute(f"SELECT count(*) FROM ({selection.sql})", selection.parameters).fetchone()  # noqa: S608
    assert row is not None  # noqa: S101 - an aggregate without groups always gives a row
    return int(row[0])


def count_by_namespace(connection: Connection, selection: Selection, rows: range | None = None) -> Counts:
    """Count the selected profiles whose numbers lie in ``rows`` (default: all), also by identity namespace."""
    sql = f"""
        WITH {restricted_to(rows)} matched({model.PROFILE_KEY}) AS MATERIALIZED ({selection.sql})
        SELECT {model.NAMESPACE_BITS}, count(*)
        FROM {model.PROFILES.table} SEMI JOIN matched USING ({model.PROFILE_KEY})
        GROUP BY ALL"""  # noqa: S608
    by_bits: dict[int, int] = dict(connection.execute(sql, selection.parameters).fetchall())
    return Counts(sum(by_bits.values()), _by_namespace(by_bits))


def evaluate(connection: Connection, selection: Selection, profiles: int) -> Result:
    """Count the selected profiles, also by namespace, and tell who they are among ``profiles`` profiles."""
    window = bitmaps.whole_containers(range(profiles))
    sql = f"""
        WITH matched({model.PROFILE_KEY}) AS MATERIALIZED ({selection.sql})
        SELECT {model.NAMESPACE_BITS}, {bitmaps.bitstring_sql(model.PROFILE_KEY, window)}
        FROM {model.PROFILES.table} SEMI JOIN matched USING ({model.PROFILE_KEY})
        GROUP BY ALL"""  # noqa: S608
    rows = connection.execute(sql, selection.parameters).fetchall()
    found = {bits: bitmaps.from_bitstring(blob, window) for bits, blob in rows}
    members = BitMap.union(*found.values()) if found else BitMap()
    by_bits = {bits: len(bitmap) for bits, bitmap in found.items()}
    return Result(Counts(len(members), _by_namespace(by_bits)), members)


def _by_namespace(by_bits: Mapping[int, int]) -> tuple[NamespaceCount, ...]:
    counts = (
        NamespaceCount(namespace, sum(count for bits, count in by_bits.items() if bits >> bit & 1))
        for bit, namespace in enumerate(NAMESPACES.values())
    )
    return tuple(found for found in counts if found.profiles)


def members(connection: Connection, selection: Selection, offset: int, limit: int) -> tuple[Member, ...]:
    """Return up to ``limit`` selected profiles after the first ``offset``, in the order of their numbers."""
    sql = f"""
        WITH page AS MATERIALIZED (
            SELECT {model.PROFILE_KEY} FROM ({selection.sql}) AS matched({model.PROFILE_KEY})
            ORDER BY 1 LIMIT {int(limit)} OFFSET {int(offset)})
        SELECT {model.PROFILE_ID}, namespace::VARCHAR, identity
        FROM page JOIN {model.PROFILES.table} USING ({model.PROFILE_KEY})
        LEFT JOIN {model.IDENTITIES.table} USING ({model.PROFILE_KEY})
        ORDER BY {model.PROFILE_KEY}, namespace, position"""  # noqa: S608
    return _members(connection.execute(sql, selection.parameters).fetchall())


def _members(rows: Sequence[tuple[str, str | None, str | None]]) -> tuple[Member, ...]:
    identities: dict[str, list[tuple[str, str]]] = {}
    for profile_id, namespace, identity in rows:
        of_profile = identities.setdefault(profile_id, [])
        if namespace is not None and identity is not None:
            of_profile.append((namespace, identity))
    return tuple(Member(profile_id, tuple(of_profile)) for profile_id, of_profile in identities.items())


def restricted_to(rows: range | None) -> str:
    """Return the beginning of a WITH list that hides the tables behind their rows of a range of profile numbers."""
    if rows is None:
        return ""
    condition = f"{model.PROFILE_KEY} >= {rows.start} AND {model.PROFILE_KEY} < {rows.stop}"
    return "".join(
        f"{table} AS NOT MATERIALIZED (SELECT * FROM main.{table} WHERE {condition}), "  # noqa: S608
        for table in _TABLES_OF_PROFILES
    )
