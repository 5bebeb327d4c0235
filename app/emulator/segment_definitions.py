"""The calls under ``/segment/definitions``, and ``/segment/conversion``.

A definition is stored as an audience (see `documents`). Its rule is checked against the organization's union schema
before anything is stored.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from app.aep import errors as aep_errors
from app.aep import headers, models, paging, paths
from app.emulator import deeds
from app.emulator.answers import Refusal, json_answer
from app.emulator.bulk import bulk_answer
from app.emulator.documents import PLATFORM_TYPE, definition_view
from app.emulator.gate import Call, Gate
from app.emulator.platform_audiences import PlatformAudiences, refuse_used
from app.emulator.rules import RuleBook
from app.emulator.state import AUDIENCE_SORTABLE, AudienceQuery
from app.errors import Conflict, NotFound

_EVALUATION_FILTERS = {f"evaluationInfo.{method}.enabled": method for method in models.EVALUATION_METHODS}


class SegmentDefinitions:
    """The seven calls."""

    def __init__(self, gate: Gate, rules: RuleBook, writer: PlatformAudiences) -> None:
        self._gate = gate
        self._rules = rules
        self._writer = writer

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        guard = self._gate.guard
        one = f"{paths.SEGMENT_DEFINITIONS}/{{id}}"
        bulk_get, conversion = paths.SEGMENT_DEFINITIONS_BULK_GET, paths.SEGMENT_CONVERSION
        return [
            Route(paths.SEGMENT_DEFINITIONS, guard(self._list, deed=deeds.SEGMENT_READ), methods=["GET"]),
            Route(paths.SEGMENT_DEFINITIONS, guard(self._create, deed=deeds.SEGMENT_CREATE), methods=["POST"]),
            Route(bulk_get, guard(self._bulk_get, any_body_type=True, deed=deeds.SEGMENT_READ), methods=["POST"]),
            Route(one, guard(self._get, deed=deeds.SEGMENT_READ), methods=["GET"]),
            Route(one, guard(self._patch, deed=deeds.SEGMENT_UPDATE), methods=["PATCH"]),
            Route(one, guard(self._delete, deed=deeds.SEGMENT_DELETE), methods=["DELETE"]),
            Route(conversion, guard(self._convert, any_body_type=True, deed=deeds.SEGMENT_CONVERT), methods=["POST"]),
        ]

    async def _list(self, call: Call) -> Response:
        query = call.request.query_params
        request = paging.parse_p1(query, sortable=AUDIENCE_SORTABLE)
        methods = _wanted_methods(query)
        keep = None if call.credential.labels is None else call.may_see
        shown = AudienceQuery(request.sort, request.offset, request.limit, True, methods, keep)
        documents, total = await call.store.audiences(shown)
        return json_answer(paging.p1_body([definition_view(document) for document in documents], total, request))

    async def _create(self, call: Call) -> Response:
        body = await call.json()
        models.read_model(models.SegmentDefinitionCreate, body)
        body = models.with_current_words(body)
        document = await self._writer.create(call, body)
        call.touches(document["id"], document["name"])
        return _answer(document)

    async def _get(self, call: Call) -> Response:
        document = await _definition(call)
        call.check_labels(document, "READ")
        return json_answer(definition_view(document))

    async def _patch(self, call: Call) -> Response:
        body = await call.json()
        models.read_model(models.SegmentDefinitionPatch, body)
        body = models.with_current_words(body)
        stored = await _definition(call)
        call.touches(stored["id"], stored["name"])
        call.check_labels(stored, "WRITE")
        try:
            return _answer(await self._writer.change(call, stored["id"], body))
        except NotFound:
            raise _not_found(stored["id"]) from None

    async def _delete(self, call: Call) -> Response:
        stored = await _definition(call)
        identifier = stored["id"]
        call.touches(identifier, stored["name"])
        call.check_labels(stored, "WRITE")
        try:
            await call.store.delete_audience(identifier, platform_only=True)
        except NotFound:
            raise _not_found(identifier) from None
        except Conflict as conflict:
            raise refuse_used(conflict) from conflict
        return json_answer(aep_errors.message_body(f"Segment with id '{identifier}' has been marked for deletion"))

    async def _bulk_get(self, call: Call) -> Response:
        async def find(ids: list[str]) -> dict[str, Any]:
            found = await call.store.audiences_by_id(ids)
            return {
                identifier: definition_view(document)
                for identifier, document in found.items()
                if document["type"] == PLATFORM_TYPE
            }

        return await bulk_answer(call, find)

    async def _convert(self, call: Call) -> Response:
        body = await call.json()
        models.read_model(models.SegmentDefinitionCreate, body)
        identifier = body.get("id")
        if isinstance(identifier, str) and await call.store.audience(identifier) is not None:
            raise Refusal(409, f"A segment definition with the id {identifier} exists. Leave the id out to convert.")
        expression = self._rules.convert(call, body)
        answer: dict[str, Any] = {**call.place}
        for name in ("ttlInDays", "description", "profileInstanceId", "payloadSchema"):
            if name in body:
                answer[name] = body[name]
        return json_answer({**answer, "expression": expression})


def _wanted_methods(query: paging.Query) -> tuple[str, ...] | None:
    """Return the evaluation methods that the filters admit, or None when there is no filter."""
    wanted: set[str] = set(models.EVALUATION_METHODS)
    given = False
    for parameter, method in _EVALUATION_FILTERS.items():
        value = paging.boolean(query, parameter)
        if value is not None:
            given = True
            wanted &= {method} if value else wanted - {method}
    return tuple(sorted(wanted)) if given else None


async def _definition(call: Call) -> dict[str, Any]:
    document = await call.store.audience(call.path("id"))
    if document is None or document["type"] != PLATFORM_TYPE:
        raise _not_found(call.path("id"))
    return document


def _not_found(identifier: str) -> Refusal:
    return Refusal(404, f"The segment definition {identifier} is not found. Use a valid id and try again.")


def _answer(document: dict[str, Any]) -> Response:
    location = paths.resource(paths.SEGMENT_DEFINITIONS, document["id"])
    return json_answer(definition_view(document), extra={headers.LOCATION: location})
