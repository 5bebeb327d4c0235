"""Export jobs at AEP (``/export/jobs``)."""

from __future__ import annotations

from typing import Any

from app.aep import paths
from app.upstream.client import Call


def list_export_jobs(params: tuple[tuple[str, str], ...]) -> Call:
    """Describe a page of the sandbox's export jobs, with AEP's own query."""
    return Call("list_export_jobs", "GET", paths.EXPORT_JOBS, params)


def get_export_job(job_id: str) -> Call:
    """Describe one export job."""
    return Call("get_export_job", "GET", _path(job_id))


def create_export_job(body: Any) -> Call:
    """Describe the start of an export."""
    return Call("create_export_job", "POST", paths.EXPORT_JOBS, body=body, safety="once")


def cancel_export_job(job_id: str) -> Call:
    """Describe the cancelling of an export."""
    return Call("cancel_export_job", "DELETE", _path(job_id), safety="once")


def _path(job_id: str) -> str:
    return paths.resource(paths.EXPORT_JOBS, job_id)
