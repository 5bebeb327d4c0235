"""Uploaded audiences and the runs that read their files: passed through; every change goes through the door.

The audience itself appears among `app.services.audiences` with the next sync, which a change brings about at once.
"""

from __future__ import annotations

from typing import Any

from app.audit.actions import Action
from app.audit.recorder import Resource
from app.context import RequestContext
from app.errors import NotFound
from app.services.door import Written
from app.services.relay import Relay, named
from app.upstream import external_audiences as upstream
from app.upstream.client import Call, Reply

RESOURCE = "external_audience"


class ExternalAudienceService:
    """Uploads, changes and deletes external audiences of the request's sandbox."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def create(self, ctx: RequestContext, body: Any) -> Written[Reply]:
        """Create an audience from a file; AEP's answer names an operation."""
        call = upstream.create_external_audience(body)
        resource = Resource(RESOURCE, name=named(body))
        return await self._relay.change(ctx, call, Action.EXTERNAL_AUDIENCE_CREATE, resource, id_member="operationId")

    async def operation(self, ctx: RequestContext, operation_id: str) -> Reply:
        """Return how a creation stands. Raises `NotFound`."""
        missing = NotFound(f"There is no operation {operation_id} in this sandbox.")
        return await self._relay.read(ctx, upstream.get_external_audience_operation(operation_id), missing=missing)

    async def update(self, ctx: RequestContext, audience_id: str, body: Any) -> Written[Reply]:
        """Change an audience. Raises `NotFound` and what the door raises."""
        call = upstream.update_external_audience(audience_id, body)
        return await self._change(ctx, call, Action.EXTERNAL_AUDIENCE_UPDATE, audience_id)

    async def delete(self, ctx: RequestContext, audience_id: str) -> Written[Reply]:
        """Delete an audience. Raises `NotFound` and what the door raises."""
        call = upstream.delete_external_audience(audience_id)
        return await self._change(ctx, call, Action.EXTERNAL_AUDIENCE_DELETE, audience_id)

    async def create_run(self, ctx: RequestContext, audience_id: str, body: Any) -> Written[Reply]:
        """Start a run. Raises `NotFound` and what the door raises."""
        call = upstream.create_external_audience_run(audience_id, body)
        return await self._change(ctx, call, Action.EXTERNAL_AUDIENCE_RUN_CREATE, audience_id)

    async def runs(self, ctx: RequestContext, audience_id: str, params: tuple[tuple[str, str], ...] = ()) -> Reply:
        """Return the runs of an audience. Raises `NotFound`."""
        call = upstream.list_external_audience_runs(audience_id, params)
        return await self._relay.read(ctx, call, missing=_not_found(audience_id))

    async def run(self, ctx: RequestContext, audience_id: str, run_id: str) -> Reply:
        """Return one run. Raises `NotFound`."""
        call = upstream.get_external_audience_run(audience_id, run_id)
        missing = NotFound(f"There is no run {run_id} of the external audience {audience_id} in this sandbox.")
        return await self._relay.read(ctx, call, missing=missing)

    async def _change(self, ctx: RequestContext, call: Call, action: Action, audience_id: str) -> Written[Reply]:
        resource = Resource(RESOURCE, audience_id)
        return await self._relay.change(ctx, call, action, resource, missing=_not_found(audience_id))


def _not_found(audience_id: str) -> NotFound:
    return NotFound(f"There is no external audience {audience_id} in this sandbox.")
