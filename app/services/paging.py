"""Pages of a Relay connection: reading the four arguments, and cursors that survive concurrent change.

A cursor holds the order's name, the row's value in it and the row's id, so it points at a place in the order and not
at a row that may be deleted. It is opaque to callers, and one that was made for another order is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from app.errors import InvalidRequest
from app.store.paging import NumberWindow, Position, Slice, Window

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class PageArgs:
    """Relay's arguments, as the caller gave them."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page: items in list order with their cursors. ``total`` is ``None`` unless it was asked for."""

    items: tuple[Item, ...]
    cursors: tuple[str, ...]
    has_next: bool
    has_previous: bool
    total: int | None = None


def page_size(args: PageArgs) -> tuple[int, bool]:
    """Return how many items are asked for, and whether they count from the end. Raises `InvalidRequest`."""
    if args.first is not None and args.last is not None:
        raise InvalidRequest("Give either first or last, not both.", path=("last",))
    name, size = ("last", args.last) if args.last is not None else ("first", args.first)
    if size is None:
        return DEFAULT_PAGE_SIZE, False
    if not 1 <= size <= MAX_PAGE_SIZE:
        raise InvalidRequest(f"{name} must be between 1 and {MAX_PAGE_SIZE}, not {size}.", path=(name,))
    return size, name == "last"


def to_window(args: PageArgs, order: str) -> Window:
    """Read the arguments of a connection in ``order``. Raises `InvalidRequest`."""
    limit, backward = page_size(args)
    return Window(
        limit=limit,
        after=None if args.after is None else _decode(args.after, order, "after"),
        before=None if args.before is None else _decode(args.before, order, "before"),
        backward=backward,
    )


def to_number_window(args: PageArgs, order: str, numbers: range) -> NumberWindow:
    """Read the arguments of a connection that is listed by a number out of ``numbers``. Raises `InvalidRequest`."""
    limit, backward = page_size(args)

    def number(cursor: str | None, argument: str) -> int | None:
        if cursor is None:
            return None
        match decode_cursor(cursor, argument):
            case [str(made_for), int(number)] if made_for == order and number in numbers:
                return number
        raise InvalidRequest(f"{argument} is not a cursor of this list.", path=(argument,))

    return NumberWindow(limit, number(args.after, "after"), number(args.before, "before"), backward)


def number_cursor(order: str, number: int) -> str:
    """Return the cursor of a row that is listed by its number."""
    return encode_cursor([order, number])


def to_page(
    found: Slice[Item], order: str, position_of: Callable[[Item], Position], *, total: int | None = None
) -> Page[Item]:
    """Make a page of a slice of rows."""
    cursors = tuple(_encode(order, position_of(row)) for row in found.rows)
    return Page(found.rows, cursors, found.has_next, found.has_previous, total)


def encode_cursor(members: list[Any]) -> str:
    """Return members of plain JSON as an opaque text."""
    return base64.urlsafe_b64encode(json.dumps(members, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, argument: str) -> list[Any]:
    """Return the members of a cursor that we made. Raises `InvalidRequest`."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        members = json.loads(base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        members = None
    if not isinstance(members, list):
        raise _bad_cursor(argument)
    return members


def _bad_cursor(argument: str) -> InvalidRequest:
    return InvalidRequest(
        f"{argument} is not a cursor of this list.",
        hint="Use a cursor of an answer with the same order.",
        path=(argument,),
    )


def _encode(order: str, position: Position) -> str:
    value = position.value
    marked = {"at": value.isoformat()} if isinstance(value, datetime) else value
    return encode_cursor([order, marked, str(position.id)])


def _decode(cursor: str, order: str, argument: str) -> Position:
    members = decode_cursor(cursor, argument)
    try:
        made_for, value, row_id = members
        if made_for != order:
            raise ValueError(made_for)
        if isinstance(value, dict):
            value = datetime.fromisoformat(value["at"])
            if value.tzinfo is None:
                raise ValueError(value)
        elif not isinstance(value, str) or "\0" in value:
            raise ValueError(value)
        return Position(value, UUID(row_id))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _bad_cursor(argument) from None
