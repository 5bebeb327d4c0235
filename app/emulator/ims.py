"""Adobe's identity service, as far as server-to-server clients use it.

Clients send the same parameters in three ways: urlencoded body, multipart body, or the query of a POST without a
body. All are merged, the body wins. Neither parameters nor tokens are ever logged.
"""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from python_multipart.exceptions import FormParserError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.aep import errors as aep_errors
from app.aep import headers, paths
from app.emulator.answers import json_answer
from app.emulator.organizations import Credential, Organization, Organizations
from app.emulator.state import State
from app.emulator.tokens import Token, TokenOffice

log = structlog.get_logger(__name__)

# Tokens must not be kept by anything between client and server (RFC 6749, section 5.1).
_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}


class OAuthRefusal(Exception):
    """A refusal in IMS's own shape, always with status 400."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


class IMS:
    """The token calls."""

    def __init__(self, organizations: Organizations, tokens: TokenOffice, state: State) -> None:
        self._organizations = organizations
        self._tokens = tokens
        self._state = state

    def routes(self) -> list[Route]:
        """Return every path that the identity service has here."""
        token_paths = (paths.IMS_TOKEN, paths.IMS_TOKEN_V1, paths.IMS_TOKEN_V2, paths.IMS_TOKEN_V3)
        return [
            *(Route(path, self._answer_token, methods=["POST"]) for path in token_paths),
            Route(paths.IMS_VALIDATE_TOKEN, self._answer_validate, methods=["POST"]),
            Route(paths.IMS_INVALIDATE_TOKEN, self._answer_invalidate, methods=["POST"]),
            Route(paths.IMS_ORGANIZATIONS, self._answer_organizations, methods=["GET"]),
            Route(paths.IMS_EXCHANGE_JWT, self._answer_exchange, methods=["POST"]),
        ]

    async def _answer_token(self, request: Request) -> Response:
        try:
            parameters = await _parameters(request)
            organization, credential = self._client(parameters)
            scopes = _scopes(parameters, credential)
        except OAuthRefusal as refusal:
            return _refused(refusal)
        token = self._tokens.issue(organization, credential, scopes)
        log.info("ims.token_issued", client_id=credential.client_id, org_id=organization.org_id)
        body = {"access_token": token, "token_type": "bearer", "expires_in": self._tokens.lifetime_s}
        return json_answer(body, extra=_NO_STORE)

    async def _answer_validate(self, request: Request) -> Response:
        try:
            parameters = await _parameters(request)
        except OAuthRefusal as refusal:
            return _refused(refusal)
        text = headers.bearer_token(request.headers.get(headers.AUTHORIZATION)) or parameters.get("token", "")
        token = self._tokens.read(text)
        # A bad token is a result here and not an error: one client takes any status but 200 for a failed call.
        if token is None or parameters.get("type", "access_token") != "access_token":
            return json_answer({"valid": False, "reason": "bad_signature_or_expired"}, extra=_NO_STORE)
        if parameters.get("client_id", token.client_id) != token.client_id:
            return json_answer({"valid": False, "reason": "client_id_mismatch"}, extra=_NO_STORE)
        return json_answer({"valid": True, "token": token.claims}, extra=_NO_STORE)

    async def _answer_invalidate(self, request: Request) -> Response:
        try:
            parameters = await _parameters(request)
            _, credential = self._authenticate(parameters)
        except OAuthRefusal as refusal:
            return _refused(refusal)
        token = self._tokens.read(parameters.get("token", ""))
        if token is not None and token.client_id == credential.client_id:
            await self._revoke(token)
        # As in RFC 7009, a token that is not valid any more is no error.
        return json_answer({}, extra=_NO_STORE)

    async def _answer_organizations(self, request: Request) -> Response:
        token = self._tokens.read(headers.bearer_token(request.headers.get(headers.AUTHORIZATION)) or "")
        organization = self._organizations.get(token.org_id) if token else None
        if organization is None:
            return json_answer(aep_errors.oauth_body("invalid_token", "The access token is not valid."), 401)
        ident, _, source = organization.org_id.partition("@")
        reference = {"ident": ident, "authSrc": source}
        return json_answer([{"orgName": organization.slug, "orgRef": reference, "orgType": "Enterprise", "groups": []}])

    async def _answer_exchange(self, _request: Request) -> Response:
        return _refused(
            OAuthRefusal(
                "unsupported_grant_type",
                "JWT credentials ended on 1 January 2025. Use grant_type=client_credentials at /ims/token/v3.",
            )
        )

    async def _revoke(self, token: Token) -> None:
        await self._state.revoke_token(token.id, token.expires_ms, self._tokens.now_ms())
        self._tokens.forget(token.id)
        log.info("ims.token_withdrawn", client_id=token.client_id)

    def _client(self, parameters: Mapping[str, str]) -> tuple[Organization, Credential]:
        grant = parameters.get("grant_type")
        if not grant:
            raise OAuthRefusal("invalid_request", "The parameter grant_type is missing.")
        if grant != "client_credentials":
            raise OAuthRefusal("unsupported_grant_type", "Only grant_type=client_credentials is served here.")
        organization, credential = self._authenticate(parameters)
        if parameters.get("org_id", organization.org_id) != organization.org_id:
            raise OAuthRefusal("invalid_request", "The client does not belong to the organization in org_id.")
        return organization, credential

    def _authenticate(self, parameters: Mapping[str, str]) -> tuple[Organization, Credential]:
        for name in ("client_id", "client_secret"):
            if not parameters.get(name):
                raise OAuthRefusal("invalid_request", f"The parameter {name} is missing.")
        found = self._organizations.client(parameters["client_id"])
        if found is None or not found[1].has_secret(parameters["client_secret"]):
            raise OAuthRefusal("invalid_client", "The client id or the client secret is wrong.")
        return found


def _scopes(parameters: Mapping[str, str], credential: Credential) -> list[str]:
    asked = parameters.get("scope", "").replace(",", " ").split()
    unknown = [scope for scope in asked if scope not in credential.scopes]
    if unknown:
        raise OAuthRefusal("invalid_scope", f"The client may not ask for: {', '.join(unknown)}.")
    return list(dict.fromkeys(asked)) or list(credential.scopes)


async def _parameters(request: Request) -> dict[str, str]:
    """Merge query and body. Raises OAuthRefusal when the body is no form."""
    merged = dict(request.query_params)
    if not await request.body():
        return merged
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        raise OAuthRefusal("invalid_request", "The parameters must be sent as a form or in the query.")
    try:
        async with request.form(max_files=0, max_fields=100) as form:
            merged.update({name: value for name, value in form.items() if isinstance(value, str)})
    except (MultiPartException, FormParserError, HTTPException, UnicodeDecodeError, KeyError) as fault:
        raise OAuthRefusal("invalid_request", "The form cannot be read.") from fault
    return merged


def _refused(refusal: OAuthRefusal) -> Response:
    return json_answer(aep_errors.oauth_body(refusal.error, refusal.description), 400, _NO_STORE)
