"""XDM union schemas at AEP (the Schema Registry): which fields the tenant's profiles and events have."""

from __future__ import annotations

from typing import Any

from app.aep import paths
from app.upstream.client import AEPClient, Call
from app.upstream.connection import Target


async def get_union(client: AEPClient, target: Target, union_id: str) -> dict[str, Any]:
    """Return a union schema, resolved in full."""
    call = Call(
        "get_union_schema",
        "GET",
        paths.resource(paths.SCHEMA_UNIONS, union_id),
        headers=(("accept", "application/vnd.adobe.xed-full+json; version=1"),),
    )
    return dict((await client.read(target, call)).body)
