"""Export jobs: AEP's answers passed through; starting and cancelling go through the door."""

from __future__ import annotations

from typing import Any

from app.audit.actions import Action
from app.audit.recorder import Resource
from app.context import RequestContext
from app.errors import NotFound
from app.services.door import Written
from app.services.relay import Relay
from app.upstream import export_jobs as upstream
from app.upstream.client import Reply

RESOURCE = "export_job"


class ExportJobService:
    """Lists, reads, starts and cancels export jobs of the request's sandbox."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def list(self, ctx: RequestContext, params: tuple[tuple[str, str], ...] = ()) -> Reply:
        """Return one page of jobs, with AEP's own query."""
        return await self._relay.read(ctx, upstream.list_export_jobs(params))

    async def get(self, ctx: RequestContext, job_id: str) -> Reply:
        """Return one job. Raises `NotFound`."""
        return await self._relay.read(ctx, upstream.get_export_job(job_id), missing=_not_found(job_id))

    async def create(self, ctx: RequestContext, body: Any) -> Written[Reply]:
        """Start an export with the body of AEP's call."""
        call = upstream.create_export_job(body)
        return await self._relay.change(ctx, call, Action.EXPORT_JOB_CREATE, Resource(RESOURCE), id_member="id")

    async def cancel(self, ctx: RequestContext, job_id: str) -> Written[Reply]:
        """Cancel an export. Raises `NotFound` and what the door raises."""
        call = upstream.cancel_export_job(job_id)
        resource = Resource(RESOURCE, job_id)
        return await self._relay.change(ctx, call, Action.EXPORT_JOB_CANCEL, resource, missing=_not_found(job_id))


def _not_found(job_id: str) -> NotFound:
    return NotFound(f"There is no export job {job_id} in this sandbox.")
