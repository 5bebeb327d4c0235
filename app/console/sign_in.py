"""The pages and calls around signing in: ``/login``, ``/callback``, ``/logout`` and ``/session``.

No script runs on these pages. Cookies are ``HttpOnly``, ``SameSite=Lax`` and, over TLS, ``Secure`` with the ``__Host-``
prefix.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from html import escape
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from app.auth import sessions as session_cookies
from app.auth import sign_in as attempt_cookies
from app.auth.browser import BrowserSessions, CrossSiteRequest, cookie_name, require_own_page
from app.auth.sign_in import ATTEMPT_LIFETIME_S, ProviderChoice, SignIn
from app.errors import GatewayError, PublicError, Unauthenticated, UpstreamUnavailable

HOME: Final = "/graphql"
_STYLE: Final = (
    "body{font:16px system-ui,sans-serif;max-width:26rem;margin:4rem auto;padding:0 1rem;line-height:1.5}"
    "a,button{display:inline-block;padding:.5rem 1rem;border:1px solid #bbb;border-radius:4px;color:inherit;"
    "background:#f5f5f5;font:inherit;text-decoration:none}input{font:inherit;padding:.5rem;width:12rem}"
)
_STYLE_HASH: Final = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
_NO_STORE: Final = {"cache-control": "no-store"}


def sign_in_routes(sign_in: SignIn, browsers: BrowserSessions) -> list[Route]:
    """Return the routes of signing in and out."""
    pages = _Pages(sign_in, browsers)
    return [
        Route("/login", pages.login, methods=["GET"]),
        Route("/callback", pages.callback, methods=["GET"]),
        Route("/logout", pages.logout, methods=["POST"]),
        Route("/session", pages.session, methods=["GET"]),
    ]


class _Pages:
    """The handlers."""

    def __init__(self, sign_in: SignIn, browsers: BrowserSessions) -> None:
        self._sign_in = sign_in
        self._browsers = browsers

    async def login(self, request: Request) -> Response:
        """Ask for the organization, then for the provider, then send the browser there."""
        tenant = request.query_params.get("tenant", "").strip()[:200]
        return_to = _local(request.query_params.get("return_to"))
        if not tenant:
            return _page(_organization_form(return_to))
        provider = request.query_params.get("provider")
        if provider is None:
            return _choice_page(tenant, await self._sign_in.choices(tenant), return_to)
        try:
            departure = await self._sign_in.begin(
                tenant, provider, redirect_uri=self._redirect_uri(request), return_to=return_to
            )
        except PublicError as problem:
            return _problem_page(problem)
        response = RedirectResponse(departure.url, 302, _NO_STORE)
        self._set_cookie(request, response, attempt_cookies.COOKIE, departure.cookie, ATTEMPT_LIFETIME_S)
        return response

    async def callback(self, request: Request) -> Response:
        """Take in the browser that comes back from the provider: always with a new session, never an old one."""
        name = cookie_name(attempt_cookies.COOKIE, self._browsers.origin(request))
        try:
            actor, return_to = await self._sign_in.finish(
                request.cookies.get(name), dict(request.query_params), redirect_uri=self._redirect_uri(request)
            )
        except PublicError as problem:
            return _problem_page(problem)
        before = self._browsers.token(request)
        if before is not None:
            await self._browsers.sessions.close(before, request.state.request_id)
        opened = await self._browsers.sessions.open(actor, request.state.request_id)
        response = RedirectResponse(return_to, 303, _NO_STORE)
        self._set_cookie(request, response, session_cookies.COOKIE, opened.token, opened.lifetime_s)
        self._set_cookie(request, response, attempt_cookies.COOKIE, "", 0)
        return response

    async def logout(self, request: Request) -> Response:
        """End the session, here and in every process."""
        try:
            require_own_page(request, self._browsers.origin(request))
        except CrossSiteRequest as problem:
            return JSONResponse({"code": problem.code, "detail": problem.detail}, 403, _NO_STORE)
        token = self._browsers.token(request)
        if token is not None:
            await self._browsers.sessions.close(token, request.state.request_id)
        response = Response(status_code=204, headers=_NO_STORE)
        self._set_cookie(request, response, session_cookies.COOKIE, "", 0)
        return response

    async def session(self, request: Request) -> Response:
        """Say who is signed in in this browser: ``{"person": {"name": ...}}``, or ``null``."""
        try:
            actor = await self._browsers.actor(request)
        except (Unauthenticated, CrossSiteRequest):
            actor = None
        return JSONResponse({"person": {"name": actor.name} if actor else None}, headers=_NO_STORE)

    def _redirect_uri(self, request: Request) -> str:
        return f"{self._browsers.origin(request)}/callback"

    def _set_cookie(self, request: Request, response: Response, name: str, value: str, max_age_s: int) -> None:
        origin = self._browsers.origin(request)
        response.set_cookie(
            cookie_name(name, origin),
            value,
            max_age=max_age_s,
            path="/",
            secure=origin.startswith("https://"),
            httponly=True,
            samesite="lax",
        )


def _local(path: str | None) -> str:
    """Return a path of this gateway; anything that a browser could take for another address leads home."""
    usable = path is not None and path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if path is not None and usable and "\\" not in path else HOME


def _organization_form(return_to: str) -> str:
    return (
        '<h1>Sign in</h1><form method="get" action="/login"><p><label>Organization<br>'
        '<input name="tenant" required autofocus autocomplete="organization"></label> '
        f'<input type="hidden" name="return_to" value="{escape(return_to)}"><button>Continue</button></p></form>'
    )


def _choice_page(tenant: str, choices: list[ProviderChoice], return_to: str) -> Response:
    if not choices:
        text = "<h1>Sign in</h1><p>No log-in is set up for an organization of this name.</p>"
        return _page(text + '<p><a href="/login">Try another name</a></p>', 404)
    links = [
        f'<p><a href="/login?{escape(urlencode({"tenant": tenant, "provider": str(one.id), "return_to": return_to}))}">'
        f"{escape(one.label)}</a></p>"
        for one in choices
    ]
    return _page(f"<h1>Sign in to {escape(tenant)}</h1>{''.join(links)}")


def _problem_page(problem: GatewayError) -> Response:
    status = 503 if isinstance(problem, UpstreamUnavailable) else 400
    again = '<p><a href="/login">Sign in again</a></p>'
    return _page(f"<h1>{escape(problem.title)}</h1><p>{escape(problem.detail)}</p>{again}", status)


def _page(body: str, status: int = 200) -> Response:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Sign in · Segment gateway</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )
    return HTMLResponse(text, status, _HEADERS)
