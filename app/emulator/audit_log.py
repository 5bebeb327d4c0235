"""The audit log: ``/data/foundation/audit/events`` and its export.

The list goes back 90 days and shows the newest 1,000 of what it finds; an export goes back 365 days, 90 of them at a
time, and holds the newest 10,000. A list's ``queryId`` holds what was asked for and the last event that there was, so
that pages do not shift when more events come. Source: Adobe's audit-query reference (read December 2025).
"""

from __future__ import annotations

import base64
import csv
import io
import math
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.aep import headers, paging, paths
from app.aep.times import epoch_ms
from app.emulator.answers import Refusal, empty_answer, error_answer, json_answer
from app.emulator.audit_trail import KEPT
from app.emulator.clock import Clock
from app.emulator.deeds import AUDIT_READ
from app.emulator.gate import Call, Gate
from app.errors import InvalidRequest

_DEFAULT_LIMIT: Final = 50
_MAX_LIMIT: Final = 1000
_MAX_LISTED: Final = 1000
_MAX_EXPORTED: Final = 10_000
_WINDOW_MS: Final = timedelta(days=90) // timedelta(milliseconds=1)
_KEPT_MS: Final = KEPT // timedelta(milliseconds=1)
_LINK_LIFE_MS: Final = 15 * 60_000
_DOWNLOADS: Final = f"{paths.AUDIT_EXPORT}/files"

# Names of filters and orders, and the member of an event that each is about.
_MEMBERS: Final = {
    "type": "permissionResource",
    "status": "status",
    "action": "action",
    "user": "userEmail",
    "assetType": "assetType",
    "assetId": "assetId",
    "assetName": "assetName",
    "requestId": "requestId",
    "timestamp": "timestamp",
}
_COLUMNS: Final = (
    *("timestamp", "userEmail", "action", "status", "failureCode", "assetType", "assetId", "assetName"),
    *("permissionResource", "permissionType", "requestId", "sandboxName", "imsOrgId", "region", "authId", "id"),
)
_PROPERTY: Final = re.compile(r"\s*([A-Za-z]+)\s*(==|>=|<=|>|<)(.*)", re.DOTALL)

Document = dict[str, Any]
Row = tuple[int, Document]


class Query(msgspec.Struct, frozen=True):
    """What a list or an export is about. ``up_to`` is the last event that belongs to it."""

    properties: tuple[str, ...]
    order: str
    up_to: int | None = None

    def encode(self) -> str:
        """Return the query as a ``queryId``."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class _Download:
    content: bytes
    expires_ms: int


class AuditLog:
    """The calls of this resource."""

    def __init__(self, gate: Gate, clock: Clock) -> None:
        self._gate = gate
        self._clock = clock
        self._downloads: dict[str, _Download] = {}

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        guard = self._gate.guard
        return [
            Route(paths.AUDIT_EVENTS, guard(self._list, deed=AUDIT_READ), methods=["GET"]),
            Route(paths.AUDIT_EXPORT, guard(self._export, deed=AUDIT_READ), methods=["GET"]),
            # The link stands for the right to read it, as a signed link to a storage does.
            Route(f"{_DOWNLOADS}/{{name}}", self._download, methods=["GET"]),
        ]

    async def _list(self, call: Call) -> Response:
        parameters = call.request.query_params
        limit = paging.whole_number(parameters, "limit", default=_DEFAULT_LIMIT, minimum=1) or _DEFAULT_LIMIT
        if limit > _MAX_LIMIT:
            raise InvalidRequest(f"limit must be at most {_MAX_LIMIT}", path=("limit",))
        start = paging.whole_number(parameters, "start", default=0) or 0
        query = _query(call)
        found, up_to = await _find(call, query, call.now_ms - _WINDOW_MS, call.now_ms + 1)
        found = found[:_MAX_LISTED]
        query = msgspec.structs.replace(query, up_to=up_to)
        shown = found[start : start + limit]
        return json_answer(
            {
                "_embedded": {"events": [document for _, document in shown]},
                "_links": _links(call, query.encode(), start, limit, more=start + len(shown) < len(found)),
                "page": {
                    "size": limit,
                    "totalElements": len(found),
                    "totalPages": math.ceil(len(found) / limit),
                    "number": start // limit + 1,
                },
                "queryId": query.encode(),
            }
        )

    async def _export(self, call: Call) -> Response:
        query = _query(call)
        bounds = _time_bounds(query, call.now_ms)
        if bounds[1] - bounds[0] > _WINDOW_MS + 1:
            raise Refusal(400, "An export covers at most 90 days. Narrow it with property=timestamp>... and <...")
        found, _ = await _find(call, query, *bounds)
        if not found:
            return empty_answer()
        name = f"audit-{secrets.token_urlsafe(32)}.csv"
        self._drop_old(call.now_ms)
        content = _csv([document for _, document in found[:_MAX_EXPORTED]])
        self._downloads[name] = _Download(content, call.now_ms + _LINK_LIFE_MS)
        base = str(call.request.base_url).rstrip("/")
        return Response(status_code=307, headers={"location": f"{base}{_DOWNLOADS}/{name}"})

    async def _download(self, request: Request) -> Response:
        self._drop_old(epoch_ms(self._clock.now()))
        found = self._downloads.get(str(request.path_params["name"]))
        if found is None:
            refusal = Refusal(404, "This export is not there any more. Ask for it again.")
            return error_answer(refusal, headers.request_id_or_new(request.headers.get(headers.REQUEST_ID)))
        shown_as = {"content-disposition": 'attachment; filename="audit-events.csv"', "cache-control": "no-store"}
        return Response(found.content, media_type="text/csv; charset=utf-8", headers=shown_as)

    def _drop_old(self, now_ms: int) -> None:
        self._downloads = {name: one for name, one in self._downloads.items() if one.expires_ms > now_ms}


def _query(call: Call) -> Query:
    parameters = call.request.query_params
    query_id = parameters.get("queryId")
    if query_id:
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(query_id + "=" * (-len(query_id) % 4)), type=Query)
        except (msgspec.DecodeError, ValueError) as fault:
            raise InvalidRequest("queryId must be one that an earlier answer gave", path=("queryId",)) from fault
    # A literal + in a query string arrives as a blank.
    return Query(tuple(parameters.getlist("property")), parameters.get("orderBy", "-timestamp").replace(" ", "+"))


async def _find(call: Call, query: Query, from_ms: int, to_ms: int) -> tuple[list[Row], int]:
    """Return the matching events of a time in the query's order, and the number of the last event that there is."""
    tests = [_test(text) for text in query.properties]
    rows, last = await call.store.audit_events(from_ms=from_ms, to_ms=to_ms, up_to=query.up_to)
    found = [row for row in rows if all(test(row) for test in tests)]
    name = query.order.lstrip("+-")
    if name not in _MEMBERS:
        raise InvalidRequest(
            f"orderBy cannot be {query.order!r}", hint=f"Use {', '.join(_MEMBERS)}.", path=("orderBy",)
        )
    if name == "timestamp":
        found.sort(key=lambda row: row[0], reverse=query.order.startswith("-"))
    else:
        found.sort(key=lambda row: str(row[1][_MEMBERS[name]]).lower(), reverse=query.order.startswith("-"))
    return found, last


