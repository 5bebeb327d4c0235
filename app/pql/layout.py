"""Where XDM fields live in SQL tables: what the compiler asks of whoever owns the tables.

The compiler knows no table of its own. It asks a `Layout` for the column of a scalar field, for the exploded table of
an array or map, and for the table behind a relation, and it builds its statement from the answers::

    profiles(profile_no, loyalty_level, ...)                    one row for each profile
    events(profile_no, event_no, occurred_at, ...)              child of profiles at path ("xEvent",)
    items(profile_no, event_no, item_no, sku, ...)              child of events at path ("productListItems",)
    products(sku, category, ...)                                lookup of class "_xdm.context.product"

Names are printed as quoted identifiers, never as text, but they must still come from a closed set of the layout's own.

What columns hold: strings ``VARCHAR`` or an enumeration in code-point order, integers any integer type, doubles
``DOUBLE``, booleans ``BOOLEAN``, days ``DATE``, instants ``TIMESTAMP`` in UTC without a zone. An absent field is NULL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows are XDM objects.

    ``profile_key`` is the column with the number of the profile that owns the row (None for a lookup, which nobody
    owns). ``row_key`` are the columns that, within one profile, tell rows apart; it is empty for the profiles
    themselves. ``order`` are the columns that give the rows of one owner their order in the document; where it is
    empty the order is that of ``row_key``. ``unique_ids`` promises that no two rows of a profile have the same ``_id``,
    so that rows need not be compared by it.
    """

    name: str
    profile_key: str | None
    row_key: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    unique_ids: bool = False


@dataclass(frozen=True, slots=True)
class Child:
    """The exploded form of an array or map: one row of ``table`` for each element or entry.

    ``join`` pairs a column of the parent with the column of ``table`` that equals it; together the pairs select
    exactly the rows of one parent. ``value`` is the column of the element for an array (or map) of scalars, None where
    elements are objects. ``keys`` are the columns of the map's keys, outermost first: one for a map of objects, scalars
    or arrays, two for a map of maps, none for an array.

    ``present`` is a Boolean column *of the parent* that tells an empty array from an absent one; without it an array
    with no rows is absent. ``repeated`` are fields of the parent that ``table`` holds as well, as (path in the parent,
    column of ``table``); a rule that reads nothing else of the parent needs no join to it.
    """

    table: Table
    join: tuple[tuple[str, str], ...]
    value: str | None = None
    keys: tuple[str, ...] = ()
    present: str | None = None
    repeated: tuple[tuple[tuple[str, ...], str], ...] = ()


@dataclass(frozen=True, slots=True)
class Lookup:
    """The records of a class that relations point to. ``key`` is the unique column of the primary identity."""

    table: Table
    key: str


@dataclass(frozen=True, slots=True)
class Memberships:
    """Who is in which segment now: a row of ``table`` for each, with the profile's number and the segment's id."""

    table: str
    profile: str
    segment: str


class Layout(Protocol):
    """Tells where fields live. Every answer of None means: this data set does not hold that field."""

    @property
    def profiles(self) -> Table:
        """The table with one row for each profile."""
        ...

    def column(self, table: Table, path: tuple[str, ...]) -> str | None:
        """Return the column of the scalar field at ``path`` (object members, outermost first) of a row of ``table``."""
        ...

    def child(self, table: Table, path: tuple[str, ...]) -> Child | None:
        """Return the exploded table of the array or map at ``path`` of a row of ``table``.

        ``xEvent`` of the profiles gives the events, ``productListItems`` of the events the items.
        """
        ...

    def lookup(self, class_name: str) -> Lookup | None:
        """Return the records of a class, such as ``_xdm.context.product`` (dotted, without ``@{}``)."""
        ...

    @property
    def memberships(self) -> Memberships | None:
        """Where the memberships of segments are, for ``inSegment``."""
        ...
