"""The API gateway in front of every service: it checks the headers in AEP's order and says on whose behalf a call is.

A handler behind the gate receives a :class:`Call`. Its store is bound to the organization of the *token* and to the
sandbox of the header, so a handler has no way to reach another organization.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog
from starlette.requests import Request
from starlette.responses import Response

from app.aep import errors as aep_errors
from app.aep import headers
from app.aep.errors import GatewayFault
from app.aep.times import epoch_ms
from app.emulator import audit_trail
from app.emulator.answers import Refusal, error_answer, json_answer, read_json
from app.emulator.clock import Clock
from app.emulator.deeds import Asset, Deed, check_permissions, label_denial, missing_labels
from app.emulator.guardrails import GuardrailControl
from app.emulator.organizations import Credential, EmulatedSandbox, Organization, Organizations
from app.emulator.presence import Presence
from app.emulator.state import State, Store
from app.emulator.tokens import Token, TokenOffice
from app.errors import InternalError, QuotaExceeded

_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request that passed the gate."""

    request: Request
    organization: Organization
    credential: Credential
    token: Token
    request_id: str
    now_ms: int
    _sandbox: EmulatedSandbox | None
    _store: Store | None
    assets: list[Asset] = field(default_factory=list)

    @property
    def sandbox_name(self) -> str | None:
        """The name of the call's sandbox; None when it concerns the whole organization."""
        return self._sandbox.name if self._sandbox else None

    @property
    def sandbox(self) -> EmulatedSandbox:
        """The sandbox of the call."""
        if self._sandbox is None:
            raise InternalError("this call was admitted without a sandbox")
        return self._sandbox

    @property
    def store(self) -> Store:
        """The state of the call's organization and sandbox."""
        if self._store is None:
            raise InternalError("this call was admitted without a sandbox")
        return self._store

    @property
    def place(self) -> dict[str, Any]:
        """The members that say where an object belongs."""
        return place_members(self.organization, self.sandbox)

    def path(self, name: str) -> str:
        """Return a parameter of the path."""
        return str(self.request.path_params[name])

    def touches(self, identifier: str, name: str = "") -> None:
        """Tell the audit log what this call acts on."""
        self.assets.append(Asset(identifier, name))

    def may_see(self, document: Mapping[str, Any]) -> bool:
        """Tell whether the caller's roles hold the labels of an audience."""
        return not missing_labels(document, self.credential.labels)

    def check_labels(self, document: Mapping[str, Any], action: Literal["READ", "WRITE"]) -> None:
        """Raises Refusal when the caller's roles do not hold the labels of an audience."""
        if not self.may_see(document):
            raise label_denial(self.organization.org_id, self.sandbox.name, document, action)

    async def json(self) -> Any:
        """Read the body. Raises InvalidRequest when it is no JSON."""
        return await read_json(self.request)


def place_members(organization: Organization, sandbox: EmulatedSandbox) -> dict[str, Any]:
    """Return the members that say where an object belongs."""
    return {"imsOrgId": organization.org_id, "sandbox": sandbox.reference()}


Handler = Callable[[Call], Awaitable[Response]]
FaultAnswer = Callable[[Exception, str], Response]
_Caller = tuple[Token, Organization, Credential]
Endpoint = Callable[[Request], Awaitable[Response]]


