"""XDM union schemas at AEP (the Schema Registry): which fields the tenant's profiles and events have."""

from __future__ import annotations

from typing import Any

from app.aep import paths
from app.upstream.client import AEPClient, Call
from app.upstream.connection import Target

MAX_UNIONS = 50
"""Far more classes than relations may point to; a registry with more is read as far as this."""

_FULL = (("accept", "application/vnd.adobe.xed-full+json; version=1"),)


def list_schema_unions(params: tuple[tuple[str, str], ...]) -> Call:
    """Describe the list of union schemas."""
    return Call("list_schema_unions", "GET", paths.SCHEMA_UNIONS, params, headers=_FULL)


def get_schema_union(union_id: str, accept: str | None = None) -> Call:
    """Describe one union schema, resolved in full unless ``accept`` asks for another form."""
    headers = _FULL if accept is None else (("accept", accept),)
    return Call("get_schema_union", "GET", paths.resource(paths.SCHEMA_UNIONS, union_id), headers=headers)


async def get_unions(client: AEPClient, target: Target) -> dict[str, dict[str, Any]]:
    """Return the union schemas of all classes by their ids, resolved in full: at most `MAX_UNIONS`.

    Those of profiles and events are always among them. The others are the record classes that relations point to.
    """
    listed = (await client.read(target, list_schema_unions(()))).body
    results = listed.get("results") if isinstance(listed, dict) else None
    ids = [one["$id"] for one in results or () if isinstance(one, dict) and isinstance(one.get("$id"), str)]
    wanted = dict.fromkeys((paths.PROFILE_UNION, paths.EXPERIENCE_EVENT_UNION, *ids))
    unions = {}
    for union_id in list(wanted)[:MAX_UNIONS]:
        unions[union_id] = dict((await client.read(target, get_schema_union(union_id))).body)
    return unions
