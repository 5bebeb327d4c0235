"""The GraphiQL page: served from the package, with nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from app.console.app import STATIC, console_routes

BROWSER = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Starlette(routes=console_routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        yield client


async def test_a_browser_gets_the_page_with_a_strict_policy(client: httpx.AsyncClient) -> None:
    page = await client.get("/graphql", headers=BROWSER)
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in policy


async def test_everything_that_the_page_names_is_served_from_the_package(client: httpx.AsyncClient) -> None:
    text = (await client.get("/graphql", headers=BROWSER)).text
    named = re.findall(r'(?:src|href)="(/[^"]+)"', text)
    assert named
    for path in named:
        assert (await client.get(path)).status_code == 200, path
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


@pytest.mark.parametrize("worker", ["editor", "json", "graphql"])
async def test_the_editors_workers_are_there(client: httpx.AsyncClient, worker: str) -> None:
    assert (await client.get(f"/console/static/{worker}.worker.js")).status_code == 200


async def test_a_client_that_queries_does_not_get_the_page(client: httpx.AsyncClient) -> None:
    assert (await client.get("/graphql", headers={"accept": "application/json"})).status_code == 404
    assert (await client.get("/graphql?query={a}", headers=BROWSER)).status_code == 404


def test_the_assets_name_no_content_network() -> None:
    for path in STATIC.glob("*.js"):
        assert not re.search(r"(unpkg|jsdelivr|cdnjs|esm\.sh)", path.read_text()), path.name


def test_the_built_page_signs_people_in_and_out() -> None:
    built = (STATIC / "graphiql.js").read_text()
    assert "/login?return_to=/graphql" in built
    assert re.search(r'fetch\("/session"\)', built)
    assert re.search(r'fetch\("/logout",\{method:"POST"\}\)', built)
