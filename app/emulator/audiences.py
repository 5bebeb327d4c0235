"""The calls under ``/audiences``: platform audiences, and those that were made elsewhere.

A platform audience *is* a segment definition; an external one has no rule. Writes answer 201, also PUT and PATCH, as
Adobe's machine-readable contract says.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from app.aep import errors as aep_errors
from app.aep import ids, models, paging, paths, times
from app.aep.errors import ErrorCode
from app.aep.filters import parse_properties
from app.emulator import deeds
from app.emulator.answers import Refusal, empty_answer, json_answer
from app.emulator.audience_metrics import patch_metrics, read_metric_patch
from app.emulator.bulk import bulk_answer
from app.emulator.deeds import label_denial
from app.emulator.documents import EXTERNAL_TYPE, PLATFORM_TYPE, audience_view, touched
from app.emulator.gate import Call, Gate
from app.emulator.json_patch import read_patch
from app.emulator.platform_audiences import PlatformAudiences, check_lifecycle_change, refuse_used
from app.emulator.state import AUDIENCE_SORTABLE, AudienceQuery
from app.errors import Conflict, InvalidRequest, NotFound

Document = dict[str, Any]

_PAGING: Final = frozenset({"start", "limit", "totalCount"})
_OPTIONAL: Final = frozenset({"description", "labels", "tags", "ttlInDays", "linkedAudienceRef"})
_PLATFORM_MEMBERS: Final = _OPTIONAL | {"name", "expression", "evaluationInfo", "lifecycleState", "mergePolicyId"}
_EXTERNAL_OPTIONAL: Final = frozenset({"description", "labels", "audienceMeta", "linkedAudienceRef", "datasetId"})
_EXTERNAL_MEMBERS: Final = _EXTERNAL_OPTIONAL | {"name", "lifecycleState", "originName"}


class Audiences:
    """The calls of this resource."""

    def __init__(self, gate: Gate, writer: PlatformAudiences) -> None:
        self._gate = gate
        self._writer = writer

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        guard = self._gate.guard
        one, bulk_get = f"{paths.AUDIENCES}/{{id}}", paths.AUDIENCES_BULK_GET
        metric_patch = guard(self._bulk_patch_metric, deed=deeds.SEGMENT_UPDATE)
        return [
            Route(paths.AUDIENCES, guard(self._list, deed=deeds.SEGMENT_READ), methods=["GET"]),
            Route(paths.AUDIENCES, guard(self._create, deed=deeds.SEGMENT_CREATE), methods=["POST"]),
            Route(bulk_get, guard(self._bulk_get, any_body_type=True, deed=deeds.SEGMENT_READ), methods=["POST"]),
            Route(paths.AUDIENCES_BULK_PATCH_METRIC, metric_patch, methods=["POST"]),
            Route(one, guard(self._get, deed=deeds.SEGMENT_READ), methods=["GET"]),
            Route(one, guard(self._put, deed=deeds.SEGMENT_UPDATE), methods=["PUT"]),
            Route(one, guard(self._patch, deed=deeds.SEGMENT_UPDATE), methods=["PATCH"]),
            Route(one, guard(self._delete, deed=deeds.SEGMENT_DELETE), methods=["DELETE"]),
        ]

    async def _list(self, call: Call) -> Response:
        query = call.request.query_params
        request = paging.parse_p2(query, sortable=AUDIENCE_SORTABLE)
        properties = parse_properties(query.getlist("property"))
        texts = [(name, query[name].lower()) for name in ("name", "description") if query.get(name)]
        entity = query.get("entityType", models.PROFILE_CLASS)

        def keep(document: Document) -> bool:
            schema = document.get("schema", {}).get("name") or models.PROFILE_CLASS
            return (
                schema == entity
                and call.may_see(document)
                and all(needle in (document.get(name) or "").lower() for name, needle in texts)
                and all(wanted.matches(document) for wanted in properties)
            )

        filtered = properties or texts or entity != models.PROFILE_CLASS or call.credential.labels is not None
        shown = AudienceQuery(request.sort, request.offset, request.limit, keep=keep if filtered else None)
        documents, total = await call.store.audiences(shown)
        repeated = [(name, value) for name, value in query.multi_items() if name not in _PAGING]
        children = await self._views(call, documents)
        return json_answer(paging.p2_body(children, total, request, path="/audiences", filters=repeated))

    async def _get(self, call: Call) -> Response:
        document = await _find(call)
        call.check_labels(document, "READ")
        return json_answer((await self._views(call, [document]))[0])

    async def _views(self, call: Call, documents: Sequence[Document]) -> list[Document]:
        """Return audiences as the service shows them, with their metrics when the query asks for them."""
        views = [audience_view(document) for document in documents]
        if not paging.boolean(call.request.query_params, "withMetrics"):
            return views
        metrics = await call.store.metrics([document["id"] for document in documents])
        return [{**view, **metrics.get(view["id"], {})} for view in views]

    async def _bulk_get(self, call: Call) -> Response:
        async def find(identifiers: list[str]) -> dict[str, Any]:
            found = await call.store.audiences_by_id(identifiers)
            return {
                identifier: audience_view(document) if call.may_see(document) else _denied(call, document)
                for identifier, document in found.items()
            }

        return await bulk_answer(call, find)

    async def _bulk_patch_metric(self, call: Call) -> Response:
        patch = read_metric_patch(await call.json())
        results = [await patch_metrics(call, patch, resource) for resource in patch.resources]
        return json_answer({"resources": results}, 207)

    async def _create(self, call: Call) -> Response:
        body = _with_known_lifecycle(await call.json())
        if _is_external(body):
            models.read_model(models.ExternalAudienceCreate, body)
            if not call.organization.external_audiences:
                raise Refusal(
                    403, "The organization may not have external audiences.", code=ErrorCode.EXTERNAL_NOT_ENABLED
                )
            document = new_external(call, body)
            await _add_external(call, document)
        else:
            models.read_model(models.PlatformAudienceCreate, body)
            document = await self._writer.create(call, body)
        call.touches(document["id"], document["name"])
        return json_answer(audience_view(document), 201)

    async def _put(self, call: Call) -> Response:
        body = _with_known_lifecycle(await call.json())
        if not isinstance(body, Mapping):
            raise InvalidRequest("The body must be a JSON object")
        stored = await _find_to_change(call)
        if stored["type"] == PLATFORM_TYPE:
            models.read_model(models.PlatformAudienceCreate, {**body, "type": PLATFORM_TYPE})
        else:
            own = {"audienceId": stored["audienceId"], "namespace": stored["namespace"], "type": stored["type"]}
            models.read_model(models.ExternalAudienceCreate, {**own, **body})
        _check_immutable(stored, body)
        return await self._write(call, stored, body, replace=True)

    async def _patch(self, call: Call) -> Response:
        body = await call.json()
        stored = await _find_to_change(call)
        platform = stored["type"] == PLATFORM_TYPE
        changes = read_patch(
            body,
            # `/namespace` is let through to be refused with the code that belongs to it.
            members={*(_PLATFORM_MEMBERS if platform else _EXTERNAL_MEMBERS), "namespace"},
            removable=_OPTIONAL if platform else _EXTERNAL_OPTIONAL,
        )
        changes = _with_known_lifecycle(changes)
        _check_immutable(stored, changes)
        set_members = {name: value for name, value in changes.items() if value is not None}
        if platform:
            models.read_model(models.SegmentDefinitionPatch, set_members)
        else:
            models.read_model(models.ExternalAudienceCreate, {**stored, **set_members})
        return await self._write(call, stored, changes, replace=False)

    async def _delete(self, call: Call) -> Response:
        await _find_to_change(call)
        try:
            await call.store.delete_audience(call.path("id"))
        except NotFound:
            raise _not_found(call.path("id")) from None
        except Conflict as conflict:
            raise refuse_used(conflict) from conflict
        return empty_answer()

    async def _write(self, call: Call, stored: Document, body: Mapping[str, Any], *, replace: bool) -> Response:
        try:
            if stored["type"] == PLATFORM_TYPE:
                changed = await self._writer.change(call, stored["id"], body, replace=replace)
            else:
                changed = await call.store.change_audience(
                    stored["id"], lambda latest: _changed_external(call, latest, body, replace=replace)
                )
        except NotFound:
            raise _not_found(stored["id"]) from None
        return json_answer(audience_view(changed), 201)


def _is_external(body: Any) -> bool:
    if not isinstance(body, Mapping):
        return False
    kind = body.get("type")
    # Tuples, here and below: what a client sends need not be hashable.
    return kind in (EXTERNAL_TYPE, "ExternalAudience") or (kind is None and "expression" not in body)


def _with_known_lifecycle(body: Any) -> Any:
    """Put today's words in the place of retired ones, and refuse to delete by a lifecycle state."""
    body = models.with_current_words(body)
    if isinstance(body, Mapping) and body.get("lifecycleState") in ("deleted", "archived"):
        message = "An audience cannot be created or changed with the lifecycle state deleted. Use DELETE."
        raise Refusal(400, message, code=ErrorCode.AUDIENCE_INVALID)
    return body


