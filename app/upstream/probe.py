"""Looks step by step whether a tenant's way to AEP works: names, connections, token, entitlement, permissions.

It calls past the token cache and the repeats of `client`, so that each answer is what is so now. Findings name causes
and cures, and never a secret or a token. Source of the causes: the gateway errors of Adobe's API reference and the
access-control API, read December 2025.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import httpx

from app.aep import paths
from app.aep.errors import AEPError, read_error
from app.aep.headers import new_request_id
from app.context.permissions import Permission
from app.errors import UpstreamUnavailable
from app.upstream.connection import Connection, aep_headers_of
from app.upstream.tokens import CredentialRefused, request_token

STEP_TIMEOUT_S = 10.0


class Verdict(StrEnum):
    """How a step went. ``SKIPPED`` could not be tried, because a step before it failed."""

    OK = "ok"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found; ``cure`` is empty where nothing is wrong."""

    step: str
    verdict: Verdict
    detail: str
    cure: str = ""
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """Return the finding as plain JSON."""
        members = {"step": self.step, "result": self.verdict.value, "detail": self.detail}
        return {**members, "cure": self.cure or None, "duration_ms": round(self.seconds * 1000, 1)}


class StepFailed(Exception):
    """A step that did not work, with its cure."""

    def __init__(self, detail: str, cure: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.cure = cure


class Probe:
    """The steps for one connection, in the order in which they make sense. Each adds to ``findings``."""

    def __init__(self, http: httpx.AsyncClient, connection: Connection) -> None:
        self._http = http
        self._connection = connection
        self._token: str | None = None
        self.findings: list[Finding] = []

    @property
    def works(self) -> bool:
        """Whether no step so far failed."""
        return all(finding.verdict is Verdict.OK for finding in self.findings)

    async def reach(self) -> None:
        """Look both hosts up and connect to them."""
        for name, url in (("IMS", self._connection.ims_url), ("platform", self._connection.platform_url)):
            await self._step(f"DNS of {name}", lambda url=url: _resolve(url))  # type: ignore[misc]
            await self._step(f"connection to {name}", lambda url=url: self._connect(url))  # type: ignore[misc]

    async def token(self) -> None:
        """Fetch a token."""
        await self._step("token", self._fetch_token)

    async def sandboxes(self, names: Iterable[str]) -> None:
        """Read the organization's sandboxes: is the account entitled, and are the named ones there?"""
        active: dict[str, str] = {}

        async def read() -> str:
            body = await self._call("GET", paths.SANDBOX_MANAGEMENT + "/")
            active.update({str(one.get("name")): str(one.get("state", "active")) for one in body.get("sandboxes", [])})
            return f"the account sees {len(active)} sandboxes of {self._connection.ims_org_id}"

        await self._step("entitlement", read, needs_token=True)
        for name in names:
            await self._step(f"sandbox {name}", lambda name=name: _look_for(name, active), needs_token=True)  # type: ignore[misc]

    async def permissions(self, sandbox: str, wanted: Iterable[Permission]) -> None:
        """Ask for each permission whether the account holds it in a sandbox."""
        for permission in wanted:

            async def ask(permission: Permission = permission) -> str:
                asked = [f"/permissions/{permission.api_name}"]
                body = await self._call("POST", paths.ACCESS_CONTROL_POLICIES, sandbox=sandbox, body=asked)
                actions = {action for granted in (body.get("policies") or {}).values() for action in granted}
                if not actions:
                    raise StepFailed(
                        f"the technical account does not hold it in sandbox {sandbox}",
                        f"In Adobe's Permissions, add “{permission}” in sandbox {sandbox} to a role of this API "
                        "credential; without it the calls that need it are refused by Adobe.",
                    )
                return ", ".join(sorted(actions))

            await self._step(f"permission {permission}", ask, needs_token=True)

    async def _step(self, name: str, work: Callable[[], Awaitable[str]], *, needs_token: bool = False) -> None:
        if needs_token and (self._token is None or self._not_entitled()):
            self.findings.append(Finding(name, Verdict.SKIPPED, "not tried, since a step before it failed"))
            return
        begun = perf_counter()
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                verdict, detail, cure = Verdict.OK, await work(), ""
        except StepFailed as problem:
            verdict, detail, cure = Verdict.FAILED, problem.detail, problem.cure
        except TimeoutError:
            verdict, detail = Verdict.FAILED, f"no answer within {STEP_TIMEOUT_S:.0f} s"
            cure = "Look whether a firewall or proxy between this machine and Adobe swallows the call."
        self.findings.append(Finding(name, verdict, detail, cure, perf_counter() - begun))

    def _not_entitled(self) -> bool:
        return any(one.step == "entitlement" and one.verdict is Verdict.FAILED for one in self.findings)

    async def _connect(self, url: str) -> str:
        try:
            answer = await self._http.get(url, timeout=STEP_TIMEOUT_S)
        except httpx.HTTPError as problem:
            raise StepFailed(
                f"{type(problem).__name__}: {problem}",
                f"Let this machine connect to {url}; where a proxy breaks TLS open, make its certificate known "
                "(SSL_CERT_FILE).",
            ) from problem
        return f"HTTP {answer.status_code} from {url}"

    async def _fetch_token(self) -> str:
        try:
            self._token, life_s = await request_token(self._http, self._connection)
        except CredentialRefused as problem:
            raise StepFailed(problem.detail, _token_cure(problem.detail, self._connection)) from problem
        except UpstreamUnavailable as problem:
            raise StepFailed(problem.detail, "Look at the steps before; then try again shortly.") from problem
        return f"good for {life_s / 3600:.1f} h, scopes {', '.join(self._connection.scopes)}"

    async def _call(self, method: str, path: str, *, sandbox: str | None = None, body: Any = None) -> dict[str, Any]:
        headers = aep_headers_of(self._connection, str(self._token), new_request_id(), sandbox)
        url = self._connection.platform_url.rstrip("/") + path
        try:
            answer = await self._http.request(method, url, headers=headers, json=body, timeout=STEP_TIMEOUT_S)
            read = answer.json() if answer.is_success else None
        except (httpx.HTTPError, ValueError) as problem:
            raise StepFailed(f"no usable answer ({type(problem).__name__})", "Try again shortly.") from problem
        if not isinstance(read, dict):
            error = read_error(answer.status_code, answer.content)
            raise StepFailed(f"status {answer.status_code}: {error.message}", _cure(error, self._connection))
        return read


async def clock_skew_s(http: httpx.AsyncClient, url: str) -> float | None:
    """Return how many seconds this machine's clock is ahead of a host's; ``None`` when that tells no time.

    Raises `StepFailed` when the host does not answer.
    """
    try:
        answer = await http.get(url, timeout=STEP_TIMEOUT_S)
    except httpx.HTTPError as problem:
        raise StepFailed(
            f"{url}: {type(problem).__name__}", "'segment-gateway tenant check' says more, step by step."
        ) from problem
    if "date" not in answer.headers:
        return None
    return (datetime.now(UTC) - parsedate_to_datetime(answer.headers["date"])).total_seconds()


async def _resolve(url: str) -> str:
    host = urlsplit(url).hostname or ""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as problem:
        raise StepFailed(
            f"{host} has no address ({problem.strerror or problem})",
            "Correct the tenant's host, or this machine's name server.",
        ) from problem
    return f"{host} is {', '.join(sorted({str(one[4][0]) for one in found}))}"


async def _look_for(name: str, active: dict[str, str]) -> str:
    if name not in active:
        raise StepFailed(
            "the technical account does not see it",
            f"Correct the name ({', '.join(sorted(active)) or 'none is seen'}), or add the sandbox to a role of "
            "this API credential in Adobe's Permissions.",
        )
    if active[name] != "active":
        raise StepFailed(f"its state is {active[name]}", "Wait until Adobe has made or reset it.")
    return "active"


def _token_cure(detail: str, connection: Connection) -> str:
    if "invalid_scope" in detail:
        return (
            f"Give the credential the scopes that its project in the Developer Console shows; client id "
            f"{connection.client_id} asks for {', '.join(connection.scopes)}."
        )
    return (
        f"Take client id and secret of {connection.client_id} anew from the Developer Console and enter them with "
        "'segment-gateway tenant rotate-credential'."
    )


def _cure(error: AEPError, connection: Connection) -> str:
    cures = {
        "401013": "Adobe gave the token and does not take it: look whether IMS host and platform host belong together.",
        "403003": f"Add the Experience Platform API to the project of client id {connection.client_id}.",
        "403025": f"The credential belongs to another organization than {connection.ims_org_id}: correct one of both.",
        "403027": f"Correct the organization id {connection.ims_org_id}, and add this API credential to a product "
        "profile such as AEP-Default-All-Users in the Admin Console.",
    }
    return cures.get(str(error.code), "Look the answer up with Adobe's status page, then try again.")
