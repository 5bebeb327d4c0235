"""``/data/core/ups/segment/definitions`` and ``/segment/conversion``, answered as AEP answers them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import errors as aep_errors
from app.aep import headers as aep_headers
from app.aep import models, paging, paths
from app.context import RequestContext
from app.errors import InvalidRequest, UpstreamRefused
from app.rest.plumbing import (
    Routes,
    document_answer,
    headers_of,
    json_answer,
    query_of,
    read_json,
    read_object,
    relay_answer,
    with_freshness,
)
from app.services.segment_definitions import DefinitionOrderField, SegmentDefinitionService

SORTABLE = frozenset(field.value for field in DefinitionOrderField)


def add_segment_definitions(routes: Routes, definitions: SegmentDefinitionService) -> None:
    """Add the seven calls."""

    async def list_all(request: Request, ctx: RequestContext) -> Response:
        if not _is_cached(request.query_params):
            return relay_answer(await definitions.list_upstream(ctx, query_of(request)))
        page = paging.parse_p1(request.query_params, sortable=SORTABLE)
        rows, total = await definitions.offset_page(
            ctx,
            offset=page.offset,
            limit=page.limit,
            sort=[(key.field, key.descending) for key in page.sort],
            evaluation=_evaluation(request.query_params),
        )
        answer = json_answer(paging.p1_body([row.document for row in rows], total, page))
        return with_freshness(answer, await definitions.freshness(ctx))

    async def create(request: Request, ctx: RequestContext) -> Response:
        written = await definitions.create(ctx, await read_object(request))
        location = paths.resource(paths.SEGMENT_DEFINITIONS, written.value.aep_id)
        return json_answer(written.body, headers={aep_headers.LOCATION: location, **headers_of(written, tagged=True)})

    async def get(request: Request, ctx: RequestContext) -> Response:
        row = await definitions.get(ctx, aep_id=request.path_params["id"])
        return with_freshness(document_answer(request, row.document), await definitions.freshness(ctx))

    async def update(request: Request, ctx: RequestContext) -> Response:
        written = await definitions.update(ctx, request.path_params["id"], await read_object(request))
        location = paths.resource(paths.SEGMENT_DEFINITIONS, written.value.aep_id)
        return json_answer(written.body, headers={aep_headers.LOCATION: location, **headers_of(written, tagged=True)})

    async def delete(request: Request, ctx: RequestContext) -> Response:
        written = await definitions.delete(ctx, request.path_params["id"])
        return json_answer(written.body, headers=headers_of(written))

    async def bulk_get(request: Request, ctx: RequestContext) -> Response:
        ids = await read_bulk_ids(request)
        rows = await definitions.get_many(ctx, ids)
        answer = bulk_answer(request, ids, {aep_id: row.document for aep_id, row in rows.items()})
        return with_freshness(answer, await definitions.freshness(ctx))

    async def convert(request: Request, ctx: RequestContext) -> Response:
        reply = await definitions.convert(ctx, await read_object(request, any_type=True))
        return json_answer(reply.body, reply.status)

    one = paths.SEGMENT_DEFINITIONS + "/{id}"
    routes.add("POST", paths.SEGMENT_DEFINITIONS_BULK_GET, bulk_get)
    routes.add("GET", paths.SEGMENT_DEFINITIONS, list_all)
    routes.add("POST", paths.SEGMENT_DEFINITIONS, create)
    routes.add("GET", one, get)
    routes.add("PATCH", one, update)
    routes.add("DELETE", one, delete)
    routes.add("POST", paths.SEGMENT_CONVERSION, convert)


async def read_bulk_ids(request: Request) -> list[str]:
    """Return the ids of a bulk-get; its body may come as plain text. Raises AEP's own refusal."""
    body = await read_json(request, any_type=True)
    try:
        return models.bulk_ids(body)
    except InvalidRequest as problem:
        code = aep_errors.ErrorCode.BULK_SIZE
        detail = f"{problem.detail}. {problem.hint}" if problem.hint else f"{problem.detail}."
        raise UpstreamRefused(detail, status=400, upstream_code=code) from None


def bulk_answer(request: Request, ids: list[str], found: dict[str, dict[str, object]]) -> Response:
    """Answer 207 with an object keyed by id; 404 when none of the ids exists."""
    if not found:
        raise UpstreamRefused(
            f"None of the ids was found: {', '.join(ids)}.",
            status=404,
            upstream_code=aep_errors.ErrorCode.BULK_NONE_FOUND,
        )
    missing = aep_errors.item_error(404, "Not found.", request_id=request.state.request_id)
    return json_answer(models.bulk_body(ids, found, missing), 207)


def _is_cached(query: paging.Query) -> bool:
    """Tell whether the cache can answer a list: it filters by one evaluation method that is on, or by none."""
    asked = [paging.boolean(query, _filter(method)) for method in models.EVALUATION_METHODS]
    return False not in asked and asked.count(True) <= 1


def _evaluation(query: paging.Query) -> str | None:
    """Return the evaluation method that the query asks for."""
    return next((one for one in models.EVALUATION_METHODS if paging.boolean(query, _filter(one))), None)


def _filter(method: str) -> str:
    return f"evaluationInfo.{method}.enabled"
