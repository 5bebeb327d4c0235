"""The audit log: ``/data/foundation/audit/events`` and its export, as `app.aep.audit_log` describes them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.aep import audit_log as shape
from app.aep import headers, paths
from app.aep.times import epoch_ms
from app.emulator.answers import Refusal, empty_answer, error_answer, json_answer
from app.emulator.clock import Clock
from app.emulator.deeds import AUDIT_READ
from app.emulator.gate import Call, Gate

_LINK_LIFE_MS: Final = 15 * 60_000
_DOWNLOADS: Final = f"{paths.AUDIT_EXPORT}/files"

Document = dict[str, Any]


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
        start, limit = shape.read_window(parameters)
        query = shape.Query.read(parameters.multi_items())
        found, up_to = await _find(call, query, call.now_ms - shape.WINDOW_MS, call.now_ms + 1)
        body = shape.page_of(
            found[: shape.MAX_LISTED],
            msgspec.structs.replace(query, up_to=up_to),
            start=start,
            limit=limit,
            base_url=str(call.request.base_url),
            parameters=parameters.multi_items(),
        )
        return json_answer(body)

    async def _export(self, call: Call) -> Response:
        query = shape.Query.read(call.request.query_params.multi_items())
        found, _ = await _find(call, query, *query.export_bounds(call.now_ms))
        if not found:
            return empty_answer()
        name = f"audit-{secrets.token_urlsafe(32)}.csv"
        self._drop_old(call.now_ms)
        self._downloads[name] = _Download(shape.csv_of(found[: shape.MAX_EXPORTED]), call.now_ms + _LINK_LIFE_MS)
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


async def _find(call: Call, query: shape.Query, from_ms: int, to_ms: int) -> tuple[list[Document], int]:
    """Return the matching events of a time in the query's order, and the number of the last event that there is."""
    filters = query.filters()
    rows, last = await call.store.audit_events(from_ms=from_ms, to_ms=to_ms, up_to=query.up_to)
    found = [row for row in rows if all(one.holds(*row) for one in filters)]
    query.sort(found)
    return [document for _, document in found], last
