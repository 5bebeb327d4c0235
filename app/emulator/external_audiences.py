"""The calls under ``/data/core/ais/external-audience``: audiences that are uploaded.

In the newest form, with the paths of earlier drafts (``/submit``, ``/task/{id}``, ``/run``) as aliases. The audience
that an operation makes is found under ``/audiences`` as well. Source: Adobe's external-audience reference (read
December 2025); the statuses of single faults are ours where it is silent.
"""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import Route

from app.aep import models, paging, paths
from app.emulator import deeds
from app.emulator.answers import Refusal, empty_answer, json_answer
from app.emulator.documents import touched
from app.emulator.external_audience_bodies import ExternalCreate, ExternalField, ExternalPatch, ExternalRun
from app.emulator.external_audience_work import GOING_ON, OPERATION, RECORD, RUN, ExternalAudienceWork
from app.emulator.gate import Call, Gate, Handler
from app.emulator.state import AudienceQuery, WorkQuery
from app.emulator.workplaces import Workplaces
from app.errors import Conflict, InvalidRequest, NotFound

_DEFAULT_LIMIT: Final = 20
_MAX_LIMIT: Final = 40
_NEWEST_FIRST: Final = (paging.SortKey("creationTime", descending=True),)
_BAD_REQUEST, _NOT_FOUND, _DUPLICATE, _UNPROCESSABLE = "100910-400", "100940-404", "100950-409", "100960-422"
_DETAILS: Final = re.compile(r"(status|name|ingestionTime)\s*(>=|<=|==|=|>|<)\s*(contains)?(.*)", re.DOTALL)

Document = dict[str, Any]


