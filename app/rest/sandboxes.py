"""``/data/foundation/sandbox-management``: the sandboxes of the caller's organization, read from the cache."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.aep import paths
from app.context import RequestContext, Sandbox
from app.errors import NotFound
from app.rest.plumbing import Routes, json_answer
from app.services.viewer import ViewerService


def add_sandboxes(routes: Routes, viewer: ViewerService) -> None:
    """Add the calls that read sandboxes."""

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

    routes.add("GET", paths.SANDBOX_MANAGEMENT, list_all)
    routes.add("GET", paths.SANDBOX_TYPES, types)
    routes.add("GET", paths.SANDBOXES, list_all)
    routes.add("GET", paths.SANDBOXES + "/{name}", get)


def _document(sandbox: Sandbox) -> dict[str, Any]:
    return {
        "id": sandbox.aep_id,
        "name": sandbox.name,
        "title": sandbox.title,
        "state": "active",
        "type": sandbox.type,
        "isDefault": sandbox.is_default,
    }
