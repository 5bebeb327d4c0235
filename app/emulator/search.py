"""The calls under ``/search``: audiences found by text, grouped by namespace.

The emulator keeps no folders: everything lies in the root. An empty search is an empty list, never a 404.
"""

from __future__ import annotations

import base64
import math
from collections import Counter
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from app.aep import headers, paging, paths
from app.emulator import deeds
from app.emulator.answers import Refusal, json_answer
from app.emulator.gate import Call, Gate
from app.emulator.state import AudienceQuery
from app.emulator.text_query import Query, parse_text_query, words_of
from app.errors import InvalidRequest

SEARCHED_CLASS: Final = "_xdm.context.segmentdefinition"
_ROOT: Final = "root"
_MAX_LIMIT: Final = 50
_BY_NAME: Final = (paging.SortKey("name", descending=False),)
_SUCCESS: Final = {"message": "Success"}

Document = dict[str, Any]


class Search:
    """The calls of this resource. They want the header ``x-ups-search-version: 1.0``."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        guard = self._gate.guard
        return [
            Route(paths.SEARCH_NAMESPACES, guard(self._namespaces, deed=deeds.SEGMENT_READ), methods=["GET"]),
            Route(paths.SEARCH_ENTITIES, guard(self._entities, deed=deeds.SEGMENT_READ), methods=["GET"]),
            Route(paths.SEARCH_TAXONOMY, guard(self._taxonomy, deed=deeds.SEGMENT_READ), methods=["GET"]),
        ]

    async def _namespaces(self, call: Call) -> Response:
        found = await _matching(call, _text_query(call))
        counts = Counter(document["namespace"] for document in found)
        listed = [
            {"namespace": namespace, "displayName": namespace, "count": count}
            for namespace, count in sorted(counts.items())
        ]
        return json_answer({"namespaces": listed, "totalCount": len(listed), "status": _SUCCESS})

    async def _entities(self, call: Call) -> Response:
        query = call.request.query_params
        text_query = _text_query(call)
        namespace = _required(call, "namespace")
        limit = min(paging.whole_number(query, "limit", default=_MAX_LIMIT, minimum=1) or _MAX_LIMIT, _MAX_LIMIT)
        page = paging.whole_number(query, "page", default=0) or 0
        found = [one for one in await _matching(call, text_query) if one["namespace"] == namespace]
        if query.get("entityId", _ROOT) != _ROOT:
            found = []
        shown = found[page * limit : (page + 1) * limit]
        return json_answer(
            {
                "entities": [_entity(document) for document in shown],
                "page": {
                    "totalCount": len(found),
                    # One public client asks for pages until it reaches the last one: without any it never stops.
                    "totalPages": max(1, math.ceil(len(found) / limit)),
                    "pageOffset": page,
                    "pageSize": len(shown),
                },
                "status": _SUCCESS,
            }
        )

    async def _taxonomy(self, call: Call) -> Response:
        _check_version_and_class(call)
        namespace, entity_id = _required(call, "namespace"), _required(call, "entityId")
        document = await call.store.audience(entity_id)
        if entity_id != _ROOT and (document is None or document["namespace"] != namespace):
            raise Refusal(404, f"The entity {entity_id} is not found in the namespace {namespace}.")
        root = {
            "id": _ROOT,
            "base64EncodedSourceId": _base64(_ROOT),
            "name": "Segments",
            "parentFolderId": _ROOT,
        }
        return json_answer({"taxonomy": [root], "status": _SUCCESS})


def _text_query(call: Call) -> Query:
    _check_version_and_class(call)
    return parse_text_query(call.request.query_params.get("s", ""))


def _check_version_and_class(call: Call) -> None:
    version = call.request.headers.get(headers.SEARCH_VERSION)
    if version != "1.0":
        raise InvalidRequest(f"The header {headers.SEARCH_VERSION} must be 1.0", path=(headers.SEARCH_VERSION,))
    query = call.request.query_params
    # The documents disagree on the parameter's name; clients use both.
    given = query.get("schema.name") or query.get("schemaClass")
    if given != SEARCHED_CLASS:
        raise InvalidRequest(f"schema.name must be {SEARCHED_CLASS}", path=("schema.name",))


def _required(call: Call, name: str) -> str:
    value = call.request.query_params.get(name, "")
    if not value:
        raise InvalidRequest(f"The parameter {name} is missing", path=(name,))
    return value


async def _matching(call: Call, text_query: Query) -> list[Document]:
    everything = AudienceQuery(
        _BY_NAME, 0, 1_000_000, keep=lambda document: call.may_see(document) and text_query(_words(document))
    )
    return (await call.store.audiences(everything))[0]


def _words(document: Document) -> dict[str, list[str]]:
    name, description = words_of(document["name"]), words_of(document.get("description") or "")
    identifier = words_of(document["id"])
    return {
        "name": name,
        "segmentName": name,
        "segmentDescription": description,
        "segmentId": identifier,
        "folderId": [_ROOT],
        "parentFolderId": [_ROOT],
        "folderLocation": [_ROOT],
    }


def _entity(document: Document) -> Document:
    return {
        "id": document["id"],
        "base64EncodedSourceId": _base64(document["audienceId"]),
        "sourceId": document["audienceId"],
        "isFolder": False,
        "parentFolderId": _ROOT,
        "name": document["name"],
        "description": document.get("description", ""),
    }


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
