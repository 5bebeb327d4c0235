"""Streaming ingestion: profile records and experience events, one at a time or many in a call.

    POST /collection/{inletId}[?syncValidation=true]
    POST /collection/batch/{inletId}
    GET  /emulator/inlets[?imsOrgId=...&sandbox=...]        the inlets: one for each sandbox
    GET  /emulator/failed-records                           what was dropped lately, and why

As at AEP a call needs no token; one that carries a token needs a good one. Shapes, messages and status codes follow
Adobe's tutorials on streaming record data, time series data and several messages in a call, and its page on streaming
validation (November 2026). Assumed: the body of 404 for an unknown inlet, 413 and 429 in the shape of the other
faults, ``Retry-After`` with 429; that the emulator's answer comes when the record can be seen, where AEP takes up to a
minute; that a record which names no identity is invalid.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.aep import headers, paths
from app.aep.times import epoch_ms
from app.emulator.answers import json_answer
from app.emulator.clock import Clock
from app.emulator.record_streams import RecordStreams
from app.emulator.record_validation import MAX_EVENT_BYTES, MAX_PROFILE_BYTES, Violation, violations
from app.emulator.schemas import union_documents
from app.emulator.tokens import TokenOffice
from app.emulator.workplaces import Workplace, Workplaces
from app.errors import InvalidRequest, QuotaExceeded
from app.evaluation.arrivals import Identity, Record

INLETS: Final = "/emulator/inlets"
FAILED_RECORDS: Final = "/emulator/failed-records"
MAX_MESSAGES: Final = 1_000
_PROBLEM: Final = "http://ns.adobe.com/adobecloud/problem/data-collection-service/inlet"
_AUTHORIZATION_PROBLEM: Final = "https://ns.adobe.com/adobecloud/problem/data-collection-service-authorization"
_KEPT_FAILURES: Final = 200

Document = dict[str, Any]


class _Refused(Exception):
    """A message that is not taken in: a status, a title and what is wrong."""

    def __init__(self, status: int, message: str, *, title: str = "Invalid XDM Message Format") -> None:
        super().__init__(message)
        self.status = status
        self.title = title
        self.message = message
        self.violations: list[Violation] = []


@dataclass(frozen=True, slots=True)
class _Inlet:
    """Where a call's records go. ``receipt`` is the first part of every id that the call gives out."""

    id: str
    place: Workplace
    received_ms: int
    receipt: str

    def said(self, message: str) -> str:
        return f"inletId: [{self.id}] imsOrgId: [{self.place.organization.org_id}] {message}"


