"""The vendor's own audit log, passed through. The gateway's audit, which knows people, is `app.services.audit`."""

from __future__ import annotations

from app.context import RequestContext
from app.services.relay import Relay
from app.upstream import audit_log as upstream
from app.upstream.client import Reply


class AuditLogService:
    """Reads the vendor's audit log."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def list(self, ctx: RequestContext, params: tuple[tuple[str, str], ...]) -> Reply:
        """Return one page of events, with AEP's own query."""
        return await self._relay.read(ctx, upstream.list_audit_events(params))

    async def export(self, ctx: RequestContext, params: tuple[tuple[str, str], ...]) -> Reply:
        """Return AEP's redirect to a file of events, or its 204."""
        return await self._relay.read(ctx, upstream.export_audit_events(params))
