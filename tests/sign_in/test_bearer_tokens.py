"""People with a token of their own identity provider."""

from __future__ import annotations

import asyncio
import hmac
import time
from base64 import urlsafe_b64encode
from typing import Any

import httpx
import msgspec
import pytest

from app.audit.actions import Action
from app.context import Role
from app.store.audit_events import AuditEventFilter
from app.upstream import openid
from app.upstream.openid import OpenIDClient, ProviderUnavailable
from tests.factories import make_tenant
from tests.sign_in.conftest import CLIENT_ID, OTHER_CLIENT_ID, Provider, Served, description, new_key


def claims(provider: Provider, **changed: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": provider.issuer,
        "sub": "ann",
        "aud": CLIENT_ID,
        "iat": now,
        "exp": now + 300,
        "email": "ann@luma.example",
        "email_verified": True,
        "groups": ["marketing"],
    } | changed


async def test_a_token_that_the_provider_issued_names_its_person(served: Served, provider: Provider) -> None:
    reply = await served.viewer(await provider.id_token("ann"))
    assert reply.status_code == 200
    # This provider's ID token names the subject alone, so there is no address to call her by.
    assert reply.json()["name"] == f"ann at {provider.issuer}"
    assert reply.json()["permissions"] == []


async def test_a_token_made_for_another_application_is_refused(served: Served, provider: Provider) -> None:
    reply = await served.viewer(await provider.id_token("ann", OTHER_CLIENT_ID))
    assert (reply.status_code, reply.json()["code"]) == (401, "UNAUTHENTICATED")


async def test_groups_grant_product_profiles_and_lose_them(served: Served, provider: Provider) -> None:
    now = int(time.time())
    reply = await served.viewer(provider.sign(claims(provider, iat=now - 20)))
    assert reply.json()["permissions"] == ["Manage Segments", "View Segments"]
    assert reply.json()["productProfiles"] == ["Authors"]
    without = await served.viewer(provider.sign(claims(provider, iat=now - 10, groups=[])))
    assert without.json()["permissions"] == []
    within = await served.viewer(provider.sign(claims(provider, iat=now - 8)))
    assert within.json()["permissions"] == ["Manage Segments", "View Segments"]
    # Some providers leave the claim out for who is in no group.
    silent = {name: value for name, value in claims(provider, iat=now - 5).items() if name != "groups"}
    assert (await served.viewer(provider.sign(silent))).json()["permissions"] == []
    # An older token does not bring a group back that was taken away.
    again = await served.viewer(provider.sign(claims(provider, iat=now - 20)))
    assert again.json()["permissions"] == []


async def test_the_person_is_made_known_once_and_audited(served: Served, provider: Provider) -> None:
    token = provider.sign(claims(provider))
    replies = await asyncio.gather(*(served.viewer(token) for _ in range(8)))
    assert {reply.status_code for reply in replies} == {200}
    async with served.gateway.database.read(served.luma.id) as unit:
        person = await unit.identity_providers.person(provider.issuer, "ann")
        added = await unit.audit_events.count(AuditEventFilter(action=Action.PERSON_ADD.value))
    assert person is not None
    assert person.email == "ann@luma.example"
    assert added == 1


def _tampered(token: str) -> str:
    header, body, signature = token.split(".")
    return f"{header}.{body}.{signature[:-6]}AAAAAA"


def _unsigned(given: dict[str, Any]) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, given)
    return ".".join(urlsafe_b64encode(msgspec.json.encode(part)).decode().rstrip("=") for part in parts) + "."


def _signed_with_a_secret(given: dict[str, Any], secret: bytes) -> str:
    parts = ({"alg": "HS256", "kid": "first"}, given)
    signed = ".".join(urlsafe_b64encode(msgspec.json.encode(part)).decode().rstrip("=") for part in parts)
    signature = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{urlsafe_b64encode(signature).decode().rstrip('=')}"


