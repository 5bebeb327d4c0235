"""The calls under ``/config/schedules``. What becomes of schedules is told in `scheduler`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final, Literal

from starlette.responses import Response
from starlette.routing import Route

from app.aep import headers, paging, paths
from app.aep.quartz import Quartz, parse_quartz
from app.emulator import deeds
from app.emulator.answers import Refusal, empty_answer, json_answer
from app.emulator.documents import PLATFORM_TYPE
from app.emulator.gate import Call, Gate
from app.emulator.guardrails import GuardrailControl
from app.emulator.json_patch import read_patch
from app.emulator.scheduler import KIND, Scheduler, planned
from app.emulator.segment_job_work import ALL_SEGMENTS
from app.emulator.state import WORK_SORTABLE, WorkQuery
from app.emulator.workplaces import Workplaces
from app.errors import InvalidRequest, NotFound

DEFAULT_SCHEDULE: Final = "0 0 1 * * ?"
_TYPES: Final = ("batch_segmentation", "export")
_STATES: Final = ("active", "inactive")
_OLDEST_FIRST: Final = (paging.SortKey("creationTime", descending=False),)
_PATCHABLE: Final = frozenset({"state", "schedule"})

Document = dict[str, Any]


class Schedules:
    """The calls of this resource."""

    def __init__(self, gate: Gate, workplaces: Workplaces, scheduler: Scheduler, guardrails: GuardrailControl) -> None:
        self._gate = gate
        self._workplaces = workplaces
        self._scheduler = scheduler
        self._guardrails = guardrails

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        guard = self._gate.guard
        one, update = f"{paths.SCHEDULES}/{{id}}", deeds.SCHEDULE_UPDATE
        return [
            Route(paths.SCHEDULES, guard(self._list, deed=deeds.SEGMENT_READ), methods=["GET"]),
            Route(paths.SCHEDULES, guard(self._create, deed=deeds.SCHEDULE_CREATE), methods=["POST"]),
            Route(paths.SCHEDULES_ADD_AUDIENCES, guard(self._add_audiences, deed=update), methods=["POST"]),
            Route(paths.SCHEDULES_REMOVE_AUDIENCES, guard(self._remove_audiences, deed=update), methods=["POST"]),
            Route(paths.SCHEDULES_AUDIENCE_MAP, guard(self._audience_map, deed=deeds.SEGMENT_READ), methods=["POST"]),
            Route(paths.SCHEDULES_TRIGGER, guard(self._trigger, deed=deeds.SEGMENT_EVALUATE), methods=["POST"]),
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
        await self._check_room(call)
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
            return planned(changed, call.now_ms)

        try:
            await call.store.change_work(KIND, call.path("id"), change, state_member="state", now_ms=call.now_ms)
        except NotFound:
            raise _not_found(call) from None
        return empty_answer()

    async def _add_audiences(self, call: Call) -> Response:
        return await self._change_audiences(call, "added")

    async def _remove_audiences(self, call: Call) -> Response:
        return await self._change_audiences(call, "removed")

    async def _change_audiences(self, call: Call, what: Literal["added", "removed"]) -> Response:
        """Add or remove audiences; those that need no change are ``existing``, those that there are not ``invalid``."""
        body = await call.json()
        schedule = await _named(call, body)
        asked = _segments(body)
        if ALL_SEGMENTS in [*asked, *schedule["properties"]["segments"]]:
            raise Refusal(400, "A schedule of all audiences (*) has no list that could be changed.")
        known = await call.store.audiences_by_id(asked)
        valid = [one for one in asked if one in known and known[one]["type"] == PLATFORM_TYPE]
        changed, kept = list[str](), list[str]()
        count = {"previous": 0, "current": 0}

        def change(stored: Document) -> Document:
            changed.clear()
            before = stored["properties"]["segments"]
            changed.extend(one for one in valid if (one in before) == (what == "removed"))
            kept[:] = [one for one in valid if one not in changed]
            after = [*before, *changed] if what == "added" else [one for one in before if one not in changed]
            count.update(previous=len(before), current=len(after))
            properties = {**stored["properties"], "segments": after}
            return {**stored, "properties": properties, "updateEpoch": call.now_ms // 1000}

        await call.store.change_work(KIND, schedule["id"], change, state_member="state", now_ms=call.now_ms)
        return json_answer(
            {
                what: changed,
                "existing": kept if what == "added" else [],
                "invalid": [one for one in asked if one not in (changed if what == "removed" else valid)],
                "segmentCount": {**count, "diff": count["current"] - count["previous"]},
            }
        )

    async def _audience_map(self, call: Call) -> Response:
        body = await call.json()
        asked = _segments(body if isinstance(body, Mapping) else {})
        found, _ = await call.store.works(KIND, WorkQuery(_OLDEST_FIRST, 0, 1_000_000))
        scheduled = {
            audience: [one["id"] for one in found if {audience, ALL_SEGMENTS} & set(one["properties"]["segments"])]
            for audience in asked
        }
        named = {identifier for identifiers in scheduled.values() for identifier in identifiers}
        shown = {
            one["id"]: {name: one[name] for name in ("name", "schedule", "frequency")}
            for one in found
            if one["id"] in named
        }
        return json_answer({"audienceMap": scheduled, "schedules": shown})

    async def _trigger(self, call: Call) -> Response:
        schedule = await _named(call, await call.json())
        await self._scheduler.trigger(self._workplaces.of(call), schedule, call.now_ms)
        return Response(status_code=200)

    async def _check_room(self, call: Call) -> None:
        limit = self._guardrails.current.schedules
        _, total = await call.store.works(KIND, WorkQuery(_OLDEST_FIRST, 0, 1))
        if total >= limit:
            raise Refusal(400, f"The sandbox has {total} schedules, and its limit is {limit}. Delete one.")

    async def _delete(self, call: Call) -> Response:
        if not await call.store.delete_work(KIND, call.path("id")):
            raise _not_found(call)
        return empty_answer()


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
    return planned(document, call.now_ms)


async def _named(call: Call, body: Any) -> Document:
    """Return the schedule that a body names."""
    identifier = body.get("id") if isinstance(body, Mapping) else None
    if not isinstance(identifier, str) or not identifier:
        raise InvalidRequest("The mandatory field id is missing", path=("id",))
    document = await call.store.work(KIND, identifier)
    if document is None:
        raise Refusal(404, f"The schedule {identifier} is not found. Use a valid id and try again.")
    call.touches(identifier, document["name"])
    return document


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


def _view(document: Mapping[str, Any]) -> Document:
    return {name: value for name, value in document.items() if not name.startswith("_")}


def _not_found(call: Call) -> Refusal:
    return Refusal(404, f"The schedule {call.path('id')} is not found. Use a valid id and try again.")
