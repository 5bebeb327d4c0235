"""Who a bearer credential belongs to."""

from __future__ import annotations

import asyncio
import hmac
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from app.auth.bearer import BearerAuthenticator, MissingToken
from app.auth.clients import ClientTokens, InvalidClient, InvalidScope
from app.auth.signing import SigningKeys
from app.context import ActorKind, Role
from app.context.permissions import Permission
from app.errors import Unauthenticated
from app.store.database import Database
from app.tenancy.administration import IssuedIntegration
from tests.factories import SEALER, MadeTenant, make_tenant

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def luma(database: Database) -> MadeTenant:
    return await make_tenant(database)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def clients(database: Database, clock: Clock) -> ClientTokens:
    return ClientTokens(database, await SigningKeys.load(database, SEALER), lifetime_s=3600, clock=clock)


@pytest.fixture
async def integration(luma: MadeTenant) -> IssuedIntegration:
    profile = await luma.administration.create_product_profile(luma.id, "Authors", [Permission.MANAGE_SEGMENTS])
    return await luma.administration.issue_integration(luma.id, "Loader", profile, ["openid", "AdobeID"])


async def test_an_access_key_stands_for_its_person(database: Database, luma: MadeTenant, clients: ClientTokens) -> None:
    profile = await luma.administration.create_product_profile(luma.id, "Viewers", [Permission.VIEW_SEGMENTS])
    key = await luma.administration.add_person(luma.id, "ann@luma.example", profile, Role.USER)
    identity = await BearerAuthenticator(database, clients).authenticate(f"bearer {key}")
    assert (identity.actor.kind, identity.actor.name) == (ActorKind.PERSON, "ann@luma.example")
    assert identity.actor.tenant_id == luma.id


@pytest.mark.parametrize("header", [None, "", "Basic eA==", "Bearer"])
async def test_no_bearer_token_is_told_apart_from_a_wrong_one(
    database: Database, clients: ClientTokens, header: str | None
) -> None:
    with pytest.raises(MissingToken):
        await BearerAuthenticator(database, clients).authenticate(header)


@pytest.mark.parametrize("token", ["sgk_unknown", "a.b.c", "x", "sgk_" + "é" * 5, "'; DROP TABLE people; --"])
async def test_unknown_credentials_are_refused(database: Database, clients: ClientTokens, token: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        await BearerAuthenticator(database, clients).authenticate(f"Bearer {token}")
    assert not isinstance(refusal.value, MissingToken)


async def test_a_client_gets_a_token_that_stands_for_its_integration(
    database: Database, clients: ClientTokens, integration: IssuedIntegration
) -> None:
    issued = await clients.issue(integration.client_id, integration.client_secret, "openid,AdobeID")
    identity = await BearerAuthenticator(database, clients, clock=clients._clock).authenticate(
        f"Bearer {issued.access_token}"
    )
    assert (identity.actor.kind, identity.actor.name) == (ActorKind.INTEGRATION, "Loader")
    assert identity.client_id == integration.client_id
    assert issued.expires_in_s == 3600


async def test_the_token_carries_life_and_birth_as_text_in_milliseconds(
    database: Database, clients: ClientTokens, integration: IssuedIntegration
) -> None:
    issued = await clients.issue(integration.client_id, integration.client_secret)
    keys = await SigningKeys.load(database, SEALER)
    claims = jwt.decode(issued.access_token, keys.all, algorithms=["ES256"]).claims
    assert claims["created_at"] == str(int(NOW.timestamp() * 1000))
    assert claims["expires_in"] == "3600000"
    assert claims["client_id"] == integration.client_id


@pytest.mark.parametrize(("client", "secret"), [(True, False), (False, True), (False, False)])
async def test_wrong_id_and_wrong_secret_are_refused_alike(
    clients: ClientTokens, integration: IssuedIntegration, client: bool, secret: bool
) -> None:
    with pytest.raises(InvalidClient) as refusal:
        await clients.issue(
            integration.client_id if client else "nobody", integration.client_secret if secret else "sgs_wrong"
        )
    assert refusal.value.detail == "Client id and client secret do not belong together."


async def test_a_scope_that_was_not_issued_is_refused(clients: ClientTokens, integration: IssuedIntegration) -> None:
    with pytest.raises(InvalidScope):
        await clients.issue(integration.client_id, integration.client_secret, "openid admin")


async def test_an_expired_token_is_refused(clients: ClientTokens, integration: IssuedIntegration, clock: Clock) -> None:
    issued = await clients.issue(integration.client_id, integration.client_secret)
    clock.now += timedelta(seconds=3600 + 31)
    with pytest.raises(Unauthenticated):
        await clients.actor(issued.access_token)


async def test_a_token_signed_by_somebody_else_is_refused(
    clients: ClientTokens, integration: IssuedIntegration
) -> None:
    issued = await clients.issue(integration.client_id, integration.client_secret)
    claims = jwt.decode(issued.access_token, clients._keys.all, algorithms=["ES256"]).claims
    forged = jwt.encode({"alg": "ES256"}, claims, ECKey.generate_key("P-256"))
    unsigned = issued.access_token.rsplit(".", 1)[0] + "."
    for token in (forged, unsigned):
        with pytest.raises(Unauthenticated):
            await clients.actor(token)


async def test_signing_keys_are_made_once_and_kept_sealed(database: Database) -> None:
    first, second = await SigningKeys.load(database, SEALER), await SigningKeys.load(database, SEALER)
    assert first.current.kid == second.current.kid
    async with database.directory() as directory:
        (row,) = await directory.signing_keys()
    assert b"PRIVATE KEY" not in row.sealed_private_key


async def test_processes_that_start_together_sign_with_one_key(database: Database) -> None:
    loaded = await asyncio.gather(*(SigningKeys.load(database, SEALER) for _ in range(4)))
    assert len({keys.current.kid for keys in loaded}) == 1


async def test_an_unknown_client_costs_what_a_wrong_secret_costs(
    clients: ClientTokens, integration: IssuedIntegration, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append(len(left) - len(right))
        return hmac.compare_digest(left, right)

    monkeypatch.setattr("app.auth.clients.hmac", SimpleNamespace(compare_digest=compare))
    for client_id in ("nobody", integration.client_id):
        with pytest.raises(InvalidClient):
            await clients.issue(client_id, "sgs_wrong")
    assert compared == [0, 0]


async def test_tokens_that_ended_by_themselves_are_forgotten(
    database: Database, clients: ClientTokens, integration: IssuedIntegration, luma: MadeTenant, clock: Clock
) -> None:
    async def withdraw() -> str:
        issued = await clients.issue(integration.client_id, integration.client_secret)
        await clients.invalidate(integration.client_id, integration.client_secret, issued.access_token)
        return issued.access_token

    first = await withdraw()
    clock.now += timedelta(seconds=3600 + 61)
    second = await withdraw()
    async with database.read(luma.id) as unit:
        found = await unit.tenancy.revoked_tokens()
    assert found == [jwt.decode(second, clients._keys.all, algorithms=["ES256"]).claims["id"]]
    assert first != second
