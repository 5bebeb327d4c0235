"""The calls under ``/segment/jobs``. What a job does is told in `segment_job_work`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from app.aep import paging, paths
from app.aep.filters import PropertyFilter, parse_properties
from app.emulator import deeds
from app.emulator.answers import Refusal, empty_answer, json_answer
from app.emulator.background import progress_member
from app.emulator.bulk import bulk_answer
from app.emulator.faults import partial_share
from app.emulator.gate import Call, Gate
from app.emulator.guardrails import GuardrailControl
from app.emulator.merge_policies import merge_policy
from app.emulator.on_demand import check_on_demand
from app.emulator.segment_job_work import (
    ALL_SEGMENTS,
    KIND,
    MAX_LISTED_SEGMENTS,
    UNFINISHED,
    JobOrder,
    SegmentJobWork,
    evaluable_definitions,
    job_view,
    new_job_id,
)
from app.emulator.state import WORK_SORTABLE, WorkQuery
from app.emulator.workplaces import Workplaces
from app.errors import InvalidRequest, NotFound

_PAGING: Final = frozenset({"start", "limit", "totalCount"})
_FILTERS: Final = ("status", "snapshot.name")

Document = dict[str, Any]


class SegmentJobs:
    """The calls of this resource."""

    def __init__(
        self,
        gate: Gate,
        workplaces: Workplaces,
        work: SegmentJobWork,
        guardrails: GuardrailControl,
        *,
        max_unfinished: int,
    ) -> None:
        self._gate = gate
        self._workplaces = workplaces
        self._work = work
        self._guardrails = guardrails
        self._max_unfinished = max_unfinished

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        guard = self._gate.guard
        one, bulk_get = f"{paths.SEGMENT_JOBS}/{{id}}", paths.SEGMENT_JOBS_BULK_GET
        return [
            Route(paths.SEGMENT_JOBS, guard(self._list, deed=deeds.SEGMENT_READ), methods=["GET"]),
            Route(paths.SEGMENT_JOBS, guard(self._create, deed=deeds.SEGMENT_EVALUATE), methods=["POST"]),
            Route(bulk_get, guard(self._bulk_get, any_body_type=True, deed=deeds.SEGMENT_READ), methods=["POST"]),
            Route(one, guard(self._get, deed=deeds.SEGMENT_READ), methods=["GET"]),
            Route(one, guard(self._cancel, deed=deeds.JOB_CANCEL), methods=["DELETE"]),
        ]

    async def _list(self, call: Call) -> Response:
        query = call.request.query_params
        request = paging.parse_p2(query, sortable=WORK_SORTABLE, default_sort="creationTime:desc")
        wanted = list(parse_properties(query.getlist("property")))
        wanted += [PropertyFilter(name, query[name]) for name in _FILTERS if query.get(name)]

        def keep(document: Document) -> bool:
            shown = job_view(document)
            return all(one.matches(shown) for one in wanted)

        found, total = await call.store.works(KIND, WorkQuery(request.sort, request.offset, request.limit, keep))
        repeated = [(name, value) for name, value in query.multi_items() if name not in _PAGING]
        children = [self._view(call, document) for document in found]
        return json_answer(paging.p2_body(children, total, request, path="/segment/jobs", filters=repeated))

    async def _create(self, call: Call) -> Response:
        body = await call.json()
        ids = _asked_segments(body)
        if isinstance(body, Mapping) and body.get("mergePolicyId") is not None:
            await merge_policy(call, str(body["mergePolicyId"]))
        definitions = await evaluable_definitions(call.store, ids)
        for definition in definitions if ids != [ALL_SEGMENTS] else []:
            call.touches(definition["id"], definition["name"])
        if self._guardrails.current.on_demand:
            await check_on_demand(call, self._guardrails.current, definitions)
        unfinished = await call.store.works_in_state(KIND, UNFINISHED)
        if len(unfinished) >= self._max_unfinished:
            raise Refusal(429, f"{len(unfinished)} segment jobs are unfinished. Wait until some have ended.")
        order = JobOrder(new_job_id(), call.now_ms, call.request_id, breaks_off_at=partial_share(call.request.scope))
        return json_answer(job_view(await self._work.begin(self._workplaces.of(call), definitions, order)))

    async def _get(self, call: Call) -> Response:
        document = await call.store.work(KIND, call.path("id"))
        if document is None:
            raise _not_found(call)
        return json_answer(self._view(call, document))

    def _view(self, call: Call, document: Document) -> Document:
        """Return a job as its readers see it, with the progress of its evaluation while that is going on."""
        progress = self._work.progress(self._workplaces.of(call), document["id"])
        return job_view(document) | progress_member(progress)

    async def _cancel(self, call: Call) -> Response:
        try:
            await self._work.cancel(self._workplaces.of(call), call.path("id"), call.now_ms)
        except NotFound:
            raise _not_found(call) from None
        return empty_answer()

    async def _bulk_get(self, call: Call) -> Response:
        async def find(ids: list[str]) -> dict[str, Any]:
            found = await call.store.work_by_id(KIND, ids)
            return {identifier: self._view(call, document) for identifier, document in found.items()}

        return await bulk_answer(call, find)


def _asked_segments(body: Any) -> list[str]:
    """Read the ids of a create body: an array, or an object for everything. Raises InvalidRequest."""
    listed = body.get("segments") if isinstance(body, Mapping) else body
    if not isinstance(listed, list) or not listed:
        raise InvalidRequest("The body must list at least one segment definition", hint='Send [{"segmentId": "<id>"}].')
    ids = [entry.get("segmentId") if isinstance(entry, Mapping) else None for entry in listed]
    if not all(isinstance(one, str) and one for one in ids):
        raise InvalidRequest("Each entry must have a segmentId")
    distinct = list(dict.fromkeys(str(one) for one in ids))
    if len(distinct) > MAX_LISTED_SEGMENTS:
        raise InvalidRequest(f"A job takes at most {MAX_LISTED_SEGMENTS} ids", hint='Use [{"segmentId": "*"}] for all.')
    if ALL_SEGMENTS in distinct and len(distinct) > 1:
        raise InvalidRequest("The segmentId * stands for all and must be alone")
    return distinct


def _not_found(call: Call) -> Refusal:
    return Refusal(404, f"The segment job {call.path('id')} is not found. Use a valid id and try again.")
