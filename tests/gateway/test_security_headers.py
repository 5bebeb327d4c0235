"""What every answer tells browsers."""

from __future__ import annotations

import httpx
import pytest

from app.asgi import SECURITY_HEADERS
from tests.gateway.conftest import Stack

BROWSER = {"accept": "text/html"}
ANSWERS = [
    ("GET", "/healthz", 200),
    ("GET", "/metrics", 200),
    ("GET", "/nothing/here", 404),
    ("DELETE", "/healthz", 405),
    ("POST", "/graphql", 401),
    ("GET", "/v1/audit-events", 401),
    ("GET", "/data/core/ups/segment/definitions", 403),
    ("POST", "/ims/token/v3", 400),
    ("GET", "/.well-known/jwks.json", 200),
    ("GET", "/console/static/graphiql.js", 200),
]


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
async def test_every_answer_is_protected(stack: Stack, method: str, path: str, status: int) -> None:
    answer = await stack.http.request(method, path)
    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert "strict-transport-security" not in answer.headers


async def test_an_answer_to_a_body_that_is_too_large_is_protected(stack: Stack) -> None:
    answer = await stack.http.post(
        "/graphql", content=b"x" * 200_000, headers={"authorization": f"Bearer {stack.key('admin')}"}
    )
    assert answer.status_code == 413
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_answer_to_a_fault_of_ours_is_protected(stack: Stack) -> None:
    await stack.gateway.database.close()

    async def crash(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("broken")

    stack.gateway.database.ping = crash  # type: ignore[method-assign]
    answer = await stack.http.get("/readyz")
    assert answer.status_code == 500
    assert {name: answer.headers.get(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS


async def test_the_page_may_run_scripts_of_its_own_and_no_others(stack: Stack) -> None:
    answer = await stack.http.get("/graphql", headers=BROWSER)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["frame-ancestors"]) == ("'none'", "'self'", "'none'")
    assert not any("http" in sources or "*" in sources for sources in policy.values())
    assert answer.headers["x-frame-options"] == "DENY"
    assert "<script>" not in answer.text, "scripts in the page itself would not run"


async def test_browsers_are_told_to_stay_with_tls_where_there_is_tls(stack: Stack) -> None:
    transport = httpx.ASGITransport(stack.gateway.app)
    async with httpx.AsyncClient(transport=transport, base_url="https://gateway.test") as http:
        answer = await http.get("/healthz")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
