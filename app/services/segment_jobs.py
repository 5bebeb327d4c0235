"""Segment jobs: AEP's answers passed through; starting and cancelling go through the door."""

from __future__ import annotations

from typing import Any

from app.audit.actions import Action
from app.audit.recorder import Resource
from app.context import RequestContext
from app.errors import NotFound
from app.services.aep_calls import or_not_found, target_of
from app.services.door import Change, Stored, WriteDoor, Written
from app.services.idempotency import NO_MEMORY, Memory
from app.services.kept_objects import KeptObjectService
from app.services.permissions import require
from app.services.relay import id_in
from app.store.database import WriteUnit
from app.store.sync_states import Cached
from app.upstream import segment_jobs as upstream
from app.upstream.client import AEPClient, Reply

RESOURCE = "segment_job"


class SegmentJobService:
    """Lists, reads, starts and cancels segment jobs of the request's sandbox."""

    def __init__(self, client: AEPClient, door: WriteDoor, kept: KeptObjectService) -> None:
        self._client = client
        self._kept = kept
        self._door = door

    async def list(self, ctx: RequestContext, params: tuple[tuple[str, str], ...]) -> Reply:
        """Return one page of jobs, with AEP's own query; with AEP away the cache's, if it can answer that query."""
        require(ctx, "list_segment_jobs")
        asked = upstream.list_segment_jobs(self._client, target_of(ctx), params)
        return await self._kept.page_or_kept(ctx, Cached.SEGMENT_JOBS, asked, params, "/segment/jobs")

    async def get(self, ctx: RequestContext, job_id: str) -> Reply:
        """Return one job; with AEP away as it was when it was last seen. Raises `NotFound`."""
        require(ctx, "get_segment_job")
        asked = or_not_found(upstream.get_segment_job(self._client, target_of(ctx), job_id), _not_found(job_id))
        return await self._kept.one_or_kept(ctx, Cached.SEGMENT_JOBS, asked, job_id)

    async def bulk_get(self, ctx: RequestContext, body: Any) -> Reply:
        """Return several jobs by id."""
        require(ctx, "bulk_get_segment_jobs")
        return await upstream.bulk_get_segment_jobs(self._client, target_of(ctx), body)

    async def create(self, ctx: RequestContext, body: Any) -> Written[dict[str, Any]]:
        """Start a job with the body of AEP's call. An answer without its id is lost: the outcome is unknown."""

        async def store(_unit: WriteUnit, reply: Reply) -> Stored[dict[str, Any]]:
            return Stored(reply.body, Resource(RESOURCE, id_in(reply.body)))

        change = Change(
            operation="create_segment_job",
            action=Action.SEGMENT_JOB_CREATE,
            resource=Resource(RESOURCE),
            call=upstream.create_segment_job(body),
            store=store,
            detail={"sent": body},
            memory=Memory(lambda job: job, lambda job, _reply: job),
        )
        return await self._door.carry_out(ctx, change)

    async def cancel(self, ctx: RequestContext, job_id: str) -> Written[None]:
        """Cancel a job. Raises `NotFound` and what the door raises."""

        async def store(_unit: WriteUnit, _reply: Reply) -> Stored[None]:
            return Stored(None, Resource(RESOURCE, job_id))

        change = Change(
            operation="cancel_segment_job",
            action=Action.SEGMENT_JOB_CANCEL,
            resource=Resource(RESOURCE, job_id),
            call=upstream.cancel_segment_job(job_id),
            store=store,
            memory=NO_MEMORY,
        )
        return await or_not_found(self._door.carry_out(ctx, change), _not_found(job_id))


def _not_found(job_id: str) -> NotFound:
    return NotFound(f"There is no segment job {job_id} in this sandbox.")
