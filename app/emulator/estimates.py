"""Previews and estimates: two views of one asynchronous count, under one id.

``POST /preview`` answers at once with state NEW. The count runs in the background (RUNNING, with numbers that grow)
and ends as RESULT_READY or FAILED. Only beginning and end are stored: after a restart an unfinished one begins again.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import structlog
from starlette.responses import Response
from starlette.routing import Route

from app.aep import errors as aep_errors
from app.aep import headers, models, paging, paths
from app.aep.ids import PreviewId, decode_preview_id
from app.aep.times import epoch_ms, from_epoch_ms
from app.emulator import deeds
from app.emulator.answers import Refusal, json_answer
from app.emulator.background import Background
from app.emulator.clock import Clock
from app.emulator.gate import Call, Gate
from app.emulator.merge_policies import merge_policy
from app.emulator.organizations import Organization
from app.emulator.populations import Population, Populations, Reading
from app.emulator.rules import Rule, RuleBook
from app.emulator.state import Store
from app.emulator.workplaces import Workplace
from app.errors import NotFound, PublicError

log = structlog.get_logger(__name__)

KIND: Final = "preview"
_UNFINISHED: Final = ("NEW", "RUNNING")
_DEFAULT_LIMIT: Final = 1000

Key = tuple[str, str, str, str]


class Estimates:
    """The calls under ``/preview`` and ``/estimate``."""

    def __init__(
        self,
        gate: Gate,
        rules: RuleBook,
        populations: Populations,
        background: Background,
        clock: Clock,
        *,
        step_s: float,
    ) -> None:
        self._gate = gate
        self._rules = rules
        self._populations = populations
        self._background = background
        self._clock = clock
        self._step_s = step_s
        self._readings: dict[Key, Reading] = {}

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        guard = self._gate.guard
        preview, estimate = f"{paths.PREVIEW}/{{id}}", f"{paths.ESTIMATE}/{{id}}"
        return [
            Route(paths.PREVIEW, guard(self._create, deed=deeds.SEGMENT_PREVIEW), methods=["POST"]),
            Route(preview, guard(self._get_preview, deed=deeds.SEGMENT_PREVIEW), methods=["GET"]),
            Route(preview, guard(self._delete, deed=deeds.SEGMENT_PREVIEW), methods=["DELETE"]),
            Route(estimate, guard(self._get_estimate, deed=deeds.SEGMENT_PREVIEW), methods=["GET"]),
        ]

    async def resume(self, place: Workplace) -> None:
        """Take up what a previous process left unfinished in a place."""
        for query_id, document in await place.store.works_in_state(KIND, _UNFINISHED):
            self._start(place.store, place.population, query_id, document)

    async def _create(self, call: Call) -> Response:
        body = await call.json()
        request = models.read_model(models.PreviewRequest, body)
        rule = self._rules.parse(call.organization, request.predicate_expression, request.predicate_type)
        policy = await merge_policy(call, request.merge_policy_id)
        query_id = str(uuid.uuid4())
        preview_id = PreviewId(f"app-{call.organization.slug}", query_id).encode()
        document = {
            "previewId": preview_id,
            "expression": rule.text,
            "format": rule.format,
            "graphType": request.graph_type,
            "mergePolicyId": policy["id"],
            "state": "NEW",
            "asOfMs": call.now_ms,
            "createdBy": call.token.user_id,
        }
        await call.store.add_work(KIND, query_id, "NEW", document, now_ms=call.now_ms)
        self._start(call.store, self._population(call), query_id, document)
        location = {headers.LOCATION: paths.resource(paths.PREVIEW, preview_id)}
        return json_answer(_status(query_id, document), 201, location)

    async def _get_preview(self, call: Call) -> Response:
        query_id, document = await self._find(call)
        offset = paging.whole_number(call.request.query_params, "offset", default=0) or 0
        limit = paging.whole_number(call.request.query_params, "limit", default=_DEFAULT_LIMIT, minimum=1)
        size = min(limit or _DEFAULT_LIMIT, _DEFAULT_LIMIT)
        rows: list[tuple[str, list[str]]] = []
        if document["state"] == "RESULT_READY":
            rule = self._rule(call.organization, document)
            moment = from_epoch_ms(document["asOfMs"])
            # One row more than asked for tells whether there is a next page.
            rows = await self._population(call).rows(rule, moment, offset, size + 1)
        return json_answer(
            {
                **_status(query_id, document),
                "results": [_row(row, call) for row in rows[:size]],
                "page": {"offset": offset, "size": len(rows[:size])},
                "links": _links(document["previewId"], offset, size, more=len(rows) > size),
            }
        )

    async def _get_estimate(self, call: Call) -> Response:
        query_id, document = await self._find(call)
        reading = self._reading(call, query_id, document)
        base = str(call.request.base_url).rstrip("/")
        app = f"app-{call.organization.slug}"
        link = f"{base}{paths.PREVIEW}/{app}/execution/0?previewQueryId={query_id}"
        return json_answer(
            {
                "estimatedSize": reading.estimated_size,
                "numRowsToRead": reading.rows_to_read,
                "estimatedNamespaceDistribution": [
                    {"namespaceId": namespace, "profilesMatchedSoFar": matched}
                    for namespace, matched in reading.by_namespace.items()
                ],
                "state": document["state"],
                "profilesReadSoFar": reading.rows_read,
                "standardError": reading.standard_error,
                "error": {"description": document.get("fault", ""), "traceback": ""},
                "profilesMatchedSoFar": reading.rows_matched,
                "totalRows": reading.rows_total,
                "confidenceInterval": "95%",
                # No member of the vendor's. His standard error says nothing where a sample has no match at all.
                "estimatedInterval": {"low": reading.low, "high": reading.high},
                "_links": {"preview": link},
            }
        )

    async def _delete(self, call: Call) -> Response:
        query_id = _query_id(call)
        if not await call.store.delete_work(KIND, query_id):
            raise _not_found(call)
        self._background.cancel(_key(call.store, query_id))
        return json_answer(aep_errors.message_body(f"Preview with id '{call.path('id')}' has been deleted"))

    async def _find(self, call: Call) -> tuple[str, dict[str, Any]]:
        """Return the preview that the path names, with the state that it has in the running work."""
        query_id = _query_id(call)
        key = _key(call.store, query_id)
        # Looked at before the store: the work may finish in between, and a state must never go back.
        running = key in self._readings
        document = await call.store.work(KIND, query_id)
        if document is None:
            raise _not_found(call)
        if document["state"] == "NEW" and (running or key in self._readings):
            document = {**document, "state": "RUNNING"}
        return query_id, document

    def _reading(self, call: Call, query_id: str, document: Mapping[str, Any]) -> Reading:
        if document["state"] == "RESULT_READY":
            return Reading.from_document(document["reading"])
        running = self._readings.get(_key(call.store, query_id))
        return running or self._population(call).nothing_read()

    def _population(self, call: Call) -> Population:
        return self._populations.of(call.organization, call.sandbox)

    def _start(self, store: Store, population: Population, query_id: str, document: Mapping[str, Any]) -> None:
        key = _key(store, query_id)
        self._background.start(key, self._run(key, store, population, document))

    async def _run(self, key: Key, store: Store, population: Population, document: Mapping[str, Any]) -> None:
        query_id = key[-1]
        try:
            async with self._background.turns:
                outcome = await self._count(key, population, document)
            await store.change_work(
                KIND, query_id, lambda stored: {**stored, **outcome}, state_member="state", now_ms=self._now_ms()
            )
        except NotFound:
            log.info("emulator.preview_deleted_while_running", preview_query_id=query_id)
        finally:
            self._readings.pop(key, None)

    async def _count(self, key: Key, population: Population, document: Mapping[str, Any]) -> dict[str, Any]:
        moment: datetime = from_epoch_ms(document["asOfMs"])
        try:
            rule = self._rule(population.organization, document)
            async for reading in population.estimates(rule, moment):
                # The first numbers show at once; the pause after them lets clients see a running estimate.
                self._readings[key] = reading
                await asyncio.sleep(self._step_s)
        except (PublicError, Refusal) as fault:
            # The reason belongs to whoever asked, so it is stored with the preview and not only logged.
            log.warning("emulator.estimate_failed", preview_query_id=key[-1], reason=str(fault))
            return {"state": "FAILED", "fault": str(fault)}
        except Exception as fault:
            log.error("emulator.estimate_broke", preview_query_id=key[-1], exc_info=fault)
            return {"state": "FAILED", "fault": "The estimate met an internal error; see the emulator's log."}
        return {"state": "RESULT_READY", "reading": self._readings[key].to_document()}

    def _rule(self, organization: Organization, document: Mapping[str, Any]) -> Rule:
        return self._rules.parse(organization, document["expression"], document.get("format", "pql/text"))

    def _now_ms(self) -> int:
        return epoch_ms(self._clock.now())


def _key(store: Store, query_id: str) -> Key:
    return (KIND, store.org_id, store.sandbox, query_id)


def _query_id(call: Call) -> str:
    decoded = decode_preview_id(call.path("id"))
    if decoded is None or decoded.app != f"app-{call.organization.slug}":
        raise _not_found(call)
    return decoded.query_id


def _not_found(call: Call) -> Refusal:
    return Refusal(404, f"The preview {call.path('id')} is not found. Create one with POST /preview.")


def _status(query_id: str, document: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "state": document["state"],
        "previewQueryId": query_id,
        "previewQueryStatus": document["state"],
        "previewId": document["previewId"],
        "previewExecutionId": 0,
    }


def _row(row: tuple[str, list[str]], call: Call) -> dict[str, Any]:
    base = f"{str(call.request.base_url).rstrip('/')}{paths.UPS}/models/profile"
    xid, others = row
    linked = {other: {"_href": f"{base}/{other}"} for other in others}
    return {xid: {"_href": f"{base}/{xid}", "endCustomerIds": linked}}


def _links(preview_id: str, offset: int, limit: int, *, more: bool) -> dict[str, str]:
    def href(start: int) -> str:
        return f"{paths.resource('/preview', preview_id)}?offset={start}&limit={limit}"

    return {
        "_self": href(offset),
        "next": href(offset + limit) if more else "",
        "prev": href(max(0, offset - limit)) if offset else "",
    }
