"""The gateway's own REST under ``/v1``: who I am, and the audit."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.context import RequestContext
from app.rest.plumbing import Routes, json_answer, read_instant, read_number
from app.services.audit import AuditService, read_actor_id
from app.services.freshness import FreshnessService, SyncStatus
from app.services.paging import Page, PageArgs
from app.services.viewer import ViewerService
from app.store.audit_events import AuditEventFilter
from app.store.rows import AuditEventRow


def add_viewer(routes: Routes, viewer: ViewerService) -> None:
    """Add ``GET /v1/viewer``."""

    async def get(_request: Request, ctx: RequestContext) -> Response:
        me = await viewer.get(ctx)
        return json_answer(
            {
                "name": me.actor.name,
                "kind": me.actor.kind.value,
                "tenant": {
                    "slug": me.tenant.slug,
                    "imsOrgId": me.tenant.ims_org_id,
                    "namespace": me.tenant.namespace,
                },
                "sandbox": me.sandbox.name,
                "sandboxes": [sandbox.name for sandbox in me.sandboxes],
                "permissions": list(me.permissions),
                "productProfiles": list(me.product_profiles),
            }
        )

    routes.add("GET", "/v1/viewer", get)


def add_sync(routes: Routes, freshness: FreshnessService) -> None:
    """Add ``GET /v1/sync``: how fresh each resource of the sandbox is, and how far a read of it is."""

    async def get(_request: Request, ctx: RequestContext) -> Response:
        return json_answer({"resources": [_sync_status(one) for one in await freshness.status(ctx)]})

    routes.add("GET", "/v1/sync", get)


def _sync_status(found: SyncStatus) -> dict[str, Any]:
    state = found.state
    running = None
    if state is not None and state.started_at is not None:
        running = {
            "mode": state.mode,
            "startedAt": state.started_at.isoformat(),
            "objectsRead": state.objects_read,
            "objectsTotal": state.objects_total,
        }
    return {
        "resource": found.resource.value,
        "syncedAt": found.freshness.synced_at.isoformat() if found.freshness.synced_at else None,
        "stale": found.freshness.stale,
        "reason": found.freshness.reason,
        "mode": state.mode if state else None,
        "objects": state.objects if state else None,
        "reconciledAt": state.reconciled_at.isoformat() if state and state.reconciled_at else None,
        "failedAt": state.failed_at.isoformat() if state and state.failed_at else None,
        "running": running,
    }


def add_audit_events(routes: Routes, audit: AuditService) -> None:
    """Add ``GET /v1/audit-events``: one entry for each operation, newest first; and the proof of one event."""

    async def list_all(request: Request, ctx: RequestContext) -> Response:
        query = request.query_params
        wanted = AuditEventFilter(
            actor_kind=query.get("actorKind"),
            actor_id=read_actor_id(query.get("actorId"), "actorId"),
            actor_name=query.get("actorName"),
            action=query.get("action"),
            phase=query.get("phase"),
            entrance=query.get("entrance"),
            sandbox_name=query.get("sandbox"),
            resource_type=query.get("resourceType"),
            resource_id=query.get("resourceId"),
            request_id=query.get("requestId"),
            since=read_instant(query.get("since"), "since"),
            until=read_instant(query.get("until"), "until"),
        )
        page = PageArgs(first=read_number(query.get("first"), "first"), after=query.get("after"))
        return json_answer(_page(await audit.page(ctx, filter=wanted, page=page)))

    async def prove(request: Request, ctx: RequestContext) -> Response:
        older = read_number(request.query_params.get("consistentFrom"), "consistentFrom")
        found = await audit.proof(ctx, str(request.path_params["id"]), consistent_from=older)
        size = found.checkpoint.size
        body: dict[str, Any] = {
            "event": found.event,
            "checkpoint": {
                "size": size,
                "root": found.checkpoint.root,
                "at": found.checkpoint.at.isoformat(),
                "note": found.checkpoint.note,
                "publicKey": found.checkpoint.public_key,
            },
            "inclusion": {"index": found.event["sequence"] - 1, "size": size, "path": found.inclusion},
        }
        if found.consistency is not None:
            body["consistency"] = {"from": older, "to": size, "path": found.consistency}
        return json_answer(body)

    routes.add("GET", "/v1/audit-events", list_all)
    routes.add("GET", "/v1/audit-events/{id}/proof", prove)


def _page(page: Page[AuditEventRow]) -> dict[str, Any]:
    following = page.cursors[-1] if page.has_next and page.cursors else None
    return {"events": [_event(row) for row in page.items], "next": following}


def _event(row: AuditEventRow) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "sequence": row.sequence,
        "operationId": str(row.operation_id),
        "at": row.at.isoformat(),
        "phase": row.phase,
        "action": row.action,
        "actor": {
            "kind": row.actor_kind,
            "id": None if row.actor_id is None else str(row.actor_id),
            "name": row.actor_name,
        },
        "entrance": row.entrance,
        "sandbox": row.sandbox_name,
        "resource": {"type": row.resource_type, "id": row.resource_id, "name": row.resource_name},
        "requestId": row.request_id,
        "upstreamRequestId": row.upstream_request_id,
        "detail": row.detail,
        "hash": row.hash,
    }
