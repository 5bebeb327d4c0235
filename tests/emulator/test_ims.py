"""Tokens: every path, every encoding, every refusal; and what the public clients read out of a token."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.emulator.conftest import LUMA, SOLSTICE, Emulator, Start

TOKEN_PATHS = ["/ims/token", "/ims/token/v1", "/ims/token/v2", "/ims/token/v3", "/ims/token/v3/"]


def _parameters(emulator: Emulator, **changes: str) -> dict[str, str]:
    credential = emulator.organizations[LUMA].credentials[0]
    return {
        "grant_type": "client_credentials",
        "client_id": credential.client_id,
        "client_secret": credential.client_secret,
        "scope": "openid,session,AdobeID",
        **changes,
    }


def _claims(token: str) -> dict[str, Any]:
    middle = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return claims


@pytest.mark.parity("ims.every_path_takes_query_form_and_multipart", source="documents")
@pytest.mark.parametrize("path", TOKEN_PATHS)
@pytest.mark.parametrize("encoding", ["urlencoded", "multipart", "query"])
async def test_a_token_is_issued_in_every_encoding(emulator: Emulator, path: str, encoding: str) -> None:
    parameters = _parameters(emulator)
    if encoding == "query":
        answer = await emulator.http.post(path, params=parameters)
    elif encoding == "multipart":
        answer = await emulator.http.post(path, files={name: (None, value) for name, value in parameters.items()})
    else:
        answer = await emulator.http.post(path, data=parameters)
    body = answer.json()
    assert answer.status_code == 200
    assert set(body) == {"access_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("bearer", 86_399)
    assert answer.headers["cache-control"] == "no-store"


async def test_query_and_body_are_merged(emulator: Emulator) -> None:
    parameters = _parameters(emulator)
    query = {"client_id": parameters.pop("client_id")}
    answer = await emulator.http.post("/ims/token/v3", params=query, data=parameters)
    assert answer.status_code == 200


@pytest.mark.parity("ims.times_are_text_in_milliseconds", source="measured")
async def test_times_in_the_token_are_text_in_milliseconds(emulator: Emulator) -> None:
    claims = _claims(await emulator.token())
    credential = emulator.organizations[LUMA].credentials[0]
    assert claims["created_at"] == str(int(emulator.clock.now().timestamp() * 1000))
    assert claims["expires_in"] == "86399000"
    assert claims["client_id"] == credential.client_id
    assert claims["type"] == "access_token"
    assert claims["as"] == "ims-na1"
    assert claims["user_id"] == claims["sub"] == credential.technical_account_id
    assert claims["org"] == emulator.organizations[LUMA].org_id
    assert claims["scope"] == "openid,AdobeID"
    assert {"id", "moi"} <= set(claims)


@pytest.mark.parity("ims.errors_are_400", source="assumed")
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_secret": ""}, "invalid_request"),
        ({"client_id": ""}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"scope": "openid,everything"}, "invalid_scope"),
        ({"org_id": "AAAA@AdobeOrg"}, "invalid_request"),
    ],
)
async def test_refusals_name_their_reason_and_never_the_secret(
    emulator: Emulator, changes: dict[str, str], error: str
) -> None:
    parameters = _parameters(emulator, **changes)
    answer = await emulator.http.post("/ims/token/v3", data=parameters)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert answer.json()["error_description"]
    assert emulator.organizations[LUMA].credentials[0].client_secret not in answer.text


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"{}", "application/json"),
        (b"\xff\xfe", "multipart/form-data; boundary=x"),
        (b"--x\r\n\r\n", "multipart/form-data"),
        (b"a=1", ""),
        (b"%zz=%\xff", "application/x-www-form-urlencoded"),
    ],
)
async def test_a_body_that_is_no_form_is_a_bad_request(emulator: Emulator, content: bytes, content_type: str) -> None:
    answer = await emulator.http.post("/ims/token/v3", content=content, headers={"content-type": content_type})
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"


async def test_scopes_may_be_separated_by_blanks_and_default_to_all(emulator: Emulator) -> None:
    answer = await emulator.http.post("/ims/token/v3", data=_parameters(emulator, scope="openid  session"))
    assert _claims(answer.json()["access_token"])["scope"] == "openid,session"
    answer = await emulator.http.post("/ims/token/v3", data=_parameters(emulator, scope=""))
    assert _claims(answer.json()["access_token"])["scope"].startswith("openid,session,AdobeID,")


@pytest.mark.parity("ims.jwt_exchange_is_over", source="assumed")
async def test_the_ended_jwt_flow_says_so(emulator: Emulator) -> None:
    answer = await emulator.http.post("/ims/exchange/jwt/", data={"jwt_token": "x"})
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


async def test_a_token_is_valid_until_its_end(emulator: Emulator) -> None:
    token = await emulator.token()

    async def validate() -> dict[str, Any]:
        headers = {"authorization": f"Bearer {token}"}
        answer = await emulator.http.post("/ims/validate_token/v1", data={"type": "access_token"}, headers=headers)
        assert answer.status_code == 200
        body: dict[str, Any] = answer.json()
        return body

    assert (await validate())["token"]["created_at"]
    emulator.clock.advance(seconds=86_398)
    assert (await validate())["valid"] is True
    emulator.clock.advance(seconds=1)
    body = await validate()
    assert body["valid"] is False
    assert body["reason"]


@pytest.mark.parity("ims.validate_is_always_200", source="measured")
@pytest.mark.parametrize("text", ["", "x", "a.b.c", "e30.e30.", "é"])
async def test_what_is_no_token_is_not_valid(emulator: Emulator, text: str) -> None:
    answer = await emulator.http.post("/ims/validate_token/v1", data={"type": "access_token", "token": text})
    assert (answer.status_code, answer.json()["valid"]) == (200, False)


async def test_a_token_of_another_key_is_refused(emulator: Emulator) -> None:
    head, body, _ = (await emulator.token()).split(".")
    forged = f"{head}.{body}.AAAA"
    unsigned = ".".join([base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("="), body, ""])
    for text in (forged, unsigned):
        headers = {**await emulator.headers(), "authorization": f"Bearer {text}"}
        answer = await emulator.http.get("/data/core/ups/audiences", headers=headers)
        assert (answer.status_code, answer.json()["error_code"]) == (401, "401013")


@pytest.mark.parity("ims.invalidate_token", source="measured")
async def test_a_withdrawn_token_is_refused_also_after_a_restart(start: Start) -> None:
    async with start() as emulator:
        headers = await emulator.headers()
        credential = emulator.organizations[LUMA].credentials[0]
        form = {
            "token_type": "access_token",
            "token": await emulator.token(),
            "cascading": "all",
            "client_id": credential.client_id,
            "client_secret": credential.client_secret,
        }
        assert (await emulator.http.post("/ims/invalidate_token/v2", data=form)).status_code == 200
        assert (await emulator.http.get("/data/core/ups/audiences", headers=headers)).status_code == 401
    async with start() as emulator:
        assert (await emulator.http.get("/data/core/ups/audiences", headers=headers)).status_code == 401


async def test_a_client_cannot_withdraw_the_token_of_another(emulator: Emulator) -> None:
    headers = await emulator.headers(LUMA)
    other = emulator.organizations[SOLSTICE].credentials[0]
    form = {
        "token": await emulator.token(LUMA),
        "client_id": other.client_id,
        "client_secret": other.client_secret,
    }
    assert (await emulator.http.post("/ims/invalidate_token/v2", data=form)).status_code == 200
    assert (await emulator.http.get("/data/core/ups/audiences", headers=headers)).status_code == 200


async def test_a_token_outlives_a_restart(start: Start) -> None:
    async with start() as emulator:
        headers = await emulator.headers()
    async with start() as emulator:
        assert (await emulator.http.get("/data/core/ups/audiences", headers=headers)).status_code == 200


@pytest.mark.parity("ims.organizations", source="measured")
async def test_organizations_of_a_token_are_its_own(emulator: Emulator) -> None:
    headers = {"authorization": f"bearer {await emulator.token(SOLSTICE)}"}
    answer = await emulator.http.get("/ims/organizations/v6", headers=headers)
    reference = answer.json()[0]["orgRef"]
    assert f"{reference['ident']}@{reference['authSrc']}" == emulator.organizations[SOLSTICE].org_id
    assert (await emulator.http.get("/ims/organizations/v6")).status_code == 401


async def test_token_calls_are_posts(emulator: Emulator) -> None:
    answer = await emulator.http.get("/ims/token/v3")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
