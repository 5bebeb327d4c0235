"""Pages of other origins: those that an organization lists may call the gateway from a browser, with a token.

Cookies are never let through (``Access-Control-Allow-Credentials`` is not sent), so a page of another origin has to
bring a credential of its own. A preflight carries no credential and so names no organization: it is answered for
origins that some organization lists, and says nothing else. The answer itself can be read only by a page of an origin
that the organization *of the request* lists.

Source: Fetch, section 3.2 (CORS protocol).
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.context import RequestContext
from app.store.database import Database

_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS: Final = (
    "authorization, content-type, accept, x-api-key, x-gw-ims-org-id, x-tenant, x-sandbox-name, x-request-id, "
    "if-match, if-none-match, idempotency-key"
)
_EXPOSED: Final = (
    "x-request-id, etag, location, retry-after, ratelimit, ratelimit-policy, idempotency-replayed, www-authenticate"
)
_KNOWN_FOR_S: Final = 30.0
_MAX_KNOWN: Final = 1000


class CrossOrigin:
    """Answers preflights and lets pages of listed origins read answers, on the paths that are ``is_protected``."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        database: Database,
        is_protected: Callable[[Request], bool],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._app = app
        self._database = database
        self._is_protected = is_protected
        self._clock = clock
        self._known: dict[str, tuple[float, bool]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        request = Request(scope) if scope["type"] == "http" else None
        if request is None or not self._is_protected(request):
            await self._app(scope, receive, send)
            return
        origin = request.headers.get("origin")
        if origin is not None and request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            await _preflight(origin, listed=await self._is_listed(origin))(scope, receive, send)
            return
        # Before a request has a context it is refused, with words that hold nothing of any organization.
        listed = origin is not None and await self._is_listed(origin)

        async def send_allowing(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.add_vary_header("Origin")
                context: RequestContext | None = getattr(request.state, "context", None)
                allowed = listed if context is None else origin in context.tenant.allowed_origins
                if origin is not None and allowed:
                    _allow(headers, origin)
            await send(message)

        await self._app(scope, receive, send_allowing)

    async def _is_listed(self, origin: str) -> bool:
        now = self._clock()
        known = self._known.get(origin)
        if known is not None and now < known[0]:
            return known[1]
        if len(origin) > 255 or not origin.isprintable() or not origin.startswith(("https://", "http://")):
            return False
        async with self._database.lookup(origin) as directory:
            listed = await directory.lists_origin(origin)
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[origin] = (now + _KNOWN_FOR_S, listed)
        return listed


def _allow(headers: MutableHeaders, origin: str) -> None:
    headers["access-control-allow-origin"] = origin
    headers["access-control-expose-headers"] = _EXPOSED
    headers["cross-origin-resource-policy"] = "cross-origin"


def _preflight(origin: str, *, listed: bool) -> Response:
    response = Response(status_code=204 if listed else 403, headers={"vary": "Origin"})
    if listed:
        _allow(response.headers, origin)
        response.headers["access-control-allow-methods"] = _METHODS
        response.headers["access-control-allow-headers"] = _REQUEST_HEADERS
        response.headers["access-control-max-age"] = "600"
    return response
