"""``/data/core/ups/preview`` and ``/estimate``, passed through to AEP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import headers as aep_headers
from app.aep import paths
from app.context import RequestContext
from app.rest.plumbing import Routes, headers_of, json_answer, query_of, read_object
from app.services.estimates import EstimateService


def add_estimates(routes: Routes, estimates: EstimateService) -> None:
    """Add the calls of previews and estimates."""

    async def start(request: Request, ctx: RequestContext) -> Response:
        written = await estimates.start_preview(ctx, await read_object(request))
        location = {aep_headers.LOCATION: paths.resource(paths.PREVIEW, written.value.preview_id)}
        return json_answer(written.body, 201, location | headers_of(written))

    async def preview(request: Request, ctx: RequestContext) -> Response:
        reply = await estimates.get_preview(ctx, request.path_params["id"], query_of(request))
        return json_answer(reply.body, reply.status)

    async def estimate(request: Request, ctx: RequestContext) -> Response:
        reply = await estimates.get_document(ctx, request.path_params["id"])
        return json_answer(reply.body, reply.status)

    async def delete(request: Request, ctx: RequestContext) -> Response:
        written = await estimates.delete_preview(ctx, request.path_params["id"])
        return json_answer(written.body, headers=headers_of(written))

    routes.add("POST", paths.PREVIEW, start)
    routes.add("GET", paths.PREVIEW + "/{id}", preview)
    routes.add("DELETE", paths.PREVIEW + "/{id}", delete)
    routes.add("GET", paths.ESTIMATE + "/{id}", estimate)
