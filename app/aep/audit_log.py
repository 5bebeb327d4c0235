"""The audit log's query and pages: ``/data/foundation/audit/events`` and its export.

A list goes back 90 days and shows the newest 1,000 of what it finds; an export goes back 365 days, 90 of them at a
time, and holds the newest 10,000. A list's ``queryId`` holds what was asked for and the last event that there was, so
that pages do not shift when more events come. Source: Adobe's audit-query reference (read December 2025).
"""

from __future__ import annotations

import base64
import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import msgspec

from app.aep import paging, paths
from app.aep.times import epoch_ms, from_epoch_ms
from app.errors import InvalidRequest

_KEPT: Final = timedelta(days=365)
WINDOW_MS: Final = timedelta(days=90) // timedelta(milliseconds=1)
MAX_LISTED: Final = 1000
MAX_EXPORTED: Final = 10_000
KEPT_MS: Final = _KEPT // timedelta(milliseconds=1)
_DEFAULT_LIMIT: Final = 50
_MAX_LIMIT: Final = 1000
_TIMESTAMP: Final = "timestamp"

# Names of filters and orders, and the member of an event that each is about.
MEMBERS: Final = {
    "type": "permissionResource",
    "status": "status",
    "action": "action",
    "user": "userEmail",
    "assetType": "assetType",
    "assetId": "assetId",
    "assetName": "assetName",
    "requestId": "requestId",
    _TIMESTAMP: "timestamp",
}
_COLUMNS: Final = (
    *("timestamp", "userEmail", "action", "status", "failureCode", "assetType", "assetId", "assetName"),
    *("permissionResource", "permissionType", "requestId", "sandboxName", "imsOrgId", "region", "authId", "id"),
)
_PROPERTY: Final = re.compile(r"\s*([A-Za-z]+)\s*(==|>=|<=|>|<)(.*)", re.DOTALL)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Property:
    """One ``property`` filter. ``values`` are in lower case; those of a time are milliseconds since 1970, as text."""

    name: str
    operator: str
    values: frozenset[str]

    @property
    def moment(self) -> int:
        """The time of a filter of times, in milliseconds since 1970."""
        return int(next(iter(self.values)))

    def holds(self, at_ms: int, event: Mapping[str, Any]) -> bool:
        """Tell whether an event of ``at_ms`` passes."""
        if self.name == _TIMESTAMP:
            return _compare(at_ms, self.operator, self.moment)
        member = MEMBERS[self.name]
        return any(str(one.get(member, "")).lower() in self.values for one in (event, *event.get("assets", ())))


class Query(msgspec.Struct, frozen=True):
    """What a list or an export is about. ``up_to`` is the number of the last event that belongs to it."""

    properties: tuple[str, ...]
    order: str
    up_to: int | None = None

    @classmethod
    def read(cls, parameters: Iterable[tuple[str, str]]) -> Query:
        """Read ``queryId``, or ``property`` and ``orderBy``. Raises InvalidRequest."""
        given = list(parameters)
        named = dict(given)
        if named.get("queryId"):
            return cls._decode(named["queryId"])
        # A literal + in a query string arrives as a blank.
        order = named.get("orderBy", f"-{_TIMESTAMP}").replace(" ", "+")
        query = cls(tuple(value for name, value in given if name == "property"), order)
        query.filters()
        if query.order_name not in MEMBERS:
            raise InvalidRequest(f"orderBy cannot be {order!r}", hint=f"Use {', '.join(MEMBERS)}.", path=("orderBy",))
        return query

    @classmethod
    def _decode(cls, query_id: str) -> Query:
        try:
            query = msgspec.json.decode(base64.urlsafe_b64decode(query_id + "=" * (-len(query_id) % 4)), type=Query)
        except (msgspec.DecodeError, ValueError) as fault:
            raise InvalidRequest("queryId must be one that an earlier answer gave", path=("queryId",)) from fault
        query.filters()
        if query.order_name not in MEMBERS:
            raise InvalidRequest("queryId must be one that an earlier answer gave", path=("queryId",))
        return query

    def encode(self) -> str:
        """Return the query as a ``queryId``."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    def filters(self) -> list[Property]:
        """Return the filters; all must hold. Raises InvalidRequest."""
        return [_property(text) for text in self.properties]

    @property
    def order_name(self) -> str:
        """The name that the answer is sorted by."""
        return self.order.lstrip("+-")

    @property
    def descending(self) -> bool:
        """Whether the answer is sorted downwards."""
        return self.order.startswith("-")

    def sort(self, found: list[tuple[int, Document]]) -> None:
        """Sort pairs of a time (milliseconds since 1970) and an event in place, in the query's order."""
        if self.order_name == _TIMESTAMP:
            found.sort(key=lambda row: row[0], reverse=self.descending)
        else:
            member = MEMBERS[self.order_name]
            found.sort(key=lambda row: str(row[1][member]).lower(), reverse=self.descending)

    def export_bounds(self, now_ms: int) -> tuple[int, int]:
        """Return the time that an export covers, from and before, in milliseconds since 1970.

        A filter that names its begin or end moves it from the last 90 days. Raises InvalidRequest for more than 90.
        """
        begin, end = None, now_ms + 1
        for one in self.filters():
            if one.name == _TIMESTAMP and one.operator in {">", ">="}:
                begin = max(begin or 0, one.moment)
            elif one.name == _TIMESTAMP and one.operator in {"<", "<="}:
                end = min(end, one.moment + 1)
        start = max(begin if begin is not None else end - WINDOW_MS, now_ms - KEPT_MS)
        if end - start > WINDOW_MS + 1:
            raise InvalidRequest("An export covers at most 90 days. Narrow it with property=timestamp>... and <...")
        return start, end


