"""``/data/core/ups/search``, passed through to AEP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import paths
from app.context import RequestContext
from app.rest.plumbing import Routes, query_of, relay_answer
from app.services.search import SearchService


def add_search(routes: Routes, search: SearchService) -> None:
    """Add the calls of the search."""

    async def namespaces(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await search.search(ctx, "namespaces", query_of(request)))

    async def entities(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await search.search(ctx, "entities", query_of(request)))

    async def taxonomy(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await search.search(ctx, "taxonomy", query_of(request)))

    routes.add("GET", paths.SEARCH_NAMESPACES, namespaces)
    routes.add("GET", paths.SEARCH_ENTITIES, entities)
    routes.add("GET", paths.SEARCH_TAXONOMY, taxonomy)
