"""XDM union schemas at AEP (the Schema Registry): which fields the tenant's profiles and events have."""

from __future__ import annotations

from typing import Any

from app.aep import paths
from app.upstream.client import AEPClient, Call
from app.upstream.connection import Target

_FULL = (("accept", "application/vnd.adobe.xed-full+json; version=1"),)


def list_schema_unions(params: tuple[tuple[str, str], ...]) -> Call:
    """Describe the list of union schemas."""
    return Call("list_schema_unions", "GET", paths.SCHEMA_UNIONS, params, headers=_FULL)


def get_schema_union(union_id: str, accept: str | None = None) -> Call:
    """Describe one union schema, resolved in full unless ``accept`` asks for another form."""
    headers = _FULL if accept is None else (("accept", accept),)
    return Call("get_schema_union", "GET", paths.resource(paths.SCHEMA_UNIONS, union_id), headers=headers)


async def get_union(client: AEPClient, target: Target, union_id: str) -> dict[str, Any]:
    """Return a union schema, resolved in full."""
    return dict((await client.read(target, get_schema_union(union_id))).body)
