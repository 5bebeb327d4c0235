"""Union schemas, passed through: which fields the profiles and the events of the tenant have."""

from __future__ import annotations

from app.context import RequestContext
from app.errors import NotFound
from app.services.relay import Relay
from app.upstream import schemas as upstream
from app.upstream.client import Reply


class SchemaService:
    """Reads the union schemas of the request's sandbox."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def list(self, ctx: RequestContext, params: tuple[tuple[str, str], ...]) -> Reply:
        """Return the list of union schemas."""
        return await self._relay.read(ctx, upstream.list_schema_unions(params))

    async def get(self, ctx: RequestContext, union_id: str, accept: str | None) -> Reply:
        """Return one union schema in the form that ``accept`` asks for. Raises `NotFound`."""
        missing = NotFound(f"There is no union schema {union_id} in this sandbox.")
        return await self._relay.read(ctx, upstream.get_schema_union(union_id, accept), missing=missing)
