"""``/data/core/ups/audiences``, answered as AEP answers it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from app.aep import paging, paths
from app.aep.filters import PropertyFilter, parse_properties
from app.aep.models import PROFILE_CLASS
from app.context import RequestContext
from app.rest.plumbing import (
    Routes,
    document_answer,
    json_answer,
    query_of,
    read_json,
    read_object,
    relay_answer,
    with_freshness,
    written_answer,
)
from app.rest.segment_definitions import bulk_answer, read_bulk_ids
from app.services.audiences import AudienceService


def add_audiences(routes: Routes, audiences: AudienceService) -> None:
    """Add the calls of audiences."""

    async def list_all(request: Request, ctx: RequestContext) -> Response:
        query = request.query_params
        properties = parse_properties(query.getlist("property"))
        if not _is_cached(query, properties):
            return relay_answer(await audiences.list_upstream(ctx, query_of(request)))
        page = paging.parse_p2(query, sortable={"updateTime"})
        filters = {one.path: one.value for one in properties}
        rows, total = await audiences.offset_page(
            ctx,
            offset=page.offset,
            limit=page.limit,
            name_contains=query.get("name"),
            description_contains=query.get("description"),
            exact=filters,
        )
        repeated = [pair for pair in query_of(request) if pair[0] not in {"start", "limit"}]
        documents = [row.document for row in rows]
        answer = json_answer(paging.p2_body(documents, total, page, path="/audiences", filters=repeated))
        return with_freshness(answer, await audiences.freshness(ctx))

    async def get(request: Request, ctx: RequestContext) -> Response:
        row = await audiences.get(ctx, aep_id=request.path_params["id"])
        return with_freshness(document_answer(request, row.document), await audiences.freshness(ctx))

    async def bulk_get(request: Request, ctx: RequestContext) -> Response:
        ids = await read_bulk_ids(request)
        rows = await audiences.get_many(ctx, ids)
        answer = bulk_answer(request, ids, {aep_id: row.document for aep_id, row in rows.items()})
        return with_freshness(answer, await audiences.freshness(ctx))

    async def create(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await audiences.create(ctx, await read_object(request)), tagged=True)

    async def update(request: Request, ctx: RequestContext) -> Response:
        operations = await read_json(request)
        return written_answer(await audiences.update(ctx, request.path_params["id"], operations), tagged=True)

    async def replace(request: Request, ctx: RequestContext) -> Response:
        document = await read_object(request)
        return written_answer(await audiences.replace(ctx, request.path_params["id"], document), tagged=True)

    async def delete(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await audiences.delete(ctx, request.path_params["id"]))

    async def update_metrics(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await audiences.update_metrics(ctx, await read_json(request)))

    one = paths.AUDIENCES + "/{id}"
    routes.add("POST", paths.AUDIENCES_BULK_GET, bulk_get)
    routes.add("POST", paths.AUDIENCES_BULK_PATCH_METRIC, update_metrics)
    routes.add("GET", paths.AUDIENCES, list_all)
    routes.add("POST", paths.AUDIENCES, create)
    routes.add("GET", one, get)
    routes.add("PATCH", one, update)
    routes.add("PUT", one, replace)
    routes.add("DELETE", one, delete)


def _is_cached(query: QueryParams, properties: Sequence[PropertyFilter]) -> bool:
    """Tell whether the cache can answer a list: it knows one order, no metrics, and no filter inside of arrays."""
    paths_filtered = [one.path for one in properties]
    return (
        query.get("sort", "updateTime:desc") == "updateTime:desc"
        and not paging.boolean(query, "withMetrics")
        and query.get("entityType", PROFILE_CLASS) == PROFILE_CLASS
        and len(set(paths_filtered)) == len(paths_filtered)
        and not any("~" in one for one in paths_filtered)
    )
