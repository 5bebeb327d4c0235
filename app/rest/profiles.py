"""``/data/core/ups/access/entities`` and ``/previewsamplestatus``, passed through to AEP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import paths
from app.context import RequestContext
from app.rest.plumbing import Routes, query_of, relay_answer
from app.services.profiles import ProfileService


def add_profiles(routes: Routes, profiles: ProfileService) -> None:
    """Add the calls that read profiles."""

    async def entities(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await profiles.entities(ctx, query_of(request)))

    async def sample_status(_request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await profiles.sample_status(ctx))

    async def sample_namespaces(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await profiles.sample_namespaces(ctx, query_of(request)))

    routes.add("GET", paths.PROFILE_ENTITIES, entities)
    routes.add("GET", paths.PREVIEW_SAMPLE_STATUS, sample_status)
    routes.add("GET", paths.PREVIEW_SAMPLE_NAMESPACES, sample_namespaces)
