"""Searching audiences by text, as AEP's search answers it."""

from __future__ import annotations

from app.context import RequestContext
from app.services.relay import Relay
from app.upstream import search as upstream
from app.upstream.client import Reply


class SearchService:
    """Searches the audiences of the request's sandbox."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def search(
        self, ctx: RequestContext, searched: upstream.Searched, params: tuple[tuple[str, str], ...]
    ) -> Reply:
        """Return namespaces, entities or the folders above one, with AEP's own query."""
        return await self._relay.read(ctx, upstream.search(searched, params))
