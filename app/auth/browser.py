"""What a browser sends by itself: cookies, and where a request comes from.

A cookie goes along with every request to this gateway, also with those that another site makes. So a request that
leans on the session cookie must come from a page of ours: browsers say so in ``Sec-Fetch-Site``, older ones by
``Origin``, and neither can be set by a script of another site. The cookie's ``SameSite=Lax`` is the second lock.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

from app.auth.sessions import COOKIE, Sessions
from app.context import Actor
from app.errors import Forbidden

_SAFE_METHODS = {"GET", "HEAD"}


class CrossSiteRequest(Forbidden):
    """A request of another site, or one that does not say where it comes from, leans on a session."""

    code = "CROSS_SITE_REQUEST"
    title = "Cross-site request"


def own_origin(request: Request, public_url: str | None) -> str:
    """Return the scheme and host by which browsers know this gateway."""
    if public_url:
        return public_url.rstrip("/")
    return f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"


def cookie_name(name: str, origin: str) -> str:
    """Return a cookie's name; the prefix makes browsers refuse one that was not set by this host over TLS."""
    return f"__Host-{name}" if origin.startswith("https://") else name


def require_own_page(request: Request, origin: str) -> None:
    """Raise `CrossSiteRequest` unless a page of ours made the request."""
    site = request.headers.get("sec-fetch-site")
    if site == "same-origin" or (site in {None, "none"} and request.method in _SAFE_METHODS):
        return
    named = request.headers.get("origin")
    if site is None and named is not None and urlsplit(named).netloc == urlsplit(origin).netloc:
        return
    raise CrossSiteRequest(
        "A request with a session must come from a page of this gateway.",
        hint="Programs send 'Authorization: Bearer' with an access key instead of the cookie.",
    )


class BrowserSessions:
    """Knows the person whose session a browser sends along."""

    def __init__(self, sessions: Sessions, public_url: str | None) -> None:
        self.sessions = sessions
        self._public_url = public_url

    def origin(self, request: Request) -> str:
        """Return the scheme and host by which the browser knows this gateway."""
        return own_origin(request, self._public_url)

    def token(self, request: Request) -> str | None:
        """Return what the session cookie holds."""
        return request.cookies.get(cookie_name(COOKIE, self.origin(request)))

    async def actor(self, request: Request) -> Actor | None:
        """Return the person; ``None`` without a cookie. Raises `SessionEnded` or `CrossSiteRequest`."""
        token = self.token(request)
        if token is None:
            return None
        require_own_page(request, self.origin(request))
        return await self.sessions.actor(token)
