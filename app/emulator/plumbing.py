"""What stands around the routes: a log line for each request, and answers to what no route took."""

from __future__ import annotations

import time

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.aep import headers
from app.emulator.answers import Refusal, error_answer
from app.errors import NotFound, PayloadTooLarge

log = structlog.get_logger(__name__)


class RequestLog:
    """Writes one line for each request: no query string and no header, since both may hold secrets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        structlog.contextvars.clear_contextvars()
        started = time.perf_counter()
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            elapsed_ms = round((time.perf_counter() - started) * 1000, 1)
            path, method = scope["path"], scope["method"]
            log.info("emulator.request", method=method, path=path, status=status, elapsed_ms=elapsed_ms)


def refuse_large_body(request: Request, max_body_bytes: int) -> Response:
    """Answer 413 in the service's shape."""
    request_id = headers.request_id_or_new(request.headers.get(headers.REQUEST_ID))
    return error_answer(PayloadTooLarge(f"The body is larger than {max_body_bytes} bytes"), request_id)


async def answer_http_exception(request: Request, exc: Exception) -> Response:
    """Answer what no route took: an unknown path or a method that a path does not have."""
    request_id = headers.request_id_or_new(request.headers.get(headers.REQUEST_ID))
    status = getattr(exc, "status_code", 500)
    answer = error_answer(NotFound(f"There is no {request.method} {request.url.path}"), request_id)
    if status == 405:
        answer = error_answer(Refusal(405, f"{request.url.path} has no {request.method}."), request_id)
        answer.headers["allow"] = ", ".join(sorted(_methods(request)))
    return answer


def _methods(request: Request) -> set[str]:
    """Return the methods of every route that has the request's path."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    fitting = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in fitting for method in route.methods or ()}
