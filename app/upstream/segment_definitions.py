"""Segment definitions at AEP (``/segment/definitions``)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from app.aep import paths
from app.upstream.client import AEPClient, Call, Reply
from app.upstream.connection import Target
from app.upstream.listing import PAGE_SIZE, Listed, bulk_get, read_page


async def list_segment_definitions(
    client: AEPClient, target: Target, *, sort: str = "creationTime:asc"
) -> AsyncIterator[Listed]:
    """Yield every page of the sandbox's definitions, oldest first, so that new ones come at the end."""
    page, seen = 0, 0
    while True:
        params = (("limit", str(PAGE_SIZE)), ("page", str(page)), ("sort", sort))
        call = Call("list_segment_definitions", "GET", paths.SEGMENT_DEFINITIONS, params)
        listed = read_page((await client.read(target, call)).body, "segments", "page", "definitions")
        yield listed
        seen += len(listed.items)
        # The page after the last is empty; the count spares the call where AEP tells it.
        if not listed.items or (listed.total is not None and seen >= listed.total):
            return
        page += 1


async def bulk_get_segment_definitions(
    client: AEPClient, target: Target, aep_ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return those of the definitions that exist."""
    path = paths.SEGMENT_DEFINITIONS_BULK_GET
    return await bulk_get(client, target, "bulk_get_segment_definitions", path, aep_ids)


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