class Ingestion:
    """The calls of the data collection service."""

    def __init__(self, workplaces: Workplaces, streams: RecordStreams, tokens: TokenOffice, clock: Clock) -> None:
        self._workplaces = workplaces
        self._streams = streams
        self._tokens = tokens
        self._clock = clock
        self._calls = itertools.count(1)
        self._failed: deque[Document] = deque(maxlen=_KEPT_FAILURES)

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            Route(f"{paths.COLLECTION_BATCH}/{{inlet}}", self._batch, methods=["POST"]),
            Route(f"{paths.COLLECTION}/{{inlet}}", self._single, methods=["POST"]),
            Route(INLETS, self._inlets, methods=["GET"]),
            Route(FAILED_RECORDS, self._failures, methods=["GET"]),
        ]

    async def _single(self, request: Request) -> Response:
        query = request.query_params
        validated = "true" in (query.get("syncValidation"), query.get("synchronousValidation"))
        try:
            inlet = self._inlet(request)
            await self._take(inlet, await _body(request), validated=validated)
        except _Refused as refused:
            return _refusal(refused)
        except QuotaExceeded as fault:
            return _too_many(fault)
        answer = {"inletId": inlet.id, "xactionId": inlet.receipt, "receivedTimeMs": inlet.received_ms}
        return json_answer({**answer, "syncValidation": {"status": "pass"} if validated else {"skipped": True}})

    async def _batch(self, request: Request) -> Response:
        try:
            inlet = self._inlet(request)
            messages = (await _body(request)).get("messages")
            if not isinstance(messages, list) or not 0 < len(messages) <= MAX_MESSAGES:
                raise _Refused(400, inlet.said(f"messages must be an array of 1 to {MAX_MESSAGES} messages"))
        except _Refused as refused:
            return _refusal(refused)
        responses = await asyncio.gather(*(self._one_of(inlet, n, message) for n, message in enumerate(messages)))
        if all(one.get("statusCode") == 429 for one in responses):
            return _too_many(QuotaExceeded("Too many records are waiting", retry_after_s=1))
        answer = {"inletId": inlet.id, "batchId": inlet.receipt, "receivedTimeMs": inlet.received_ms}
        return json_answer({**answer, "responses": responses}, 207)

    async def _one_of(self, inlet: _Inlet, number: int, message: Any) -> Document:
        try:
            await self._take(inlet, message, validated=False)
        except _Refused as refused:
            return {"statusCode": refused.status, "message": refused.message}
        except QuotaExceeded as fault:
            return {"statusCode": 429, "message": inlet.said(fault.detail)}
        return {"xactionId": f"{inlet.receipt}:{number}"}

    async def _take(self, inlet: _Inlet, message: Any, *, validated: bool) -> None:
        """Take in a message. What is wrong with its record is said when asked for, and otherwise only kept."""
        is_event, entity = _parts(inlet, message)
        found = _record_violations(inlet, entity, is_event=is_event)
        if not found:
            try:
                await self._streams.of(inlet.place).put(_record(entity, is_event=is_event))
            except InvalidRequest as fault:
                place = "#/" + "/".join(str(part) for part in fault.path)
                found = [Violation(place, place, "type", fault.detail)]
        if found:
            self._failed.append(_failure(inlet, entity, found))
            if validated:
                refused = _Refused(400, inlet.said("Message is invalid"))
                refused.violations = found
                raise refused

    # Inlets

    def _inlet(self, request: Request) -> _Inlet:
        given = request.headers.get(headers.AUTHORIZATION)
        if given is not None and self._tokens.read(headers.bearer_token(given) or "") is None:
            raise _Refused(401, "Ims service token is not valid", title="Authorization")
        wanted = request.path_params["inlet"]
        for place in self._workplaces.all():
            if inlet_id(place) == wanted:
                received_ms = epoch_ms(self._clock.now())
                return _Inlet(wanted, place, received_ms, f"{received_ms}:{next(self._calls)}:0")
        raise _Refused(404, f"inletId: [{wanted}] There is no such inlet. GET {INLETS} lists them.", title="Not found")

    async def _inlets(self, request: Request) -> Response:
        query = request.query_params
        found = [
            {
                "inletId": inlet_id(place),
                "imsOrgId": place.organization.org_id,
                "sandboxName": place.sandbox.name,
                "path": f"{paths.COLLECTION}/{inlet_id(place)}",
            }
            for place in self._workplaces.all()
            if query.get("imsOrgId") in (None, place.organization.org_id)
            and query.get("sandbox") in (None, place.sandbox.name)
        ]
        return json_answer({"inlets": found})

    async def _failures(self, _request: Request) -> Response:
        return json_answer({"failedRecords": list(self._failed)})


def inlet_id(place: Workplace) -> str:
    """Return the id of a sandbox's inlet, which is the same in every run."""
    return _digest(f"{place.organization.org_id}/{place.sandbox.id}")


@lru_cache(maxsize=1024)
def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def _body(request: Request) -> Document:
    try:
        body = msgspec.json.decode(await request.body())
    except msgspec.DecodeError:
        body = None
    if not isinstance(body, dict):
        raise _Refused(400, "The body must be a JSON object with header and body, or with messages")
    return body


