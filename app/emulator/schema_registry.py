"""The Schema Registry, as far as segmentation needs it: the organization's union schemas.

From them a client learns which fields profiles and events have. The ``Accept`` header chooses between full and
abridged forms at Adobe; here every form of it gets the full, resolved document.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from app.aep import paths
from app.emulator.answers import Refusal, json_answer
from app.emulator.gate import Call, Gate
from app.emulator.schemas import union_documents


class SchemaRegistry:
    """The calls under ``/data/foundation/schemaregistry/tenant/unions``."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        return [
            Route(paths.SCHEMA_UNIONS, self._gate.guard(self._list), methods=["GET"]),
            # The id is an address, so once its escapes are read it holds slashes.
            Route(f"{paths.SCHEMA_UNIONS}/{{id:path}}", self._gate.guard(self._get), methods=["GET"]),
        ]

    async def _list(self, call: Call) -> Response:
        documents = union_documents(call.organization.namespace)
        members = ("$id", "meta:altId", "title", "version", "meta:class")
        results = [{name: document[name] for name in members if name in document} for document in documents]
        return json_answer({"results": results, "_page": {"count": len(results)}, "_links": {}})

    async def _get(self, call: Call) -> Response:
        return json_answer(_find(call))


def _find(call: Call) -> dict[str, Any]:
    wanted = call.path("id")
    for document in union_documents(call.organization.namespace):
        if wanted in {document["$id"], document["meta:altId"]}:
            return document
    raise Refusal(404, f"The union schema {wanted} is not found.")
