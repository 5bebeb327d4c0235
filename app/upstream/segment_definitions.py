"""Segment definitions at AEP (``/segment/definitions``)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from app.aep import paths
from app.errors import UpstreamUnavailable
from app.upstream.client import AEPClient, Call, Reply
from app.upstream.connection import Target

PAGE_SIZE = 100


async def list_segment_definitions(client: AEPClient, target: Target) -> AsyncIterator[list[dict[str, Any]]]:
    """Yield every page of the sandbox's definitions, oldest first, so that new ones come at the end."""
    page = 0
    while True:
        params = (("limit", str(PAGE_SIZE)), ("page", str(page)), ("sort", "creationTime:asc"))
        call = Call("list_segment_definitions", "GET", paths.SEGMENT_DEFINITIONS, params)
        body = (await client.read(target, call)).body
        if not isinstance(body, dict) or not isinstance(body.get("segments"), list):
            raise UpstreamUnavailable("Adobe Experience Platform sent a list of definitions that cannot be read.")
        if not body["segments"]:
            return
        yield body["segments"]
        page += 1


def query_segment_definitions(params: tuple[tuple[str, str], ...]) -> Call:
    """Describe a page of definitions, with AEP's own query."""
    return Call("list_segment_definitions", "GET", paths.SEGMENT_DEFINITIONS, params)


async def get_segment_definition(client: AEPClient, target: Target, aep_id: str) -> dict[str, Any]:
    """Return one definition as AEP has it now."""
    reply = await client.read(target, Call("get_segment_definition", "GET", _path(aep_id)))
    return dict(reply.body)


async def convert_segment_definition(client: AEPClient, target: Target, body: Any) -> Reply:
    """Return a definition with its expression in the other format; nothing is stored."""
    return await client.read(
        target,
        Call("convert_segment_definition", "POST", paths.SEGMENT_CONVERSION, body=body, safety="repeatable"),
    )


def create_segment_definition(body: dict[str, Any]) -> Call:
    """Describe the creation of a definition."""
    return Call("create_segment_definition", "POST", paths.SEGMENT_DEFINITIONS, body=body, safety="once")


def update_segment_definition(aep_id: str, body: dict[str, Any]) -> Call:
    """Describe a change: members present replace, members absent stay."""
    return Call("update_segment_definition", "PATCH", _path(aep_id), body=body, safety="once")


def delete_segment_definition(aep_id: str) -> Call:
    """Describe the deletion of a definition."""
    return Call("delete_segment_definition", "DELETE", _path(aep_id), safety="once")


def _path(aep_id: str) -> str:
    return paths.resource(paths.SEGMENT_DEFINITIONS, aep_id)
