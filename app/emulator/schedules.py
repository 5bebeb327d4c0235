"""The calls under ``/config/schedules``, and the scheduler that carries schedules out.

A schedule that is active runs at the times of its Quartz expression, in UTC. Each has a stored time for its next run;
when that time has passed, the run begins and the next time is stored. The id of a segment job follows from the schedule
and the time, so a crash between the two makes no second run; after a longer stop a missed run is made once.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any, Final

import structlog
from starlette.responses import Response
from starlette.routing import Route

from app.aep import headers, models, paging, paths, times
from app.aep.quartz import Quartz, parse_quartz
from app.emulator import deeds
from app.emulator.answers import Refusal, empty_answer, json_answer
from app.emulator.clock import Clock, Jump
from app.emulator.export_job_work import ExportJobWork, ExportOrder
from app.emulator.gate import Call, Gate
from app.emulator.json_patch import read_patch
from app.emulator.merge_policies import default_merge_policy_id
from app.emulator.segment_job_work import ALL_SEGMENTS, JobOrder, SegmentJobWork, evaluable_definitions
from app.emulator.state import WORK_SORTABLE, WorkQuery
from app.emulator.workplaces import Workplace, Workplaces
from app.errors import Conflict, InvalidRequest, NotFound

log = structlog.get_logger(__name__)

KIND: Final = "schedule"
DEFAULT_SCHEDULE: Final = "0 0 1 * * ?"
_TYPES: Final = ("batch_segmentation", "export")
_STATES: Final = ("active", "inactive")
_PATCHABLE: Final = frozenset({"state", "schedule"})

Document = dict[str, Any]


class Schedules:
    """The calls of this resource."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        guard = self._gate.guard
        one = f"{paths.SCHEDULES}/{{id}}"
        return [
            Route(paths.SCHEDULES, guard(self._list, deed=deeds.SEGMENT_READ), methods=["GET"]),
            Route(paths.SCHEDULES, guard(self._create, deed=deeds.SCHEDULE_CREATE), methods=["POST"]),
            Route(one, guard(self._get, deed=deeds.SEGMENT_READ), methods=["GET"]),
            Route(one, guard(self._patch, any_body_type=True, deed=deeds.SCHEDULE_UPDATE), methods=["PATCH"]),
            Route(one, guard(self._delete, deed=deeds.SCHEDULE_DELETE), methods=["DELETE"]),
        ]

    async def _list(self, call: Call) -> Response:
        request = paging.parse_p2(call.request.query_params, sortable=WORK_SORTABLE, default_sort="creationTime:desc")
        found, total = await call.store.works(KIND, WorkQuery(request.sort, request.offset, request.limit))
        children = [_view(document) for document in found]
        return json_answer(paging.p2_body(children, total, request, path="/config/schedules"))

    async def _create(self, call: Call) -> Response:
        document = _new_schedule(call, await call.json())
        await call.store.add_work(KIND, document["id"], document["state"], document, now_ms=call.now_ms)
        call.touches(document["id"], document["name"])
        location = paths.resource(paths.SCHEDULES, document["id"])
        return json_answer(_view(document), extra={headers.LOCATION: location})

    async def _get(self, call: Call) -> Response:
        document = await call.store.work(KIND, call.path("id"))
        if document is None:
            raise _not_found(call)
        return json_answer(_view(document))

    async def _patch(self, call: Call) -> Response:
        changes = read_patch(await call.json(), members=_PATCHABLE, removable=())
        _check_state(changes.get("state", "inactive"))
        if "schedule" in changes:
            _read_schedule(changes["schedule"])

        def change(stored: Document) -> Document:
            changed = {**stored, **changes, "updateEpoch": call.now_ms // 1000}
            return _planned(changed, call.now_ms)

        try:
            await call.store.change_work(KIND, call.path("id"), change, state_member="state", now_ms=call.now_ms)
        except NotFound:
            raise _not_found(call) from None
        return empty_answer()

    async def _delete(self, call: Call) -> Response:
        if not await call.store.delete_work(KIND, call.path("id")):
            raise _not_found(call)
        return empty_answer()


class Scheduler:
    """Begins the runs of schedules that are due by the emulator's clock. `look` is called every now and then, and
    after each jump of the clock. A jump over several runs makes one, as a stop of the process does.
    """

    def __init__(self, workplaces: Workplaces, jobs: SegmentJobWork, exports: ExportJobWork, clock: Clock) -> None:
        self._workplaces = workplaces
        self._jobs = jobs
        self._exports = exports
        self._clock = clock
        self._looking = asyncio.Lock()

    async def look(self, _jump: Jump | None = None) -> None:
        """Begin what is due now. A fault in one schedule holds up no other."""
        async with self._looking:
            for place in self._workplaces.all():
                await self._look(place)

    async def _look(self, place: Workplace) -> None:
        now_ms = times.epoch_ms(self._clock.now())
        for schedule_id, document in await place.store.works_in_state(KIND, ["active"]):
            due_ms = document["_nextMs"]
            if due_ms is None or due_ms > now_ms:
                continue
            try:
                await self._begin(place, document, due_ms, now_ms)
            except Exception as fault:
                log.error("emulator.schedule_failed", schedule_id=schedule_id, exc_info=fault)

    async def _begin(self, place: Workplace, document: Document, due_ms: int, now_ms: int) -> None:
        run_id = str(uuid.uuid5(uuid.UUID(document["id"]), str(due_ms)))
        segments = await _known(place, document["properties"]["segments"])
        if document["type"] == "export":
            await self._exports.begin(place, _export_order(place, document, segments, now_ms))
        else:
            await self._evaluate(place, document, run_id, segments, now_ms)
        try:
            await place.store.change_work(
                KIND, document["id"], lambda stored: _planned(stored, now_ms), state_member="state", now_ms=now_ms
            )
        except NotFound:
            log.info("emulator.schedule_deleted_while_beginning", schedule_id=document["id"])

    async def _evaluate(
        self, place: Workplace, document: Document, run_id: str, segments: list[str], now_ms: int
    ) -> None:
        definitions = await evaluable_definitions(place.store, segments)
        properties = {"scheduleId": document["id"], "runId": run_id}
        order = JobOrder(run_id, now_ms, headers.new_request_id(), source="scheduler", properties=properties)
        try:
            await self._jobs.begin(place, definitions, order)
            log.info("emulator.schedule_run_begun", schedule_id=document["id"], job_id=run_id)
        except Conflict:
            # The process ended after this run was stored and before its successor was planned.
            log.info("emulator.schedule_run_known", schedule_id=document["id"], job_id=run_id)


async def _known(place: Workplace, segments: list[str]) -> list[str]:
    """Return the segments of a schedule that can be evaluated now: others may have been deleted since."""
    if segments == [ALL_SEGMENTS]:
        return segments
    found = await place.store.audiences_by_id(segments)
    return [one for one in segments if one in found and found[one]["lifecycleState"] != "inactive"]


def _export_order(place: Workplace, document: Document, segments: list[str], now_ms: int) -> ExportOrder:
    """Return the export of a schedule: everybody, or the members of its segments, into the data set of its properties.

    The documents do not say where a scheduled export goes; without ``properties.datasetId`` it is a data set that
    stands for the sandbox's own snapshot.
    """
    snapshot = uuid.uuid5(uuid.UUID(place.sandbox.id), "profile snapshot").hex[:24]
    request: Document = {
        "destination": {"datasetId": str(document["properties"].get("datasetId") or snapshot)},
        "schema": {"name": models.PROFILE_CLASS},
        "mergePolicy": {"id": default_merge_policy_id(place.sandbox.id), "version": 1},
    }
    if segments != [ALL_SEGMENTS]:
        wanted = [{"segmentId": one, "segmentNs": "ups", "status": ["realized", "existing"]} for one in segments]
        request["filter"] = {"segments": wanted}
    return ExportOrder(request, {}, now_ms, headers.new_request_id())


def _new_schedule(call: Call, body: Any) -> Document:
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object")
    name, kind = body.get("name"), body.get("type")
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequest("The mandatory field name is missing", path=("name",))
    if kind not in _TYPES:
        raise InvalidRequest(f"type must be one of {', '.join(_TYPES)}", path=("type",))
    state = body.get("state", "inactive")
    _check_state(state)
    properties = body.get("properties", {} if kind == "export" else None)
    if not isinstance(properties, Mapping):
        raise InvalidRequest("properties must be a JSON object", path=("properties",))
    segments = _segments(properties) if kind == "batch_segmentation" or "segments" in properties else [ALL_SEGMENTS]
    cron = _read_schedule(body.get("schedule", DEFAULT_SCHEDULE))
    document = {
        "id": str(uuid.uuid4()),
        **call.place,
        "name": name,
        "state": state,
        "type": kind,
        "schedule": cron.text,
        "properties": {**properties, "segments": segments},
        "createEpoch": call.now_ms // 1000,
        "updateEpoch": call.now_ms // 1000,
    }
    return _planned(document, call.now_ms)


def _segments(properties: Mapping[str, Any]) -> list[str]:
    segments = properties.get("segments")
    if not isinstance(segments, list) or not segments or not all(isinstance(one, str) and one for one in segments):
        raise InvalidRequest(
            "properties.segments must be a list of ids", hint='Send ["*"] for all.', path=("properties", "segments")
        )
    if ALL_SEGMENTS in segments and len(segments) > 1:
        raise InvalidRequest("The segment * stands for all and must be alone", path=("properties", "segments"))
    return list(dict.fromkeys(segments))


def _check_state(state: Any) -> None:
    if state not in _STATES:
        raise InvalidRequest(f"state must be one of {', '.join(_STATES)}", path=("state",))


def _read_schedule(text: Any) -> Quartz:
    if not isinstance(text, str):
        raise InvalidRequest("schedule must be a text", path=("schedule",))
    return parse_quartz(text)


def _planned(document: Document, now_ms: int) -> Document:
    """Return a schedule with what follows from its expression: how often it runs, and when next."""
    cron = parse_quartz(document["schedule"])
    following = cron.next_after(times.from_epoch_ms(now_ms)) if document["state"] == "active" else None
    next_ms = None if following is None else times.epoch_ms(following)
    return {**document, "frequency": cron.frequency, "_nextMs": next_ms}


def _view(document: Mapping[str, Any]) -> Document:
    return {name: value for name, value in document.items() if not name.startswith("_")}


def _not_found(call: Call) -> Refusal:
    return Refusal(404, f"The schedule {call.path('id')} is not found. Use a valid id and try again.")
