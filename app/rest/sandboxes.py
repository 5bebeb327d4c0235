"""``/data/foundation/sandbox-management``: the organization's sandboxes, read from the cache and changed at AEP."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.aep import paths
from app.context import RequestContext, Sandbox
from app.errors import NotFound
from app.rest.plumbing import Routes, json_answer, read_json, written_answer
from app.services.sandboxes import SandboxService
from app.services.viewer import ViewerService


def add_sandboxes(routes: Routes, viewer: ViewerService, sandboxes: SandboxService) -> None:
    """Add the calls of sandboxes."""

    async def list_all(_request: Request, ctx: RequestContext) -> Response:
        found = [_document(sandbox) for sandbox in await viewer.sandboxes(ctx)]
        page = {"limit": 200, "count": len(found)}
        links = {"page": {"href": f"{paths.SANDBOXES}?limit={{limit}}&offset={{offset}}", "templated": True}}
        return json_answer({"sandboxes": found, "_page": page, "_links": links})

    async def types(_request: Request, ctx: RequestContext) -> Response:
        found = dict.fromkeys(sandbox.type for sandbox in await viewer.sandboxes(ctx))
        return json_answer({"sandboxTypes": [{"id": one, "title": one.capitalize()} for one in found]})

    async def get(request: Request, ctx: RequestContext) -> Response:
        name = request.path_params["name"]
        for sandbox in await viewer.sandboxes(ctx):
            if sandbox.name == name:
                return json_answer(_document(sandbox))
        raise NotFound(f"This organization has no sandbox named {name!r}.")

    async def create(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await sandboxes.create(ctx, await read_json(request)))

    async def update(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await sandboxes.update(ctx, request.path_params["name"], await read_json(request)))

    async def reset(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await sandboxes.reset(ctx, request.path_params["name"], await read_json(request)))

    async def delete(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await sandboxes.delete(ctx, request.path_params["name"]))

    one = paths.SANDBOXES + "/{name}"
    routes.add("GET", paths.SANDBOX_MANAGEMENT, list_all)
    routes.add("GET", paths.SANDBOX_TYPES, types)
    routes.add("GET", paths.SANDBOXES, list_all)
    routes.add("POST", paths.SANDBOXES, create)
    routes.add("GET", one, get)
    routes.add("PATCH", one, update)
    routes.add("PUT", one, reset)
    routes.add("DELETE", one, delete)


def _document(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "id": sandbox.aep_id,
        "name": sandbox.name,
        "title": sandbox.title,
        "state": "active",
        "type": sandbox.type,
        "isDefault": sandbox.is_default,
    }
