"""Lets calls meet faults: an ASGI layer around the routes, between the log and the gate.

The emulator's own paths (``/emulator/...``, ``/healthz``) are never hit, so that rules can always be taken away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.aep import errors as aep_errors
from app.aep import headers, paths
from app.emulator.answers import error_answer, json_answer
from app.emulator.faults import (
    CutBody,
    Delay,
    ExpiredToken,
    Fault,
    Faults,
    PartialJob,
    RateLimit,
    ServerError,
    Subject,
    WrongJSON,
    delay_of,
    mark_partial,
    read_header,
)
from app.errors import InvalidRequest

log = structlog.get_logger(__name__)

HEADER = "x-emulator-fault"
_OWN_PATHS = ("/emulator", "/healthz")
_PAGE = b"<html><head><title>%d</title></head><body><center><h1>%d</h1></center></body></html>"

Withdraw = Callable[[str], Awaitable[None]]


class FaultInjection:
    """Asks the rules about each call, and the call's own header where that is allowed."""

    def __init__(self, app: ASGIApp, *, faults: Faults, by_header: bool) -> None:
        self._app = app
        self._faults = faults
        self._by_header = by_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or _is_own(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            drawn = self._drawn(request)
        except InvalidRequest as fault:
            await error_answer(fault, _request_id(request))(scope, receive, send)
            return
        if drawn:
            log.info("emulator.fault", path=scope["path"], kinds=[type(fault).__name__ for fault in drawn])
        await asyncio.sleep(delay_of(drawn))
        await self._meet(drawn[-1] if drawn else None, request, receive, send)

    def _drawn(self, request: Request) -> list[Fault]:
        asked = request.headers.get(HEADER)
        if asked is not None and self._by_header:
            return [read_header(asked)]
        given = request.headers
        return self._faults.draw(
            Subject(request.method, request.url.path, given.get(headers.IMS_ORG, ""), given.get(headers.SANDBOX, ""))
        )

    async def _meet(self, fault: Fault | None, request: Request, receive: Receive, send: Send) -> None:
        scope = request.scope
        match fault:
            case None | Delay():
                await self._app(scope, receive, send)
            case PartialJob(share=share):
                await self._app(mark_partial(scope, share), receive, send)
            case CutBody(share=share):
                await _send_part(await self._answer(scope, receive), share, send)
            case WrongJSON():
                await _send_all(_spoilt(await self._answer(scope, receive)), send)
            case ServerError(carried_out=True):
                await self._answer(scope, receive)
                await _refusal(fault, request)(scope, receive, send)
            case ExpiredToken():
                await _withdraw(request)
                await _refusal(fault, request)(scope, receive, send)
            case RateLimit() | ServerError():
                await _refusal(fault, request)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> list[Message]:
        """Carry the call out and keep its answer back."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        return messages


def _is_own(path: str) -> bool:
    return any(path == own or path.startswith(own + "/") for own in _OWN_PATHS)


def _refusal(fault: RateLimit | ServerError | ExpiredToken, request: Request) -> Response:
    request_id = _request_id(request)
    extra = {headers.REQUEST_ID: request_id}
    match fault:
        case ExpiredToken():
            return json_answer(aep_errors.TOKEN_INVALID.body(), aep_errors.TOKEN_INVALID.status, extra)
        case RateLimit(retry_after_seconds=pause):
            return json_answer(_rate_limit_body(request.url.path, pause), 429, extra | _retry_after(pause))
        case ServerError(status=status, body="html"):
            return Response(_PAGE % (status, status), status, _retry_after(fault.retry_after_seconds), "text/html")
        case ServerError(status=status, body="empty"):
            return Response(b"", status, _retry_after(fault.retry_after_seconds))
    message = "The service is not able to answer now."
    body = aep_errors.service_body(fault.status, message, request_id=request_id)
    return json_answer(body, fault.status, extra | _retry_after(fault.retry_after_seconds))


def _rate_limit_body(path: str, pause_s: float | None) -> Any:
    if path.rstrip("/") == paths.PROFILE_ENTITIES:
        return aep_errors.profile_rate_limit_body(None if pause_s is None else round(pause_s * 1000))
    return aep_errors.TOO_MANY_REQUESTS.body()


def _retry_after(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {headers.RETRY_AFTER: f"{seconds:g}"}


async def _withdraw(request: Request) -> None:
    """Make the token of a call useless from now on, as if its life were over."""
    token = headers.bearer_token(request.headers.get(headers.AUTHORIZATION))
    withdraw: Withdraw | None = getattr(request.app.state, "withdraw_token", None)
    if token is not None and withdraw is not None:
        await withdraw(token)


def _spoilt(messages: list[Message]) -> list[Message]:
    """Return an answer whose body breaks off in the middle of its JSON, with a length that agrees."""
    body = _body(messages)
    spoilt = body[: len(body) // 2]
    start = {**messages[0], "headers": list(messages[0]["headers"])}
    if body:
        MutableHeaders(scope=start)["content-length"] = str(len(spoilt))
    return [start, {"type": "http.response.body", "body": spoilt}]


async def _send_all(messages: list[Message], send: Send) -> None:
    for message in messages:
        await send(message)


async def _send_part(messages: list[Message], share: float, send: Send) -> None:
    """Send the head and a part of the body, and leave the rest unsaid: the server then ends the connection."""
    body = _body(messages)
    await send(messages[0])
    if not body:
        await send({"type": "http.response.body", "body": b""})
        return
    # At least one byte is missing, or there would be nothing wrong.
    part = body[: min(int(len(body) * share), len(body) - 1)]
    await send({"type": "http.response.body", "body": part, "more_body": True})


def _body(messages: list[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in messages if message["type"] == "http.response.body")


def _request_id(request: Request) -> str:
    return headers.request_id_or_new(request.headers.get(headers.REQUEST_ID))
