"""Schedules: AEP's answers passed through; every change goes through the door."""

from __future__ import annotations

from typing import Any

from app.audit.actions import Action
from app.audit.recorder import Resource
from app.context import RequestContext
from app.errors import NotFound
from app.services.door import Written
from app.services.kept_objects import KeptObjectService
from app.services.relay import Relay, named
from app.store.sync_states import Cached
from app.upstream import schedules as upstream
from app.upstream.client import Call, Reply

RESOURCE = "schedule"


class ScheduleService:
    """Lists, reads, creates, changes, deletes and triggers schedules of the request's sandbox."""

    def __init__(self, relay: Relay, kept: KeptObjectService) -> None:
        self._relay = relay
        self._kept = kept

    async def list(self, ctx: RequestContext, params: tuple[tuple[str, str], ...] = ()) -> Reply:
        """Return one page of schedules, with AEP's own query; with AEP away the cache's, if it can answer it."""
        asked = self._relay.read(ctx, upstream.list_schedules(params))
        return await self._kept.page_or_kept(ctx, Cached.SCHEDULES, asked, params, "/config/schedules")

    async def get(self, ctx: RequestContext, schedule_id: str) -> Reply:
        """Return one schedule; with AEP away as it was when it was last seen. Raises `NotFound`."""
        asked = self._relay.read(ctx, upstream.get_schedule(schedule_id), missing=_not_found(schedule_id))
        return await self._kept.one_or_kept(ctx, Cached.SCHEDULES, asked, schedule_id)

    async def map_audiences(self, ctx: RequestContext, body: Any) -> Reply:
        """Return which schedules audiences are on."""
        return await self._relay.read(ctx, upstream.map_schedule_audiences(body))

    async def create(self, ctx: RequestContext, body: Any) -> Written[Reply]:
        """Create a schedule with the body of AEP's call."""
        return await self._relay.change(
            ctx,
            upstream.create_schedule(body),
            Action.SCHEDULE_CREATE,
            Resource(RESOURCE, name=named(body)),
            id_member="id",
        )

    async def update(self, ctx: RequestContext, schedule_id: str, operations: Any) -> Written[Reply]:
        """Change a schedule by JSON Patch. Raises `NotFound` and what the door raises."""
        call = upstream.update_schedule(schedule_id, operations)
        return await self._change(ctx, call, Action.SCHEDULE_UPDATE, schedule_id)

    async def delete(self, ctx: RequestContext, schedule_id: str) -> Written[Reply]:
        """Delete a schedule. Raises `NotFound` and what the door raises."""
        return await self._change(ctx, upstream.delete_schedule(schedule_id), Action.SCHEDULE_DELETE, schedule_id)

    async def add_audiences(self, ctx: RequestContext, body: Any) -> Written[Reply]:
        """Put audiences on the schedule that the body names."""
        call = upstream.add_schedule_audiences(body)
        return await self._change(ctx, call, Action.SCHEDULE_ADD_AUDIENCES, _schedule_of(body))

    async def remove_audiences(self, ctx: RequestContext, body: Any) -> Written[Reply]:
        """Take audiences off the schedule that the body names."""
        call = upstream.remove_schedule_audiences(body)
        return await self._change(ctx, call, Action.SCHEDULE_REMOVE_AUDIENCES, _schedule_of(body))

    async def trigger(self, ctx: RequestContext, body: Any) -> Written[Reply]:
        """Run the schedule that the body names now."""
        return await self._change(ctx, upstream.trigger_schedule(body), Action.SCHEDULE_TRIGGER, _schedule_of(body))

    async def _change(self, ctx: RequestContext, call: Call, action: Action, schedule_id: str | None) -> Written[Reply]:
        resource = Resource(RESOURCE, schedule_id)
        return await self._relay.change(ctx, call, action, resource, missing=_not_found(schedule_id or "(none named)"))


def _schedule_of(body: Any) -> str | None:
    found = body.get("id") if isinstance(body, dict) else None
    return found if isinstance(found, str) else None


def _not_found(schedule_id: str) -> NotFound:
    return NotFound(f"There is no schedule {schedule_id} in this sandbox.")
