"""Every request gets an id, a log line and a number in the metrics; every protected one a `RequestContext`.

Both are plain ASGI, so that streamed answers stay streamed.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.aep import headers as aep_headers
from app.auth.bearer import BearerAuthenticator, Identity
from app.auth.browser import BrowserSessions
from app.auth.limits import RequestLimits, Standing, limit_header, refuse_when_over
from app.context import Entrance
from app.errors import Forbidden, GatewayError
from app.telemetry import Metrics
from app.tenancy.resolve import TenancyResolver, named_organization

log = structlog.get_logger(__name__)

# Says what kind of entrance a request came through; None where anybody may enter.
EntranceOf = Callable[[Request], Entrance | None]
_PAGES_CALL = {Entrance.GRAPHQL, Entrance.REST}
RenderError = Callable[[Request, GatewayError], Response]


class WrongAPIKey(Forbidden):
    """``x-api-key`` names another client than the token was issued to."""

    code = "WRONG_API_KEY"
    title = "Api key is invalid"


class RequestMiddleware:
    """Gives every request its id, and says how it ended."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, entrance_of: EntranceOf) -> None:
        self._app = app
        self._metrics = metrics
        self._entrance_of = entrance_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with ``state.request_id`` set."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        request_id = aep_headers.request_id_or_new(request.headers.get(aep_headers.REQUEST_ID))
        request.state.request_id = request_id
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", []).append((aep_headers.REQUEST_ID.encode(), request_id.encode()))
            await send(message)

        started = perf_counter()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._finish(request, status, perf_counter() - started)
            structlog.contextvars.clear_contextvars()

    def _finish(self, request: Request, status: int, seconds: float) -> None:
        entrance = self._entrance_of(request)
        label = entrance.value if entrance else "public"
        method = request.method if request.method in {"GET", "POST", "PATCH", "PUT", "DELETE"} else "OTHER"
        self._metrics.requests.labels(label, method, str(status)).inc()
        self._metrics.request_seconds.labels(label).observe(seconds)
        log.info(
            "request.answered",
            method=method,
            path=request.url.path,
            status=status,
            duration_ms=round(seconds * 1000, 1),
        )


class ContextMiddleware:
    """Finds out who calls and on whose behalf, before any protected route sees the request."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: BearerAuthenticator,
        browsers: BrowserSessions,
        limits: RequestLimits,
        resolver: TenancyResolver,
        entrance_of: EntranceOf,
        render_error: RenderError,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._browsers = browsers
        self._limits = limits
        self._resolver = resolver
        self._entrance_of = entrance_of
        self._render_error = render_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with ``state.context`` set, or answer with the reason why not."""
        request = Request(scope) if scope["type"] == "http" else None
        entrance = self._entrance_of(request) if request else None
        if request is None or entrance is None:
            await self._app(scope, receive, send)
            return

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._tell_limits(request, MutableHeaders(scope=message))
            await send(message)

        try:
            await self._admit(request, entrance)
        except GatewayError as problem:
            await self._render_error(request, problem)(scope, receive, send_with_limits)
            return
        await self._app(scope, receive, send_with_limits)

    async def _admit(self, request: Request, entrance: Entrance) -> None:
        identity = await self._identity(request, entrance)
        request.state.standings = await self._limits.take(identity.actor)
        refuse_when_over(request.state.standings)
        _require_own_api_key(identity, request.headers.get(aep_headers.API_KEY))
        request.state.context = await self._resolver.resolve(
            identity.actor, request.headers, entrance=entrance, request_id=request.state.request_id
        )
        structlog.contextvars.bind_contextvars(tenant_id=str(identity.actor.tenant_id), actor_id=str(identity.actor.id))

    def _tell_limits(self, request: Request, headers: MutableHeaders) -> None:
        standings: list[Standing] = getattr(request.state, "standings", [])
        if standings:
            headers["ratelimit-policy"] = self._limits.policy_header
            headers["ratelimit"] = limit_header(standings)

    async def _identity(self, request: Request, entrance: Entrance) -> Identity:
        authorization = request.headers.get(aep_headers.AUTHORIZATION)
        # A session is for pages; AEP's paths are for programs, which bring a token.
        if authorization is None and entrance in _PAGES_CALL:
            actor = await self._browsers.actor(request)
            if actor is not None:
                return Identity(actor, None)
        organization = named_organization(request.headers)
        return await self._authenticator.authenticate(authorization, organization=organization)


def _require_own_api_key(identity: Identity, api_key: str | None) -> None:
    if identity.client_id is not None and api_key is not None and api_key != identity.client_id:
        raise WrongAPIKey(
            "x-api-key names another client than the token was issued to.",
            hint="Send the client id of the integration, or leave the header out.",
        )
