"""Previews and estimates at AEP (``/preview``, ``/estimate``): one preview makes one estimate with the same id."""

from __future__ import annotations

from typing import Any

from app.aep import paths
from app.upstream.client import AEPClient, Call, Reply
from app.upstream.connection import Target


def create_preview(body: dict[str, Any]) -> Call:
    """Describe the start of a preview."""
    return Call("create_preview", "POST", paths.PREVIEW, body=body, safety="once")


def delete_preview(preview_id: str) -> Call:
    """Describe the end of a preview and of its estimate."""
    return Call("delete_preview", "DELETE", paths.resource(paths.PREVIEW, preview_id), safety="once")


async def get_preview(
    client: AEPClient, target: Target, preview_id: str, params: tuple[tuple[str, str], ...] = ()
) -> Reply:
    """Return a preview: its state and, when it is ready, sample profiles."""
    call = Call("get_preview", "GET", paths.resource(paths.PREVIEW, preview_id), params)
    return await client.read(target, call)


async def get_estimate(client: AEPClient, target: Target, preview_id: str) -> Reply:
    """Return the estimate of a preview."""
    return await client.read(target, Call("get_estimate", "GET", paths.resource(paths.ESTIMATE, preview_id)))