def timestamp(at_ms: int) -> str:
    """Return a time as the log writes it: milliseconds, and ``+0000`` without a colon."""
    return from_epoch_ms(at_ms).isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def read_window(parameters: Mapping[str, str]) -> tuple[int, int]:
    """Read ``start`` (a row, from zero) and ``limit`` of a list. Raises InvalidRequest."""
    limit = paging.whole_number(parameters, "limit", default=_DEFAULT_LIMIT, minimum=1) or _DEFAULT_LIMIT
    if limit > _MAX_LIMIT:
        raise InvalidRequest(f"limit must be at most {_MAX_LIMIT}", path=("limit",))
    return paging.whole_number(parameters, "start", default=0) or 0, limit


def page_of(
    events: Sequence[Document],
    query: Query,
    *,
    start: int,
    limit: int,
    base_url: str,
    parameters: Iterable[tuple[str, str]],
) -> Document:
    """Return a page of all ``events`` that were found. ``base_url`` is the server's, ``parameters`` the request's."""
    shown = events[start : start + limit]
    more = start + len(shown) < len(events)
    return {
        "_embedded": {"events": list(shown)},
        "_links": _links(f"{base_url.rstrip('/')}{paths.AUDIT_EVENTS}", parameters, query.encode(), start, limit, more),
        "page": {
            "size": limit,
            "totalElements": len(events),
            "totalPages": math.ceil(len(events) / limit),
            "number": start // limit + 1,
        },
        "queryId": query.encode(),
    }


def csv_of(events: Iterable[Mapping[str, Any]]) -> bytes:
    """Return events as an export's file."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows([event[column] for column in _COLUMNS] for event in events)
    return text.getvalue().encode()


def _property(text: str) -> Property:
    match = _PROPERTY.fullmatch(text)
    name, operator, value = match.groups() if match else ("", "", "")
    if name not in MEMBERS or (operator != "==" and name != _TIMESTAMP):
        raise InvalidRequest(
            f"property cannot be {text!r}",
            hint=f"Write property=name==value with {', '.join(MEMBERS)}; timestamp also takes > and <.",
            path=("property",),
        )
    if name == _TIMESTAMP:
        return Property(name, operator, frozenset({str(_moment(value.strip()))}))
    return Property(name, operator, frozenset(one.strip().lower() for one in value.split(",")))


def _moment(text: str) -> int:
    """Return a time, given in RFC 3339 or in milliseconds since 1970, as milliseconds since 1970."""
    if text.isascii() and text.isdigit() and len(text) < 15:
        return int(text)
    try:
        # In a query string the + of a zone arrives as a blank.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as fault:
        raise InvalidRequest(
            "timestamp must be an RFC 3339 time or milliseconds since 1970", path=("property",)
        ) from fault
    return epoch_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _compare(at_ms: int, operator: str, moment: int) -> bool:
    match operator:
        case "==":
            return at_ms == moment
        case ">":
            return at_ms > moment
        case ">=":
            return at_ms >= moment
        case "<":
            return at_ms < moment
        case _:
            return at_ms <= moment


def _links(
    base: str, parameters: Iterable[tuple[str, str]], query_id: str, start: int, limit: int, more: bool
) -> Document:
    given = "&".join(f"{quote(name)}={quote(value)}" for name, value in parameters if name not in {"limit", "start"})
    page = f"{base}?queryId={query_id}&limit={limit}{{&start}}"
    links: Document = {"self": {"href": f"{base}?{given}{'&' if given else ''}limit={limit}&start={start}"}}
    if more:
        # One public client cuts `start=` and `queryId=` out of this text.
        links["next"] = {"href": f"{base}?queryId={query_id}&start={start + limit}&limit={limit}"}
    return {**links, "page": {"href": page, "templated": True}}
