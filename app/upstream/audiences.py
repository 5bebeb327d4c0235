"""Audiences at AEP (``/audiences``)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from app.aep import paths
from app.errors import UpstreamUnavailable
from app.upstream.client import AEPClient, Call
from app.upstream.connection import Target

PAGE_SIZE = 100


async def list_audiences(client: AEPClient, target: Target) -> AsyncIterator[list[dict[str, Any]]]:
    """Yield every page of the sandbox's audiences. AEP's ``start`` is a page index, in spite of its name."""
    start = "0"
    while True:
        params = (("limit", str(PAGE_SIZE)), ("start", start))
        body = (await client.read(target, Call("list_audiences", "GET", paths.AUDIENCES, params))).body
        if not isinstance(body, dict) or not isinstance(body.get("children"), list):
            raise UpstreamUnavailable("Adobe Experience Platform sent a list of audiences that cannot be read.")
        yield body["children"]
        following = (body.get("_page") or {}).get("next")
        if following in (None, "", start):
            return
        start = str(following)


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
