"""``/data/core/ups/config/schedules``, passed through to AEP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import paths
from app.context import RequestContext
from app.rest.plumbing import Routes, query_of, read_json, relay_answer, written_answer
from app.services.schedules import ScheduleService


def add_schedules(routes: Routes, schedules: ScheduleService) -> None:
    """Add the calls of schedules."""

    async def list_all(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await schedules.list(ctx, query_of(request)))

    async def create(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await schedules.create(ctx, await read_json(request)))

    async def get(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await schedules.get(ctx, request.path_params["id"]))

    async def update(request: Request, ctx: RequestContext) -> Response:
        operations = await read_json(request, any_type=True)
        return written_answer(await schedules.update(ctx, request.path_params["id"], operations))

    async def delete(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await schedules.delete(ctx, request.path_params["id"]))

    async def add_audiences(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await schedules.add_audiences(ctx, await read_json(request)))

    async def remove_audiences(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await schedules.remove_audiences(ctx, await read_json(request)))

    async def map_audiences(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await schedules.map_audiences(ctx, await read_json(request)))

    async def trigger(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await schedules.trigger(ctx, await read_json(request)))

    one = paths.SCHEDULES + "/{id}"
    routes.add("POST", paths.SCHEDULES_ADD_AUDIENCES, add_audiences)
    routes.add("POST", paths.SCHEDULES_REMOVE_AUDIENCES, remove_audiences)
    routes.add("POST", paths.SCHEDULES_AUDIENCE_MAP, map_audiences)
    routes.add("POST", paths.SCHEDULES_TRIGGER, trigger)
    routes.add("GET", paths.SCHEDULES, list_all)
    routes.add("POST", paths.SCHEDULES, create)
    routes.add("GET", one, get)
    routes.add("PATCH", one, update)
    routes.add("DELETE", one, delete)
