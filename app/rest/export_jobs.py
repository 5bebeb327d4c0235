"""``/data/core/ups/export/jobs``, passed through to AEP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import paths
from app.context import RequestContext
from app.rest.plumbing import Routes, query_of, read_json, relay_answer, written_answer
from app.services.export_jobs import ExportJobService


def add_export_jobs(routes: Routes, jobs: ExportJobService) -> None:
    """Add the calls of export jobs."""

    async def list_all(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await jobs.list(ctx, query_of(request)))

    async def create(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await jobs.create(ctx, await read_json(request)))

    async def get(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await jobs.get(ctx, request.path_params["id"]))

    async def cancel(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await jobs.cancel(ctx, request.path_params["id"]))

    one = paths.EXPORT_JOBS + "/{id}"
    routes.add("GET", paths.EXPORT_JOBS, list_all)
    routes.add("POST", paths.EXPORT_JOBS, create)
    routes.add("GET", one, get)
    routes.add("DELETE", one, cancel)
