"""The clock can be set, moved on, quickened and reset, and remembers it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.emulator.clock import Clock, Jump
from app.emulator.state import FILE_NAME, State
from tests.emulator.conftest import Emulator, Start, SteppedClock

PATH = "/emulator/clock"
START = "2026-03-01T12:00:00.123000+00:00"
SCHEDULES = "/data/core/ups/config/schedules"
JOBS = "/data/core/ups/segment/jobs"


async def _put(emulator: Emulator, **body: Any) -> Any:
    answer = await emulator.http.put(PATH, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_an_untouched_clock_follows_its_source(emulator: Emulator) -> None:
    assert (await emulator.http.get(PATH)).json() == {"now": START, "rate": 1.0, "virtual": False}
    emulator.clock.advance(seconds=1)
    assert (await emulator.http.get(PATH)).json()["now"] == "2026-03-01T12:00:01.123000+00:00"


async def test_a_set_clock_goes_on_from_there(emulator: Emulator) -> None:
    body = await _put(emulator, set="2030-01-01T01:00:00+01:00")
    assert body == {"now": "2030-01-01T00:00:00+00:00", "rate": 1.0, "virtual": True}
    emulator.clock.advance(minutes=1)
    assert (await emulator.http.get(PATH)).json()["now"] == "2030-01-01T00:01:00+00:00"


@pytest.mark.parametrize("advance", [90_000, "P1DT1H", 90_000.0])
async def test_a_clock_is_moved_on_by_seconds_or_a_duration(emulator: Emulator, advance: Any) -> None:
    assert (await _put(emulator, advance=advance))["now"] == "2026-03-02T13:00:00.123000+00:00"


async def test_a_clock_can_be_quickened_and_stopped(emulator: Emulator) -> None:
    await _put(emulator, set="2026-01-01T00:00:00Z", rate=60)
    emulator.clock.advance(seconds=2)
    assert (await emulator.http.get(PATH)).json()["now"] == "2026-01-01T00:02:00+00:00"
    await _put(emulator, rate=0)
    emulator.clock.advance(seconds=2)
    assert (await emulator.http.get(PATH)).json()["now"] == "2026-01-01T00:02:00+00:00"


async def test_a_reset_clock_follows_its_source_again(emulator: Emulator) -> None:
    await _put(emulator, set="2030-01-01T00:00:00Z", rate=0)
    assert await _put(emulator, reset=True) == {"now": START, "rate": 1.0, "virtual": False}


async def test_a_restart_finds_the_clock_as_it_was(start: Start) -> None:
    async with start() as emulator:
        await _put(emulator, set="2030-01-01T00:00:00Z", rate=2)
        emulator.clock.advance(seconds=5)
    async with start() as emulator:
        assert (await emulator.http.get(PATH)).json() == {
            "now": "2030-01-01T00:00:10+00:00",
            "rate": 2.0,
            "virtual": True,
        }


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"to": "x"},
        {"set": "tomorrow"},
        {"set": "2030-01-01T00:00:00"},
        {"set": "1999-12-31T23:59:59Z"},
        {"advance": "an hour"},
        {"advance": True},
        {"advance": 1e300},
        {"advance": 4e9},
        {"rate": -1},
        {"rate": 1e9},
        {"rate": "2"},
        {"reset": False},
        {"reset": True, "rate": 2},
    ],
)
async def test_a_bad_change_is_refused_and_changes_nothing(emulator: Emulator, body: Any) -> None:
    answer = await emulator.http.put(PATH, json=body)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert (await emulator.http.get(PATH)).json() == {"now": START, "rate": 1.0, "virtual": False}


async def test_objects_carry_the_time_of_the_clock(emulator: Emulator) -> None:
    await _put(emulator, set="2030-01-01T00:00:00Z", rate=0)
    made = await emulator.call("POST", SCHEDULES, json=_nightly())
    assert made.json()["createEpoch"] == int(datetime(2030, 1, 1, tzinfo=UTC).timestamp())


async def test_tokens_end_by_the_clock(emulator: Emulator) -> None:
    headers = await emulator.headers()
    await _put(emulator, advance=86_400)
    answer = await emulator.http.get(SCHEDULES, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (401, "401013")


async def test_a_jump_has_begun_the_runs_that_it_made_due_when_it_is_answered(start: Start) -> None:
    async with start(scheduler_poll_s=600) as emulator:
        await emulator.call("POST", SCHEDULES, json=_nightly(state="active"))
        headers = await emulator.headers()
        await _put(emulator, advance="PT14H")
        jobs = (await emulator.http.get(JOBS, headers=headers)).json()["children"]
        assert [job["source"] for job in jobs] == ["scheduler"]


async def test_listeners_hear_of_a_jump_and_one_that_fails_holds_up_nobody(tmp_path: Path) -> None:
    state = State(tmp_path / FILE_NAME)
    clock = await Clock.open(SteppedClock(), state)
    heard: list[Jump] = []

    async def fail(_jump: Jump) -> None:
        raise RuntimeError("a listener broke")

    async def hear(jump: Jump) -> None:
        heard.append(jump)

    clock.listen(fail)
    clock.listen(hear)
    before = clock.now()
    jump = await clock.change(advance=timedelta(hours=1))
    state.close()
    assert heard == [jump] == [Jump(before, before + timedelta(hours=1))]


def _nightly(**changes: Any) -> dict[str, Any]:
    return {"name": "nightly", "type": "batch_segmentation", "properties": {"segments": ["*"]}, **changes}