BAD: dict[str, dict[str, Any]] = {
    "wrong audience": {"aud": "somebody else"},
    "no audience": {"aud": None},
    "expired": {"exp": 1_700_000_000},
    "no expiry": {"exp": None},
    "expiry that is no number": {"exp": "tomorrow"},
    "not yet valid": {"nbf": 4_000_000_000},
    "issued in the future": {"iat": 4_000_000_000},
    "no subject": {"sub": None},
    "a subject with a line break": {"sub": "ann\nadmin"},
    "unknown issuer": {"iss": "https://elsewhere.example"},
}


async def test_a_token_with_a_wrong_claim_is_refused(served: Served, provider: Provider) -> None:
    for fault, changed in BAD.items():
        given = {name: value for name, value in claims(provider, **changed).items() if value is not None}
        reply = await served.viewer(provider.sign(given))
        assert (reply.status_code, reply.json()["code"]) == (401, "UNAUTHENTICATED"), fault


async def test_a_clock_that_is_a_little_off_does_no_harm(served: Served, provider: Provider) -> None:
    now = int(time.time())
    token = provider.sign(claims(provider, exp=now - 20, nbf=now + 20, iat=now + 20))
    assert (await served.viewer(token)).status_code == 200


async def test_a_token_without_a_good_signature_is_refused(served: Served, provider: Provider) -> None:
    given = claims(provider)
    public = provider.keys[0].as_pem(private=False)
    tokens = [
        _tampered(provider.sign(given)),
        _unsigned(given),
        _unsigned(given) + "AAAA",
        provider.sign(given, key=new_key("first")),
        # The public key taken for a shared secret: the oldest trick against checkers that believe the header.
        _signed_with_a_secret(given, public),
        provider.sign(given, kid="unknown"),
        _tampered(_signed_with_a_secret(given, public)),
        "e30.e30.e30",
        "a" * 20_000 + ".e30.e30",
    ]
    for token in tokens:
        reply = await served.viewer(token)
        assert (reply.status_code, reply.json()["code"]) == (401, "UNAUTHENTICATED"), token[:80]


async def test_the_providers_new_key_is_taken_after_one_look(
    served: Served, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openid, "REFETCH_PAUSE_S", 0.0)
    assert (await served.viewer(provider.sign(claims(provider)))).status_code == 200
    old = provider.keys[0]
    provider.keys = [new_key("second")]
    provider.configure()
    assert (await served.viewer(provider.sign(claims(provider)))).status_code == 200
    assert (await served.viewer(provider.sign(claims(provider), key=old))).status_code == 401


async def test_unknown_keys_do_not_make_the_gateway_ask_again_and_again(provider: Provider) -> None:
    now, asked = [0.0], []

    async def count(request: httpx.Request) -> None:
        asked.append(request.url.path)

    async with httpx.AsyncClient(event_hooks={"request": [count]}) as http:
        client = OpenIDClient(http, clock=lambda: now[0])
        found = await asyncio.gather(*(client.key(provider.issuer, f"unknown {n}", "RS256") for n in range(30)))
        assert set(found) == {None}
        assert asked == ["/.well-known/openid-configuration", "/jwks"]
        now[0] = openid.REFETCH_PAUSE_S
        await asyncio.gather(*(client.key(provider.issuer, f"unknown {n}", "RS256") for n in range(30)))
        assert asked[2:] == ["/jwks"]


async def test_keys_outlive_their_providers_absence_for_a_day() -> None:
    now, up = [0.0], [True]
    issuer = "https://login.example"
    key = new_key("first")
    documents = {
        "/.well-known/openid-configuration": {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/auth",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/jwks",
        },
        "/jwks": {
            "keys": [key.as_dict(private=False), {"kty": "oct", "k": "AAAA", "kid": "shared"}, {"kty": "new"}, 7]
        },
    }

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=documents[request.url.path]) if up[0] else httpx.Response(503)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        client = OpenIDClient(http, clock=lambda: now[0])
        assert await client.key(issuer, "first", "RS256")
        assert await client.key(issuer, None, "RS256")
        assert await client.key(issuer, "shared", "HS256") is None
        assert await client.key(issuer, "first", "RS512") is None
        up[0], now[0] = False, openid.KEYS_USABLE_S
        assert await client.key(issuer, "first", "RS256")
        now[0] += 1
        with pytest.raises(ProviderUnavailable):
            await client.key(issuer, "first", "RS256")


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://other.example"},
        {"jwks_uri": "http://login.example/jwks"},
        {"jwks_uri": None},
        {"token_endpoint": "ftp://login.example/token"},
    ],
)
async def test_a_discovery_document_that_cannot_be_trusted_is_refused(changed: dict[str, Any]) -> None:
    issuer = "https://login.example"
    document = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/auth",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
    }
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, json=document | changed))
    async with httpx.AsyncClient(transport=transport) as http:
        with pytest.raises(ProviderUnavailable):
            await OpenIDClient(http).metadata(issuer)


