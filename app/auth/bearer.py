"""An ``Authorization`` header in, an `Actor` out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from app.aep import headers as aep_headers
from app.auth.clients import ISSUER, ClientTokens
from app.auth.last_use import LastUse, Used
from app.auth.people_tokens import PeopleTokens, issuer_of
from app.context import Actor, ActorKind
from app.errors import Unauthenticated
from app.store.database import Database
from app.tenancy.access_keys import PREFIX, hash_of


class MissingToken(Unauthenticated):
    """There is no bearer token at all."""

    code = "MISSING_TOKEN"
    title = "Bearer token missing"


@dataclass(frozen=True, slots=True)
class Identity:
    """The actor, and the client id that an integration goes by (``None`` for a person)."""

    actor: Actor
    client_id: str | None


class BearerAuthenticator:
    """Knows every kind of bearer credential that the gateway takes."""

    def __init__(
        self,
        database: Database,
        clients: ClientTokens,
        people: PeopleTokens | None = None,
        last_use: LastUse | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._clients = clients
        self._people = people
        self._last_use = last_use
        self._clock = clock

    async def authenticate(self, authorization: str | None, *, organization: str | None = None) -> Identity:
        """Return who the header belongs to. Raises `MissingToken` or `Unauthenticated`.

        ``organization`` is the tenant that the request names; it decides where several trust one issuer.
        """
        token = aep_headers.bearer_token(authorization)
        if token is None:
            raise MissingToken(
                "The request has no bearer token.",
                hint="Send 'Authorization: Bearer' with an access key, a token of your identity provider, or one from "
                "/ims/token/v3.",
            )
        if token.startswith(PREFIX):
            return Identity(await self._person(token), None)
        issuer = issuer_of(token)
        if self._people is not None and issuer is not None and issuer != ISSUER:
            return Identity(await self._people.actor(token, issuer, organization), None)
        return Identity(*await self._clients.actor(token))

    async def _person(self, access_key: str) -> Actor:
        key_hash = hash_of(access_key)
        async with self._database.lookup(key_hash.hex()) as directory:
            key = await directory.access_key(key_hash)
        expired = key is not None and key.expires_at is not None and key.expires_at <= self._clock()
        if key is None or key.revoked_at is not None or expired:
            raise _bad_key()
        async with self._database.read(key.tenant_id) as unit:
            person = await unit.tenancy.person(key.person_id)
        if person is None or person.disabled_at is not None:
            raise _bad_key()
        if self._last_use is not None:
            self._last_use.note(Used.ACCESS_KEY, key.tenant_id, key.id, self._clock())
        return Actor(ActorKind.PERSON, person.id, person.email, person.tenant_id, person.issuer, person.subject)


def _bad_key() -> Unauthenticated:
    return Unauthenticated(
        "The access key is wrong, expired or revoked.", hint="Ask an administrator to issue a new one."
    )