class Gate:
    """Wraps handlers into endpoints that check the headers first and answer in AEP's shapes whatever happens."""

    def __init__(
        self,
        organizations: Organizations,
        tokens: TokenOffice,
        state: State,
        clock: Clock,
        guardrails: GuardrailControl,
        presence: Presence,
    ) -> None:
        self._organizations = organizations
        self._tokens = tokens
        self._state = state
        self._clock = clock
        self._guardrails = guardrails
        self._presence = presence

    def guard(
        self,
        handler: Handler,
        *,
        any_body_type: bool = False,
        in_sandbox: bool = True,
        deed: Deed | None = None,
        faults: FaultAnswer = error_answer,
    ) -> Endpoint:
        """Return the endpoint for a handler.

        ``any_body_type`` admits JSON bodies that do not call themselves JSON: Adobe's own request collection sends
        some calls as ``text/plain``. ``in_sandbox=False`` is for calls that concern the whole organization. The
        ``deed`` says which permissions the call needs and how the audit log tells it. ``faults`` makes the answers for
        what the call raises, where a service has a shape of its own.
        """

        async def endpoint(request: Request) -> Response:
            request_id = headers.request_id_or_new(request.headers.get(headers.REQUEST_ID))
            structlog.contextvars.bind_contextvars(request_id=request_id)
            try:
                admitted = self._admit(request, request_id, any_body_type, in_sandbox)
                if isinstance(admitted, Response):
                    answer = admitted
                else:
                    with self._presence.inside(admitted.organization.org_id, admitted.sandbox_name):
                        answer = await self._answer(handler, admitted, deed, faults)
            except Exception as exc:  # noqa: BLE001 - the one place where every fault becomes an answer
                answer = faults(exc, request_id)
            answer.headers[headers.REQUEST_ID] = request_id
            return answer

        return endpoint

    def _admit(self, request: Request, request_id: str, any_body_type: bool, in_sandbox: bool) -> Call | Response:
        caller = self._caller(request)
        if isinstance(caller, GatewayFault):
            return json_answer(caller.body(), caller.status)
        token, organization, credential = caller
        now_ms = epoch_ms(self._clock.now())
        try:
            self._guardrails.count_call(token.client_id, now_ms)
        except QuotaExceeded as fault:
            wait = {headers.RETRY_AFTER: str(math.ceil(fault.retry_after_s or 1))}
            return json_answer(aep_errors.TOO_MANY_REQUESTS.body(), 429, wait)
        if request.method in _BODY_METHODS and not any_body_type and not headers.is_json(_content_type(request)):
            return json_answer(aep_errors.content_type_body(), 400)
        sandbox = store = None
        if in_sandbox:
            name = request.headers.get(headers.SANDBOX, "").strip()
            if not name:
                return json_answer(aep_errors.SANDBOX_MISSING.body(), aep_errors.SANDBOX_MISSING.status)
            sandbox = organization.sandbox(name)
            if sandbox is None:
                raise Refusal(404, f"The sandbox {name} is not found. Use an active sandbox of the organization.")
            store = self._state.store(organization.org_id, sandbox.name)
        structlog.contextvars.bind_contextvars(org_id=organization.org_id, sandbox=sandbox.name if sandbox else None)
        return Call(request, organization, credential, token, request_id, now_ms, sandbox, store)

    def _caller(self, request: Request) -> _Caller | GatewayFault:
        given = request.headers
        if not given.get(headers.AUTHORIZATION, "").strip():
            return aep_errors.TOKEN_MISSING
        token = self._tokens.read(headers.bearer_token(given.get(headers.AUTHORIZATION)) or "")
        if token is None:
            return aep_errors.TOKEN_INVALID
        api_key = given.get(headers.API_KEY, "").strip()
        if api_key != token.client_id:
            return aep_errors.API_KEY_INVALID if api_key else aep_errors.API_KEY_MISSING
        return self._entitled(token, given.get(headers.IMS_ORG, "").strip())

    def _entitled(self, token: Token, org_id: str) -> _Caller | GatewayFault:
        if not org_id:
            return aep_errors.ORG_MISSING
        if not headers.is_org_id(org_id):
            return aep_errors.ORG_MALFORMED
        # A client that was taken out of the organizations' file has no rights any more.
        known = self._organizations.client(token.client_id)
        if known is None or known[0].org_id != org_id or token.org_id != org_id:
            return aep_errors.ORG_NOT_ENTITLED
        organization, credential = known
        return token, organization, credential

    async def _answer(self, handler: Handler, call: Call, deed: Deed | None, faults: FaultAnswer) -> Response:
        """Check the permissions, answer, and record what was decided and what came of it."""
        denied = False
        try:
            if deed is not None:
                check_permissions(deed, call.credential.held_permissions())
            answer = await handler(call)
        except Exception as exc:  # noqa: BLE001 - it is answered, and the log tells that it failed
            denied = isinstance(exc, Refusal) and exc.status == 403
            answer = faults(exc, call.request_id)
        if deed is not None and (deed.action or denied):
            await self._record(call, deed, denied, "" if answer.status_code < 400 else str(answer.status_code))
        return answer

    async def _record(self, call: Call, deed: Deed, denied: bool, failure: str) -> None:
        for name in ("id", "name"):
            if not call.assets and name in call.request.path_params:
                call.touches(call.path(name))
        # What concerns the whole organization stands in the log of the sandbox that it always has.
        sandbox = call.sandbox if call.sandbox_name else call.organization.default_sandbox()
        await audit_trail.record(
            self._state.store(call.organization.org_id, sandbox.name),
            call.organization,
            sandbox,
            deed,
            at_ms=call.now_ms,
            request_id=call.request_id,
            user=call.token.user_id,
            address=call.request.client.host if call.request.client else None,
            assets=call.assets,
            denied=denied,
            failure=failure,
        )


def _content_type(request: Request) -> str | None:
    return request.headers.get("content-type")
