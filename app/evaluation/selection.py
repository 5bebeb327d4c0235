"""What is said of selected profiles: how many, of which namespaces, who they are; and how a range of them is read.

Reading a range of profile numbers works by hiding each table behind its own rows of that range: a name bound by
``WITH`` wins over a table of that name, so that a rule's statement is left as it is. Rows are stored by bucket of
profile numbers, hence the database skips what lies outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyroaring import BitMap

from app.evaluation import model
from app.evaluation.dataset import Connection
from app.evaluation.namespaces import IdentityNamespace

_TABLES_OF_PROFILES = tuple(
    entity.table for entity in model.TABLES if any(name == model.PROFILE_KEY for name, _ in entity.keys)
)


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


def members(connection: Connection, numbers: Sequence[int]) -> tuple[Member, ...]:
    """Return profiles by their numbers, in the order of the numbers."""
    sql = f"""
        WITH page AS MATERIALIZED (SELECT unnest($1::INTEGER[]) AS {model.PROFILE_KEY})
        SELECT {model.PROFILE_ID}, namespace::VARCHAR, identity
        FROM page JOIN {model.PROFILES.table} USING ({model.PROFILE_KEY})
        LEFT JOIN {model.IDENTITIES.table} USING ({model.PROFILE_KEY})
        ORDER BY {model.PROFILE_KEY}, namespace, position"""  # noqa: S608
    return _members(connection.execute(sql, [list(numbers)]).fetchall())


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
