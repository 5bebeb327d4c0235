"""People's bearer tokens from the identity providers that an organization trusts.

A token is taken when its issuer is one that an administrator entered, its signature is made with a key that the issuer
publishes now and with an algorithm of our list, its audience is one of those entered, and the time is right. Of
everything else one thing is told: it is not good.

Sources: RFC 7519, RFC 8725, RFC 9068; OpenID Connect Core 1.0, section 3.1.3.7.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError

from app.context import Actor
from app.errors import InvalidRequest, Unauthenticated
from app.store.database import Database
from app.store.rows import IdentityProviderRow
from app.tenancy.people import Asserted, People
from app.tenancy.resolve import WrongTenant
from app.upstream.openid import OpenIDClient

CLOCK_SKEW_S: Final = 60
MAX_TOKEN_CHARACTERS: Final = 16_384
MAX_GROUPS: Final = 1000
# Asymmetric ones only: with a shared secret the one who checks could sign as well, and "none" is no signature.
ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA",
)  # fmt: skip
_REGISTRY = jws.JWSRegistry(algorithms=list(ALGORITHMS))

Claims = Mapping[str, Any]


def issuer_of(token: str) -> str | None:
    """Return the issuer that a token names, unproved; ``None`` for what is no JWT."""
    parts = token.split(".")
    if len(token) > MAX_TOKEN_CHARACTERS or len(parts) != 3:
        return None
    try:
        claims = msgspec.json.decode(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return issuer if isinstance(issuer, str) else None


class PeopleTokens:
    """Turns a provider's token into the person whom it is about."""

    def __init__(
        self,
        database: Database,
        providers: OpenIDClient,
        people: People,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._providers = providers
        self._people = people
        self._clock = clock

    async def actor(self, token: str, issuer: str, organization: str | None) -> Actor:
        """Return the person. Raises `Unauthenticated`, `ProviderUnavailable`, or `InvalidRequest` when several
        organizations trust the issuer and the request names none.
        """
        async with self._database.lookup(issuer.replace("\x00", "?")) as directory:
            trusting = await directory.identity_providers(issuer.replace("\x00", "?"))
        if not trusting:
            raise bad_token()
        claims = await self.signed_claims(token, issuer)
        fitting = [row for row in trusting if self._is_for(claims, row)]
        if not fitting:
            raise bad_token()
        provider = await self._chosen(fitting, organization)
        return await self.person(provider, claims)

    async def signed_claims(self, token: str, issuer: str) -> Claims:
        """Return what a token says once its signature is checked against its issuer's keys."""
        try:
            header = jws.extract_compact(token.encode(), registry=_REGISTRY).headers()
            algorithm, kid = header.get("alg"), header.get("kid")
            if algorithm not in ALGORITHMS or not isinstance(kid, str | None):
                raise bad_token()
            key = await self._providers.key(issuer, kid, algorithm)
            if key is None:
                raise bad_token()
            claims = jwt.decode(token, key, registry=_REGISTRY).claims
        except (JoseError, ValueError, TypeError, RecursionError):
            raise bad_token() from None
        if claims.get("iss") != issuer:
            raise bad_token()
        return claims

    def _is_for(self, claims: Claims, provider: IdentityProviderRow) -> bool:
        return self.is_valid(claims, provider.audiences)

    def is_valid(self, claims: Claims, audiences: Sequence[str]) -> bool:
        """Tell whether signed claims are for one of these audiences, and for now."""
        registry = jwt.JWTClaimsRegistry(
            now=int(self._clock().timestamp()),
            leeway=CLOCK_SKEW_S,
            sub={"essential": True},
            aud={"essential": True, "values": list(audiences)},
            exp={"essential": True},
        )
        try:
            registry.validate(dict(claims))
        except (JoseError, ValueError, TypeError, OverflowError):
            return False
        return True

    async def _chosen(self, fitting: Sequence[IdentityProviderRow], organization: str | None) -> IdentityProviderRow:
        if organization is None:
            if len(fitting) == 1:
                return fitting[0]
            raise InvalidRequest(
                "Several organizations take tokens of this identity provider.",
                hint="Name yours in the header x-tenant, or its IMS organization id in x-gw-ims-org-id.",
            )
        wanted = organization.replace("\x00", "?")
        async with self._database.lookup(wanted) as directory:
            tenant = await directory.tenant(wanted)
        for row in fitting:
            if tenant is not None and row.tenant_id == tenant.id:
                return row
        raise WrongTenant(
            "This credential does not act in the organization that the request names.",
            hint="Name another organization, or use a credential of that one.",
        )

    async def person(self, provider: IdentityProviderRow, claims: Claims) -> Actor:
        """Return the person whom checked claims are about, made known if need be."""
        return await self._people.actor(provider.tenant_id, asserted(provider, claims, now=self._clock()))


def asserted(provider: IdentityProviderRow, claims: Claims, *, now: datetime) -> Asserted:
    """Return what claims say of a person. Raises `Unauthenticated` when they cannot be kept."""
    subject = claims.get("sub")
    email = claims.get("email")
    usable = isinstance(email, str) and 3 <= len(email) <= 254 and email.isprintable() and "@" in email
    if not isinstance(subject, str) or not 1 <= len(subject) <= 255 or not subject.isprintable():
        raise bad_token()
    issued_at = claims.get("iat")
    at = min(now, datetime.fromtimestamp(issued_at, UTC)) if isinstance(issued_at, int) and issued_at > 0 else now
    return Asserted(
        issuer=provider.issuer,
        subject=subject,
        # An address that the provider itself calls unverified is no name to put into an audit.
        email=email if usable and claims.get("email_verified") is not False else None,
        email_verified=claims.get("email_verified") is True,
        groups=_groups(claims, provider.groups_claim),
        at=at,
    )


def _groups(claims: Claims, name: str) -> tuple[str, ...]:
    """Return the groups of a claim, which may stand at the root or, by dots, within another claim.

    Some providers leave the claim out for who is in no group, so its absence must take groups away.
    """
    found: Any = claims.get(name)
    if found is None and "." in name:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if not isinstance(found, list):
        return ()
    named = {one for one in found if isinstance(one, str) and 1 <= len(one) <= 255 and one.isprintable()}
    return tuple(sorted(named)[:MAX_GROUPS])


def bad_token() -> Unauthenticated:
    """Return the one answer to every token that is not good."""
    return Unauthenticated(
        "The bearer token is wrong or has expired.",
        hint="Sign in again at the identity provider; an administrator checks issuer and audience.",
    )
