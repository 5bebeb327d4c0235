"""``/data/core/ups/segment/jobs``, passed through to AEP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import paths
from app.context import RequestContext
from app.rest.plumbing import Routes, headers_of, json_answer, query_of, read_json, relay_answer
from app.services.segment_jobs import SegmentJobService


def add_segment_jobs(routes: Routes, jobs: SegmentJobService) -> None:
    """Add the calls of segment jobs."""

    async def list_all(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await jobs.list(ctx, query_of(request)))

    async def create(request: Request, ctx: RequestContext) -> Response:
        written = await jobs.create(ctx, await read_json(request))
        return json_answer(written.body, headers=headers_of(written))

    async def get(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await jobs.get(ctx, request.path_params["id"]))

    async def cancel(request: Request, ctx: RequestContext) -> Response:
        written = await jobs.cancel(ctx, request.path_params["id"])
        return Response(status_code=204, headers=headers_of(written))

    async def bulk_get(request: Request, ctx: RequestContext) -> Response:
        reply = await jobs.bulk_get(ctx, await read_json(request, any_type=True))
        return json_answer(reply.body, reply.status)

    one = paths.SEGMENT_JOBS + "/{id}"
    routes.add("POST", paths.SEGMENT_JOBS_BULK_GET, bulk_get)
    routes.add("GET", paths.SEGMENT_JOBS, list_all)
    routes.add("POST", paths.SEGMENT_JOBS, create)
    routes.add("GET", one, get)
    routes.add("DELETE", one, cancel)
