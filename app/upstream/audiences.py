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