async def test_an_absent_provider_is_said_to_be_absent(served: Served, provider: Provider) -> None:
    gone = "http://127.0.0.1:9"
    await served.trust.trust(served.luma.id, description(Provider(gone, provider.keys)))
    reply = await served.viewer(provider.sign(claims(provider, iss=gone)))
    assert (reply.status_code, reply.json()["code"]) == (503, "IDENTITY_PROVIDER_UNAVAILABLE")


async def test_an_issuer_of_several_organizations_needs_the_organizations_name(
    served: Served, provider: Provider
) -> None:
    other = await make_tenant(served.gateway.database, "other")
    await other.administration.create_product_profile(other.id, "Authors", [])
    await served.trust.trust(other.id, description(provider))
    await make_tenant(served.gateway.database, "third")
    token = provider.sign(claims(provider))
    assert (await served.viewer(token)).json()["code"] == "INVALID_REQUEST"
    assert (await served.viewer(token, **{"x-tenant": "luma"})).json()["tenant"]["slug"] == "luma"
    named = await served.viewer(token, **{"x-gw-ims-org-id": "OTHER@AdobeOrg"})
    assert named.json()["tenant"]["slug"] == "other"
    # An organization that does not trust the issuer, and one that does not exist, are told in the same words.
    refusals = [await served.viewer(token, **{"x-tenant": slug}) for slug in ("third", "nobody")]
    assert [reply.status_code for reply in refusals] == [403, 403]
    assert len({reply.json()["detail"] for reply in refusals}) == 1


async def test_an_address_that_becomes_known_is_the_persons_name(served: Served, provider: Provider) -> None:
    unnamed = {name: value for name, value in claims(provider).items() if name != "email"}
    before = await served.viewer(provider.sign(unnamed))
    assert before.json()["name"] == f"ann at {provider.issuer}"
    assert (await served.viewer(provider.sign(claims(provider)))).json()["name"] == "ann@luma.example"
    assert (await served.viewer(provider.sign(unnamed))).json()["name"] == "ann@luma.example"
    # A second person does not get a name that somebody has.
    second = await served.viewer(provider.sign(unnamed | {"sub": "bob"}))
    assert second.status_code == 200
    same = await served.viewer(provider.sign(claims(provider, sub="bob")))
    assert same.json()["name"] == f"bob at {provider.issuer}"
    async with served.gateway.database.read(served.luma.id) as unit:
        renamed = await unit.audit_events.count(AuditEventFilter(action=Action.PERSON_RENAME.value))
    assert renamed == 1


async def test_a_verified_address_claims_the_person_who_was_added_by_it(served: Served, provider: Provider) -> None:
    profile = await served.luma.administration.create_product_profile(served.luma.id, "Owners", [])
    for person in ("ann", "bob"):
        await served.luma.administration.add_person(served.luma.id, f"{person}@luma.example", profile, Role.USER)
    claimed = await served.viewer(provider.sign(claims(provider)))
    assert claimed.json()["productProfiles"] == ["Authors", "Owners"]
    # Nobody gets another's rights by an address that the provider does not vouch for.
    unproved = claims(provider, sub="mallory", email="bob@luma.example", email_verified=None)
    refused = await served.viewer(provider.sign({key: value for key, value in unproved.items() if value is not None}))
    assert (refused.status_code, refused.json()["code"]) == (401, "NAME_TAKEN")
    second = await served.viewer(provider.sign(claims(provider, sub="mallory")))
    assert (second.status_code, second.json()["code"]) == (401, "NAME_TAKEN")
