"""``/data/foundation/schemaregistry/tenant/unions``, passed through to AEP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import paths
from app.context import RequestContext
from app.rest.plumbing import Routes, query_of, relay_answer
from app.services.schemas import SchemaService

# Other values of Accept choose no form of a schema, and AEP refuses them.
_SCHEMA_MEDIA = "application/vnd.adobe.xed"


def add_schemas(routes: Routes, schemas: SchemaService) -> None:
    """Add the calls that read union schemas."""

    async def list_all(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await schemas.list(ctx, query_of(request)))

    async def get(request: Request, ctx: RequestContext) -> Response:
        accept = request.headers.get("accept", "")
        form = accept if accept.startswith(_SCHEMA_MEDIA) else None
        return relay_answer(await schemas.get(ctx, request.path_params["id"], form))

    routes.add("GET", paths.SCHEMA_UNIONS, list_all)
    # The id is an address, so once its escapes are read it holds slashes.
    routes.add("GET", paths.SCHEMA_UNIONS + "/{id:path}", get)
