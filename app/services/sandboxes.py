"""Changes of sandboxes: passed through to AEP by the door.

Which sandboxes the gateway serves is entered with the tenant; one that is made here is served once it is entered.
"""

from __future__ import annotations

from typing import Any

from app.audit.actions import Action
from app.audit.recorder import Resource
from app.context import RequestContext
from app.errors import NotFound
from app.services.door import Written
from app.services.relay import Relay, named
from app.upstream import sandboxes as upstream
from app.upstream.client import Call, Reply

RESOURCE = "sandbox"


class SandboxService:
    """Makes, renames, resets and deletes sandboxes of the request's organization."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def create(self, ctx: RequestContext, body: Any) -> Written[Reply]:
        """Create a sandbox with the body of AEP's call."""
        resource = Resource(RESOURCE, name=named(body))
        return await self._relay.change(
            ctx, upstream.create_sandbox(body), Action.SANDBOX_CREATE, resource, id_member="id"
        )

    async def update(self, ctx: RequestContext, name: str, body: Any) -> Written[Reply]:
        """Give a sandbox another title. Raises `NotFound` and what the door raises."""
        return await self._change(ctx, upstream.update_sandbox(name, body), Action.SANDBOX_UPDATE, name)

    async def reset(self, ctx: RequestContext, name: str, body: Any) -> Written[Reply]:
        """Empty a sandbox. Raises `NotFound` and what the door raises."""
        return await self._change(ctx, upstream.reset_sandbox(name, body), Action.SANDBOX_RESET, name)

    async def delete(self, ctx: RequestContext, name: str) -> Written[Reply]:
        """Delete a sandbox. Raises `NotFound` and what the door raises."""
        return await self._change(ctx, upstream.delete_sandbox(name), Action.SANDBOX_DELETE, name)

    async def _change(self, ctx: RequestContext, call: Call, action: Action, name: str) -> Written[Reply]:
        missing = NotFound(f"This organization has no sandbox named {name!r}.")
        return await self._relay.change(ctx, call, action, Resource(RESOURCE, name=name), missing=missing)
