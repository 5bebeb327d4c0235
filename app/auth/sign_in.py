"""Signing in by browser: OpenID Connect's authorization code flow with PKCE.

What must be remembered between leaving for the provider and coming back (state, nonce, PKCE's verifier) is sealed into
a cookie that lives for ten minutes, so that nobody who is not signed in can fill the database.

Sources: OpenID Connect Core 1.0, 3.1; RFC 7636 (PKCE); RFC 9207 (the issuer in the answer); RFC 9700.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

import msgspec
from authlib.common.security import generate_token
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from app.auth.people_tokens import Claims, PeopleTokens
from app.context import Actor
from app.errors import InternalError, Unauthenticated
from app.store.database import Database
from app.store.rows import IdentityProviderRow
from app.tenancy.identity_providers import provider_owner
from app.tenancy.sealing import Sealer
from app.upstream.openid import Login, OpenIDClient

COOKIE: Final = "segment_gateway_sign_in"
ATTEMPT_LIFETIME_S: Final = 600
_OWNER: Final = "gateway:sign-in"


class SignInFailed(Unauthenticated):
    """The way through the provider did not end well. What exactly was wrong is no business of the caller's."""

    code = "SIGN_IN_FAILED"
    title = "Signing in failed"


class Attempt(msgspec.Struct, frozen=True):
    """What is remembered while a person is at his provider."""

    tenant_id: UUID
    issuer: str
    state: str
    nonce: str
    verifier: str
    return_to: str
    ends_at: int


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser goes, and what it keeps for coming back."""

    url: str
    cookie: str


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """A provider at which people of an organization may sign in."""

    id: UUID
    label: str


class SignIn:
    """Sends people to their provider and takes them in when they come back."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        providers: OpenIDClient,
        tokens: PeopleTokens,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._providers = providers
        self._tokens = tokens
        self._clock = clock

    async def choices(self, organization: str) -> list[ProviderChoice]:
        """Return where people of an organization sign in; empty for one that does not exist, too."""
        return [ProviderChoice(row.id, row.label) for row in await self._rows(organization)]

    async def begin(self, organization: str, provider_id: str, *, redirect_uri: str, return_to: str) -> Departure:
        """Return where to send the browser. Raises `SignInFailed` or `ProviderUnavailable`."""
        row = next((row for row in await self._rows(organization) if str(row.id) == provider_id), None)
        if row is None or row.client_id is None:
            raise _failed()
        metadata = await self._providers.metadata(row.issuer)
        attempt = Attempt(
            tenant_id=row.tenant_id,
            issuer=row.issuer,
            state=generate_token(43),
            nonce=generate_token(43),
            verifier=generate_token(64),
            return_to=return_to,
            ends_at=int(self._clock().timestamp()) + ATTEMPT_LIFETIME_S,
        )
        query = {
            "response_type": "code",
            "client_id": row.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(row.scopes),
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": create_s256_code_challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        glue = "&" if "?" in metadata.authorization_endpoint else "?"
        return Departure(f"{metadata.authorization_endpoint}{glue}{urlencode(query)}", self._sealed(attempt))

    async def finish(self, cookie: str | None, answer: Mapping[str, str], *, redirect_uri: str) -> tuple[Actor, str]:
        """Return who came back from the provider, and where he wanted to go. Raises `SignInFailed`."""
        attempt = self._opened(cookie)
        if not hmac.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise _failed()
        # A provider that names itself must be the one that was asked: otherwise another one's code is being slipped in.
        if answer.get("iss", attempt.issuer) != attempt.issuer or not answer.get("code"):
            raise _failed()
        async with self._database.read(attempt.tenant_id) as unit:
            row = await unit.identity_providers.by_issuer(attempt.issuer)
        if row is None or row.disabled_at is not None or row.client_id is None:
            raise _failed()
        login = Login(row.client_id, self._secret(row), redirect_uri, attempt.verifier)
        grant = await self._providers.exchange(row.issuer, answer["code"], login)
        if grant is None:
            raise _failed()
        claims = await self._checked(grant.id_token, row, row.client_id, attempt)
        more = await self._providers.userinfo(row.issuer, grant.access_token)
        # What the provider says apart from the signed token counts only if it is about the same person.
        if more.get("sub") == claims["sub"]:
            claims = {**more, **claims}
        return await self._tokens.person(row, claims), attempt.return_to

    async def _checked(self, id_token: str, row: IdentityProviderRow, client_id: str, attempt: Attempt) -> Claims:
        claims = await self._tokens.signed_claims(id_token, row.issuer)
        nonce, audience = claims.get("nonce"), claims.get("aud")
        several = isinstance(audience, list) and len(audience) > 1
        if (
            not self._tokens.is_valid(claims, [client_id])
            or not isinstance(nonce, str)
            or not hmac.compare_digest(nonce.encode(), attempt.nonce.encode())
            or (several and claims.get("azp") != client_id)
        ):
            raise _failed()
        return claims

    async def _rows(self, organization: str) -> list[IdentityProviderRow]:
        wanted = organization.replace("\x00", "?")
        async with self._database.lookup(wanted) as directory:
            tenant = await directory.tenant(wanted)
        if tenant is None:
            return []
        async with self._database.read(tenant.id) as unit:
            return [row for row in await unit.identity_providers.all() if row.client_id is not None]

    def _secret(self, row: IdentityProviderRow) -> str | None:
        sealed = row.sealed_client_secret
        return self._sealer.open(sealed, owner=provider_owner(row.tenant_id)) if sealed else None

    def _sealed(self, attempt: Attempt) -> str:
        sealed = self._sealer.seal(msgspec.json.encode(attempt).decode(), owner=_OWNER)
        return urlsafe_b64encode(sealed).decode().rstrip("=")

    def _opened(self, cookie: str | None) -> Attempt:
        try:
            sealed = urlsafe_b64decode((cookie or "") + "=" * (-len(cookie or "") % 4))
            attempt = msgspec.json.decode(self._sealer.open(sealed, owner=_OWNER), type=Attempt)
        except (ValueError, InternalError):
            raise _failed() from None
        if attempt.ends_at <= self._clock().timestamp():
            raise _failed()
        return attempt


def _failed() -> SignInFailed:
    return SignInFailed("Signing in did not succeed.", hint="Start again at /login in the same browser.")
