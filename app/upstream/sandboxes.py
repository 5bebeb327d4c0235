"""Sandboxes at AEP (``/data/foundation/sandbox-management``)."""

from __future__ import annotations

from typing import Any

from app.aep import paths
from app.errors import UpstreamUnavailable
from app.upstream.client import AEPClient, Call
from app.upstream.connection import Target


async def list_sandboxes(client: AEPClient, target: Target) -> list[dict[str, Any]]:
    """Return the organization's sandboxes."""
    params = (("limit", "200"),)
    body = (await client.read(target, Call("list_sandboxes", "GET", paths.SANDBOXES, params))).body
    if not isinstance(body, dict) or not isinstance(body.get("sandboxes"), list):
        raise UpstreamUnavailable("Adobe Experience Platform sent a list of sandboxes that cannot be read.")
    return list(body["sandboxes"])
