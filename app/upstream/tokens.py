"""Access tokens of tenants' technical accounts, from Adobe's IMS by the client-credentials grant.

One token serves a (credential, scopes) pair in all processes. However many calls wait for a new one, in however many
processes, one of them fetches it: within a process they wait for one task, and the tasks of several processes settle
by a lease in a `TokenStore` who of them asks IMS. The lease ends by itself, so a process that dies holds nobody up for
longer than `LEASE_S`. From `RENEW_AT` of its life on a token is renewed in the background and still used meanwhile, so
a short outage of IMS is not noticed.

Source: Adobe's server-to-server guide, read December 2025: ``POST /ims/token/v3``; ``expires_in`` counts seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from time import monotonic
from typing import Any, Protocol
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx
import structlog
from authlib.oauth2.auth import ClientAuth

from app.aep import paths
from app.errors import GatewayError, UpstreamUnavailable
from app.upstream.connection import Connection

log = structlog.get_logger(__name__)

RENEW_AT = 0.9
USABLE_UNTIL = 0.98  # of a token's life; the rest is left to calls under way and to clocks that differ
FETCH_TIMEOUT_S = 10.0
LEASE_S = 15.0  # longer than a fetch may take
RETRY_RENEWAL_S = 5.0
_POLL_S, _POLL_CAP_S = 0.03, 0.5

_Key = tuple[UUID, tuple[str, ...]]


class CredentialRefused(UpstreamUnavailable):
    """IMS answered and gives this credential no token: a wrong secret, a deleted client, scopes that it lacks."""


@dataclass(frozen=True, slots=True)
class SharedToken:
    """A token as processes hand it on; durations count from now. ``generation`` is the lease of its fetch."""

    token: str = field(repr=False)
    generation: UUID
    renew_in_s: float
    usable_for_s: float


class TokenStore(Protocol):
    """What processes share. Leases must be taken atomically, and only while no token is good for longer."""

    async def get(self, connection: Connection) -> SharedToken | None:
        """Return the token that was fetched last, good or not."""
        ...

    async def lease(self, connection: Connection, lease_id: UUID, lease_s: float) -> bool:
        """Take the right to fetch a new token; false when somebody has it or has just fetched one."""
        ...

    async def keep(self, connection: Connection, token: SharedToken) -> None:
        """Share a fetched token and give its lease back."""
        ...

    async def release(self, connection: Connection, lease_id: UUID) -> None:
        """Give a lease back without a token."""
        ...

    async def discard(self, connection: Connection, generation: UUID) -> None:
        """Forget a token, unless a newer one has taken its place."""
        ...


@dataclass(frozen=True, slots=True)
class _Held:
    token: str = field(repr=False)
    generation: UUID
    renew_at: float
    usable_until: float


class TokenCache:
    """The tokens that this process holds, by credential and scopes."""

    def __init__(self, http: httpx.AsyncClient, store: TokenStore, *, clock: Callable[[], float] = monotonic) -> None:
        self._http = http
        self._store = store
        self._clock = clock
        self._held: dict[_Key, _Held] = {}
        self._renewals: dict[_Key, asyncio.Task[_Held]] = {}
        self._refused: dict[_Key, UUID] = {}

    async def token(self, connection: Connection) -> str:
        """Return a token that is good for the next call. Raises `UpstreamUnavailable`."""
        held = self._held.get(_key(connection))
        now = self._clock()
        if held is not None and now < held.renew_at:
            return held.token
        renewal = self._renewal(connection)
        if held is not None and now < held.usable_until:
            return held.token
        # A caller that gives up must not take the token away from the others that wait for it.
        return (await asyncio.shield(renewal)).token

    async def discard(self, connection: Connection, token: str) -> None:
        """Forget ``token``, which AEP refused; a newer one that was fetched meanwhile stays."""
        key = _key(connection)
        held = self._held.get(key)
        if held is not None and held.token == token:
            # Until the store has forgotten it too, a renewal may still find it there and must not take it back.
            self._refused[key] = held.generation
            del self._held[key]
            await self._store.discard(connection, held.generation)

    async def aclose(self) -> None:
        """Stop renewing."""
        renewals = list(self._renewals.values())
        for renewal in renewals:
            renewal.cancel()
        await asyncio.gather(*renewals, return_exceptions=True)

    def _renewal(self, connection: Connection) -> asyncio.Task[_Held]:
        key = _key(connection)
        renewal = self._renewals.get(key)
        if renewal is None:
            renewal = self._renewals[key] = asyncio.create_task(self._renew(connection), name="token renewal")
            renewal.add_done_callback(partial(self._settle, key))
        return renewal

    def _settle(self, key: _Key, renewal: asyncio.Task[_Held]) -> None:
        del self._renewals[key]
        if renewal.cancelled():
            return
        if renewal.exception() is None:
            self._held[key] = renewal.result()
        elif held := self._held.get(key):
            self._held[key] = replace(held, renew_at=self._clock() + RETRY_RENEWAL_S)

    async def _renew(self, connection: Connection) -> _Held:
        """Take over what another process fetched, or fetch."""
        lease_id = uuid4()
        for attempt in count():
            shared = await self._store.get(connection)
            if shared is not None and shared.generation == self._refused.get(_key(connection)):
                shared = None
            if shared is not None and shared.renew_in_s > 0:
                return self._hold(shared)
            if await self._store.lease(connection, lease_id, LEASE_S):
                return self._hold(await self._fetch_under(connection, lease_id))
            if shared is not None and shared.usable_for_s > 0:
                return self._hold(replace(shared, renew_in_s=min(RETRY_RENEWAL_S, shared.usable_for_s)))
            await asyncio.sleep(_pause_s(attempt))
        raise AssertionError("unreachable: the loop ends with a token or an error")

    async def _fetch_under(self, connection: Connection, lease_id: UUID) -> SharedToken:
        try:
            fetched = await self._fetch(connection, lease_id)
        except BaseException:
            with contextlib.suppress(GatewayError):
                await self._store.release(connection, lease_id)
            raise
        await self._store.keep(connection, fetched)
        return fetched

    async def _fetch(self, connection: Connection, lease_id: UUID) -> SharedToken:
        asked_at = self._clock()
        token, life_s = await request_token(self._http, connection)
        took_s = self._clock() - asked_at
        return SharedToken(token, lease_id, RENEW_AT * life_s - took_s, USABLE_UNTIL * life_s - took_s)

    def _hold(self, shared: SharedToken) -> _Held:
        now = self._clock()
        return _Held(shared.token, shared.generation, now + shared.renew_in_s, now + shared.usable_for_s)


async def request_token(http: httpx.AsyncClient, connection: Connection) -> tuple[str, float]:
    """Ask IMS for a token and return it with its life in seconds; nobody shares it.

    Raises `CredentialRefused`, or `UpstreamUnavailable` when IMS does not answer.
    """
    url, headers, body = _token_request(connection)
    try:
        async with asyncio.timeout(FETCH_TIMEOUT_S):
            response = await http.post(url, headers=headers, content=body, timeout=FETCH_TIMEOUT_S)
        reply = response.json()
        if not isinstance(reply, dict):
            raise ValueError("not an object")
        life_s = float(reply.get("expires_in", 0))
    except (httpx.HTTPError, TimeoutError, ValueError, TypeError) as problem:
        log.warning("upstream.token_failed", tenant_id=str(connection.tenant_id), error=type(problem).__name__)
        raise UpstreamUnavailable(
            "Adobe IMS cannot be reached, so no call to Adobe Experience Platform is possible now.",
            hint="Try again shortly; cached reads keep working.",
            retry_after_s=0.0,
        ) from problem
    if not response.is_success or "access_token" not in reply:
        raise _refusal(connection, response.status_code, reply)
    log.info("upstream.token_fetched", tenant_id=str(connection.tenant_id))
    return str(reply["access_token"]), life_s


def _refusal(connection: Connection, status: int, reply: dict[str, Any]) -> UpstreamUnavailable:
    error = str(reply.get("error") or f"status {status}")
    log.warning("upstream.token_refused", tenant_id=str(connection.tenant_id), error=error)
    # A fault of IMS's own, or its rate limit, says nothing about the credential.
    kind = UpstreamUnavailable if status == 429 or status >= 500 else CredentialRefused
    return kind(
        f"Adobe IMS refused this organization's credential ({error}).",
        hint="An administrator runs 'segment-gateway tenant check', which says what is wrong with it.",
    )


def _pause_s(attempt: int) -> float:
    """Return how long to wait for another process; spread, so that the waiters do not ask in step."""
    return float(min(_POLL_CAP_S, _POLL_S * 1.5 ** min(attempt, 20)) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter


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