class ExternalAudiences:
    """The calls of this resource."""

    def __init__(self, gate: Gate, workplaces: Workplaces, work: ExternalAudienceWork) -> None:
        self._gate = gate
        self._workplaces = workplaces
        self._work = work

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        base, one = paths.EXTERNAL_AUDIENCES, f"{paths.EXTERNAL_AUDIENCES}/{{id}}"

        def guard(handler: Handler, deed: deeds.Deed) -> Any:
            return self._gate.guard(_in_own_codes(handler), deed=deed)

        create = guard(self._create, deeds.SEGMENT_CREATE)
        operation = guard(self._operation, deeds.SEGMENT_READ)
        run = guard(self._begin_run, deeds.SEGMENT_UPDATE)
        return [
            Route(base, create, methods=["POST"]),
            Route(f"{base}/submit", create, methods=["POST"]),
            Route(f"{base}/operations/{{operation}}", operation, methods=["GET"]),
            Route(f"{base}/task/{{operation}}", operation, methods=["GET"]),
            Route(one, guard(self._patch, deeds.SEGMENT_UPDATE), methods=["PATCH"]),
            Route(one, guard(self._delete, deeds.SEGMENT_DELETE), methods=["DELETE"]),
            Route(f"{one}/runs", run, methods=["POST"]),
            Route(f"{one}/run", run, methods=["POST"]),
            Route(f"{one}/runs", guard(self._runs, deeds.SEGMENT_READ), methods=["GET"]),
            Route(f"{one}/runs/{{run}}", guard(self._run, deeds.SEGMENT_READ), methods=["GET"]),
        ]

    async def _create(self, call: Call) -> Response:
        body = await call.json()
        given = models.read_model(ExternalCreate, body)
        if not call.organization.external_audiences:
            raise Refusal(403, "The organization may not have external audiences.", code="100922-403")
        _check_identity(given.fields)
        await _check_name(call, given.name)
        details = given.model_dump(mode="json", by_alias=True, exclude_none=True)
        operation_id = str(uuid.uuid4())
        now_s = call.now_ms // 1000
        operation: Document = {
            "operationId": operation_id,
            "status": GOING_ON,
            "operationDetails": details,
            "createdBy": call.token.user_id,
            "createdAt": now_s,
            "updatedBy": call.token.user_id,
            "updatedAt": now_s,
            "_audienceId": str(uuid.uuid4()),
            "_datasetId": secrets.token_hex(12),
        }
        await self._work.begin_operation(self._workplaces.of(call), operation, call.now_ms)
        call.touches(operation["_audienceId"], given.name)
        return json_answer({"operationId": operation_id, "operationDetails": details}, 202)

    async def _operation(self, call: Call) -> Response:
        operation = await call.store.work(OPERATION, call.path("operation"))
        if operation is None:
            raise Refusal(404, f"The operation {call.path('operation')} is not found.", code=_NOT_FOUND)
        return json_answer(_view(operation))

    async def _patch(self, call: Call) -> Response:
        given = models.read_model(ExternalPatch, await call.json())
        record = await _record(call)
        call.check_labels(record, "WRITE")
        if given.fields is not None:
            _check_identity(given.fields)
        changes = given.model_dump(mode="json", by_alias=True, exclude_none=True)
        changes = {name: value for name, value in changes.items() if name in _PATCHABLE}
        marks = {"updatedAt": call.now_ms // 1000, "updatedBy": call.token.user_id}
        changed = await call.store.change_work(
            RECORD,
            record["audienceId"],
            lambda stored: {**stored, **changes, **marks},
            state_member="state",
            now_ms=call.now_ms,
        )
        shown: Document = {name: changes[name] for name in ("description", "labels", "ttlInDays") if name in changes}
        await call.store.change_audience(record["audienceId"], lambda stored: touched(call, {**stored, **shown}))
        return json_answer(_view({name: value for name, value in changed.items() if name != "state"}))

    async def _delete(self, call: Call) -> Response:
        record = await _record(call)
        call.check_labels(record, "WRITE")
        try:
            await call.store.delete_audience(record["audienceId"])
        except Conflict as conflict:
            raise Refusal(400, f"{conflict.detail}. {conflict.hint}", code=_BAD_REQUEST) from conflict
        await call.store.delete_work(RECORD, record["audienceId"])
        return empty_answer()

    async def _begin_run(self, call: Call) -> Response:
        given = models.read_model(ExternalRun, await call.json())
        record = await _record(call)
        if given.data_filter_end_time is not None and given.data_filter_end_time < given.data_filter_start_time:
            raise InvalidRequest("dataFilterEndTime must not be before dataFilterStartTime")
        going_on = await call.store.works_in_state(RUN, [GOING_ON])
        if any(run["audienceId"] == record["audienceId"] for _, run in going_on):
            raise Refusal(409, "A run of this audience is going on. Wait until it has ended.", code=_DUPLICATE)
        shown = {
            "audienceName": record["audienceName"],
            "audienceId": record["audienceId"],
            "runId": str(uuid.uuid4()),
            **given.model_dump(mode="json", by_alias=True, exclude_none=True),
            "createdAt": call.now_ms // 1000,
            "createdBy": call.token.user_id,
        }
        flows = {stage: str(uuid.uuid4()) for stage in ("DATASET_INGEST", "PROFILE_STORE_INGEST")}
        run = {**shown, "status": GOING_ON, "details": [], "creationTime": call.now_ms, "_flowRunIds": flows}
        await self._work.begin_run(self._workplaces.of(call), run, call.now_ms)
        return json_answer(shown)

    async def _run(self, call: Call) -> Response:
        record = await _record(call)
        run = await call.store.work(RUN, call.path("run"))
        if run is None or run["audienceId"] != record["audienceId"]:
            raise Refusal(404, f"The run {call.path('run')} is not found.", code=_NOT_FOUND)
        return json_answer(_run_view(run))

    async def _runs(self, call: Call) -> Response:
        record = await _record(call)
        query = call.request.query_params
        limit = paging.whole_number(query, "limit", default=_DEFAULT_LIMIT, minimum=1) or _DEFAULT_LIMIT
        if limit > _MAX_LIMIT:
            raise InvalidRequest(f"limit must be at most {_MAX_LIMIT}", path=("limit",))
        tests = [_test(text) for text in query.getlist("property")]

        def keep(run: Document) -> bool:
            return run["audienceId"] == record["audienceId"] and all(test(run) for test in tests)

        found, total = await call.store.works(RUN, WorkQuery(_order(query.get("sortBy")), 0, limit, keep))
        page = {"limit": limit, "count": len(found), "totalCount": total}
        return json_answer({"runs": [_run_view(run) for run in found], "_page": page})


_PATCHABLE: Final = frozenset({"description", "labels", "fields", "ttlInDays"})


def _in_own_codes(handler: Handler) -> Handler:
    """Give the faults of a handler this service's own codes."""

    async def answer(call: Call) -> Response:
        try:
            return await handler(call)
        except InvalidRequest as fault:
            raise Refusal(400, f"{fault.detail}.", code=_BAD_REQUEST) from fault
        except ValidationError as fault:
            texts = [text for _, text in models.validation_messages(fault)]
            raise Refusal(400, texts, code=_BAD_REQUEST) from fault
        except NotFound as fault:
            raise Refusal(404, f"{fault.detail}.", code=_NOT_FOUND) from fault

    return answer


def _check_identity(fields: list[ExternalField]) -> None:
    if not any(one.identity_ns for one in fields):
        raise Refusal(422, "One of the fields must have an identityNs.", code=_UNPROCESSABLE)


async def _check_name(call: Call, name: str) -> None:
    same = AudienceQuery(
        _NEWEST_FIRST, 0, 1, keep=lambda document: document["type"] == "ExternalSegment" and document["name"] == name
    )
    going_on = await call.store.works_in_state(OPERATION, [GOING_ON])
    taken = (await call.store.audiences(same))[1] > 0
    if taken or any(one["operationDetails"]["name"] == name for _, one in going_on):
        raise Refusal(409, f"An external audience with the name {name!r} exists already.", code=_DUPLICATE)


async def _record(call: Call) -> Document:
    record = await call.store.work(RECORD, call.path("id"))
    # The audience may have been deleted under /audiences.
    if record is None or await call.store.audience(record["audienceId"]) is None:
        raise Refusal(404, f"The external audience {call.path('id')} is not found.", code=_NOT_FOUND)
    call.touches(record["audienceId"], record["audienceName"])
    return {**record, "id": record["audienceId"]}


def _test(text: str) -> Callable[[Document], bool]:
    """Read a filter: ``status=SUCCESS``, ``name=contains<text>``, ``ingestionTime>=<epoch seconds>``."""
    match = _DETAILS.fullmatch(text.strip())
    if match is None:
        raise InvalidRequest(f"property cannot be {text!r}", hint="Filter by status, name or ingestionTime.")
    name, operator, contains, value = (part.strip() if part else part for part in match.groups())
    if name == "ingestionTime":
        if not value.isdigit() or contains:
            raise InvalidRequest("ingestionTime must be compared with seconds since 1970", path=("property",))
        return lambda run: _compare(run["createdAt"], operator, int(value))
    if operator not in {"=", "=="}:
        raise InvalidRequest(f"{name} can be compared with = only", path=("property",))
    if name == "name" and contains:
        wanted = value.strip("()\"' ").lower()
        return lambda run: wanted in run["audienceName"].lower()
    return lambda run: (run["status"] if name == "status" else run["audienceName"]) == value


def _compare(left: int, operator: str, right: int) -> bool:
    match operator:
        case ">=":
            return left >= right
        case "<=":
            return left <= right
        case ">":
            return left > right
        case "<":
            return left < right
        case _:
            return left == right


def _order(text: str | None) -> tuple[paging.SortKey, ...]:
    name, _, direction = (text or "ingestionTime:desc").partition(":")
    fields = {"ingestionTime": "creationTime", "createdAt": "creationTime", "status": "status"}
    if name.lstrip("+-") not in fields or direction not in {"", "asc", "desc"}:
        raise InvalidRequest(f"sortBy cannot be {text!r}", hint="Use ingestionTime or status.", path=("sortBy",))
    descending = direction == "desc" or (not direction and not name.startswith("+"))
    return (paging.SortKey(fields[name.lstrip("+-")], descending=descending),)


def _run_view(run: Mapping[str, Any]) -> Document:
    return {name: value for name, value in _view(run).items() if name != "creationTime"}


def _view(document: Mapping[str, Any]) -> Document:
    return {name: value for name, value in document.items() if not name.startswith("_")}
