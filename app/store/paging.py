"""Keyset paging: what a page of rows is asked for with, and what it comes back as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, tuple_

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an ordered list: the value of the order column and the id that breaks ties."""

    value: Any
    id: UUID


@dataclass(frozen=True, slots=True)
class Window:
    """``limit`` rows after or before a position; ``backward`` counts from the end."""

    limit: int
    after: Position | None = None
    before: Position | None = None
    backward: bool = False


@dataclass(frozen=True, slots=True)
class NumberWindow:
    """``limit`` rows after or before a number that no two rows share, in a list with the greatest number first."""

    limit: int
    after: int | None = None
    before: int | None = None
    backward: bool = False


@dataclass(frozen=True, slots=True)
class Slice(Generic[Row]):
    """Rows in list order, and whether there are more on either side."""

    rows: tuple[Row, ...]
    has_next: bool
    has_previous: bool


def in_window(
    statement: Select[Row],
    order: ColumnElement[Any],
    tie_break: ColumnElement[Any],
    window: Window,
    *,
    descending: bool,
) -> Select[Row]:
    """Restrict and order a statement so that it returns the window's rows, and one more if there are more.

    Rows come in reading direction: reversed when the window is ``backward``.
    """
    key = tuple_(order, tie_break)
    for position, is_after in ((window.after, True), (window.before, False)):
        if position is not None:
            other = tuple_(position.value, position.id)
            statement = statement.where(key > other if is_after != descending else key < other)
    down = descending != window.backward
    ordered = (order.desc(), tie_break.desc()) if down else (order.asc(), tie_break.asc())
    return statement.order_by(*ordered).limit(window.limit + 1)


def in_number_window(statement: Select[Row], number: ColumnElement[int], window: NumberWindow) -> Select[Row]:
    """Do what `in_window` does for rows that are listed by a number, the greatest first."""
    if window.after is not None:
        statement = statement.where(number < window.after)
    if window.before is not None:
        statement = statement.where(number > window.before)
    return statement.order_by(number.asc() if window.backward else number.desc()).limit(window.limit + 1)


def to_slice(found: Sequence[Row], window: Window | NumberWindow) -> Slice[Row]:
    """Turn what `in_window` or `in_number_window` selected into a slice in list order."""
    more = len(found) > window.limit
    rows = tuple(found[: window.limit])
    if window.backward:
        return Slice(rows[::-1], has_next=window.before is not None, has_previous=more)
    return Slice(rows, has_next=more, has_previous=window.after is not None)
