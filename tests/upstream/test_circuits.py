"""How much is asked of AEP when it does not answer well, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import respx

from app.errors import UpstreamPaused, UpstreamUnavailable
from app.settings import UpstreamSettings
from app.store.database import Database
from app.store.notifications import NotificationListener
from app.telemetry import Metrics
from app.tenancy.upstream_circuits import SharedCircuits, listen_with
from app.tenancy.upstream_tokens import SharedTokens
from app.upstream.circuits import FAILURES_TO_OPEN, LONGEST_WAIT_S, SPARE_REPEATS, Circuits, endpoint_of
from app.upstream.client import AEPClient, Call
from app.upstream.connection import Target
from app.upstream.tokens import TokenCache
from tests.factories import SEALER, make_tenant
from tests.upstream.test_client import READ, TARGET, OneConnection

ENDPOINT = "segment/definitions"
BACKGROUND = Target(TARGET.tenant_id, "prod", "request-2", background=True)


class Clock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, pause_s: float) -> None:
        self.now += pause_s
        await asyncio.sleep(0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def _fail(circuits: Circuits, times: int, target: Target = TARGET) -> None:
    for _ in range(times):
        async with circuits.place(target, ENDPOINT):
            await circuits.failed(target, ENDPOINT)


@pytest.fixture
async def client(clock: Clock, database: Database, respx_mock: respx.MockRouter) -> AsyncIterator[AEPClient]:
    answer = {"access_token": "token", "token_type": "bearer", "expires_in": 86399}
    respx_mock.post("http://ims.test/ims/token/v3").respond(json=answer)
    async with httpx.AsyncClient() as http:
        tokens = TokenCache(http, SharedTokens(database, SEALER))
        circuits = Circuits(clock=clock, sleep=clock.sleep)
        settings = UpstreamSettings()
        yield AEPClient(http, OneConnection(), tokens, settings, Metrics(), circuits=circuits, sleep=clock.sleep)
        await tokens.aclose()


async def test_two_hundred_callers_of_a_dead_endpoint_make_no_storm(
    client: AEPClient, respx_mock: respx.MockRouter
) -> None:
    route = respx_mock.get("http://aep.test/one").respond(503)
    other = respx_mock.get("http://aep.test/two").respond(json={})
    found = await asyncio.gather(*(client.read(TARGET, READ) for _ in range(200)), return_exceptions=True)
    assert all(isinstance(one, UpstreamUnavailable) for one in found)
    # Without the circuit these would be 800. Sixteen were under way when it opened.
    assert FAILURES_TO_OPEN <= route.call_count <= FAILURES_TO_OPEN + 16
    assert (await client.read(TARGET, Call("list_audiences", "GET", "/two"))).body == {}
    assert other.call_count == 1


async def test_repeats_come_out_of_a_budget(client: AEPClient, respx_mock: respx.MockRouter) -> None:
    answers = [httpx.Response(503), httpx.Response(200, json={})] * 100
    route = respx_mock.get("http://aep.test/one").mock(side_effect=answers)
    refused = 0
    for _ in range(50):
        try:
            await client.read(TARGET, READ)
        except UpstreamUnavailable:
            refused += 1
    repeats = route.call_count - 50
    assert repeats <= SPARE_REPEATS + route.call_count * 0.2
    assert refused > 0


async def test_after_failures_in_a_row_nothing_is_sent_until_one_call_has_tried(clock: Clock) -> None:
    circuits = Circuits(clock=clock, sleep=clock.sleep)
    await _fail(circuits, FAILURES_TO_OPEN)
    with pytest.raises(UpstreamPaused) as problem:
        await _fail(circuits, 1)
    assert problem.value.retry_after_s == 1.0
    assert not problem.value.outcome_unknown
    clock.now += 1.0
    async with circuits.place(TARGET, ENDPOINT):
        with pytest.raises(UpstreamPaused):
            await _fail(circuits, 1)
        await circuits.failed(TARGET, ENDPOINT)
    clock.now += 1.5
    with pytest.raises(UpstreamPaused):
        await _fail(circuits, 1)
    clock.now += 0.5
    async with circuits.place(TARGET, ENDPOINT):
        await circuits.succeeded(TARGET, ENDPOINT)
    await _fail(circuits, FAILURES_TO_OPEN - 1)
    async with circuits.place(TARGET, ENDPOINT):
        pass


async def test_processes_share_a_circuit_and_only_one_call_of_all_tries(
    database: Database, database_url: str, clock: Clock
) -> None:
    luma = await make_tenant(database)
    target = Target(luma.id, "prod", "request")
    one, two = (Circuits(SharedCircuits(database), clock=clock, sleep=clock.sleep) for _ in range(2))
    listener = NotificationListener(database_url)
    heard = asyncio.Event()
    async with two.place(target, ENDPOINT):
        pass
    running = asyncio.create_task(listener.run())
    async with asyncio.timeout(10):
        await listener.wait_live()
        listener.add_handler(lambda notice: (listen_with(two, notice), heard.set())[0])
        await _fail(one, FAILURES_TO_OPEN, target)
        await heard.wait()
    with pytest.raises(UpstreamPaused):
        await _fail(two, 1, target)
    async with database.write(luma.id) as unit:
        stored = await unit.upstream_circuits.get(ENDPOINT)
        assert stored is not None
        assert 0 < stored.paused_for_s <= 1
    await asyncio.sleep(1.0)
    clock.now += 1.0
    async with one.place(target, ENDPOINT):
        with pytest.raises(UpstreamPaused):
            await _fail(two, 1, target)
        await one.succeeded(target, ENDPOINT)
    two.forget()
    async with two.place(target, ENDPOINT):
        pass
    running.cancel()
    await asyncio.wait({running})


async def test_too_many_requests_halve_the_calls_at_once_and_hold_all_back(clock: Clock) -> None:
    circuits = Circuits(concurrency=4, clock=clock, sleep=clock.sleep)
    async with circuits.place(TARGET, ENDPOINT):
        for _ in range(3):
            await circuits.throttled(TARGET, ENDPOINT, 3.0)
    began, most, now = clock.now, 0, 0

    async def call() -> None:
        nonlocal most, now
        async with circuits.place(TARGET, ENDPOINT):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await call()
    assert clock.now == began + 3.0
    await asyncio.gather(*(call() for _ in range(10)))
    assert most == 2
    async with circuits.place(TARGET, ENDPOINT):
        await circuits.throttled(TARGET, ENDPOINT, LONGEST_WAIT_S + 1)
    with pytest.raises(UpstreamPaused):
        await call()


async def test_callers_who_wait_go_before_the_sync_and_find_a_place_free(clock: Clock) -> None:
    circuits = Circuits(concurrency=2, clock=clock, sleep=clock.sleep)
    order: list[str] = []

    async def call(name: str, target: Target) -> None:
        async with circuits.place(target, ENDPOINT):
            order.append(name)
            for _ in range(5):
                await asyncio.sleep(0)

    syncs = [asyncio.create_task(call(f"sync {number}", BACKGROUND)) for number in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    callers = [asyncio.create_task(call(f"caller {number}", TARGET)) for number in range(3)]
    await asyncio.gather(*syncs, *callers)
    assert order == ["sync 0", "caller 0", "caller 1", "caller 2", "sync 1", "sync 2"]


async def test_a_caller_that_gives_up_leaves_its_place_to_others(clock: Clock) -> None:
    circuits = Circuits(concurrency=1, clock=clock, sleep=clock.sleep)

    async def wait() -> None:
        async with circuits.place(TARGET, ENDPOINT):
            pass

    async with circuits.place(TARGET, ENDPOINT):
        gone, stays = asyncio.create_task(wait()), asyncio.create_task(wait())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait({gone})
    async with asyncio.timeout(5):
        await stays


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/data/core/ups/segment/definitions/one-id", "segment/definitions"),
        ("/data/core/ups/segment/jobs", "segment/jobs"),
        ("/data/core/ups/audiences/one-id", "audiences"),
        ("/data/core/ups/config/schedules/one-id", "config/schedules"),
        ("/data/foundation/audit/events", "audit"),
        ("/data/core/ais/external-audience/one-id", "ais"),
        ("/", "/"),
    ],
)
def test_an_endpoint_is_the_path_without_ids(path: str, endpoint: str) -> None:
    assert endpoint_of(path) == endpoint
