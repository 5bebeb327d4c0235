"""Integrations as OAuth clients of ours: client id and secret in, short-lived signed token out.

The tokens are JWTs in the form of Adobe's: besides the registered claims they carry ``created_at`` and ``expires_in``
as text in milliseconds, which public clients of AEP decode (measured with ``@adobe/aio-lib-ims`` 8.1.1).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from joserfc import jwt
from joserfc.errors import JoseError

from app.auth.signing import ALGORITHM, SigningKeys
from app.context import Actor, ActorKind, Tenant
from app.errors import Unauthenticated
from app.store.database import Database
from app.store.rows import IntegrationRow
from app.store.tenants import to_tenant
from app.tenancy.access_keys import hash_of

ISSUER = "segment-gateway"
TOKEN_TYPE = "access_token"  # noqa: S105 - the value of a claim
CLOCK_SKEW_S = 30
# A public client reads from this claim which of Adobe's hosts issued a token, and refuses names that it does not know.
AUTHORIZATION_SERVER = "ims-na1"


class InvalidClient(Unauthenticated):
    """Client id and secret do not belong together; which of them is wrong is not told."""

    code = "INVALID_CLIENT"
    title = "Invalid client"


class InvalidScope(Unauthenticated):
    """The client asks for a scope that it was not issued."""

    code = "INVALID_SCOPE"
    title = "Invalid scope"


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token and its life in seconds."""

    access_token: str = field(repr=False)
    expires_in_s: int


@dataclass(frozen=True, slots=True)
class Verified:
    """What a good token says: the integration and the client id that it was issued to, and when it ends."""

    tenant_id: UUID
    integration_id: UUID
    client_id: str
    token_id: str
    expires_at: datetime
    claims: dict[str, Any] = field(repr=False)


class ClientTokens:
    """Issues and verifies integrations' tokens."""

    def __init__(
        self,
        database: Database,
        keys: SigningKeys,
        *,
        lifetime_s: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._keys = keys
        self._lifetime_s = lifetime_s
        self._clock = clock

    async def issue(self, client_id: str, client_secret: str, scope: str = "") -> IssuedToken:
        """Exchange a client's credential for a token. Raises `InvalidClient` or `InvalidScope`."""
        integration = await self._authenticate(client_id, client_secret)
        await self._keys.refresh()
        asked = set(re.split(r"[,\s]+", scope.strip())) - {""}
        if not asked <= set(integration.scopes):
            raise InvalidScope(
                "The client was not issued one of the scopes that it asks for.",
                hint=f"It may ask for: {', '.join(integration.scopes)}.",
            )
        now = self._clock()
        issued_at = int(now.timestamp())
        claims = {
            "iss": ISSUER,
            "sub": str(integration.id),
            "tenant": str(integration.tenant_id),
            "client_id": integration.client_id,
            "user_id": str(integration.id),
            "as": AUTHORIZATION_SERVER,
            "type": TOKEN_TYPE,
            "id": str(uuid4()),
            "iat": issued_at,
            "nbf": issued_at,
            "exp": issued_at + self._lifetime_s,
            "created_at": str(int(now.timestamp() * 1000)),
            "expires_in": str(self._lifetime_s * 1000),
            "scope": ",".join(sorted(asked) or integration.scopes),
        }
        header = {"alg": ALGORITHM, "typ": "JWT", "kid": self._keys.current.kid}
        return IssuedToken(jwt.encode(header, claims, self._keys.current), self._lifetime_s)

    async def _authenticate(self, client_id: str, client_secret: str) -> IntegrationRow:
        # PostgreSQL takes no NUL in a text; a client id never has one, so it stands for an unknown client.
        wanted = client_id.replace("\x00", "?")
        async with self._database.lookup(wanted) as directory:
            integration = await directory.integration(wanted)
        # The comparison is made for unknown clients as well, so that both take the same time.
        known_hash = integration.secret_hash if integration else bytes(32)
        same = hmac.compare_digest(known_hash, hash_of(client_secret))
        if integration is None or integration.disabled_at is not None or not same:
            raise InvalidClient(
                "Client id and client secret do not belong together.",
                hint="Take both from the integration as it was issued, or have it issued anew.",
            )
        return integration

    def verify(self, token: str) -> Verified:
        """Return what a token of ours says. Raises `Unauthenticated`."""
        try:
            decoded = jwt.decode(token, self._keys.all, algorithms=[ALGORITHM])
            registry = jwt.JWTClaimsRegistry(
                now=int(self._clock().timestamp()),
                leeway=CLOCK_SKEW_S,
                iss={"essential": True, "value": ISSUER},
                exp={"essential": True},
                nbf={"essential": True},
                type={"essential": True, "value": TOKEN_TYPE},
            )
            registry.validate(decoded.claims)
            return Verified(
                tenant_id=UUID(decoded.claims["tenant"]),
                integration_id=UUID(decoded.claims["sub"]),
                client_id=str(decoded.claims["client_id"]),
                token_id=str(decoded.claims["id"]),
                expires_at=datetime.fromtimestamp(decoded.claims["exp"], UTC),
                claims=dict(decoded.claims),
            )
        except (JoseError, ValueError, KeyError, TypeError):
            raise Unauthenticated(
                "The bearer token is wrong or has expired.",
                hint="Get a new one from /ims/token/v3 with the integration's client id and secret.",
            ) from None

    async def actor(self, token: str) -> tuple[Actor, str]:
        """Return the integration behind a token, and its client id. Raises `Unauthenticated`."""
        await self._keys.refresh()
        verified = self.verify(token)
        async with self._database.read(verified.tenant_id) as unit:
            row = await unit.tenancy.integration_of_token(verified.integration_id, verified.token_id)
        if row is None or row.disabled_at is not None:
            raise Unauthenticated(
                "The token was withdrawn, or the integration that it was issued to is no longer active.",
                hint="Get a new one from /ims/token/v3 with the integration's client id and secret.",
            )
        return Actor(ActorKind.INTEGRATION, row.id, row.name, row.tenant_id), row.client_id

    async def invalidate(self, client_id: str, client_secret: str, token: str) -> None:
        """Refuse a token of this client from now on, in every process. Raises `InvalidClient`.

        As in RFC 7009, a token that is not good any more, or that belongs to another client, is no error.
        """
        integration = await self._authenticate(client_id, client_secret)
        try:
            verified = self.verify(token)
        except Unauthenticated:
            return
        if verified.integration_id != integration.id:
            return
        # A token is taken for as long as clocks may differ after its end, so it is remembered for as long.
        until = verified.expires_at + timedelta(seconds=2 * CLOCK_SKEW_S)
        async with self._database.write(integration.tenant_id) as unit:
            await unit.tenancy.revoke_token(verified.token_id, expires_at=until, now=self._clock())

    async def organization(self, token: str) -> Tenant:
        """Return the organization that a token was issued in. Raises `Unauthenticated`."""
        actor, _ = await self.actor(token)
        async with self._database.read(actor.tenant_id) as unit:
            return to_tenant(await unit.tenancy.tenant())

    async def public_keys(self) -> dict[str, Any]:
        """Return the JSON Web Key Set with which others verify tokens."""
        await self._keys.refresh()
        return self._keys.public()
