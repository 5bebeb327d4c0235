"""One HTTP client for all calls to AEP: headers, time-outs, repeats and the reading of errors.

Calls that are safe to repeat are tried again after a lost connection, 429, 502, 503 and 504, and GETs after a 500 as
well. ``Retry-After`` (in seconds or as a date) and ``retryAfterMs`` are honoured up to half a minute; otherwise the
pause doubles from one second with full jitter. A call that changes something is sent once. A 401 gives the token up; a
read is repeated at once with a new one, once. A change is not: it is the caller who decides whether to send it again.
How much is sent at all, and in which order, is up to `app.upstream.circuits`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any, Literal
from uuid import UUID

import httpx
import structlog

from app.aep import headers as aep_headers
from app.aep.errors import AEPError, read_error
from app.errors import (
    NotFound,
    PublicError,
    UpstreamPaused,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamUnavailable,
)
from app.settings import UpstreamSettings
from app.telemetry import Metrics
from app.upstream.circuits import Circuits, endpoint_of
from app.upstream.connection import Connection, ConnectionSource, Target, aep_headers_of
from app.upstream.tokens import CredentialRefused, TokenCache

log = structlog.get_logger(__name__)

BACKOFF_CAP_S = 30.0
REFUSAL_PAUSE_S = 60.0  # for so long a credential that IMS refused is not tried again while another one stands by
_REPEATABLE = {429, 502, 503, 504}

Safety = Literal["get", "repeatable", "once"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call to AEP. ``operation`` is its published name in snake case and labels the metrics.

    ``safety`` says how often it may be sent: a ``get`` and a ``repeatable`` POST (a read by POST) again and again, a
    change only ``once``.
    """

    operation: str
    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    safety: Safety = "get"


@dataclass(frozen=True, slots=True)
class Reply:
    """AEP's answer to a call that succeeded: ``body`` is parsed JSON, or ``None`` for an empty body."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def request_id(self) -> str | None:
        """AEP's own id of the request, for support tickets."""
        return self.headers.get(aep_headers.REQUEST_ID)


