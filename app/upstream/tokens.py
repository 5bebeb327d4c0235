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
from urllib.parse import urlencode
from uuid import UUID

import httpx
import structlog
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749 import OAuth2Token

from app.aep import paths
from app.errors import UpstreamUnavailable
from app.upstream.connection import Connection

log = structlog.get_logger(__name__)

RENEW_AT = 0.9
FETCH_TIMEOUT_S = 10.0

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
        asked_at = self._clock()
        url, headers, body = _token_request(connection)
        try:
            response = await self._http.post(url, headers=headers, content=body, timeout=FETCH_TIMEOUT_S)
            reply = response.json()
            if not isinstance(reply, dict):
                raise ValueError("not an object")
        except (httpx.HTTPError, ValueError) as problem:
            log.warning("upstream.token_failed", tenant_id=str(connection.tenant_id), error=type(problem).__name__)
            raise UpstreamUnavailable(
                "Adobe IMS cannot be reached, so no call to Adobe Experience Platform is possible now.",
                hint="Try again shortly; cached reads keep working.",
                retry_after_s=0.0,
            ) from problem
        if not response.is_success or "access_token" not in reply:
            error = str(reply.get("error") or f"status {response.status_code}")
            log.warning("upstream.token_refused", tenant_id=str(connection.tenant_id), error=error)
            raise UpstreamUnavailable(
                f"Adobe IMS refused this organization's credential ({error}).",
                hint="An administrator checks the client id, the secret and the scopes of the tenant's credential.",
            )
        token = OAuth2Token.from_dict(reply)
        return _Held(token=str(token["access_token"]), renew_at=asked_at + RENEW_AT * float(token["expires_in"]))


def _token_request(connection: Connection) -> tuple[str, dict[str, str], str]:
    """Return address, headers and form of the client-credentials call."""
    grant = {"grant_type": "client_credentials", "scope": ",".join(connection.scopes)}
    authentication = ClientAuth(connection.client_id, connection.client_secret, auth_method="client_secret_post")
    url, headers, body = authentication.prepare(
        "POST",
        connection.ims_url.rstrip("/") + paths.IMS_TOKEN_V3,
        {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"},
        urlencode(grant),
    )
    return str(url), dict(headers), str(body)


def _key(connection: Connection) -> _Key:
    return connection.credential_id, tuple(sorted(connection.scopes))
