"""Segment jobs at AEP (``/segment/jobs``)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from app.aep import paths
from app.upstream.client import AEPClient, Call, Reply
from app.upstream.connection import Target
from app.upstream.listing import Listed, bulk_get, list_children


async def list_segment_jobs(client: AEPClient, target: Target, params: tuple[tuple[str, str], ...]) -> Reply:
    """Return one page of the sandbox's segment jobs, with AEP's own query."""
    return await client.read(target, Call("list_segment_jobs", "GET", paths.SEGMENT_JOBS, params))


def newest_segment_jobs(client: AEPClient, target: Target) -> AsyncIterator[Listed]:
    """Yield every page of the sandbox's segment jobs, newest first."""
    sort = "creationTime:desc"
    return list_children(client, target, "list_segment_jobs", paths.SEGMENT_JOBS, "segment jobs", sort=sort)


async def segment_jobs_by_id(client: AEPClient, target: Target, job_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return those of the jobs that exist."""
    return await bulk_get(client, target, "bulk_get_segment_jobs", paths.SEGMENT_JOBS_BULK_GET, job_ids)


async def get_segment_job(client: AEPClient, target: Target, job_id: str) -> Reply:
    """Return one segment job."""
    return await client.read(target, Call("get_segment_job", "GET", _path(job_id)))


async def bulk_get_segment_jobs(client: AEPClient, target: Target, body: Any) -> Reply:
    """Return several segment jobs by id."""
    call = Call("bulk_get_segment_jobs", "POST", paths.SEGMENT_JOBS_BULK_GET, body=body, safety="repeatable")
    return await client.read(target, call)


def create_segment_job(body: Any) -> Call:
    """Describe the start of a segment job."""
    return Call("create_segment_job", "POST", paths.SEGMENT_JOBS, body=body, safety="once")


def cancel_segment_job(job_id: str) -> Call:
    """Describe the cancelling of a segment job."""
    return Call("cancel_segment_job", "DELETE", _path(job_id), safety="once")


def _path(job_id: str) -> str:
    return paths.resource(paths.SEGMENT_JOBS, job_id)
