"""Requests are counted across processes, and refused in each entrance's own shape."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.audit.recorder import AuditRecorder
from app.auth import limits
from app.auth.limits import RequestLimits
from app.context import Actor, ActorKind, Role
from app.context.permissions import Permission
from app.errors import InvalidRequest
from app.main import Gateway, build_gateway
from app.settings import LimitSettings, ServerSettings, Settings
from app.store.database import Database
from app.tenancy.author import Author
from app.tenancy.origins import allow_origins
from tests.factories import MadeTenant, make_tenant

ORIGIN = "https://tools.luma.example"


@pytest.fixture(autouse=True)
def long_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may meet the end of a window by chance."""
    monkeypatch.setattr(limits, "WINDOW_S", 10_000_000)


class CountingDatabase(Database):
    """Counts the transactions that write."""

    def __init__(self, url: str) -> None:
        super().__init__(url, pool_size=3)
        self.writes = 0

    def write(self, tenant_id: UUID) -> Any:
        self.writes += 1
        return super().write(tenant_id)


def person(tenant: MadeTenant) -> Actor:
    return Actor(ActorKind.PERSON, uuid4(), "ann@luma.example", tenant.id)


async def test_processes_share_one_budget_and_ask_the_database_seldom(database_url: str, database: Database) -> None:
    luma = await make_tenant(database)
    ann = person(luma)
    databases = [CountingDatabase(database_url) for _ in range(3)]
    processes = [RequestLimits(one, per_tenant=0, per_credential=200) for one in databases]

    async def call(process: RequestLimits) -> int:
        taken = 0
        for _ in range(150):
            taken += (await process.take(ann))[-1].remaining >= 0
        return taken

    taken = sum(await asyncio.gather(*(call(process) for process in processes)))
    # Never over; what a process holds unused at the end is less than a slice of ten.
    assert 200 - 3 * 10 <= taken <= 200
    # 450 requests were made of the database by a lease for ten each, and one more that found nothing left.
    assert sum(one.writes for one in databases) <= 20 + 3
    for one in databases:
        await one.close()


