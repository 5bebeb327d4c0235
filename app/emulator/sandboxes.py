"""Sandbox management, as far as it reads."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from app.aep import paging, paths
from app.emulator.answers import Refusal, json_answer
from app.emulator.gate import Call, Gate
from app.emulator.organizations import EmulatedSandbox, Organization

_DEFAULT_LIMIT = 200
_CREATED = "2025-01-01 00:00:00"


class Sandboxes:
    """The calls under ``/data/foundation/sandbox-management``. They concern the organization, not one sandbox."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""

        def guard(handler: Any) -> Any:
            return self._gate.guard(handler, in_sandbox=False)

        return [
            Route(paths.SANDBOX_MANAGEMENT, guard(self._list_active), methods=["GET"]),
            Route(paths.SANDBOX_TYPES, guard(self._types), methods=["GET"]),
            Route(paths.SANDBOXES, guard(self._list), methods=["GET"]),
            Route(f"{paths.SANDBOXES}/{{name}}", guard(self._get), methods=["GET"]),
        ]

    async def _list_active(self, call: Call) -> Response:
        return json_answer({"sandboxes": [_document(call.organization, one) for one in call.organization.sandboxes]})

    async def _list(self, call: Call) -> Response:
        query = call.request.query_params
        limit = paging.whole_number(query, "limit", default=_DEFAULT_LIMIT, minimum=1) or _DEFAULT_LIMIT
        offset = paging.whole_number(query, "offset", default=0) or 0
        shown = call.organization.sandboxes[offset : offset + limit]
        href = f"{str(call.request.base_url).rstrip('/')}{paths.SANDBOXES}?limit={{limit}}&offset={{offset}}"
        return json_answer(
            {
                "sandboxes": [_document(call.organization, sandbox) for sandbox in shown],
                "_page": {"limit": limit, "count": len(shown)},
                "_links": {"page": {"href": href, "templated": True}},
            }
        )

    async def _types(self, _call: Call) -> Response:
        types = [{"id": "production", "title": "Production"}, {"id": "development", "title": "Development"}]
        return json_answer({"sandboxTypes": types})

    async def _get(self, call: Call) -> Response:
        sandbox = call.organization.sandbox(call.path("name"))
        if sandbox is None:
            raise Refusal(404, f"The sandbox {call.path('name')} is not found.")
        return json_answer(_document(call.organization, sandbox))


def _document(organization: Organization, sandbox: EmulatedSandbox) -> dict[str, Any]:
    return {
        "id": sandbox.id,
        "name": sandbox.name,
        "title": sandbox.title,
        "state": "active",
        "type": sandbox.type,
        "region": organization.region,
        "isDefault": sandbox.default,
        "etag": 1,
        "createdDate": _CREATED,
        "lastModifiedDate": _CREATED,
        "createdBy": "system",
        "modifiedBy": "system",
    }
