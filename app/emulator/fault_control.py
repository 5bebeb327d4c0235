"""The admin path of faults: listing, adding and removing rules.

    GET    /emulator/faults          {"faults": [{"id": "...", "fault": {...}, "hits": 2, "remaining": 1}]}
    POST   /emulator/faults          {"fault": {"kind": "rate_limit", "retryAfterSeconds": 2},
                                      "match": {"method": "POST", "path": "/data/core/ups/segment/*"},
                                      "count": 3, "probability": 0.5, "seed": 7}
    DELETE /emulator/faults          removes all
    GET    /emulator/faults/{id}     one rule; DELETE removes it

No part of AEP: it takes no token, as the whole emulator is its user's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.aep import headers
from app.emulator.answers import empty_answer, error_answer, json_answer, read_json
from app.emulator.faults import Faults, read_rule
from app.errors import PublicError

PATH: Final = "/emulator/faults"

Endpoint = Callable[[Request], Awaitable[Response]]


class FaultControl:
    """The calls of this path."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def routes(self) -> list[Route]:
        """Return the paths."""
        one = PATH + "/{id}"
        return [
            Route(PATH, told(self._list), methods=["GET"]),
            Route(PATH, told(self._add), methods=["POST"]),
            Route(PATH, told(self._clear), methods=["DELETE"]),
            Route(one, told(self._get), methods=["GET"]),
            Route(one, told(self._remove), methods=["DELETE"]),
        ]

    async def _list(self, _request: Request) -> Response:
        return json_answer({"faults": self._faults.documents()})

    async def _add(self, request: Request) -> Response:
        return json_answer(self._faults.add(read_rule(await read_json(request))), 201)

    async def _clear(self, _request: Request) -> Response:
        self._faults.clear()
        return empty_answer()

    async def _get(self, request: Request) -> Response:
        return json_answer(self._faults.document(request.path_params["id"]))

    async def _remove(self, request: Request) -> Response:
        self._faults.remove(request.path_params["id"])
        return empty_answer()


def told(handler: Endpoint) -> Endpoint:
    """Return an endpoint that tells the caller's mistakes in the service's shape."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except PublicError as fault:
            return error_answer(fault, headers.request_id_or_new(request.headers.get(headers.REQUEST_ID)))

    return endpoint
