"""The calls under ``/export/jobs``. What an export does is told in `export_job_work`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from app.aep import errors as aep_errors
from app.aep import headers, models, paging, paths
from app.emulator import deeds
from app.emulator.answers import Refusal, json_answer
from app.emulator.background import progress_member
from app.emulator.documents import PLATFORM_TYPE
from app.emulator.export_job_work import KIND, ExportJobWork, ExportOrder
from app.emulator.faults import partial_share
from app.emulator.gate import Call, Gate
from app.emulator.merge_policies import merge_policy
from app.emulator.state import WorkQuery
from app.emulator.workplaces import Workplaces
from app.errors import InvalidRequest, NotFound

_DEFAULT_LIMIT: Final = 100
_MAX_LIMIT: Final = 1000
_STATUSES: Final = frozenset({"realized", "existing", "exited"})
_NEWEST_FIRST: Final = (paging.SortKey("creationTime", descending=True),)

Document = dict[str, Any]


class ExportJobs:
    """The calls of this resource."""

    def __init__(self, gate: Gate, workplaces: Workplaces, work: ExportJobWork) -> None:
        self._gate = gate
        self._workplaces = workplaces
        self._work = work

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        guard = self._gate.guard
        one = f"{paths.EXPORT_JOBS}/{{id}}"
        return [
            Route(paths.EXPORT_JOBS, guard(self._list, deed=deeds.EXPORT_READ), methods=["GET"]),
            Route(paths.EXPORT_JOBS, guard(self._create, deed=deeds.SEGMENT_EXPORT), methods=["POST"]),
            Route(one, guard(self._get, deed=deeds.EXPORT_READ), methods=["GET"]),
            Route(one, guard(self._cancel, deed=deeds.EXPORT_CANCEL), methods=["DELETE"]),
        ]

    async def _list(self, call: Call) -> Response:
        query = call.request.query_params
        limit = min(
            paging.whole_number(query, "limit", default=_DEFAULT_LIMIT, minimum=1) or _DEFAULT_LIMIT, _MAX_LIMIT
        )
        after = _position(query.get("offset"))
        status = query.get("status")

        def keep(document: Document) -> bool:
            return status is None or document["status"] == status

        found, _ = await call.store.works(KIND, WorkQuery(_NEWEST_FIRST, 0, 1_000_000, keep))
        newest_first = sorted(found, key=_sort_key, reverse=True)
        left = [document for document in newest_first if after is None or _sort_key(document) < after]
        shown = left[:limit]
        # The key of the last row shown is where the next page begins.
        last = "" if not shown else "{}_{}".format(*_sort_key(shown[-1]))
        following = f"/export/jobs/?limit={limit}&offset={last}" + (f"&status={status}" if status else "")
        return json_answer(
            {
                "records": [self._view(call, document) for document in shown],
                "page": {"sortField": "createdTime", "sort": "desc", "pageOffset": last, "pageSize": len(shown)},
                "link": {"next": following if len(left) > len(shown) else ""},
            }
        )

    async def _create(self, call: Call) -> Response:
        body = await call.json()
        request = _read_request(body, await _merge_policy(call, body))
        wanted = request.get("filter", {}).get("segments", [])
        definitions = await _definitions(call, [one["segmentId"] for one in wanted])
        for definition in definitions:
            call.touches(definition["id"], definition["name"])
        segments_first = request.get("evaluationInfo", {}).get("segmentation", False)
        order = ExportOrder(
            request=request,
            rules={one["id"]: one["expression"] for one in definitions if segments_first},
            now_ms=call.now_ms,
            request_id=call.request_id,
            breaks_off=partial_share(call.request.scope) is not None,
        )
        document = await self._work.begin(self._workplaces.of(call), order)
        location = paths.resource(paths.EXPORT_JOBS, str(document["id"]))
        return json_answer(_view(document), extra={headers.LOCATION: location})

    async def _get(self, call: Call) -> Response:
        document = await call.store.work(KIND, call.path("id"))
        if document is None:
            raise _not_found(call)
        return json_answer(self._view(call, document))

    def _view(self, call: Call, document: Document) -> Document:
        """Return a job as its readers see it, with the profiles that it has been through while it is writing."""
        progress = self._work.progress(self._workplaces.of(call), str(document["id"]))
        return _view(document) | progress_member(progress)

    async def _cancel(self, call: Call) -> Response:
        try:
            await self._work.cancel(self._workplaces.of(call), call.path("id"), call.now_ms)
        except NotFound:
            raise _not_found(call) from None
        return json_answer(aep_errors.message_body("Export job has been marked for cancelling"))


def _read_request(body: Any, policy: Document) -> Document:
    """Return the members of a create body that count, checked and with defaults. Raises InvalidRequest."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object")
    destination = _object(body, "destination", required=True)
    if not isinstance(destination.get("datasetId"), str) or not destination["datasetId"].strip():
        raise InvalidRequest("The mandatory field destination.datasetId is missing", path=("destination", "datasetId"))
    schema = _object(body, "schema", required=True)
    if schema.get("name") != models.PROFILE_CLASS:
        raise InvalidRequest(f"schema.name must be {models.PROFILE_CLASS}", path=("schema", "name"))
    request: Document = {
        "destination": {**destination, "segmentPerBatch": _flag(destination, "segmentPerBatch")},
        "schema": {"name": models.PROFILE_CLASS},
        "mergePolicy": policy,
    }
    if "fields" in body:
        request["fields"] = _text(body, "fields")
    if "filter" in body:
        request["filter"] = _filter(_object(body, "filter"))
    if "additionalFields" in body:
        request["additionalFields"] = _additional(_object(body, "additionalFields"))
    if "evaluationInfo" in body:
        request["evaluationInfo"] = {"segmentation": _flag(_object(body, "evaluationInfo"), "segmentation")}
    if request["destination"]["segmentPerBatch"] and not request.get("filter", {}).get("segments"):
        raise InvalidRequest("destination.segmentPerBatch needs filter.segments", path=("filter", "segments"))
    if "segmentQualificationTime" in request.get("filter", {}) and not request["filter"].get("segments"):
        raise InvalidRequest("filter.segmentQualificationTime needs filter.segments", path=("filter", "segments"))
    return request


