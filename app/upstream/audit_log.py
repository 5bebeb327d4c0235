"""The vendor's own audit log (``/data/foundation/audit``). It knows technical accounts, not people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.aep import paths
from app.upstream.client import AEPClient, Call
from app.upstream.connection import Target


def list_audit_events(params: tuple[tuple[str, str], ...]) -> Call:
    """Describe a page of events, with AEP's own query."""
    return Call("list_upstream_audit_events", "GET", paths.AUDIT_EVENTS, params)


async def changes_of(client: AEPClient, target: Target, asset_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return AEP's newest events about objects, newest first; an event names the user by e-mail address.

    Source: Adobe's audit-query reference (read December 2025): several values of a filter are separated by commas.
    """
    params = (("limit", "1000"), ("property", f"assetId=={','.join(asset_ids)}"))
    body = (await client.read(target, list_audit_events(params))).body
    events = body.get("_embedded", {}).get("events") if isinstance(body, dict) else None
    return [one for one in events if isinstance(one, dict)] if isinstance(events, list) else []
