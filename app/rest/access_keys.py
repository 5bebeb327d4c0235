"""A person's own access keys under ``/v1/viewer/access-keys``."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from app.context import RequestContext
from app.errors import InvalidRequest, NotFound
from app.rest.plumbing import Routes, json_answer, read_object
from app.store.rows import AccessKeyRow
from app.tenancy.own_keys import DEFAULT_LIFETIME_DAYS, OwnKeys

# The one answer with a key in it must stay in no cache.
_NO_STORE = {"cache-control": "no-store"}


def add_access_keys(routes: Routes, keys: OwnKeys) -> None:
    """Add listing, issuing and withdrawing of the caller's keys."""

    async def list_all(_request: Request, ctx: RequestContext) -> Response:
        return json_answer({"accessKeys": [_document(row) for row in await keys.list(ctx)]})

    async def issue(request: Request, ctx: RequestContext) -> Response:
        body = await read_object(request)
        label, days = body.get("label"), body.get("lifetimeDays", DEFAULT_LIFETIME_DAYS)
        if not isinstance(label, str):
            raise InvalidRequest("label must be a text that says what the key is for.", path=("label",))
        if not isinstance(days, int) or isinstance(days, bool):
            raise InvalidRequest("lifetimeDays must be a whole number.", path=("lifetimeDays",))
        issued = await keys.issue(ctx, label, days)
        return json_answer(_document(issued.row) | {"accessKey": issued.access_key}, 201, _NO_STORE)

    async def revoke(request: Request, ctx: RequestContext) -> Response:
        await keys.revoke(ctx, _id(str(request.path_params["id"])))
        return Response(status_code=204)

    routes.add("GET", "/v1/viewer/access-keys", list_all)
    routes.add("POST", "/v1/viewer/access-keys", issue)
    routes.add("DELETE", "/v1/viewer/access-keys/{id}", revoke)


def _document(row: AccessKeyRow) -> dict[str, Any]:
    times = {
        "createdAt": row.created_at,
        "expiresAt": row.expires_at,
        "revokedAt": row.revoked_at,
        "lastUsedAt": row.last_used_at,
    }
    return {"id": str(row.id), "label": row.label} | {
        name: at.isoformat() if at else None for name, at in times.items()
    }


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("You have no such key.") from None
