"""Audiences that are uploaded to AEP, and the runs that read their files (``/data/core/ais/external-audience``)."""

from __future__ import annotations

from typing import Any

from app.aep import paths
from app.upstream.client import Call


def create_external_audience(body: Any) -> Call:
    """Describe the creation of an audience from a file; AEP answers with an operation."""
    return Call("create_external_audience", "POST", paths.EXTERNAL_AUDIENCES, body=body, safety="once")


def get_external_audience_operation(operation_id: str) -> Call:
    """Describe how a creation stands."""
    path = paths.resource(paths.EXTERNAL_AUDIENCE_OPERATIONS, operation_id)
    return Call("get_external_audience_operation", "GET", path)


def update_external_audience(audience_id: str, body: Any) -> Call:
    """Describe a change of description, labels, fields or life."""
    return Call("update_external_audience", "PATCH", _path(audience_id), body=body, safety="once")


def delete_external_audience(audience_id: str) -> Call:
    """Describe the deletion of an uploaded audience."""
    return Call("delete_external_audience", "DELETE", _path(audience_id), safety="once")


def create_external_audience_run(audience_id: str, body: Any) -> Call:
    """Describe a run that reads files that have come since."""
    return Call("create_external_audience_run", "POST", _runs(audience_id), body=body, safety="once")


def list_external_audience_runs(audience_id: str, params: tuple[tuple[str, str], ...]) -> Call:
    """Describe the runs of an audience, newest first."""
    return Call("list_external_audience_runs", "GET", _runs(audience_id), params)


def get_external_audience_run(audience_id: str, run_id: str) -> Call:
    """Describe one run."""
    return Call("get_external_audience_run", "GET", paths.resource(_runs(audience_id), run_id))


def _path(audience_id: str) -> str:
    return paths.resource(paths.EXTERNAL_AUDIENCES, audience_id)


def _runs(audience_id: str) -> str:
    return f"{_path(audience_id)}/runs"