def _check_immutable(stored: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    if body.get("namespace", stored["namespace"]) != stored["namespace"]:
        message = f"The namespace of an audience cannot be changed; it is {stored['namespace']}."
        raise Refusal(400, message, code=ErrorCode.AUDIENCE_INVALID)


def new_external(call: Call, body: Mapping[str, Any]) -> Document:
    """Return the document of a new audience that was made elsewhere; ``body`` was validated."""
    document: Document = {
        "id": str(uuid.uuid4()),
        "audienceId": body["audienceId"],
        "name": body["name"],
        "namespace": body["namespace"],
        **call.place,
        "isSystem": False,
        "type": EXTERNAL_TYPE,
        "originName": body.get("originName") or "CUSTOM_UPLOAD",
        "lifecycleState": body.get("lifecycleState") or "published",
        "createdBy": call.token.user_id,
        "_etag": ids.new_etag(call.now_ms // 1000),
        **times.creation_members(call.now_ms),
        "createEpoch": call.now_ms // 1000,
    }
    given = {name: body[name] for name in _EXTERNAL_OPTIONAL if body.get(name) is not None}
    return {**document, **given}


async def _add_external(call: Call, document: Document) -> None:
    try:
        await call.store.add_audience(document)
    except Conflict as conflict:
        message = f"An audience {document['audienceId']} exists already in the namespace {document['namespace']}."
        raise Refusal(400, message, code=ErrorCode.AUDIENCE_INVALID) from conflict


def _changed_external(call: Call, stored: Document, body: Mapping[str, Any], *, replace: bool) -> Document:
    check_lifecycle_change(stored, body)
    document = dict(stored)
    for name in _EXTERNAL_MEMBERS:
        if body.get(name) is not None:
            document[name] = body[name]
        elif name in _EXTERNAL_OPTIONAL and (name in body or replace):
            document.pop(name, None)
    return touched(call, document)


async def _find(call: Call) -> Document:
    document = await call.store.audience(call.path("id"))
    if document is None:
        raise _not_found(call.path("id"))
    return document


async def _find_to_change(call: Call) -> Document:
    document = await _find(call)
    call.touches(document["id"], document["name"])
    call.check_labels(document, "WRITE")
    return document


def _denied(call: Call, document: Document) -> Document:
    refusal = label_denial(call.organization.org_id, call.sandbox.name, document, "READ")
    return aep_errors.item_error(403, str(refusal), request_id=call.request_id)


def _not_found(identifier: str) -> Refusal:
    message = f"The audience entity {identifier} is not found. Use a valid entity and try again."
    return Refusal(404, message, code=ErrorCode.AUDIENCE_NOT_FOUND)
