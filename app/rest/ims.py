"""The gateway's own token endpoint, in the form of Adobe's IMS, for the integrations that it issues.

Clients put their parameters in the query, in a form or in a multipart body (one each was measured: Postman,
``aepp``, ``@adobe/aio-lib-ims``), so all three are merged. Neither they nor the answer are ever logged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.aep import paths
from app.aep.errors import oauth_body
from app.auth.clients import ClientTokens, InvalidClient, InvalidScope

GRANT_TYPE = "client_credentials"
_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}


def ims_routes(clients: ClientTokens) -> list[Route]:
    """Return the token routes of IMS."""
    token = _token_endpoint(clients)
    tokens = (paths.IMS_TOKEN, paths.IMS_TOKEN_V1, paths.IMS_TOKEN_V2, paths.IMS_TOKEN_V3)
    return [Route(path, token, methods=["POST"]) for path in tokens]


def _token_endpoint(clients: ClientTokens) -> Callable[[Request], Awaitable[Response]]:
    async def issue(request: Request) -> Response:
        try:
            given = await _parameters(request)
        except HTTPException:
            return _refuse(400, "invalid_request", "the body is not a readable form")
        missing = [name for name in ("client_id", "client_secret", "grant_type") if not given.get(name)]
        if missing:
            return _refuse(400, "invalid_request", f"missing parameter: {', '.join(missing)}")
        if given["grant_type"] != GRANT_TYPE:
            return _refuse(400, "unsupported_grant_type", f"only {GRANT_TYPE} is served")
        try:
            token = await clients.issue(given["client_id"], given["client_secret"], given.get("scope", ""))
        except InvalidScope as problem:
            return _refuse(400, "invalid_scope", f"{problem.detail} {problem.hint}")
        except InvalidClient as problem:
            return _refuse(400, "invalid_client", problem.detail)
        body = {"access_token": token.access_token, "token_type": "bearer", "expires_in": token.expires_in_s}
        return JSONResponse(body, headers=_NO_STORE)

    return issue


async def _parameters(request: Request) -> dict[str, str]:
    given = dict(request.query_params)
    async with request.form(max_files=0, max_fields=20) as form:
        given |= {name: value for name, value in form.items() if isinstance(value, str)}
    return given


def _refuse(status: int, error: str, description: str) -> Response:
    return JSONResponse(oauth_body(error, description), status_code=status, headers=_NO_STORE)
