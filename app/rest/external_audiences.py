"""``/data/core/ais/external-audience``, passed through to AEP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import paths
from app.context import RequestContext
from app.rest.plumbing import Routes, query_of, read_json, relay_answer, written_answer
from app.services.external_audiences import ExternalAudienceService


def add_external_audiences(routes: Routes, audiences: ExternalAudienceService) -> None:
    """Add the calls of external audiences."""

    async def create(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await audiences.create(ctx, await read_json(request)))

    async def operation(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await audiences.operation(ctx, request.path_params["id"]))

    async def update(request: Request, ctx: RequestContext) -> Response:
        audience_id, body = request.path_params["id"], await read_json(request)
        return written_answer(await audiences.update(ctx, audience_id, body))

    async def delete(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await audiences.delete(ctx, request.path_params["id"]))

    async def create_run(request: Request, ctx: RequestContext) -> Response:
        audience_id, body = request.path_params["id"], await read_json(request)
        return written_answer(await audiences.create_run(ctx, audience_id, body))

    async def runs(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await audiences.runs(ctx, request.path_params["id"], query_of(request)))

    async def run(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await audiences.run(ctx, request.path_params["id"], request.path_params["run"]))

    one = paths.EXTERNAL_AUDIENCES + "/{id}"
    # The second path of each pair is that of an earlier draft; AEP is asked under the newest.
    for path in (paths.EXTERNAL_AUDIENCES, f"{paths.EXTERNAL_AUDIENCES}/submit"):
        routes.add("POST", path, create)
    for path in (f"{paths.EXTERNAL_AUDIENCE_OPERATIONS}/{{id}}", f"{paths.EXTERNAL_AUDIENCES}/task/{{id}}"):
        routes.add("GET", path, operation)
    routes.add("PATCH", one, update)
    routes.add("DELETE", one, delete)
    for path in (f"{one}/runs", f"{one}/run"):
        routes.add("POST", path, create_run)
    routes.add("GET", one + "/runs", runs)
    routes.add("GET", one + "/runs/{run}", run)
