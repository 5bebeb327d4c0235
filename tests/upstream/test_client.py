"""What the gateway makes of AEP's answers, and how often it calls."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

import httpx
import pytest
import respx

from app.errors import UpstreamRefused, UpstreamUnavailable, upstream_request_id_of
from app.settings import UpstreamSettings
from app.store.database import Database
from app.telemetry import Metrics
from app.tenancy.upstream_tokens import SharedTokens
from app.upstream import mutations
from app.upstream.circuits import Circuits
from app.upstream.client import AEPClient, Call
from app.upstream.connection import Connection, Target
from app.upstream.tokens import TokenCache
from tests.factories import SEALER

CONNECTION = Connection(
    tenant_id=UUID(int=1),
    platform_url="http://aep.test",
    ims_url="http://ims.test",
    ims_org_id="LUMA@AdobeOrg",
    credential_id=UUID(int=2),
    client_id="client",
    client_secret="secret",
    scopes=("openid", "AdobeID"),
)
TARGET = Target(UUID(int=1), "prod", "request-1")
READ = Call("get_segment_definition", "GET", "/one")
CHANGE = Call("delete_segment_definition", "DELETE", "/one", safety="once")


class OneConnection:
    async def connection(self, tenant_id: UUID) -> Connection:
        return CONNECTION


class Pauses(list[float]):
    """Remembers how long the client would have slept."""

    async def __call__(self, pause_s: float) -> None:
        self.append(pause_s)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
async def client(pauses: Pauses, database: Database):
    async with httpx.AsyncClient() as http:
        tokens = TokenCache(http, SharedTokens(database, SEALER))
        circuits = Circuits(sleep=Pauses())
        settings = UpstreamSettings()
        yield AEPClient(http, OneConnection(), tokens, settings, Metrics(), circuits=circuits, sleep=pauses)
        await tokens.aclose()


@pytest.fixture
def ims(respx_mock: respx.MockRouter) -> respx.Route:
    tokens = (f"token-{number}" for number in range(1, 10))

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"access_token": next(tokens), "token_type": "bearer", "expires_in": 86399})

    return respx_mock.post("http://ims.test/ims/token/v3").mock(side_effect=answer)


async def test_a_call_carries_the_tenants_headers(
    client: AEPClient, ims: respx.Route, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get("http://aep.test/one").respond(json={"ok": True}, headers={"x-request-id": "aep-1"})
    reply = await client.read(TARGET, READ)
    sent = route.calls.last.request.headers
    assert (reply.body, reply.request_id) == ({"ok": True}, "aep-1")
    assert sent["authorization"] == "Bearer token-1"
    assert (sent["x-api-key"], sent["x-gw-ims-org-id"], sent["x-sandbox-name"]) == ("client", "LUMA@AdobeOrg", "prod")
    form = ims.calls.last.request.content.decode()
    assert "grant_type=client_credentials" in form
    assert "scope=openid%2CAdobeID" in form


async def test_many_calls_at_once_fetch_one_token(
    client: AEPClient, ims: respx.Route, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get("http://aep.test/one").respond(json={})
    await asyncio.gather(*(client.read(TARGET, READ) for _ in range(50)))
    assert ims.call_count == 1


async def test_a_token_that_aep_refuses_is_renewed_once(
    client: AEPClient, ims: respx.Route, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get("http://aep.test/one").mock(
        side_effect=[
            httpx.Response(401, json={"error_code": "401013", "message": "Oauth token is not valid"}),
            httpx.Response(200, json={"ok": True}),
        ]
    )
    assert (await client.read(TARGET, READ)).body == {"ok": True}
    assert ims.call_count == 2


async def test_a_change_whose_token_aep_refuses_is_not_repeated_and_was_not_made(
    client: AEPClient, ims: respx.Route, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.delete("http://aep.test/one").mock(
        side_effect=[
            httpx.Response(401, json={"error_code": "401013", "message": "Oauth token is not valid"}),
            httpx.Response(200, json={}),
        ]
    )
    with pytest.raises(UpstreamUnavailable, match="nothing was changed") as problem:
        await mutations.send(client, TARGET, CHANGE)
    assert (route.call_count, problem.value.outcome_unknown) == (1, False)
    await mutations.send(client, TARGET, CHANGE)
    assert route.calls.last.request.headers["authorization"] == "Bearer token-2"


async def test_a_read_waits_as_long_as_aep_asks_and_tries_again(
    client: AEPClient, ims: respx.Route, respx_mock: respx.MockRouter, pauses: Pauses
) -> None:
    respx_mock.get("http://aep.test/one").mock(
        side_effect=[
            httpx.Response(429, json=[{"message": "slow", "retryAfterMs": "1500", "statusCode": "429"}]),
            httpx.Response(503, headers={"retry-after": "3"}, text="<html>"),
            httpx.Response(200, json={"ok": True}),
        ]
    )
    assert (await client.read(TARGET, READ)).body == {"ok": True}
    assert pauses == [1.5, 3.0]


async def test_a_pause_may_be_given_as_a_date_and_is_not_waited_for_when_it_is_long(
    client: AEPClient, ims: respx.Route, respx_mock: respx.MockRouter, pauses: Pauses
) -> None:
    soon, late = (format_datetime(datetime.now(UTC) + timedelta(seconds=s), usegmt=True) for s in (5, 600))
    route = respx_mock.get("http://aep.test/one").mock(
        side_effect=[
            httpx.Response(503, headers={"retry-after": soon}),
            httpx.Response(503, headers={"retry-after": late, "x-request-id": "aep-9"}),
        ]
    )
    with pytest.raises(UpstreamUnavailable) as problem:
        await client.read(TARGET, READ)
    assert problem.value.upstream_request_id == "aep-9"
    assert route.call_count == 2
    assert 3 < pauses[0] <= 5


async def test_a_read_gives_up_after_four_tries(
    client: AEPClient, ims: respx.Route, respx_mock: respx.MockRouter, pauses: Pauses
) -> None:
    route = respx_mock.get("http://aep.test/one").respond(503)
    with pytest.raises(UpstreamUnavailable):
        await client.read(TARGET, READ)
    assert (route.call_count, len(pauses)) == (4, 3)


@pytest.mark.parametrize(
    ("answer", "unknown"),
    [
        (httpx.Response(503), True),
        (httpx.Response(429), False),
        (httpx.ReadTimeout("slow"), True),
        (httpx.ConnectError("refused"), False),
        (httpx.RemoteProtocolError("cut"), True),
        (httpx.Response(200, text="<html>not json"), True),
    ],
)
async def test_a_change_is_sent_once_and_says_whether_it_may_have_happened(
    client: AEPClient,
    ims: respx.Route,
    respx_mock: respx.MockRouter,
    answer: httpx.Response | Exception,
    unknown: bool,
) -> None:
    route = respx_mock.delete("http://aep.test/one").mock(side_effect=[answer])
    with pytest.raises(UpstreamUnavailable) as problem:
        await mutations.send(client, TARGET, CHANGE)
    assert route.call_count == 1
    assert problem.value.outcome_unknown is unknown


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (
            404,
            {
                "errors": {"404": [{"code": "404", "message": "gone"}]},
                "title": "gone",
                "status": 404,
                "type": "https://ns.adobe.com/aep/errors/UPAPI-113430-404",
                "requestId": "r",
            },
            "UPAPI-113430-404",
        ),
        (400, {"type": "/placeholder", "status": 400, "title": "BadRequestError", "detail": "no"}, None),
        (422, {"message": "no", "cause": "x", "statusCode": "422"}, None),
    ],
)
async def test_refusals_of_every_shape_become_one_error(
    client: AEPClient, ims: respx.Route, respx_mock: respx.MockRouter, status: int, body: object, code: str | None
) -> None:
    respx_mock.get("http://aep.test/one").respond(status, json=body)
    with pytest.raises(UpstreamRefused) as refusal:
        await client.read(TARGET, READ)
    assert refusal.value.status == status
    if code is not None:
        assert refusal.value.upstream_code == code


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(400, json={"error": "invalid_client", "error_description": "x"}),
        httpx.Response(200, text="nonsense"),
        httpx.Response(200, json=[]),
        httpx.ConnectError("refused"),
    ],
)
async def test_no_token_means_unavailable_and_never_shows_the_secret(
    client: AEPClient, respx_mock: respx.MockRouter, answer: httpx.Response | Exception
) -> None:
    respx_mock.post("http://ims.test/ims/token/v3").mock(side_effect=lambda _request: _or_raise(answer))
    with pytest.raises(UpstreamUnavailable) as problem:
        await mutations.send(client, TARGET, CHANGE)
    assert "secret" not in problem.value.detail.replace("the secret and the scopes", "")
    assert not problem.value.outcome_unknown


def _or_raise(answer: httpx.Response | Exception) -> httpx.Response:
    if isinstance(answer, Exception):
        raise answer
    return answer


async def test_reading_and_changing_cannot_be_mixed_up(client: AEPClient) -> None:
    with pytest.raises(ValueError, match="mutations"):
        await client.read(TARGET, CHANGE)
    with pytest.raises(ValueError, match="AEPClient.read"):
        await mutations.send(client, TARGET, READ)


@pytest.mark.parametrize(
    ("status", "content", "code", "upstream_request_id"),
    [
        (403, {"error_code": "403025", "message": "no"}, None, "header-id"),
        (
            409,
            {"requestId": "body-id", "errors": {"409": [{"code": "UPAPI-1-409", "message": "no"}]}, "title": "no"},
            "UPAPI-1-409",
            "body-id",
        ),
        (
            422,
            {
                "type": "https://ns.adobe.com/aep/errors/XYZ-422",
                "title": "no",
                "status": 422,
                "report": {"tenantInfo": {}},
                "error-chain": [{"errorCode": "XYZ-422"}],
            },
            "XYZ-422",
            "header-id",
        ),
        (400, {"type": "/placeholder", "status": 400, "title": "no", "detail": "no"}, "400", "header-id"),
        (400, [{"message": "no", "cause": "x", "statusCode": "400"}], "400", "header-id"),
        (404, "<html>no</html>", "404", "header-id"),
        (503, "<html>no</html>", None, "header-id"),
    ],
)
async def test_every_shape_of_error_keeps_aeps_request_id(
    client: AEPClient,
    ims: respx.Route,
    respx_mock: respx.MockRouter,
    status: int,
    content: object,
    code: str | None,
    upstream_request_id: str,
) -> None:
    body = content if isinstance(content, str) else json.dumps(content)
    respx_mock.get("http://aep.test/one").respond(status, text=body, headers={"x-request-id": "header-id"})
    with pytest.raises((UpstreamRefused, UpstreamUnavailable)) as problem:
        await client.read(TARGET, READ)
    assert upstream_request_id_of(problem.value) == upstream_request_id
    if code is not None:
        assert problem.value.upstream_code == code
    shown = RuntimeError()
    shown.__cause__ = problem.value
    assert upstream_request_id_of(shown) == upstream_request_id
    assert upstream_request_id_of(RuntimeError()) is None
