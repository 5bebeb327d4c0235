"""Lists in pages, in the styles that AEP's endpoints use.

    P1  GET /segment/definitions: ``page`` counts from zero, ``start`` is a row, the answer has ``page`` and ``link``
    P2  GET /audiences, /segment/jobs, /config/schedules, /config/mergePolicies: ``start`` is a *page* counted from
        zero, the answer has ``_page`` and ``_links``
    P3  GET /export/jobs: an opaque ``offset``
    P4  GET /search/entities: ``page`` from zero, at least one page even when nothing was found

Measured with public clients: a ``_page.next`` that is null or zero on the last page, or a missing ``_links.next``,
makes them loop or fall over. So ``next`` is absent at the end and ``_links.next`` is then an empty object.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from app.errors import InvalidRequest

DEFAULT_LIMIT = 100
MAX_LIMIT = 100
_MAX_INDEX = 10**9  # far beyond any list, and small enough for every database's integers

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SortKey:
    """One attribute to sort by."""

    field: str
    descending: bool

    @property
    def direction(self) -> str:
        """``asc`` or ``desc``."""
        return "desc" if self.descending else "asc"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which rows are asked for: ``limit`` rows from row ``offset`` (from zero) in the order of ``sort``."""

    offset: int
    limit: int
    sort: tuple[SortKey, ...]

    @property
    def index(self) -> int:
        """Number of the page, from zero."""
        return self.offset // self.limit


def parse_p1(
    query: Query, *, sortable: Collection[str], default_sort: str = "creationTime:desc", max_limit: int = MAX_LIMIT
) -> PageRequest:
    """Read ``limit``, ``page`` or ``start``, and ``sort`` of style P1. Raises InvalidRequest."""
    limit = _limit(query, DEFAULT_LIMIT, max_limit)
    page = whole_number(query, "page", default=None)
    offset = page * limit if page is not None else whole_number(query, "start", default=0) or 0
    return PageRequest(offset, limit, parse_sort(query.get("sort"), sortable=sortable, default=default_sort))


def parse_p2(
    query: Query,
    *,
    sortable: Collection[str],
    default_sort: str = "updateTime:desc",
    default_limit: int = DEFAULT_LIMIT,
    max_limit: int = MAX_LIMIT,
) -> PageRequest:
    """Read ``limit``, ``start`` (a page from zero) and ``sort`` of style P2. Raises InvalidRequest."""
    limit = _limit(query, default_limit, max_limit)
    offset = (whole_number(query, "start", default=0) or 0) * limit
    return PageRequest(offset, limit, parse_sort(query.get("sort"), sortable=sortable, default=default_sort))


def parse_sort(text: str | None, *, sortable: Collection[str], default: str) -> tuple[SortKey, ...]:
    """Read ``attribute:asc|desc``, several separated by commas; asc may be left out. Raises InvalidRequest."""
    keys = []
    for part in (text or default).split(","):
        field, _, direction = part.strip().partition(":")
        word = direction.strip().lower() or "asc"
        if field not in sortable or word not in {"asc", "desc"}:
            allowed = ", ".join(sorted(sortable))
            raise InvalidRequest(
                f"sort cannot be {part.strip()!r}",
                hint=f"Write attribute:asc or attribute:desc with one of: {allowed}.",
                path=("sort",),
            )
        keys.append(SortKey(field, word == "desc"))
    return tuple(keys)


def p1_body(items: Sequence[Any], total: int, request: PageRequest, *, key: str = "segments") -> dict[str, Any]:
    """Return the body of a list in style P1. A page past the end has no items and is no error."""
    return {
        key: list(items),
        "page": {
            "totalCount": total,
            "totalPages": math.ceil(total / request.limit),
            "sortField": request.sort[0].field,
            "sort": request.sort[0].direction,
            "pageSize": len(items),
            "limit": request.limit,
        },
        "link": {},
    }


def p2_body(
    items: Sequence[Any],
    total: int,
    request: PageRequest,
    *,
    path: str,
    filters: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Return the body of a list in style P2.

    ``path`` is the collection as it stands in the link (``/audiences``); ``filters`` are the query parameters other
    than ``start`` and ``limit``, which the link has to repeat to mean the same list.
    """
    page: dict[str, Any] = {
        "totalCount": total,
        "totalPages": math.ceil(total / request.limit),
        "sortField": request.sort[0].field,
        "sort": request.sort[0].direction,
        "pageSize": len(items),
        "limit": request.limit,
        "start": str(request.index),
    }
    link: dict[str, Any] = {}
    if items and request.offset + len(items) < total:
        following = request.index + 1
        page["next"] = str(following)
        query = [("start", str(following)), ("limit", str(request.limit)), ("totalCount", str(total)), *filters]
        # The leading @ is literal: AEP's clients put the base address in its place.
        link = {"href": f"@{path}?{urlencode(query)}"}
    return {"children": list(items), "_page": page, "_links": {"next": link}}


def whole_number(query: Query, name: str, *, default: int | None, minimum: int = 0) -> int | None:
    """Read a whole number of the query string; ``default`` when it is absent. Raises InvalidRequest."""
    text = query.get(name)
    if text is None or text.strip() == "":
        return default
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 10 or not minimum <= int(digits) <= _MAX_INDEX:
        raise InvalidRequest(f"{name} must be a whole number of at least {minimum}", path=(name,))
    return int(digits)


def boolean(query: Query, name: str) -> bool | None:
    """Read ``true`` or ``false`` in any letter case (a public client sends ``True``). Raises InvalidRequest."""
    text = query.get(name)
    if text is None:
        return None
    word = text.strip().lower()
    if word not in {"true", "false"}:
        raise InvalidRequest(f"{name} must be true or false", path=(name,))
    return word == "true"


def _limit(query: Query, default: int, maximum: int) -> int:
    # More than the maximum is answered with the maximum: `limit` and `totalPages` of the answer say so.
    return min(whole_number(query, "limit", default=default, minimum=1) or default, maximum)