class AEPClient:
    """Calls AEP on behalf of tenants."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        connections: ConnectionSource,
        tokens: TokenCache,
        settings: UpstreamSettings,
        metrics: Metrics,
        *,
        circuits: Circuits | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = http
        self._circuits = circuits or Circuits(concurrency=settings.upstream_concurrency)
        self._connections = connections
        self._tokens = tokens
        self._settings = settings
        self._metrics = metrics
        self._sleep = sleep
        self._refused_until: dict[UUID, float] = {}

    async def read(self, target: Target, call: Call) -> Reply:
        """Make a call that changes nothing. Raises `NotFound`, `UpstreamRefused` or `UpstreamUnavailable`."""
        if call.safety == "once":
            raise ValueError(f"{call.operation} changes something: it belongs to app.upstream.mutations")
        return await self._perform(target, call)

    async def _perform(self, target: Target, call: Call) -> Reply:
        connection = await self._connections.connection(target.tenant_id)
        attempts = 1 if call.safety == "once" else self._settings.upstream_attempts
        endpoint = endpoint_of(call.path)
        for attempt in range(1, attempts + 1):
            try:
                return await self._attempt_in_place(connection, target, call, endpoint)
            except UpstreamPaused:
                raise
            except UpstreamUnavailable as problem:
                pause_s = problem.retry_after_s
                if attempt == attempts or pause_s is None or pause_s > BACKOFF_CAP_S:
                    raise
                if not self._circuits.may_repeat(target, endpoint):
                    raise
                pause_s = pause_s or random.uniform(0, min(BACKOFF_CAP_S, 2.0 ** (attempt - 1)))  # noqa: S311 - jitter
                log.info("upstream.call_repeated", operation=call.operation, attempt=attempt, pause_s=round(pause_s, 2))
                await self._sleep(pause_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _attempt_in_place(self, connection: Connection, target: Target, call: Call, endpoint: str) -> Reply:
        """Send a call when there is room for it, and let the circuit know what came of it."""
        async with self._circuits.place(target, endpoint):
            try:
                reply = await self._attempt(connection, target, call)
            except UpstreamThrottled as problem:
                await self._circuits.throttled(target, endpoint, problem.retry_after_s or 0.0)
                raise
            except UpstreamUnavailable as problem:
                # A refused credential comes back at once and says nothing about AEP's health.
                if problem.retry_after_s is not None or problem.outcome_unknown:
                    await self._circuits.failed(target, endpoint)
                raise
            except PublicError:
                await self._circuits.succeeded(target, endpoint)
                raise
            await self._circuits.succeeded(target, endpoint)
            return reply

    async def _attempt(self, connection: Connection, target: Target, call: Call) -> Reply:
        connection, token = await self._account(connection)
        response = await self._send(connection, target, call, token)
        if response.status_code == 401:
            await self._tokens.discard(connection, token)
            if call.safety == "once":
                raise self._token_refused(call)
            response = await self._send(connection, target, call, await self._tokens.token(connection))
        return self._read_response(call, response)

    async def _account(self, connection: Connection) -> tuple[Connection, str]:
        """Return the technical account to call as, with a token: the one before, where IMS refuses the current one."""
        fallback = connection.fallback
        if fallback is None:
            return connection, await self._tokens.token(connection)
        if self._refused_until.get(connection.credential_id, 0.0) <= monotonic():
            try:
                return connection, await self._tokens.token(connection)
            except CredentialRefused:
                self._refused_until[connection.credential_id] = monotonic() + REFUSAL_PAUSE_S
                log.warning(
                    "upstream.credential_fallback",
                    tenant_id=str(connection.tenant_id),
                    client_id=connection.client_id,
                    fallback_client_id=fallback.client_id,
                )
        self._metrics.credential_fallbacks.inc()
        return fallback, await self._tokens.token(fallback)

    async def _send(self, connection: Connection, target: Target, call: Call, token: str) -> httpx.Response:
        headers = aep_headers_of(connection, token, target.request_id, target.sandbox_name) | dict(call.headers)
        url = connection.platform_url.rstrip("/") + call.path
        try:
            return await self._http.request(
                call.method,
                url,
                params=list(call.params) or None,
                json=call.body,
                headers=headers,
                timeout=httpx.Timeout(
                    self._settings.upstream_read_timeout_s, connect=self._settings.upstream_connect_timeout_s
                ),
            )
        except httpx.TransportError as problem:
            raise self._lost(call, problem) from problem

    def _token_refused(self, call: Call) -> UpstreamUnavailable:
        """Say that a change was turned away at the door: AEP looks at the token before it looks at the request."""
        self._metrics.upstream_calls.labels(call.operation, "401").inc()
        log.info("upstream.token_given_up", operation=call.operation)
        return UpstreamUnavailable(
            "Adobe refused the access token of this organization's technical account, so nothing was changed.",
            hint="Send the change again: it will be made with a new token.",
            retry_after_s=0.0,
        )

    def _lost(self, call: Call, problem: httpx.TransportError) -> UpstreamUnavailable:
        """Say what a lost call means: nothing was sent, or nobody knows."""
        never_sent = isinstance(problem, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        self._metrics.upstream_calls.labels(call.operation, "lost").inc()
        log.warning("upstream.call_lost", operation=call.operation, error=type(problem).__name__)
        if call.safety == "once" and not never_sent:
            return UpstreamUnavailable(
                "Adobe Experience Platform did not answer, so it is not known whether the change was made.",
                hint="Look the object up before you repeat the call.",
                outcome_unknown=True,
            )
        return UpstreamUnavailable(
            "Adobe Experience Platform cannot be reached.", hint="Try again shortly.", retry_after_s=0.0
        )

    def _read_response(self, call: Call, response: httpx.Response) -> Reply:
        if response.has_redirect_location:
            # An export answers with the address of its file, which is the caller's to fetch.
            self._metrics.upstream_calls.labels(call.operation, "ok").inc()
            return Reply(response.status_code, None, response.headers)
        if response.is_success:
            body = _json_or_none(response)
            if body is not None or not response.content:
                self._metrics.upstream_calls.labels(call.operation, "ok").inc()
                return Reply(response.status_code, body, response.headers)
            self._metrics.upstream_calls.labels(call.operation, "unreadable").inc()
            raise UpstreamUnavailable(
                "Adobe Experience Platform answered with something that is not JSON.",
                retry_after_s=0.0 if call.safety != "once" else None,
                outcome_unknown=call.safety == "once",
            )
        self._metrics.upstream_calls.labels(call.operation, str(response.status_code)).inc()
        raise _to_error(call, response, read_error(response.status_code, response.content))


def _json_or_none(response: httpx.Response) -> Any:
    try:
        return response.json() if response.content else None
    except ValueError:
        return None


def _to_error(
    call: Call, response: httpx.Response, error: AEPError
) -> NotFound | UpstreamRefused | UpstreamUnavailable:
    """Turn any of AEP's error shapes into one of ours."""
    status = response.status_code
    upstream_request_id = error.request_id or response.headers.get(aep_headers.REQUEST_ID)
    log.info(
        "upstream.call_refused",
        operation=call.operation,
        status=status,
        code=error.code,
        upstream_request_id=upstream_request_id,
    )
    repeatable = status in _REPEATABLE or (status == 500 and call.safety == "get")
    # 501 is an answer: what was asked for is not served, now or later.
    if repeatable or (status >= 500 and status != 501):
        kind = UpstreamThrottled if status == 429 else UpstreamUnavailable
        return kind(
            f"Adobe Experience Platform answered with status {status}: {error.message}",
            retry_after_s=_retry_after_s(response, error) if repeatable else None,
            outcome_unknown=call.safety == "once" and status != 429,
            upstream_request_id=upstream_request_id,
        )
    if status in {401, 403} and error.shape == "gateway":
        return UpstreamUnavailable(
            f"Adobe refused this organization's technical account ({error.code}: {error.message}).",
            hint="An administrator checks the credential and its product profiles with 'segment-gateway tenant check'.",
            upstream_request_id=upstream_request_id,
        )
    return UpstreamRefused(
        error.message,
        status=status,
        upstream_code=error.code,
        upstream_request_id=upstream_request_id,
        messages=error.messages,
    )


def _retry_after_s(response: httpx.Response, error: AEPError) -> float:
    """Return the pause that AEP asks for, in seconds; 0 when it names none."""
    if error.retry_after_ms is not None:
        return error.retry_after_ms / 1000
    text = response.headers.get("retry-after", "")
    try:
        pause_s = float(text) if text.strip() else 0.0
    except ValueError:
        pause_s = _seconds_until(text)
    return pause_s if 0 < pause_s < float("inf") else 0.0


def _seconds_until(http_date: str) -> float:
    """Return how far away a time in the form of RFC 9110, 5.6.7 is; 0 when it cannot be read."""
    try:
        moment = parsedate_to_datetime(http_date)
    except ValueError:
        return 0.0
    return (moment - datetime.now(UTC)).total_seconds() if moment.tzinfo else 0.0
