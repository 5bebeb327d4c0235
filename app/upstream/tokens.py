"""Access tokens of tenants' technical accounts, from Adobe's IMS by the client-credentials grant.

One token serves a (credential, scopes) pair until 90% of its life is over. However many calls wait for it, one of
them fetches it.

Source: Adobe's server-to-server guide, read December 2025: ``POST /ims/token/v3``; ``expires_in`` counts seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from uuid import UUID

import httpx
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from app.aep import paths
from app.errors import UpstreamUnavailable
from app.upstream.connection import Connection

log = structlog.get_logger(__name__)

RENEW_AT = 0.9

_Key = tuple[UUID, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Held:
    token: str = field(repr=False)
    renew_at: float


class TokenCache:
    """Tokens of this process, by credential and scopes."""

    def __init__(self, http: httpx.AsyncClient, *, clock: Callable[[], float] = monotonic) -> None:
        self._http = http
        self._clock = clock
        self._held: dict[_Key, _Held] = {}
        self._locks: dict[_Key, asyncio.Lock] = {}

    async def token(self, connection: Connection) -> str:
        """Return a token that is good for the next call. Raises `UpstreamUnavailable`."""
        key = _key(connection)
        held = self._held.get(key)
        if held is None or self._clock() >= held.renew_at:
            async with self._locks.setdefault(key, asyncio.Lock()):
                held = self._held.get(key)
                if held is None or self._clock() >= held.renew_at:
                    held = self._held[key] = await self._fetch(connection)
        return held.token

    def discard(self, connection: Connection, token: str) -> None:
        """Forget ``token``, which AEP refused; a newer one that another call fetched meanwhile stays."""
        held = self._held.get(_key(connection))
        if held is not None and held.token == token:
            del self._held[_key(connection)]

    async def _fetch(self, connection: Connection) -> _Held:
        url = connection.ims_url.rstrip("/") + paths.IMS_TOKEN_V3
        asked_at = self._clock()
        try:
            # The transport is shared with every other call; authlib only speaks the grant over it.
            client = AsyncOAuth2Client(
                connection.client_id,
                connection.client_secret,
                token_endpoint_auth_method="client_secret_post",  # noqa: S106 - the name of a method
                transport=_Borrowed(self._http),
            )
            reply = await client.fetch_token(
                url, grant_type="client_credentials", scope=",".join(connection.scopes), timeout=10
            )
        except OAuthError as problem:
            log.warning("upstream.token_refused", tenant_id=str(connection.tenant_id), error=problem.error)
            raise UpstreamUnavailable(
                f"Adobe IMS refused this organization's credential ({problem.error or 'unreadable answer'}).",
                hint="An administrator checks the client id, the secret and the scopes with 'segment-gateway tenant'.",
            ) from problem
        except (httpx.HTTPError, ValueError, KeyError) as problem:
            log.warning("upstream.token_failed", tenant_id=str(connection.tenant_id), error=type(problem).__name__)
            raise UpstreamUnavailable(
                "Adobe IMS cannot be reached, so no call to Adobe Experience Platform is possible now.",
                hint="Try again shortly; cached reads keep working.",
            ) from problem
        lifetime_s = float(reply.get("expires_in") or 0)
        return _Held(token=str(reply["access_token"]), renew_at=asked_at + RENEW_AT * lifetime_s)


class _Borrowed(httpx.AsyncBaseTransport):
    """Sends requests through a client that belongs to somebody else, and never closes it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._http.send(request)


def _key(connection: Connection) -> _Key:
    return connection.credential_id, tuple(sorted(connection.scopes))
