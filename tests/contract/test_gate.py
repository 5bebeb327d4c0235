"""What AEP's API gateway says before any service is reached, and the headers that every answer has."""

from __future__ import annotations

import pytest

from tests.contract.services import DEFINITIONS, JOBS, Service, missing_variables

FILLED_IN = "the gateway fills in what its credential says"


def test_adobes_own_service_takes_part() -> None:
    if missing := missing_variables():
        pytest.skip(f"Adobe's own service takes part when these are set: {', '.join(missing)}")


@pytest.mark.parity("gate.token_missing_is_403_403010", source="documents")
async def test_a_missing_token_is_a_403(service: Service) -> None:
    answer = await service.call("GET", DEFINITIONS, without=("authorization",))
    assert (answer.status_code, answer.json()) == (
        403,
        {"error_code": "403010", "message": "Oauth token is missing."},
    )


@pytest.mark.parity("gate.token_invalid_is_401_401013", source="documents")
async def test_a_token_that_is_no_token_is_a_401(service: Service) -> None:
    answer = await service.call("GET", DEFINITIONS, headers={"authorization": "Bearer nonsense"})
    assert (answer.status_code, answer.json()) == (401, {"error_code": "401013", "message": "Oauth token is not valid"})


@pytest.mark.parity("gate.scheme_in_any_letter_case", source="measured", note="aepp 0.6.0")
async def test_the_scheme_of_the_token_may_be_written_small(service: Service) -> None:
    token = service.headers["authorization"].partition(" ")[2]
    answer = await service.call("GET", DEFINITIONS, headers={"authorization": f"bearer {token}"})
    assert answer.status_code == 200


@pytest.mark.parity("gate.api_key_of_another_client_is_403_403003", source="documents")
async def test_another_clients_key_is_a_403(service: Service) -> None:
    answer = await service.call("GET", DEFINITIONS, headers={"x-api-key": "somebody-else"})
    assert (answer.status_code, answer.json()["error_code"]) == (403, "403003")


@pytest.mark.parity("gate.api_key_missing_is_403_403000", source="documents")
async def test_a_missing_key_is_a_403(service: Service) -> None:
    service.not_at("facade", because=FILLED_IN)
    answer = await service.call("GET", DEFINITIONS, without=("x-api-key",))
    assert (answer.status_code, answer.json()["error_code"]) == (403, "403000")


@pytest.mark.parity("gate.organization_missing_is_400_400003", source="documents")
async def test_a_missing_organization_is_a_400(service: Service) -> None:
    service.not_at("facade", because=FILLED_IN)
    answer = await service.call("GET", DEFINITIONS, without=("x-gw-ims-org-id",))
    assert (answer.status_code, answer.json()["error_code"]) == (400, "400003")


@pytest.mark.parity("gate.organization_of_others_is_403_403025", source="documents")
async def test_an_organization_of_others_is_a_403(service: Service) -> None:
    answer = await service.call("GET", DEFINITIONS, headers={"x-gw-ims-org-id": "0000000000000000000000AA@AdobeOrg"})
    assert (answer.status_code, answer.json()["error_code"]) == (403, "403025")


@pytest.mark.parity("gate.unknown_sandbox_is_404", source="assumed")
async def test_an_unknown_sandbox_is_not_found(service: Service) -> None:
    answer = await service.call("GET", DEFINITIONS, headers={"x-sandbox-name": "no-such-sandbox"})
    assert answer.status_code == 404


@pytest.mark.parity("gate.content_type_missing_is_400", source="documents")
async def test_a_body_that_is_not_called_json_is_a_400(service: Service) -> None:
    answer = await service.call("POST", DEFINITIONS, content=b"{}", headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "type": "/placeholder/type/uri",
            "status": 400,
            "title": "BadRequestError",
            "detail": "A valid content-type must be specified",
        },
    )


@pytest.mark.parity("gate.request_id_is_echoed", source="documents")
async def test_the_callers_request_id_comes_back(service: Service) -> None:
    given = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE"
    answer = await service.call("GET", DEFINITIONS, headers={"x-request-id": given})
    assert answer.headers["x-request-id"] == given
    refused = await service.call("GET", f"{JOBS}/no-such-job", headers={"x-request-id": given})
    assert refused.json()["requestId"] == given


@pytest.mark.parity("gate.request_id_is_32_alphanumerics", source="openapi")
async def test_a_request_without_an_id_gets_one(service: Service) -> None:
    answer = await service.call("GET", DEFINITIONS)
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-request-id"].isalnum()


@pytest.mark.parity("errors.service_body", source="openapi")
async def test_an_error_of_the_service_has_its_five_members(service: Service) -> None:
    answer = await service.call("GET", f"{DEFINITIONS}/7d1e9a52-0000-4000-8000-000000000000")
    body = answer.json()
    assert answer.status_code == 404
    assert set(body) == {"requestId", "errors", "type", "title", "status"}
    assert list(body["errors"]) == ["404"]
    assert set(body["errors"]["404"][0]) == {"code", "message"}
    assert body["title"] == body["errors"]["404"][0]["message"]
    assert body["type"].startswith("https://ns.adobe.com/aep/errors/")
    assert body["status"] == 404


@pytest.mark.parity("paths.trailing_slash_is_no_redirect", source="measured", note="aepp 0.6.0")
async def test_a_trailing_slash_means_the_same(service: Service) -> None:
    assert (await service.call("GET", f"{DEFINITIONS}/")).status_code == 200
