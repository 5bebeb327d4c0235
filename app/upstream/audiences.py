"""Audiences at AEP (``/audiences``)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from app.aep import paths
from app.upstream.client import AEPClient, Call
from app.upstream.connection import Target
from app.upstream.listing import Listed, bulk_get, list_children


def list_audiences(client: AEPClient, target: Target, *, sort: str | None = None) -> AsyncIterator[Listed]:
    """Yield every page of the sandbox's audiences."""
    return list_children(client, target, "list_audiences", paths.AUDIENCES, "audiences", sort=sort)


async def bulk_get_audiences(client: AEPClient, target: Target, aep_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return those of the audiences that exist."""
    return await bulk_get(client, target, "bulk_get_audiences", paths.AUDIENCES_BULK_GET, aep_ids)


def query_audiences(params: tuple[tuple[str, str], ...]) -> Call:
    """Describe a page of audiences, with AEP's own query."""
    return Call("list_audiences", "GET", paths.AUDIENCES, params)


async def get_audience(client: AEPClient, target: Target, aep_id: str) -> dict[str, Any]:
    """Return one audience as AEP has it now."""
    return dict((await client.read(target, Call("get_audience", "GET", _path(aep_id)))).body)


def create_audience(body: dict[str, Any]) -> Call:
    """Describe the creation of an audience."""
    return Call("create_audience", "POST", paths.AUDIENCES, body=body, safety="once")


def update_audience(aep_id: str, operations: Any) -> Call:
    """Describe a change by JSON Patch."""
    return Call("update_audience", "PATCH", _path(aep_id), body=operations, safety="once")


def replace_audience(aep_id: str, body: dict[str, Any]) -> Call:
    """Describe the replacement of the editable part of an audience."""
    return Call("replace_audience", "PUT", _path(aep_id), body=body, safety="once")


def delete_audience(aep_id: str) -> Call:
    """Describe the deletion of an audience."""
    return Call("delete_audience", "DELETE", _path(aep_id), safety="once")


def update_audience_metrics(body: Any) -> Call:
    """Describe setting the metrics of several audiences."""
    return Call("update_audience_metrics", "POST", paths.AUDIENCES_BULK_PATCH_METRIC, body=body, safety="once")


def _path(aep_id: str) -> str:
    return paths.resource(paths.AUDIENCES, aep_id)
