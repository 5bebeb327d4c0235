"""The headers are checked in AEP's order, with AEP's bodies; nothing crosses from one organization to another."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import LUMA, SOLSTICE, Emulator, definition

LIST = "/data/core/ups/segment/definitions"

# (headers left out or replaced, status, error_code). Each row also breaks everything that is checked later.
REFUSALS: list[tuple[dict[str, str | None], int, str]] = [
    ({"authorization": None, "x-api-key": None, "x-gw-ims-org-id": None}, 403, "403010"),
    ({"authorization": "Bearer not-a-token", "x-api-key": None, "x-gw-ims-org-id": None}, 401, "401013"),
    ({"authorization": "Basic abc", "x-api-key": None}, 401, "401013"),
    ({"x-api-key": None, "x-gw-ims-org-id": None}, 403, "403000"),
    ({"x-api-key": "another-client", "x-gw-ims-org-id": None}, 403, "403003"),
    ({"x-gw-ims-org-id": None, "x-sandbox-name": None}, 400, "400003"),
    ({"x-gw-ims-org-id": "not an org", "x-sandbox-name": None}, 403, "403027"),
    ({"x-gw-ims-org-id": "0123456789ABCDEF01234567@AdobeOrg", "x-sandbox-name": None}, 403, "403025"),
    ({"x-sandbox-name": None}, 400, "400003"),
]


async def _headers(emulator: Emulator, changes: dict[str, str | None]) -> dict[str, str]:
    merged: dict[str, Any] = {**await emulator.headers(), **changes}
    return {name: value for name, value in merged.items() if value is not None}


@pytest.mark.parity("gate.refusals_come_in_order", source="assumed")
@pytest.mark.parametrize(("changes", "status", "error_code"), REFUSALS)
async def test_refusals_come_in_order(
    emulator: Emulator, changes: dict[str, str | None], status: int, error_code: str
) -> None:
    answer = await emulator.http.get(LIST, headers=await _headers(emulator, changes))
    assert answer.status_code == status
    assert answer.json()["error_code"] == error_code
    assert set(answer.json()) == {"error_code", "message"}


async def test_the_organization_of_another_client_is_refused(emulator: Emulator) -> None:
    other = emulator.organizations[SOLSTICE].org_id
    answer = await emulator.http.get(LIST, headers=await _headers(emulator, {"x-gw-ims-org-id": other}))
    assert (answer.status_code, answer.json()["error_code"]) == (403, "403025")


async def test_an_unknown_sandbox_is_not_found(emulator: Emulator) -> None:
    answer = await emulator.call("GET", LIST, sandbox="nowhere")
    assert answer.status_code == 404
    assert answer.json()["errors"]["404"][0]["code"] == "404"


async def test_an_expired_token_is_refused(emulator: Emulator) -> None:
    headers = await emulator.headers()
    emulator.clock.advance(hours=24)
    answer = await emulator.http.get(LIST, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (401, "401013")


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
async def test_a_body_must_call_itself_json(emulator: Emulator, content_type: str | None) -> None:
    changes = {"content-type": content_type} if content_type else {}
    headers = {**await emulator.headers(), **changes}
    answer = await emulator.http.post(LIST, content=b"{}", headers=headers)
    assert answer.status_code == 400
    assert answer.json() == {
        "type": "/placeholder/type/uri",
        "status": 400,
        "title": "BadRequestError",
        "detail": "A valid content-type must be specified",
    }


@pytest.mark.parity("gate.some_calls_take_text", source="measured")
@pytest.mark.parametrize(
    "path",
    [
        "/data/core/ups/segment/definitions/bulk-get",
        "/data/core/ups/segment/jobs/bulk-get",
        "/data/core/ups/audiences/bulk-get",
        "/data/core/ups/segment/conversion",
    ],
)
async def test_some_calls_take_json_that_calls_itself_text(emulator: Emulator, path: str) -> None:
    headers = {**await emulator.headers(), "content-type": "text/plain"}
    answer = await emulator.http.post(path, content=b"[]", headers=headers)
    assert answer.status_code == 400
    assert "requestId" in answer.json()


@pytest.mark.parametrize("content", [b"", b"{", b"nonsense", b'{"name": "\xff"}', b"[" * 20_000, b'"\\ud800"'])
async def test_a_body_that_is_no_json_is_a_bad_request(emulator: Emulator, content: bytes) -> None:
    headers = {**await emulator.headers(), "content-type": "application/json"}
    answer = await emulator.http.post(LIST, content=content, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["errors"]["400"]


async def test_a_body_over_the_limit_is_refused(emulator: Emulator) -> None:
    headers = {**await emulator.headers(), "content-type": "application/json"}
    body = b" " * (emulator.settings.max_body_bytes + 1)
    answer = await emulator.http.post(LIST, content=body, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (413, 413)


async def test_the_request_id_comes_back_or_is_made(emulator: Emulator) -> None:
    headers = await emulator.headers()
    answer = await emulator.http.get(LIST, headers={**headers, "x-request-id": "trace-1"})
    assert answer.headers["x-request-id"] == "trace-1"
    assert len((await emulator.http.get(LIST, headers=headers)).headers["x-request-id"]) == 32
    missing = await emulator.http.get(f"{LIST}/none", headers={**headers, "x-request-id": "trace-2"})
    assert missing.json()["requestId"] == "trace-2"


async def test_headers_are_read_in_any_letter_case(emulator: Emulator) -> None:
    headers = {name.upper(): value for name, value in (await emulator.headers()).items()}
    headers["AUTHORIZATION"] = headers["AUTHORIZATION"].replace("Bearer", "bearer")
    assert (await emulator.http.get(LIST, headers=headers)).status_code == 200


@pytest.mark.parity("gate.trailing_slash", source="measured")
async def test_a_trailing_slash_is_no_redirect(emulator: Emulator) -> None:
    body = definition("Slash", emulator.rule("gold"))
    answer = await emulator.call("POST", f"{LIST}/", json=body)
    assert answer.status_code == 200
    identifier = answer.json()["id"]
    assert (await emulator.call("GET", f"{LIST}/{identifier}/")).json()["id"] == identifier


async def test_an_unknown_path_is_not_found_and_a_wrong_method_is_named(emulator: Emulator) -> None:
    assert (await emulator.call("GET", "/data/core/ups/nothing")).status_code == 404
    answer = await emulator.call("PUT", LIST, json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize(("organization", "sandbox"), [(SOLSTICE, "prod"), (SOLSTICE, "dev"), (LUMA, "dev")])
async def test_nothing_of_one_place_can_be_reached_from_another(
    emulator: Emulator, organization: int, sandbox: str
) -> None:
    place: dict[str, Any] = {"organization": organization, "sandbox": sandbox}
    made = await emulator.create("Secret gold")
    preview_body = {"predicateExpression": emulator.rule("gold")}
    preview = (await emulator.call("POST", "/data/core/ups/preview", json=preview_body)).json()
    job_body = [{"segmentId": made["id"]}]
    job = (await emulator.call("POST", "/data/core/ups/segment/jobs", json=job_body)).json()

    for method, path, body in [
        ("GET", f"{LIST}/{made['id']}", None),
        ("PATCH", f"{LIST}/{made['id']}", {"description": "mine"}),
        ("DELETE", f"{LIST}/{made['id']}", None),
        ("POST", f"{LIST}/bulk-get", {"ids": [{"id": made["id"]}]}),
        ("GET", f"/data/core/ups/audiences/{made['id']}", None),
        ("PATCH", f"/data/core/ups/audiences/{made['id']}", [{"op": "add", "path": "/name", "value": "x"}]),
        ("DELETE", f"/data/core/ups/audiences/{made['id']}", None),
        ("POST", "/data/core/ups/audiences/bulk-get", {"ids": [{"id": made["id"]}]}),
        ("GET", f"/data/core/ups/preview/{preview['previewId']}", None),
        ("GET", f"/data/core/ups/estimate/{preview['previewId']}", None),
        ("DELETE", f"/data/core/ups/preview/{preview['previewId']}", None),
        ("GET", f"/data/core/ups/segment/jobs/{job['id']}", None),
        ("DELETE", f"/data/core/ups/segment/jobs/{job['id']}", None),
        ("POST", "/data/core/ups/segment/jobs/bulk-get", {"ids": [{"id": job["id"]}]}),
    ]:
        answer = await emulator.call(method, path, json=body, **place)
        assert answer.status_code == 404, (method, path, answer.text)
        assert "Secret" not in answer.text
    for path in (LIST, "/data/core/ups/audiences", "/data/core/ups/segment/jobs"):
        answer = await emulator.call("GET", path, **place)
        assert made["id"] not in answer.text
    refused = await emulator.call("POST", "/data/core/ups/segment/jobs", json=job_body, **place)
    assert refused.status_code == 400

    assert (await emulator.call("GET", f"{LIST}/{made['id']}")).json() == made


async def test_one_name_may_be_used_in_every_place(emulator: Emulator) -> None:
    for organization in (LUMA, SOLSTICE):
        for sandbox in ("prod", "dev"):
            await emulator.create("The same name", organization=organization, sandbox=sandbox)


async def test_healthz_needs_no_token(emulator: Emulator) -> None:
    answer = await emulator.http.get("/healthz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
