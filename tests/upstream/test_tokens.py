"""When a token is fetched, by whom, and what happens when that goes wrong. The store is PostgreSQL's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import respx

from app.errors import UpstreamUnavailable
from app.store.database import Database
from app.tenancy.upstream_tokens import SharedTokens
from app.upstream.tokens import SharedToken, TokenCache
from tests.factories import SEALER
from tests.upstream.test_client import CONNECTION

IMS = "http://ims.test/ims/token/v3"
LIFE_S = 1000


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: Database) -> SharedTokens:
    return SharedTokens(database, SEALER)


@pytest.fixture
async def process(store: SharedTokens, clock: Clock) -> AsyncIterator[Callable[[], TokenCache]]:
    """Makes caches that know of each other only by the store, as those of several processes do."""
    made: list[TokenCache] = []
    async with httpx.AsyncClient() as http:

        def make() -> TokenCache:
            made.append(TokenCache(http, store, clock=clock))
            return made[-1]

        yield make
        for cache in made:
            await cache.aclose()


@pytest.fixture
def ims(respx_mock: respx.MockRouter) -> respx.Route:
    numbers = iter(range(1, 100))

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"access_token": f"token-{next(numbers)}", "expires_in": LIFE_S})

    return respx_mock.post(IMS).mock(side_effect=answer)


async def pass_time(owner_url: str, clock: Clock, seconds: float) -> None:
    """Let time go by for the process and for the database."""
    clock.now += seconds
    connection = await asyncpg.connect(owner_url)
    try:
        moved = ", ".join(f"{name} = {name} - make_interval(secs => $1)" for name in ("renew_at", "usable_until"))
        await connection.execute(f"UPDATE upstream_tokens SET {moved}", seconds)
    finally:
        await connection.close()


async def test_a_process_takes_over_what_another_one_fetched(
    process: Callable[[], TokenCache], ims: respx.Route
) -> None:
    assert await process().token(CONNECTION) == "token-1"
    assert await process().token(CONNECTION) == "token-1"
    assert ims.call_count == 1


async def test_other_scopes_and_other_tenants_have_tokens_of_their_own(
    process: Callable[[], TokenCache], ims: respx.Route
) -> None:
    cache = process()
    others = [
        replace(CONNECTION, scopes=("openid",)),
        replace(CONNECTION, tenant_id=UUID(int=9), credential_id=uuid4()),
    ]
    tokens = [await cache.token(connection) for connection in (CONNECTION, *others)]
    assert tokens == ["token-1", "token-2", "token-3"]


async def test_a_token_is_renewed_in_the_background_at_nine_tenths_of_its_life(
    process: Callable[[], TokenCache], ims: respx.Route, clock: Clock, owner_url: str
) -> None:
    cache = process()
    await cache.token(CONNECTION)
    await pass_time(owner_url, clock, 0.89 * LIFE_S)
    assert await cache.token(CONNECTION) == "token-1"
    assert not cache._renewals
    await pass_time(owner_url, clock, 0.02 * LIFE_S)
    assert await cache.token(CONNECTION) == "token-1"
    await asyncio.gather(*cache._renewals.values())
    assert await cache.token(CONNECTION) == "token-2"
    assert ims.call_count == 2


async def test_a_token_stays_in_use_while_ims_is_away_and_until_it_ends(
    process: Callable[[], TokenCache], ims: respx.Route, respx_mock: respx.MockRouter, clock: Clock, owner_url: str
) -> None:
    cache = process()
    await cache.token(CONNECTION)
    respx_mock.post(IMS).mock(side_effect=httpx.ConnectError("away"))
    await pass_time(owner_url, clock, 0.95 * LIFE_S)
    assert await cache.token(CONNECTION) == "token-1"
    await asyncio.gather(*cache._renewals.values(), return_exceptions=True)
    asked = ims.call_count
    assert await cache.token(CONNECTION) == "token-1"
    assert not cache._renewals, "it does not ask again with every call"
    await pass_time(owner_url, clock, 0.04 * LIFE_S)
    with pytest.raises(UpstreamUnavailable, match="cannot be reached"):
        await cache.token(CONNECTION)
    assert ims.call_count == asked + 1


async def test_a_holder_that_dies_holds_others_up_for_its_lease_and_no_longer(
    process: Callable[[], TokenCache], store: SharedTokens, ims: respx.Route
) -> None:
    assert await store.lease(CONNECTION, uuid4(), 0.5)
    waiting = asyncio.create_task(process().token(CONNECTION))
    assert not await store.lease(CONNECTION, uuid4(), 0.5)
    assert ims.call_count == 0
    async with asyncio.timeout(5):
        assert await waiting == "token-1"


async def test_a_fetch_that_fails_gives_the_lease_back(
    process: Callable[[], TokenCache], store: SharedTokens, respx_mock: respx.MockRouter
) -> None:
    respx_mock.post(IMS).respond(400, json={"error": "invalid_client"})
    with pytest.raises(UpstreamUnavailable, match="invalid_client"):
        await process().token(CONNECTION)
    assert await store.lease(CONNECTION, uuid4(), 1)


async def test_a_lease_that_was_lost_does_not_overwrite(store: SharedTokens) -> None:
    late, quick = uuid4(), uuid4()
    assert await store.lease(CONNECTION, late, 0)
    assert await store.lease(CONNECTION, quick, 10)
    await store.keep(CONNECTION, SharedToken("late", late, 10, 20))
    await store.keep(CONNECTION, SharedToken("quick", quick, 10, 20))
    await store.keep(CONNECTION, SharedToken("late", late, 10, 20))
    found = await store.get(CONNECTION)
    assert found is not None
    assert found.token == "quick"
    assert 9 < found.renew_in_s <= 10
    assert not await store.lease(CONNECTION, uuid4(), 10), "a fresh token leaves nothing to fetch"


async def test_giving_up_an_old_token_leaves_the_new_one(store: SharedTokens) -> None:
    lease_id = uuid4()
    await store.lease(CONNECTION, lease_id, 10)
    await store.keep(CONNECTION, SharedToken("new", lease_id, 10, 20))
    await store.discard(CONNECTION, uuid4())
    assert await store.get(CONNECTION) is not None
    await store.discard(CONNECTION, lease_id)
    assert await store.get(CONNECTION) is None


async def test_a_caller_that_gives_up_does_not_take_the_token_from_the_others(
    process: Callable[[], TokenCache], ims: respx.Route
) -> None:
    cache = process()
    first, second = (asyncio.create_task(cache.token(CONNECTION)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "token-1"
    assert first.cancelled()
    assert ims.call_count == 1


async def test_a_token_is_sealed_at_rest(process: Callable[[], TokenCache], ims: respx.Route, owner_url: str) -> None:
    await process().token(CONNECTION)
    connection = await asyncpg.connect(owner_url)
    try:
        rows = await connection.fetch("SELECT * FROM upstream_tokens")
    finally:
        await connection.close()
    assert len(rows) == 1
    assert "token-1" not in str(rows)
