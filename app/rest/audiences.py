"""``/data/core/ups/audiences``, read as AEP answers it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import paging, paths
from app.aep.filters import parse_properties
from app.context import RequestContext
from app.rest.plumbing import Routes, json_answer, query_of
from app.rest.segment_definitions import bulk_answer, read_bulk_ids
from app.services.audiences import AudienceService


def add_audiences(routes: Routes, audiences: AudienceService) -> None:
    """Add the calls that read audiences."""

    async def list_all(request: Request, ctx: RequestContext) -> Response:
        query = request.query_params
        page = paging.parse_p2(query, sortable={"updateTime"}, default_limit=20)
        filters = {one.path: one.value for one in parse_properties(query.getlist("property"))}
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
        return json_answer(paging.p2_body(documents, total, page, path="/audiences", filters=repeated))

    async def get(request: Request, ctx: RequestContext) -> Response:
        row = await audiences.get(ctx, aep_id=request.path_params["id"])
        return json_answer(row.document)

    async def bulk_get(request: Request, ctx: RequestContext) -> Response:
        ids = await read_bulk_ids(request)
        rows = await audiences.get_many(ctx, ids)
        return bulk_answer(request, ids, {aep_id: row.document for aep_id, row in rows.items()})

    routes.add("POST", paths.AUDIENCES_BULK_GET, bulk_get)
    routes.add("GET", paths.AUDIENCES, list_all)
    routes.add("GET", paths.AUDIENCES + "/{id}", get)
