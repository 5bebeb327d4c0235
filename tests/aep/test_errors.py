"""Every shape of error that AEP answers with can be read, and those that we send have AEP's members."""

from __future__ import annotations

import json

import pytest

from app.aep import errors
from app.aep.errors import ErrorCode, read_error


def _read(status: int, document: object) -> errors.AEPError:
    return read_error(status, json.dumps(document).encode())


def test_service_body_has_the_documented_members() -> None:
    message = "The audience entity 7d1e9a52-luma is not found. Use a valid entity and try again."
    body = errors.service_body(404, message, code=ErrorCode.AUDIENCE_NOT_FOUND, request_id="r1")
    assert body == {
        "requestId": "r1",
        "errors": {"404": [{"code": "404", "message": message}]},
        "type": "https://ns.adobe.com/aep/errors/UPAPI-113430-404",
        "title": message,
        "status": 404,
    }


def test_service_body_lists_several_messages() -> None:
    body = errors.service_body(400, ["first", "second"], request_id="r1")
    assert [entry["message"] for entry in body["errors"]["400"]] == ["first", "second"]
    assert body["title"] == "first"
    assert body["type"] == "https://ns.adobe.com/aep/errors/400"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (errors.TOKEN_MISSING, 403),
        (errors.TOKEN_INVALID, 401),
        (errors.API_KEY_MISSING, 403),
        (errors.ORG_MISSING, 400),
        (errors.TOO_MANY_REQUESTS, 429),
    ],
)
def test_status_of_a_gateway_fault_is_the_head_of_its_code(fault: errors.GatewayFault, status: int) -> None:
    assert fault.status == status
    assert fault.body() == {"error_code": fault.error_code, "message": fault.message}


def test_gateway_shape_is_read() -> None:
    found = _read(403, {"error_code": "403010", "message": "Oauth token is missing."})
    assert (found.shape, found.code, found.message) == ("gateway", "403010", "Oauth token is missing.")


def test_service_shape_is_read_with_its_long_code_and_request_id() -> None:
    body = errors.service_body(400, ["a", "b"], code="UPLIB-101206-500", request_id="r9")
    found = _read(400, body)
    assert (found.shape, found.code, found.request_id) == ("service", "UPLIB-101206-500", "r9")
    assert found.messages == ("a", "b")


def test_service_shape_without_a_long_code_has_the_status() -> None:
    assert _read(422, errors.service_body(422, "taken", request_id="r")).code == "422"


def test_service_shape_with_a_number_as_code_is_read() -> None:
    found = _read(404, {"errors": {"404": [{"code": 404, "message": "gone"}]}})
    assert (found.code, found.message) == ("404", "gone")


def test_problem_shape_is_read() -> None:
    found = _read(
        403,
        {
            "type": "http://ns.adobe.com/aep/errors/PDP-4041-403",
            "title": "Access denied",
            "status": 403,
            "report": {"tenantInfo": {"sandboxName": "prod"}},
            "error-chain": [{"serviceId": "PDP", "errorCode": "PDP-4041-403", "unixTimeStampMs": 1}],
        },
    )
    assert (found.shape, found.code, found.message) == ("problem", "PDP-4041-403", "Access denied")


def test_problem_nested_in_a_service_message_is_found() -> None:
    inner = {"type": "http://ns.adobe.com/aep/errors/PDP-4041-403", "title": "Access denied", "report": {}}
    body = {"requestId": "r7", "errors": {"403": [{"code": "403", "message": f"refused: {json.dumps(inner)} (x)"}]}}
    found = _read(403, body)
    assert (found.shape, found.code, found.message, found.request_id) == (
        "service",
        "PDP-4041-403",
        "Access denied",
        "r7",
    )


def test_older_problem_shape_is_read() -> None:
    found = _read(400, errors.content_type_body())
    assert (found.shape, found.code) == ("legacy_problem", "400")
    assert found.message == "A valid content-type must be specified"


def test_profile_shape_is_read() -> None:
    found = _read(403, {"message": "UPS-ACC-1000004: not allowed", "statusCode": "403"})
    assert (found.shape, found.code) == ("profile", "UPS-ACC-1000004")


def test_profile_list_asks_for_a_pause() -> None:
    found = _read(429, [{"message": "slow", "cause": "c", "retryAfterMs": "1500", "statusCode": "429"}])
    assert (found.shape, found.retry_after_ms, found.code) == ("profile", 1500, "429")


def test_oauth_shape_is_read() -> None:
    found = _read(400, errors.oauth_body("invalid_client", "no"))
    assert (found.shape, found.code, found.message) == ("oauth", "invalid_client", "no")


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>502 Bad Gateway</html>", b"[]", b"[1]", b"3", b"null", b"{}", b"\xff\xfe", b"[" * 100_000],
)
def test_what_cannot_be_understood_is_opaque(body: bytes) -> None:
    found = read_error(502, body)
    assert (found.shape, found.status, found.code) == ("opaque", 502, "502")


@pytest.mark.parametrize(
    "document",
    [
        {"errors": {"400": None}},
        {"errors": {"400": ["text"]}},
        {"errors": {}},
        {"title": None, "status": "x"},
        {"message": None},
        {"type": 3, "title": "t", "error-chain": "nothing"},
        {"message": "m", "statusCode": None, "retryAfterMs": "soon"},
    ],
)
def test_broken_members_never_break_reading(document: object) -> None:
    assert _read(500, document).message
