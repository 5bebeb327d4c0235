"""Reads of profiles that users of segments make: ``/access/entities``, and the state of the sample behind estimates.

Errors of profile access have a shape of their own: ``{message, cause, statusCode}``, and for 429 an array of those with
``retryAfterMs``, all of them texts. Source: Adobe's profile references (read December 2025).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from app.aep import errors as aep_errors
from app.aep import headers, models, paths, times
from app.emulator import deeds, profile_events
from app.emulator.answers import Refusal, error_answer, json_answer
from app.emulator.export_files import selected
from app.emulator.gate import Call, Gate
from app.emulator.guardrails import GuardrailControl
from app.emulator.merge_policies import merge_policies
from app.emulator.profile_memberships import segment_membership
from app.emulator.workplaces import Workplace, Workplaces
from app.errors import InvalidRequest, QuotaExceeded
from app.evaluation.namespaces import NAMESPACES

Document = dict[str, Any]


class Profiles:
    """The calls of this resource."""

    def __init__(self, gate: Gate, workplaces: Workplaces, guardrails: GuardrailControl) -> None:
        self._gate = gate
        self._workplaces = workplaces
        self._guardrails = guardrails

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        guard = self._gate.guard
        return [
            Route(
                paths.PROFILE_ENTITIES,
                guard(self._entities, deed=deeds.PROFILE_READ, faults=profile_error_answer),
                methods=["GET"],
            ),
            Route(paths.PREVIEW_SAMPLE_STATUS, guard(self._status, deed=deeds.PROFILE_READ), methods=["GET"]),
            Route(paths.PREVIEW_SAMPLE_NAMESPACES, guard(self._namespaces, deed=deeds.PROFILE_READ), methods=["GET"]),
        ]

    async def _entities(self, call: Call) -> Response:
        self._guardrails.count_profile_read(call.token.client_id, call.now_ms)
        query = call.request.query_params
        if query.get("schema.name") == profile_events.EVENT_CLASS:
            return await self._events(call)
        _check_class(query.get("schema.name"))
        entity_id, namespace = query.get("entityId", ""), query.get("entityIdNS", "")
        if not entity_id:
            raise InvalidRequest("The parameter entityId is missing", path=("entityId",))
        policy = await _merge_policy_id(call)
        place = self._workplaces.of(call)
        found = await _find(place, entity_id, namespace)
        if found is None:
            raise Refusal(404, f"The entity {entity_id} is not found.")
        number, profile_id, document = found
        entity = {name: value for name, value in document.items() if name != "xEvent"}
        entity["segmentMembership"] = await segment_membership(place, number)
        fields = [path.strip() for path in query.get("fields", "").split(",") if path.strip()]
        shown: Document = {
            "entityId": profile_id,
            "mergePolicy": {"id": policy},
            "sources": ["sample"],
            "tags": ["sample"],
            "identityGraph": _identity_graph(entity),
            "entity": selected(entity, fields) if fields else entity,
            "lastModifiedAt": _modified(place),
        }
        return json_answer({profile_id: shown})

    async def _events(self, call: Call) -> Response:
        query = call.request.query_params
        wanted = profile_events.read_query(query, query.getlist("property"))
        await _merge_policy_id(call)
        place = self._workplaces.of(call)
        found = await _find(place, wanted.profile, wanted.namespace)
        if found is None:
            raise Refusal(404, f"The entity {wanted.profile} is not found.")
        _, profile_id, document = found
        events = document.get("xEvent", [])
        page = profile_events.page_of_events(wanted, profile_id, events, query.multi_items(), _modified(place))
        return json_answer(page)

    async def _status(self, call: Call) -> Response:
        population = self._workplaces.of(call).population
        total, to_read = population.total_profiles, population.rows_to_read
        sampled = times.from_epoch_ms(population.made_ms)
        return json_answer(
            {
                "numRowsToRead": str(to_read),
                "sampleJobRunning": {"status": False, "submissionTimestamp": f"{sampled:%Y-%m-%d %H:%M:%S}"},
                "docCount": str(total),
                "totalFragmentCount": total,
                "totalRows": str(total),
                "samplingRatio": round(to_read / total, 4) if total else 1.0,
                "mergeStrategy": "timestamp",
                "lastSampledTimestamp": f"{sampled:%Y-%m-%d %H:%M:%S}",
                "status": "SUCCESS",
            }
        )

    async def _namespaces(self, call: Call) -> Response:
        _check_date(call)
        population = self._workplaces.of(call).population
        total, to_read = population.total_profiles, population.rows_to_read
        whole, sample = await population.by_namespace()
        data = [
            {
                "value": str(NAMESPACES[code].number) if code in NAMESPACES else code,
                "code": code,
                "fullIDsCount": count,
                "fullIDsFragmentCount": count,
                "fullIDsPercentage": _percent(count, total),
                "sampleCount": sample.get(code, 0),
                "samplePercentage": _percent(sample.get(code, 0), to_read),
            }
            for code, count in sorted(whole.items())
        ]
        reported = times.from_epoch_ms(call.now_ms)
        return json_answer({"data": data, "reportTimestamp": f"{reported:%Y-%m-%dT%H:%M:%S}"})


def profile_error_answer(exc: Exception, request_id: str) -> Response:
    """Return an error in the shape of profile access."""
    answer = error_answer(exc, request_id)
    message = msgspec.json.decode(answer.body)["title"]
    status = answer.status_code
    if isinstance(exc, QuotaExceeded):
        wait_ms = math.ceil((exc.retry_after_s or 1) * 1000)
        body = aep_errors.profile_rate_limit_body(wait_ms)
        return json_answer(body, 429, {headers.RETRY_AFTER: str(math.ceil(wait_ms / 1000))})
    if status == 403:
        message = f"UPS-ACC-1000004: {message}"
    return json_answer({"message": message, "cause": "", "statusCode": str(status)}, status)


def _check_class(name: str | None) -> None:
    if name != models.PROFILE_CLASS:
        known = f"{models.PROFILE_CLASS} or {profile_events.EVENT_CLASS}"
        raise InvalidRequest(f"schema.name must be {known}", path=("schema.name",))


def _modified(place: Workplace) -> str:
    return times.from_epoch_ms(place.population.made_ms).isoformat().replace("+00:00", "Z")


async def _merge_policy_id(call: Call) -> str:
    wanted = call.request.query_params.get("mergePolicyId")
    for policy in await merge_policies(call.store, call.organization, call.sandbox):
        if policy["schema"]["name"] != models.PROFILE_CLASS:
            continue
        if policy["id"] == wanted or (not wanted and policy["default"]):
            return str(policy["id"])
    raise Refusal(404, f"The merge policy {wanted} is not found.")


def _check_date(call: Call) -> None:
    text = call.request.query_params.get("date")
    try:
        day = date.fromisoformat(text) if text else None
    except ValueError as fault:
        raise InvalidRequest("date must be written as YYYY-MM-DD", path=("date",)) from fault
    if day is not None and day != times.from_epoch_ms(call.now_ms).date():
        raise Refusal(404, f"There is no report of {text}. Only today's is kept.")


async def _find(place: Workplace, entity_id: str, namespace: str) -> tuple[int, str, Document] | None:
    """Return a profile by identity, or by XID when there is no namespace."""
    if not namespace:
        return await place.population.profile_of_xid(entity_id)
    numbers = {str(one.number): code for code, one in NAMESPACES.items()}
    numbers_found = await place.population.with_identities({numbers.get(namespace, namespace): [entity_id]})
    return await place.population.profile_of_number(min(numbers_found)) if numbers_found else None


def _identity_graph(entity: Mapping[str, Any]) -> list[str]:
    return [one["id"] for identities in entity.get("identityMap", {}).values() for one in identities]


def _percent(part: int, whole: int) -> float:
    return round(100 * part / whole, 3) if whole else 0.0
