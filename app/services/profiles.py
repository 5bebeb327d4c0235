"""Single profiles and the sample behind estimates, read at AEP. Profile data is passed on and never kept."""

from __future__ import annotations

from app.context import RequestContext
from app.errors import NotFound
from app.services.relay import Relay
from app.upstream import profiles as upstream
from app.upstream.client import Reply


class ProfileService:
    """Reads profiles of the request's sandbox."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def entities(self, ctx: RequestContext, params: tuple[tuple[str, str], ...]) -> Reply:
        """Return a profile with its segment membership, with AEP's own query. Raises `NotFound`."""
        missing = NotFound("There is no such profile in this sandbox.", hint="Check entityId and entityIdNS.")
        return await self._relay.read(ctx, upstream.get_profile_entities(params), missing=missing)

    async def sample_status(self, ctx: RequestContext) -> Reply:
        """Return the size and the age of the sample behind estimates."""
        return await self._relay.read(ctx, upstream.get_preview_sample_status())

    async def sample_namespaces(self, ctx: RequestContext, params: tuple[tuple[str, str], ...]) -> Reply:
        """Return the sample's identities by namespace."""
        return await self._relay.read(ctx, upstream.get_preview_sample_namespaces(params))
