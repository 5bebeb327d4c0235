"""The vendor's own audit log (``/data/foundation/audit``). It knows technical accounts, not people."""

from __future__ import annotations

from app.aep import paths
from app.upstream.client import Call


def list_audit_events(params: tuple[tuple[str, str], ...]) -> Call:
    """Describe a page of events, with AEP's own query."""
    return Call("list_upstream_audit_events", "GET", paths.AUDIT_EVENTS, params)


def export_audit_events(params: tuple[tuple[str, str], ...]) -> Call:
    """Describe an export: AEP redirects to the file, or answers 204 when nothing matched."""
    accept = (("accept", "application/octet-stream"),)
    return Call("export_upstream_audit_events", "GET", paths.AUDIT_EXPORT, params, headers=accept)