def _filter(given: Mapping[str, Any]) -> Document:
    checked: Document = {}
    if given.get("segmentQualificationTime") is not None:
        limits = _object(given, "segmentQualificationTime")
        checked["segmentQualificationTime"] = {
            name: _instant(limits, name) for name in ("startTime", "endTime") if name in limits
        }
    if given.get("fromIngestTimestamp") is not None:
        checked["fromIngestTimestamp"] = _instant(given, "fromIngestTimestamp")
    if "segments" in given:
        if not isinstance(given["segments"], list) or not given["segments"]:
            raise InvalidRequest("filter.segments must list at least one segment", path=("filter", "segments"))
        checked["segments"] = [_segment(one) for one in given["segments"]]
    if "emptyProfiles" in given:
        checked["emptyProfiles"] = _flag(given, "emptyProfiles")
    return checked


def _segment(given: Any) -> Document:
    place = ("filter", "segments")
    if not isinstance(given, Mapping) or not isinstance(given.get("segmentId"), str) or not given["segmentId"]:
        raise InvalidRequest("Each entry of filter.segments must have a segmentId", path=place)
    status = given.get("status", ["realized", "existing"])
    if not isinstance(status, list) or not status or not set(map(str, status)) <= _STATUSES:
        raise InvalidRequest(f"status must be a list of {', '.join(sorted(_STATUSES))}", path=place)
    if given.get("segmentNs", "ups") != "ups":
        raise InvalidRequest("segmentNs must be ups", path=place)
    return {"segmentId": given["segmentId"], "segmentNs": "ups", "status": status}


def _additional(given: Mapping[str, Any]) -> Document:
    events = _object(given, "eventList", required=True)
    checked: Document = {"fields": _text(events, "fields")} if "fields" in events else {}
    if "filter" in events:
        limits = _object(events, "filter")
        checked["filter"] = {
            name: _instant(limits, name) for name in ("fromIngestTimestamp", "toIngestTimestamp") if name in limits
        }
    return {"eventList": checked}


def _instant(given: Mapping[str, Any], name: str) -> str:
    try:
        moment = datetime.fromisoformat(_text(given, name))
        if moment.tzinfo is None:
            raise ValueError("no time zone")
    except ValueError as fault:
        raise InvalidRequest(f"{name} must be an RFC 3339 time with a zone", path=(name,)) from fault
    return _text(given, name)


async def _merge_policy(call: Call, body: Any) -> Document:
    given = _object(body, "mergePolicy") if isinstance(body, Mapping) and "mergePolicy" in body else {}
    policy = await merge_policy(call, given.get("id"))
    return {"id": policy["id"], "version": given.get("version", policy["version"])}


def _object(given: Mapping[str, Any], name: str, *, required: bool = False) -> Mapping[str, Any]:
    value = given.get(name)
    if value is None and required:
        raise InvalidRequest(f"The mandatory field {name} is missing", path=(name,))
    if not isinstance(value, Mapping):
        raise InvalidRequest(f"{name} must be a JSON object", path=(name,))
    return value


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} must be true or false", path=(name,))
    return value


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text", path=(name,))
    return value


async def _definitions(call: Call, ids: Sequence[str]) -> list[Document]:
    found = await call.store.audiences_by_id(ids)
    unknown = [one for one in ids if one not in found or found[one]["type"] != PLATFORM_TYPE]
    if unknown:
        raise Refusal(400, f"These segment definitions are not found: {', '.join(unknown)}.")
    return list(found.values())


def _position(offset: str | None) -> tuple[int, int] | None:
    """Read an ``offset`` that an earlier page gave out."""
    if not offset or offset == "0":
        return None
    match = re.fullmatch(r"([0-9]{1,15})_([0-9]{1,15})", offset)
    if match is None:
        raise InvalidRequest("offset must be one that link.next gave", path=("offset",))
    return int(match[1]), int(match[2])


def _sort_key(document: Mapping[str, Any]) -> tuple[int, int]:
    return document["creationTime"], document["id"]


def _view(document: Mapping[str, Any]) -> Document:
    return {name: value for name, value in document.items() if not name.startswith("_")}


def _not_found(call: Call) -> Refusal:
    return Refusal(404, f"The export job {call.path('id')} is not found. Use a valid id and try again.")