def _test(text: str) -> Callable[[Row], bool]:
    """Read one ``property`` filter. Values of ``==`` are separated by commas and compared in any letter case."""
    name, operator, value = _parts(text)
    if name == "timestamp":
        moment = _moment(value)
        return lambda row: _compare(row[0], operator, moment)
    wanted = {one.strip().lower() for one in value.split(",")}
    member = _MEMBERS[name]
    return lambda row: str(row[1][member]).lower() in wanted or _names_one_of_many(row[1], member, wanted)


def _parts(text: str) -> tuple[str, str, str]:
    match = _PROPERTY.fullmatch(text)
    name, operator, value = match.groups() if match else ("", "", "")
    if name not in _MEMBERS or (operator != "==" and name != "timestamp"):
        raise InvalidRequest(
            f"property cannot be {text!r}",
            hint=f"Write property=name==value with {', '.join(_MEMBERS)}; timestamp also takes > and <.",
            path=("property",),
        )
    return name, operator, value.strip()


def _names_one_of_many(document: Mapping[str, Any], member: str, wanted: set[str]) -> bool:
    return any(str(one.get(member, "")).lower() in wanted for one in document.get("assets", []))


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


def _time_bounds(query: Query, now_ms: int) -> tuple[int, int]:
    """Return the time that an export covers; a filter that names its begin or end moves it from the last 90 days."""
    begin, end = None, now_ms + 1
    for name, operator, value in map(_parts, query.properties):
        if name == "timestamp" and operator in {">", ">="}:
            begin = max(begin or 0, _moment(value))
        elif name == "timestamp" and operator in {"<", "<="}:
            end = min(end, _moment(value) + 1)
    return max(begin if begin is not None else end - _WINDOW_MS, now_ms - _KEPT_MS), end


def _links(call: Call, query_id: str, start: int, limit: int, *, more: bool) -> Document:
    base = f"{str(call.request.base_url).rstrip('/')}{paths.AUDIT_EVENTS}"
    given = "&".join(
        f"{quote(name)}={quote(value)}"
        for name, value in call.request.query_params.multi_items()
        if name not in {"limit", "start"}
    )
    page = f"{base}?queryId={query_id}&limit={limit}{{&start}}"
    links: Document = {"self": {"href": f"{base}?{given}{'&' if given else ''}limit={limit}&start={start}"}}
    if more:
        # One public client cuts `start=` and `queryId=` out of this text.
        links["next"] = {"href": f"{base}?queryId={query_id}&start={start + limit}&limit={limit}"}
    return {**links, "page": {"href": page, "templated": True}}


def _csv(documents: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    writer.writerows([document[column] for column in _COLUMNS] for document in documents)
    return text.getvalue().encode()
