"""Merge policies: how the fragments of a profile become one. Each sandbox has its default policy, and it is fixed.

The sample holds merged profiles already, so every policy gives the same result; what counts here is that a
``mergePolicyId`` means something. Writing policies is not served.
"""

from __future__ import annotations

import uuid
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from app.aep import models, paging, paths
from app.emulator import deeds
from app.emulator.answers import Refusal, json_answer
from app.emulator.gate import Call, Gate


def default_merge_policy_id(sandbox_id: str) -> str:
    """Return the id of the default policy of a sandbox; it follows from the sandbox's own id."""
    return str(uuid.uuid5(uuid.UUID(sandbox_id), "default merge policy"))


def merge_policies(call: Call) -> list[dict[str, Any]]:
    """Return the policies of the call's sandbox."""
    return [
        {
            "id": default_merge_policy_id(call.sandbox.id),
            "name": "Default timebased",
            **call.place,
            "schema": {"name": models.PROFILE_CLASS},
            "version": 1,
            "identityGraph": {"type": "pdg"},
            "attributeMerge": {"type": "timestampOrdered"},
            "isActiveOnEdge": True,
            "default": True,
            "updateEpoch": 1_764_547_200,
        }
    ]


class MergePolicies:
    """The calls under ``/config/mergePolicies``."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        return [
            Route(paths.MERGE_POLICIES, self._gate.guard(self._list, deed=deeds.MERGE_POLICY_READ), methods=["GET"]),
            Route(
                f"{paths.MERGE_POLICIES}/{{id}}",
                self._gate.guard(self._get, deed=deeds.MERGE_POLICY_READ),
                methods=["GET"],
            ),
        ]

    async def _list(self, call: Call) -> Response:
        query = call.request.query_params
        request = paging.parse_p2({**query, "sort": "updateEpoch:desc"}, sortable={"updateEpoch"})
        schema = query.get("schema.name", models.PROFILE_CLASS)
        default = paging.boolean(query, "default")
        shown = [
            policy
            for policy in merge_policies(call)
            if policy["schema"]["name"] == schema and default in {None, policy["default"]}
        ]
        page = shown[request.offset : request.offset + request.limit]
        # One public client indexes `_links.next` without asking; the count is called `count` here.
        return json_answer({"_page": {"count": len(page)}, "children": page, "_links": {"next": {}}})

    async def _get(self, call: Call) -> Response:
        found = next((policy for policy in merge_policies(call) if policy["id"] == call.path("id")), None)
        if found is None:
            raise Refusal(404, f"The merge policy {call.path('id')} is not found.")
        return json_answer(found)
