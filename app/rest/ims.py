"""The gateway's own identity service, in the form of Adobe's IMS, for the integrations that it issues.

Clients put their parameters in the query, in a form or in a multipart body (one each was measured: Postman,
``aepp``, ``@adobe/aio-lib-ims``), so all three are merged. Neither they nor the answer are ever logged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.aep import headers, paths
from app.aep.errors import oauth_body
from app.auth.clients import TOKEN_TYPE, ClientTokens, InvalidClient, InvalidScope
from app.errors import Unauthenticated

GRANT_TYPE = "client_credentials"
_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}
# Verifiers may keep the keys for a while; a new key is published before it signs.
_KEYS_MAX_AGE = {"cache-control": "public, max-age=300"}

Endpoint = Callable[[Request], Awaitable[Response]]


class _Refusal(Exception):
    """A refusal in the shape of OAuth, always with status 400."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


def ims_routes(clients: ClientTokens) -> list[Route]:
    """Return the routes of the identity service."""
    ims = _IMS(clients)
    tokens = (paths.IMS_TOKEN, paths.IMS_TOKEN_V1, paths.IMS_TOKEN_V2, paths.IMS_TOKEN_V3)
    return [
        *(Route(path, _told(ims.issue), methods=["POST"]) for path in tokens),
        Route(paths.IMS_EXCHANGE_JWT, _told(ims.exchange), methods=["POST"]),
        Route(paths.IMS_VALIDATE_TOKEN, _told(ims.validate), methods=["POST"]),
        Route(paths.IMS_INVALIDATE_TOKEN, _told(ims.invalidate), methods=["POST"]),
        Route(paths.IMS_ORGANIZATIONS, ims.organizations, methods=["GET"]),
        Route(paths.JWKS, ims.keys, methods=["GET"]),
    ]


class _IMS:
    """The calls, on top of the integrations' tokens."""

    def __init__(self, clients: ClientTokens) -> None:
        self._clients = clients

    async def issue(self, request: Request) -> Response:
        """Exchange client id and secret for a token."""
        given = await _parameters(request, "client_id", "client_secret", "grant_type")
        if given["grant_type"] != GRANT_TYPE:
            raise _Refusal("unsupported_grant_type", f"only {GRANT_TYPE} is served")
        token = await self._clients.issue(given["client_id"], given["client_secret"], given.get("scope", ""))
        return _answer({"access_token": token.access_token, "token_type": "bearer", "expires_in": token.expires_in_s})

    async def exchange(self, _request: Request) -> Response:
        """Refuse the exchange of a client's own JWT, which IMS ended on 1 January 2025."""
        raise _Refusal("unsupported_grant_type", f"JWT credentials are no longer taken; send {GRANT_TYPE}")

    async def validate(self, request: Request) -> Response:
        """Say whether a token is good. A bad one is a result: a public client takes any status but 200 for a fault."""
        given = await _parameters(request)
        token = _bearer(request) or given.get("token", "")
        try:
            await self._clients.actor(token)
        except Unauthenticated:
            return _answer({"valid": False, "reason": "bad_signature_or_expired"})
        verified = self._clients.verify(token)
        if given.get("type", TOKEN_TYPE) != TOKEN_TYPE:
            return _answer({"valid": False, "reason": "bad_signature_or_expired"})
        if given.get("client_id", verified.client_id) != verified.client_id:
            return _answer({"valid": False, "reason": "client_id_mismatch"})
        return _answer({"valid": True, "token": verified.claims})

    async def invalidate(self, request: Request) -> Response:
        """Withdraw a token."""
        given = await _parameters(request, "client_id", "client_secret", "token")
        await self._clients.invalidate(given["client_id"], given["client_secret"], given["token"])
        return _answer({})

    async def organizations(self, request: Request) -> Response:
        """List the one organization of a token."""
        try:
            tenant = await self._clients.organization(_bearer(request))
        except Unauthenticated:
            return _answer(oauth_body("invalid_token", "The access token is not valid."), 401)
        ident, _, source = tenant.ims_org_id.partition("@")
        reference = {"ident": ident, "authSrc": source}
        return _answer([{"orgName": tenant.name, "orgRef": reference, "orgType": "Enterprise", "groups": []}])

    async def keys(self, _request: Request) -> Response:
        """Publish the keys that tokens are signed with."""
        return JSONResponse(await self._clients.public_keys(), headers=_KEYS_MAX_AGE)


def _told(handler: Endpoint) -> Endpoint:
    """Return an endpoint that answers refusals in IMS's shape."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except _Refusal as refusal:
            return _answer(oauth_body(refusal.error, refusal.description), 400)
        except InvalidScope as problem:
            return _answer(oauth_body("invalid_scope", f"{problem.detail} {problem.hint}"), 400)
        except InvalidClient as problem:
            return _answer(oauth_body("invalid_client", problem.detail), 400)

    return endpoint


async def _parameters(request: Request, *required: str) -> Mapping[str, str]:
    """Merge query and form; the form wins. Raises `_Refusal` for an unreadable form or a missing parameter."""
    given = dict(request.query_params)
    try:
        async with request.form(max_files=0, max_fields=20) as form:
            given |= {name: value for name, value in form.items() if isinstance(value, str)}
    except HTTPException:
        raise _Refusal("invalid_request", "the body is not a readable form") from None
    if missing := [name for name in required if not given.get(name)]:
        raise _Refusal("invalid_request", f"missing parameter: {', '.join(missing)}")
    return given


def _bearer(request: Request) -> str:
    return headers.bearer_token(request.headers.get(headers.AUTHORIZATION)) or ""


def _answer(body: Any, status: int = 200) -> Response:
    return JSONResponse(body, status_code=status, headers=_NO_STORE)
