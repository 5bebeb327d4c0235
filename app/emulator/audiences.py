"""The calls under ``/audiences`` that read: platform audiences and those that were made elsewhere."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from app.aep import models, paging, paths
from app.aep.errors import ErrorCode
from app.aep.filters import parse_properties
from app.emulator.answers import Refusal, json_answer
from app.emulator.bulk import bulk_answer
from app.emulator.documents import audience_view
from app.emulator.gate import Call, Gate
from app.emulator.state import AUDIENCE_SORTABLE, AudienceQuery

_PAGING = frozenset({"start", "limit", "totalCount"})


class Audiences:
    """The calls of this resource."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        guard = self._gate.guard
        return [
            Route(paths.AUDIENCES, guard(self._list), methods=["GET"]),
            Route(paths.AUDIENCES_BULK_GET, guard(self._bulk_get, any_body_type=True), methods=["POST"]),
            Route(f"{paths.AUDIENCES}/{{id}}", guard(self._get), methods=["GET"]),
        ]

    async def _list(self, call: Call) -> Response:
        query = call.request.query_params
        request = paging.parse_p2(query, sortable=AUDIENCE_SORTABLE)
        properties = parse_properties(query.getlist("property"))
        texts = [(name, query[name].lower()) for name in ("name", "description") if query.get(name)]
        entity = query.get("entityType", models.PROFILE_CLASS)

        def keep(document: dict[str, Any]) -> bool:
            schema = document.get("schema", {}).get("name", models.PROFILE_CLASS)
            return (
                schema == entity
                and all(needle in (document.get(name) or "").lower() for name, needle in texts)
                and all(wanted.matches(document) for wanted in properties)
            )

        filtered = properties or texts or entity != models.PROFILE_CLASS
        shown = AudienceQuery(request.sort, request.offset, request.limit, keep=keep if filtered else None)
        documents, total = await call.store.audiences(shown)
        repeated = [(name, value) for name, value in query.multi_items() if name not in _PAGING]
        children = [audience_view(document) for document in documents]
        return json_answer(paging.p2_body(children, total, request, path="/audiences", filters=repeated))

    async def _get(self, call: Call) -> Response:
        return json_answer(audience_view(await find_audience(call)))

    async def _bulk_get(self, call: Call) -> Response:
        async def find(ids: list[str]) -> dict[str, Any]:
            found = await call.store.audiences_by_id(ids)
            return {identifier: audience_view(document) for identifier, document in found.items()}

        return await bulk_answer(call, find)


async def find_audience(call: Call) -> dict[str, Any]:
    """Return the audience that the path names. Raises Refusal with 404."""
    document = await call.store.audience(call.path("id"))
    if document is None:
        message = f"The audience entity {call.path('id')} is not found. Use a valid entity and try again."
        raise Refusal(404, message, code=ErrorCode.AUDIENCE_NOT_FOUND)
    return document