async def test_the_next_window_has_a_budget_of_its_own(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    luma, now = await make_tenant(database), [0.0]
    ann = person(luma)
    process = RequestLimits(database, per_tenant=0, per_credential=2, clock=lambda: now[0])
    assert [(await process.take(ann))[-1].remaining for _ in range(3)] == [1, 0, -1]
    now[0] += limits.WINDOW_S
    # The database's window goes on: a process whose clock runs ahead gets nothing more.
    assert (await process.take(ann))[-1].remaining == -1
    # Windows of another length begin at another time.
    monkeypatch.setattr(limits, "WINDOW_S", 7_000_001)
    now[0] += 20_000_000
    assert (await process.take(ann))[-1].remaining == 1


async def test_a_credential_that_is_over_does_not_use_up_its_organizations_budget(database: Database) -> None:
    luma = await make_tenant(database)
    process = RequestLimits(database, per_tenant=5, per_credential=2)
    ann, bob = person(luma), person(luma)
    for _ in range(10):
        last = (await process.take(ann))[-1]
    assert (last.policy, last.remaining) == ("credential", -1)
    assert [one.remaining for one in await process.take(bob)] == [1, 2]
    await process.take(bob)
    carol = person(luma)
    await process.take(carol)
    over = (await process.take(carol))[-1]
    assert (over.policy, over.remaining) == ("tenant", -1)
    other = await make_tenant(database, "other")
    assert [one.remaining for one in await process.take(person(other))] == [1, 4]


async def test_no_limit_asks_nothing(database_url: str, database: Database) -> None:
    luma, counting = await make_tenant(database), CountingDatabase(database_url)
    process = RequestLimits(counting, per_tenant=0, per_credential=0)
    assert await process.take(person(luma)) == []
    assert (counting.writes, process.policy_header) == (0, "")
    await counting.close()


@asynccontextmanager
async def serving(database_url: str, folder: Path, given: LimitSettings) -> AsyncIterator[tuple[Gateway, Any]]:
    outbound = httpx.AsyncClient()
    settings = Settings(server=ServerSettings(state_dir=folder), limits=given)
    gateway = await build_gateway(settings, database_url, http=outbound)
    transport = httpx.ASGITransport(gateway.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as http:
        yield gateway, http
    await outbound.aclose()
    await gateway.database.close()


async def _key(gateway: Gateway, luma: MadeTenant, name: str = "ann") -> dict[str, str]:
    profile = await luma.administration.create_product_profile(luma.id, f"P {name}", [Permission.VIEW_SEGMENTS])
    key = await luma.administration.add_person(luma.id, f"{name}@luma.example", profile, Role.DEVELOPER)
    return {"authorization": f"Bearer {key}"}


async def test_each_entrance_refuses_in_its_own_shape(database_url: str, tmp_path: Path) -> None:
    given = LimitSettings(tenant_requests_per_minute=0, credential_requests_per_minute=2)
    async with serving(database_url, tmp_path, given) as (gateway, http):
        headers = await _key(gateway, await make_tenant(gateway.database))
        first = await http.get("/v1/viewer", headers=headers)
        assert first.headers["ratelimit-policy"].startswith('"credential";q=2;w=')
        assert first.headers["ratelimit"].startswith('"credential";r=1;t=')
        await http.get("/v1/viewer", headers=headers)
        rest = await http.get("/v1/viewer", headers=headers)
        assert (rest.status_code, rest.json()["code"]) == (429, "TOO_MANY_REQUESTS")
        assert rest.headers["ratelimit"].startswith('"credential";r=0;t=')
        assert int(rest.headers["retry-after"]) >= 1
        facade = await http.get("/data/core/ups/segment/definitions", headers=headers)
        assert facade.status_code == 429
        assert facade.json() == {"error_code": "429050", "message": "Too many requests"}
        assert "retry-after" in facade.headers
        graphql = await http.post("/graphql", json={"query": "{ viewer { name } }"}, headers=headers)
        assert graphql.status_code == 429
        assert graphql.json()["errors"][0]["extensions"]["code"] == "TOO_MANY_REQUESTS"
        assert "retry-after" in graphql.headers
        # Nobody is counted who is not known.
        unknown = await http.get("/v1/viewer", headers={"authorization": "Bearer sgk_unknown"})
        assert (unknown.status_code, "ratelimit" in unknown.headers) == (401, False)


PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


async def test_pages_of_listed_origins_may_call(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path, LimitSettings()) as (gateway, http):
        luma, other = await make_tenant(gateway.database), await make_tenant(gateway.database, "other")
        author = Author.command("test")
        given = ["https://Tools.luma.example/"]
        assert await allow_origins(gateway.database, AuditRecorder(), luma.id, given, author) == [ORIGIN]
        preflight = await http.options("/graphql", headers=PREFLIGHT | {"origin": ORIGIN})
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, ORIGIN)
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        assert "Origin" in preflight.headers["vary"]
        mine, theirs = await _key(gateway, luma), await _key(gateway, other, "bob")
        answer = await http.get("/v1/viewer", headers=mine | {"origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "ratelimit" in answer.headers["access-control-expose-headers"]
        # Another organization's answers stay closed to that page, although its preflight went through.
        closed = await http.get("/v1/viewer", headers=theirs | {"origin": ORIGIN})
        assert (closed.status_code, "access-control-allow-origin" in closed.headers) == (200, False)
        assert closed.headers["cross-origin-resource-policy"] == "same-origin"
        assert "Origin" in closed.headers["vary"]
        # A page must be able to read that its token has ended.
        ended = await http.get("/v1/viewer", headers={"authorization": "Bearer sgk_x", "origin": ORIGIN})
        assert (ended.status_code, ended.headers["access-control-allow-origin"]) == (401, ORIGIN)
        for reply in (preflight, answer, ended):
            assert "access-control-allow-credentials" not in reply.headers


async def test_pages_of_other_origins_may_not(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path, LimitSettings()) as (gateway, http):
        luma = await make_tenant(gateway.database)
        await allow_origins(gateway.database, AuditRecorder(), luma.id, [ORIGIN], Author.command("test"))
        headers = await _key(gateway, luma)
        for origin in ("https://elsewhere.example", "null", "*", "luma", "LUMA@AdobeOrg", f"{ORIGIN}:8443", "x" * 300):
            preflight = await http.options("/graphql", headers=PREFLIGHT | {"origin": origin})
            assert (preflight.status_code, "access-control-allow-origin" in preflight.headers) == (403, False), origin
            answer = await http.get("/v1/viewer", headers=headers | {"origin": origin})
            assert "access-control-allow-origin" not in answer.headers, origin


@pytest.mark.parametrize("origin", ["*", "null", "tools.luma.example", "https://a/b", "ftp://a", "https://a b", ""])
async def test_what_is_no_origin_is_not_taken(database: Database, origin: str) -> None:
    with pytest.raises(InvalidRequest):
        await allow_origins(database, AuditRecorder(), uuid4(), [origin], Author.command("test"))
