"""The gateway's identity service: how long a token is good, who may end it, and with which keys it is verified."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from app.auth.clients import ClientTokens
from app.auth.signing import SigningKeys
from app.errors import Unauthenticated
from app.store.database import Database
from tests.gateway.conftest import Stack

VALIDATE = "/ims/validate_token/v1"
INVALIDATE = "/ims/invalidate_token/v2"
DEFINITIONS = "/data/core/ups/segment/definitions"


def client_of(stack: Stack, slug: str = "luma") -> dict[str, str]:
    integration = stack.tenants[slug]["integrations"][0]
    return {"client_id": integration["client_id"], "client_secret": integration["client_secret"]}


async def send(stack: Stack, path: str, given: dict[str, str], encoding: str = "form", **more: Any) -> httpx.Response:
    match encoding:
        case "query":
            return await stack.http.post(path, params=given, **more)
        case "multipart":
            return await stack.http.post(path, files={name: (None, value) for name, value in given.items()}, **more)
        case _:
            return await stack.http.post(path, data=given, **more)


ENCODINGS = pytest.mark.parametrize("encoding", ["form", "query", "multipart"])


@ENCODINGS
async def test_a_good_token_is_valid_and_shows_its_claims(stack: Stack, encoding: str) -> None:
    token, client_id = await stack.token(), client_of(stack)["client_id"]
    answer = await send(stack, VALIDATE, {"type": "access_token", "client_id": client_id, "token": token}, encoding)
    body = answer.json()
    assert (answer.status_code, body["valid"]) == (200, True)
    assert body["token"]["client_id"] == client_id
    assert body["token"]["created_at"].isdigit()
    assert body["token"]["expires_in"] == "3600000"
    assert answer.headers["cache-control"] == "no-store"


@ENCODINGS
async def test_every_token_path_takes_every_encoding_for_the_facade(stack: Stack, encoding: str) -> None:
    given = client_of(stack) | {"grant_type": "client_credentials", "scope": "openid,AdobeID"}
    for path in ("/ims/token", "/ims/token/v1", "/ims/token/v2", "/ims/token/v3"):
        answer = await send(stack, path, given, encoding)
        body = answer.json()
        assert (answer.status_code, body["token_type"], body["expires_in"]) == (200, "bearer", 3600), path
        reply = await stack.http.get(DEFINITIONS, headers={"authorization": f"Bearer {body['access_token']}"})
        assert reply.status_code == 200
        refused = await send(stack, path, given | {"grant_type": "authorization_code"}, encoding)
        assert (refused.status_code, refused.json()["error"]) == (400, "unsupported_grant_type")
    ended = await send(stack, "/ims/exchange/jwt/", given, encoding)
    assert (ended.status_code, ended.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"token": "a.b.c"}, "bad_signature_or_expired"),
        ({"token": ""}, "bad_signature_or_expired"),
        ({"type": "refresh_token"}, "bad_signature_or_expired"),
        ({"client_id": "another"}, "client_id_mismatch"),
    ],
)
async def test_a_token_that_is_not_good_is_a_result_and_no_error(
    stack: Stack, changes: dict[str, str], reason: str
) -> None:
    answer = await send(stack, VALIDATE, {"type": "access_token", "token": await stack.token(), **changes})
    assert (answer.status_code, answer.json()) == (200, {"valid": False, "reason": reason})


@ENCODINGS
async def test_a_withdrawn_token_is_refused_at_once_by_every_process(
    stack: Stack, database: Database, encoding: str
) -> None:
    token = await stack.token()
    elsewhere = ClientTokens(database, await SigningKeys.load(database, stack.gateway.sealer), lifetime_s=60)
    assert (await elsewhere.actor(token))[1] == client_of(stack)["client_id"]
    form = {"token_type": "access_token", "token": token, "cascading": "all", **client_of(stack)}
    answer = await send(stack, INVALIDATE, form, encoding)
    assert (answer.status_code, answer.json()) == (200, {})
    with pytest.raises(Unauthenticated, match="withdrawn"):
        await elsewhere.actor(token)
    refused = await stack.facade("GET", DEFINITIONS)
    assert (refused.status_code, refused.json()["error_code"]) == (401, "401013")
    assert (await send(stack, VALIDATE, {"token": token})).json()["valid"] is False


async def test_one_token_ends_and_the_others_of_its_client_stay(stack: Stack) -> None:
    first = await stack.token()
    stack._token.clear()
    second = await stack.token()
    await send(stack, INVALIDATE, {"token": first, **client_of(stack)})
    assert (await send(stack, VALIDATE, {"token": second})).json()["valid"] is True


async def test_nobody_ends_the_token_of_another_client(stack: Stack) -> None:
    token = await stack.token("luma")
    answer = await send(stack, INVALIDATE, {"token": token, **client_of(stack, "solstice")})
    assert (answer.status_code, answer.json()) == (200, {})
    assert (await send(stack, VALIDATE, {"token": token})).json()["valid"] is True


@pytest.mark.parametrize("path", ["/ims/token/v3", INVALIDATE])
@pytest.mark.parametrize("client", [{"client_id": "nobody"}, {"client_secret": "sgs_wrong"}, {"client_id": "a\x00b"}])
async def test_an_unknown_client_and_a_wrong_secret_get_one_answer(
    stack: Stack, path: str, client: dict[str, str]
) -> None:
    form = {"grant_type": "client_credentials", "token": "x", **client_of(stack), **client}
    answer = await send(stack, path, form)
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "invalid_client",
        "error_description": "Client id and client secret do not belong together.",
    }


@pytest.mark.parametrize("missing", ["client_id", "client_secret", "token"])
async def test_withdrawing_says_which_parameter_is_missing(stack: Stack, missing: str) -> None:
    form = {"token": "x", **client_of(stack)}
    del form[missing]
    answer = await send(stack, INVALIDATE, form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert missing in answer.json()["error_description"]


async def test_the_published_keys_verify_a_token_and_hold_nothing_private(stack: Stack) -> None:
    published = (await stack.http.get("/.well-known/jwks.json")).json()
    assert all("d" not in key and key["use"] == "sig" for key in published["keys"])
    claims = jwt.decode(await stack.token(), KeySet.import_key_set(published), algorithms=["ES256"]).claims
    assert claims["client_id"] == client_of(stack)["client_id"]


async def test_a_token_lists_its_own_organization_only(stack: Stack) -> None:
    headers = {"authorization": f"Bearer {await stack.token()}"}
    (organization,) = (await stack.http.get("/ims/organizations/v6", headers=headers)).json()
    reference = organization["orgRef"]
    assert f"{reference['ident']}@{reference['authSrc']}" == stack.tenants["luma"]["org_id"]
    assert (await stack.http.get("/ims/organizations/v6")).status_code == 401