def _parts(inlet: _Inlet, message: Any) -> tuple[bool, Document]:
    """Return whether a message is an event, and its record. Raises _Refused when it has another shape."""
    head = message.get("header") if isinstance(message, dict) else None
    body = message.get("body") if isinstance(message, dict) else None
    entity = body.get("xdmEntity") if isinstance(body, dict) else None
    if not isinstance(head, dict) or not isinstance(entity, dict):
        raise _Refused(400, inlet.said("Message has unknown xdm format"))
    if head.get("imsOrgId", inlet.place.organization.org_id) != inlet.place.organization.org_id:
        raise _Refused(400, inlet.said("Message has an absent or wrong ims org in the header"))
    reference = head.get("schemaRef")
    schema_id = reference.get("id") if isinstance(reference, dict) else None
    if not isinstance(schema_id, str):
        raise _Refused(400, inlet.said("Message has unknown xdm format: header.schemaRef.id is missing"))
    by_name = "experienceevent" in schema_id.lower()
    return by_name or ("profile" not in schema_id.lower() and "timestamp" in entity), entity


def _record_violations(inlet: _Inlet, entity: Document, *, is_event: bool) -> list[Violation]:
    size, limit = len(msgspec.json.encode(entity)), MAX_EVENT_BYTES if is_event else MAX_PROFILE_BYTES
    if size > limit:
        kind = "an event" if is_event else "a profile record"
        return [Violation("#", "#", "maxSize", f"{kind} of {size} bytes is dropped: it may have {limit} at most")]
    wanted = paths.EXPERIENCE_EVENT_UNION if is_event else paths.PROFILE_UNION
    schema = next(one for one in union_documents(inlet.place.organization.namespace) if one["$id"] == wanted)
    found = violations(schema, entity, is_event=is_event)
    if not found and not _identities(entity):
        found = [Violation("#/identityMap", "#", "required", "required key [identityMap] not found: no identity")]
    return found


def _record(entity: Document, *, is_event: bool) -> Record:
    rest = {name: value for name, value in entity.items() if name != "identityMap"}
    identities = _identities(entity)
    return Record(identities, None, (rest,)) if is_event else Record(identities, rest)


def _identities(entity: Mapping[str, Any]) -> tuple[Identity, ...]:
    """Return the identities of a record, the primary one first; without a map, those of its own fields."""
    given = entity.get("identityMap") or {}
    found = [
        (not one.get("primary", False), Identity(namespace, one["id"]))
        for namespace, identities in given.items()
        for one in identities
    ]
    if found:
        return tuple(identity for _, identity in sorted(found, key=lambda one: one[0]))
    fields = (("Email", "personalEmail", "address"), ("Phone", "mobilePhone", "number"))
    own = ((namespace, (entity.get(parent) or {}).get(name)) for namespace, parent, name in fields)
    return tuple(Identity(namespace, value) for namespace, value in own if isinstance(value, str) and value)


def _failure(inlet: _Inlet, entity: Document, found: list[Violation]) -> Document:
    return {
        "inletId": inlet.id,
        "sandboxName": inlet.place.sandbox.name,
        "xactionId": inlet.receipt,
        "receivedTimeMs": inlet.received_ms,
        "_id": entity.get("_id"),
        "violations": [one.document() for one in found],
    }


def _refusal(refused: _Refused) -> Response:
    if refused.status == 401:
        denial = {"type": _AUTHORIZATION_PROBLEM, "status": "401", "title": refused.title}
        return json_answer({**denial, "report": {"message": refused.message}}, 401)
    report: Document = {"message": refused.message}
    if refused.violations:
        causes = [one.document() for one in refused.violations]
        count = f"{len(causes)} schema violation{'s' if len(causes) > 1 else ''} found"
        place = {"schemaLocation": "#", "pointerToViolation": "#"}
        report["cause"] = {"_streamingValidation": [{**place, "causingExceptions": causes, "message": count}]}
    body: Document = {"type": _PROBLEM, "status": refused.status, "title": refused.title, "report": report}
    return json_answer(body, refused.status)


def _too_many(fault: QuotaExceeded) -> Response:
    wait = {headers.RETRY_AFTER: str(math.ceil(fault.retry_after_s or 1))}
    body: Document = {
        "type": _PROBLEM,
        "status": 429,
        "title": "Too many requests",
        "report": {"message": fault.detail},
    }
    return json_answer(body, 429, wait)
