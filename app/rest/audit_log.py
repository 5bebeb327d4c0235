"""``/data/foundation/audit``: the vendor's own audit log, passed through to AEP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import paths
from app.context import RequestContext
from app.rest.plumbing import Routes, query_of, relay_answer
from app.services.audit_log import AuditLogService


def add_audit_log(routes: Routes, audit_log: AuditLogService) -> None:
    """Add the calls of the audit log."""

    async def events(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await audit_log.list(ctx, query_of(request)))

    async def export(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await audit_log.export(ctx, query_of(request)))

    routes.add("GET", paths.AUDIT_EVENTS, events)
    routes.add("GET", paths.AUDIT_EXPORT, export)
