"""``/data/foundation/audit``: the gateway's audit, which knows people, in the vendor's shape."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import audit_log as shape
from app.aep import paths
from app.context import RequestContext
from app.rest.plumbing import Routes, json_answer
from app.services.audit_log import AuditLogService

_FILES = f"{paths.AUDIT_EXPORT}/files"


def add_audit_log(routes: Routes, audit_log: AuditLogService) -> None:
    """Add the calls of the audit log."""

    async def events(request: Request, ctx: RequestContext) -> Response:
        parameters = request.query_params
        start, limit = shape.read_window(parameters)
        found, query = await audit_log.events(ctx, parameters.multi_items())
        body = shape.page_of(
            found,
            query,
            start=start,
            limit=limit,
            base_url=str(request.base_url),
            parameters=parameters.multi_items(),
        )
        return json_answer(body)

    async def export(request: Request, ctx: RequestContext) -> Response:
        found, query = await audit_log.export(ctx, request.query_params.multi_items())
        if not found:
            return Response(status_code=204)
        # The address holds the question, not the answer: whoever follows it shows his credential again.
        base = str(request.base_url).rstrip("/")
        return Response(status_code=307, headers={"location": f"{base}{_FILES}/{query.encode()}"})

    async def file(request: Request, ctx: RequestContext) -> Response:
        found, _ = await audit_log.export(ctx, [("queryId", str(request.path_params["query"]))])
        shown_as = {"content-disposition": 'attachment; filename="audit-events.csv"', "cache-control": "no-store"}
        return Response(shape.csv_of(found), media_type="text/csv; charset=utf-8", headers=shown_as)

    routes.add("GET", paths.AUDIT_EVENTS, events)
    routes.add("GET", paths.AUDIT_EXPORT, export)
    routes.add("GET", f"{_FILES}/{{query}}", file)
