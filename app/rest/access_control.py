"""``/data/foundation/access-control``: answered from the gateway's own product profiles.

AEP would tell what the organization's technical account may do, which says nothing about the caller.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import paths
from app.aep.access_control import policies_body, read_asked, reference_body
from app.context import RequestContext
from app.rest.plumbing import Routes, json_answer, read_json
from app.services.viewer import ViewerService


def add_access_control(routes: Routes, viewer: ViewerService) -> None:
    """Add the reference and the question what the caller may do."""

    async def reference(_request: Request, ctx: RequestContext) -> Response:
        viewer.require_access_control(ctx)
        return json_answer(reference_body())

    async def policies(request: Request, ctx: RequestContext) -> Response:
        viewer.require_access_control(ctx)
        return json_answer(policies_body(read_asked(await read_json(request)), ctx.permissions))

    routes.add("GET", paths.ACCESS_CONTROL_REFERENCE, reference)
    routes.add("POST", paths.ACCESS_CONTROL_POLICIES, policies)
