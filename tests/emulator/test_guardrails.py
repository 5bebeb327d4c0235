"""AEP's limits: hard ones hold, soft ones and those of single products when they are switched on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import Emulator, Start, definition

PATH = "/emulator/guardrails"
DEFINITIONS = "/data/core/ups/segment/definitions"
JOBS = "/data/core/ups/segment/jobs"
STREAMING = {"continuous": {"enabled": True}}


async def _switch(emulator: Emulator, **members: Any) -> None:
    answer = await emulator.http.put(PATH, json=members)
    assert answer.status_code == 200, answer.text


async def test_a_restart_keeps_the_guardrails(start: Start) -> None:
    async with start() as emulator:
        assert (await emulator.http.get(PATH)).json()["soft"] is False
        await _switch(emulator, soft=True, audiences=7)
    async with start() as emulator:
        body = (await emulator.http.get(PATH)).json()
        assert (body["soft"], body["audiences"], body["edge_audiences"]) == (True, 7, 150)


@pytest.mark.parametrize("body", [[], {"soft": "yes"}, {"audiences": -1}, {"speed": 1}])
async def test_bad_guardrails_are_refused_and_change_nothing(emulator: Emulator, body: Any) -> None:
    before = (await emulator.http.get(PATH)).json()
    assert (await emulator.http.put(PATH, json=body)).status_code == 400
    assert (await emulator.http.get(PATH)).json() == before


async def test_soft_limits_hold_when_they_are_switched_on(emulator: Emulator) -> None:
    await _switch(emulator, audiences=1)
    await emulator.create("One")
    await emulator.create("Two")
    await _switch(emulator, soft=True, audiences=2)
    answer = await emulator.call("POST", DEFINITIONS, json=definition("Three", emulator.rule("gold")))
    assert (answer.status_code, "limit is 2" in answer.json()["title"]) == (400, True)
    assert len((await emulator.call("GET", DEFINITIONS)).json()["segments"]) == 2
    await emulator.create("Other", sandbox="dev")


async def test_there_is_room_for_so_many_streaming_audiences(emulator: Emulator) -> None:
    await _switch(emulator, soft=True, streaming_audiences=1)
    first = await emulator.create("One", evaluationInfo=STREAMING)
    batch = await emulator.create("Two")
    body = definition("Three", emulator.rule("gold"), evaluationInfo=STREAMING)
    assert (await emulator.call("POST", DEFINITIONS, json=body)).status_code == 400
    path = f"{DEFINITIONS}/{batch['id']}"
    assert (await emulator.call("PATCH", path, json={"evaluationInfo": STREAMING})).status_code == 400
    assert (await emulator.call("GET", path)).json()["evaluationInfo"]["batch"] == {"enabled": True}
    same = await emulator.call("PATCH", f"{DEFINITIONS}/{first['id']}", json={"description": "still streaming"})
    assert same.status_code == 200


@pytest.mark.parity("guardrails.on_demand_runs", source="documents")
async def test_on_demand_runs_are_few_and_of_few_audiences(emulator: Emulator) -> None:
    made = [await emulator.create(f"Gold {number}") for number in range(3)]
    ids = [{"segmentId": one["id"]} for one in made]
    await _switch(emulator, on_demand=True, on_demand_ids=2)
    answer = await emulator.call("POST", JOBS, json=ids)
    assert (answer.status_code, "at most 2" in answer.json()["title"]) == (400, True)
    for _ in range(2):
        assert (await emulator.call("POST", JOBS, json=ids[:2])).status_code == 200
    assert (await emulator.call("POST", JOBS, json=ids[:2])).status_code == 429
    emulator.clock.advance(hours=12)
    assert (await emulator.call("POST", JOBS, json=ids[:2])).status_code == 200
    await _switch(emulator, on_demand_runs_a_day=100, on_demand_runs_a_year_production=3)
    assert (await emulator.call("POST", JOBS, json=ids[:2])).status_code == 429
    await _switch(emulator, on_demand=False)
    assert (await emulator.call("POST", JOBS, json=ids)).status_code == 200


async def test_on_demand_runs_take_batch_audiences_only(emulator: Emulator) -> None:
    made = await emulator.create("Live", evaluationInfo=STREAMING)
    await _switch(emulator, on_demand=True)
    answer = await emulator.call("POST", JOBS, json=[{"segmentId": made["id"]}])
    assert (answer.status_code, made["id"] in answer.json()["title"]) == (400, True)


@pytest.mark.parity("gateway.too_many_requests", source="assumed", note="the shape of a sibling API behind it")
async def test_too_many_calls_of_a_client_are_answered_by_the_api_gateway(emulator: Emulator) -> None:
    await _switch(emulator, calls_a_minute=1)
    assert (await emulator.call("GET", DEFINITIONS)).status_code == 200
    answer = await emulator.call("GET", DEFINITIONS)
    assert (answer.status_code, answer.json()) == (
        429,
        {"error_code": "429050", "message": "Too many requests"},
    )
    assert answer.headers["retry-after"] == "60"
    assert (await emulator.call("GET", DEFINITIONS, organization=1)).status_code == 200
