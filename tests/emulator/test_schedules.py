"""Schedules are kept, checked, and carried out by the clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.emulator.conftest import PROFILES, Emulator, Start

PATH = "/data/core/ups/config/schedules"
JOBS = "/data/core/ups/segment/jobs"


@pytest.fixture
async def emulator(start: Start) -> AsyncIterator[Emulator]:
    async with start(scheduler_poll_s=0.01) as running_emulator:
        yield running_emulator


def _schedule(**changes: Any) -> dict[str, Any]:
    return {
        "name": "luma-nightly",
        "type": "batch_segmentation",
        "properties": {"segments": ["*"]},
        "schedule": "0 0 1 * * ?",
        **changes,
    }


async def _add(emulator: Emulator, **changes: Any) -> dict[str, Any]:
    answer = await emulator.call("POST", PATH, json=_schedule(**changes))
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def _finished_jobs(emulator: Emulator, count: int) -> list[dict[str, Any]]:
    body = await emulator.until(JOBS, lambda body: [job["status"] for job in body["children"]] == ["SUCCEEDED"] * count)
    jobs: list[dict[str, Any]] = body["children"]
    return jobs


async def test_a_new_schedule_has_the_documented_members(emulator: Emulator) -> None:
    made = await _add(emulator)
    now_s = int(emulator.clock.now().timestamp())
    assert {name: made[name] for name in _schedule()} == _schedule()
    assert (made["state"], made["frequency"]) == ("inactive", "daily")
    assert made["createEpoch"] == made["updateEpoch"] == now_s
    assert made["sandbox"]["sandboxName"] == "prod"
    assert not [name for name in made if name.startswith("_")]
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).json() == made
    listed = (await emulator.call("GET", PATH, params={"start": 0})).json()
    assert (listed["children"], listed["_page"]["totalCount"], listed["_links"]) == ([made], 1, {"next": {}})


async def test_a_schedule_without_an_expression_runs_at_one_in_the_night(emulator: Emulator) -> None:
    body = _schedule()
    del body["schedule"]
    answer = await emulator.call("POST", PATH, json=body)
    assert answer.json()["schedule"] == "0 0 1 * * ?"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"type": "other"},
        {"properties": {}},
        {"properties": None},
        {"properties": {"segments": []}},
        {"properties": {"segments": ["*", "x"]}},
        {"properties": {"segments": [1]}},
        {"schedule": "every day"},
        {"schedule": "0 0 1,13 * * ?"},
        {"schedule": 5},
        {"state": "sleeping"},
    ],
)
async def test_bad_schedules_are_refused(emulator: Emulator, changes: dict[str, Any]) -> None:
    answer = await emulator.call("POST", PATH, json=_schedule(**changes))
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert (await emulator.call("GET", PATH)).json()["children"] == []


async def test_an_active_schedule_begins_its_job_when_its_time_comes(emulator: Emulator) -> None:
    definition = await emulator.create()
    made = await _add(emulator, state="active")
    emulator.clock.advance(hours=12, minutes=59)
    assert (await emulator.call("GET", JOBS)).json()["children"] == []
    emulator.clock.advance(minutes=2)
    (job,) = await _finished_jobs(emulator, 1)
    assert job["source"] == "scheduler"
    assert job["properties"]["scheduleId"] == made["id"]
    assert job["properties"]["runId"]
    assert job["metrics"]["totalProfiles"] == PROFILES
    assert job["metrics"]["segmentedProfileCounter"][definition["id"]] > 0
    emulator.clock.advance(hours=24)
    assert len(await _finished_jobs(emulator, 2)) == 2


async def test_an_inactive_schedule_runs_only_once_it_is_switched_on(emulator: Emulator) -> None:
    made = await _add(emulator)
    emulator.clock.advance(days=3)
    patch = [{"op": "add", "path": "/state", "value": "active"}]
    answer = await emulator.call("PATCH", f"{PATH}/{made['id']}", json=patch)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).json()["state"] == "active"
    assert (await emulator.call("GET", JOBS)).json()["children"] == []
    emulator.clock.advance(days=1)
    await _finished_jobs(emulator, 1)


async def test_a_missed_run_is_made_once_after_a_restart(start: Start) -> None:
    async with start(scheduler_poll_s=60) as emulator:
        await _add(emulator, state="active")
        emulator.clock.advance(days=5)
    async with start(scheduler_poll_s=0.01) as emulator:
        await _finished_jobs(emulator, 1)
    async with start(scheduler_poll_s=0.01) as emulator:
        await _finished_jobs(emulator, 1)


async def test_a_schedule_of_named_segments_skips_those_that_were_deleted(emulator: Emulator) -> None:
    kept, gone = await emulator.create("Kept"), await emulator.create("Gone", emulator.rule("silver"))
    await _add(emulator, state="active", properties={"segments": [kept["id"], gone["id"]]})
    await emulator.call("DELETE", f"/data/core/ups/segment/definitions/{gone['id']}")
    emulator.clock.advance(days=1)
    (job,) = await _finished_jobs(emulator, 1)
    assert set(job["metrics"]["segmentedProfileCounter"]) == {kept["id"]}


async def test_a_schedule_of_exports_writes_a_snapshot(emulator: Emulator) -> None:
    body = {"name": "snapshot", "type": "export", "state": "active", "schedule": "0 0 1 * * ?"}
    answer = await emulator.call("POST", PATH, json=body)
    assert (answer.status_code, answer.json()["properties"]) == (200, {"segments": ["*"]})
    emulator.clock.advance(days=1)
    exports = "/data/core/ups/export/jobs"
    listed = await emulator.until(exports, lambda body: [one["status"] for one in body["records"]] == ["SUCCEEDED"])
    assert listed["records"][0]["metrics"]["totalExportedProfileCounter"] == PROFILES


async def test_a_schedule_of_exports_whose_segments_are_gone_writes_nobody(emulator: Emulator) -> None:
    made = await emulator.create()
    body = {"name": "gold", "type": "export", "state": "active", "properties": {"segments": [made["id"]]}}
    assert (await emulator.call("POST", PATH, json=body)).status_code == 200
    await emulator.call("DELETE", f"/data/core/ups/segment/definitions/{made['id']}")
    emulator.clock.advance(days=1)
    exports = "/data/core/ups/export/jobs"
    listed = await emulator.until(exports, lambda body: [one["status"] for one in body["records"]] == ["SUCCEEDED"])
    assert listed["records"][0]["metrics"]["totalExportedProfileCounter"] == 0


async def test_a_patch_without_a_content_type_works(emulator: Emulator) -> None:
    made = await _add(emulator)
    headers = {**await emulator.headers(), "content-type": "text/plain"}
    content = b'[{"op": "replace", "path": "/schedule", "value": "0 0 2 ? * MON"}]'
    answer = await emulator.http.patch(f"{PATH}/{made['id']}", content=content, headers=headers)
    assert answer.status_code == 204
    changed = (await emulator.call("GET", f"{PATH}/{made['id']}")).json()
    assert (changed["schedule"], changed["frequency"]) == ("0 0 2 ? * MON", "weekly")


@pytest.mark.parametrize(
    "patch",
    [
        {},
        [],
        [{"op": "add", "path": "/name", "value": "x"}],
        [{"op": "remove", "path": "/state"}],
        [{"op": "add", "path": "/state", "value": "on"}],
        [{"op": "add", "path": "/schedule", "value": "x"}],
    ],
)
async def test_a_refused_patch_changes_nothing(emulator: Emulator, patch: Any) -> None:
    made = await _add(emulator)
    assert (await emulator.call("PATCH", f"{PATH}/{made['id']}", json=patch)).status_code == 400
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).json() == made


async def test_delete_is_204_and_stops_it(emulator: Emulator) -> None:
    made = await _add(emulator, state="active")
    assert (await emulator.call("DELETE", f"{PATH}/{made['id']}")).status_code == 204
    assert (await emulator.call("DELETE", f"{PATH}/{made['id']}")).status_code == 404
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).status_code == 404
    patch = [{"op": "add", "path": "/state", "value": "active"}]
    assert (await emulator.call("PATCH", f"{PATH}/{made['id']}", json=patch)).status_code == 404


async def test_schedules_of_another_sandbox_are_not_found(emulator: Emulator) -> None:
    made = await _add(emulator)
    for method, body in (("GET", None), ("DELETE", None)):
        answer = await emulator.call(method, f"{PATH}/{made['id']}", json=body, sandbox="dev")
        assert answer.status_code == 404
