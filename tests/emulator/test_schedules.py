"""Schedules are kept, checked, and carried out by the clock."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from app.emulator.state import FILE_NAME
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


@pytest.mark.parity("schedules.members", source="documents")
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


@pytest.mark.parity("schedules.default_expression", source="assumed")
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


@pytest.mark.parity("schedules.scheduled_job", source="documents")
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


@pytest.mark.parity("schedules.patch_is_204", source="openapi")
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


@pytest.mark.parity("schedules.export_type", source="documents")
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


@pytest.mark.parity("schedules.patch_without_content_type", source="measured")
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


@pytest.mark.parity("schedules.delete_is_204", source="openapi")
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


@pytest.mark.parity("schedules.add_and_remove_audiences", source="documents")
async def test_audiences_are_added_to_and_removed_from_a_schedule(emulator: Emulator) -> None:
    first, second = await emulator.create("First"), await emulator.create("Second", emulator.rule("silver"))
    made = await _add(emulator, properties={"segments": [first["id"]]})
    body = {"id": made["id"], "segments": [first["id"], second["id"], "unknown"]}
    answer = await emulator.call("POST", f"{PATH}/add-audiences", json=body)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "added": [second["id"]],
            "existing": [first["id"]],
            "invalid": ["unknown"],
            "segmentCount": {"previous": 1, "current": 2, "diff": 1},
        },
    )
    one = f"{PATH}/{made['id']}"
    assert (await emulator.call("GET", one)).json()["properties"]["segments"] == [first["id"], second["id"]]
    answer = await emulator.call(
        "POST", f"{PATH}/remove-audiences", json={**body, "segments": [first["id"], "unknown"]}
    )
    assert answer.json() == {
        "removed": [first["id"]],
        "existing": [],
        "invalid": ["unknown"],
        "segmentCount": {"previous": 2, "current": 1, "diff": -1},
    }
    assert (await emulator.call("GET", one)).json()["properties"]["segments"] == [second["id"]]


async def test_a_schedule_of_everything_has_no_list_to_change(emulator: Emulator) -> None:
    first = await emulator.create("First")
    made = await _add(emulator)
    for call in ("add-audiences", "remove-audiences"):
        for body, status in (
            ({"id": made["id"], "segments": [first["id"]]}, 400),
            ({"id": "unknown", "segments": [first["id"]]}, 404),
            ({"id": made["id"], "segments": []}, 400),
            ({"segments": [first["id"]]}, 400),
            ([], 400),
        ):
            assert (await emulator.call("POST", f"{PATH}/{call}", json=body)).status_code == status
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).json() == made


@pytest.mark.parity("schedules.audience_map", source="documents")
async def test_the_audience_map_tells_which_schedules_have_an_audience(emulator: Emulator) -> None:
    first, second = await emulator.create("First"), await emulator.create("Second", emulator.rule("silver"))
    everything = await _add(emulator)
    one = await _add(emulator, name="one", properties={"segments": [first["id"]]}, schedule="0 0 2 ? * MON")
    answer = await emulator.call("POST", f"{PATH}/audience-map", json={"segments": [first["id"], second["id"]]})
    body = answer.json()
    assert set(body["audienceMap"][first["id"]]) == {everything["id"], one["id"]}
    assert body["audienceMap"][second["id"]] == [everything["id"]]
    assert body["schedules"][one["id"]] == {"name": "one", "schedule": "0 0 2 ? * MON", "frequency": "weekly"}
    assert (await emulator.call("POST", f"{PATH}/audience-map", json={})).status_code == 400


@pytest.mark.parity("schedules.trigger", source="documents")
async def test_a_triggered_schedule_runs_at_once(emulator: Emulator) -> None:
    await emulator.create()
    made = await _add(emulator)
    answer = await emulator.call("POST", f"{PATH}/trigger", json={"id": made["id"]})
    assert (answer.status_code, answer.content) == (200, b"")
    (job,) = await _finished_jobs(emulator, 1)
    assert job["properties"]["scheduleId"] == made["id"]
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).json() == made
    assert (await emulator.call("POST", f"{PATH}/trigger", json={"id": "unknown"})).status_code == 404


@pytest.mark.parity("schedules.dependencies_run_with_their_dependents", source="documents")
async def test_what_a_segment_uses_is_evaluated_with_it(emulator: Emulator) -> None:
    inner = await emulator.create("Inner")
    outer = await emulator.create("Outer", f'inSegment("{inner["id"]}")')
    await emulator.create("Other", emulator.rule("silver"))
    made = await _add(emulator, properties={"segments": [outer["id"]]})
    await emulator.call("POST", f"{PATH}/trigger", json={"id": made["id"]})
    (job,) = await _finished_jobs(emulator, 1)
    counters = job["metrics"]["segmentedProfileCounter"]
    assert set(counters) == {inner["id"], outer["id"]}
    assert counters[inner["id"]] == counters[outer["id"]] > 0


@pytest.mark.parity("guardrails.four_schedules_a_sandbox", source="documents")
async def test_a_sandbox_has_room_for_four_schedules(emulator: Emulator) -> None:
    for _ in range(4):
        await _add(emulator)
    answer = await emulator.call("POST", PATH, json=_schedule())
    assert (answer.status_code, "limit is 4" in answer.json()["title"]) == (400, True)
    assert (await emulator.call("POST", PATH, json=_schedule(), sandbox="dev")).status_code == 200


async def test_a_run_that_was_stored_before_a_crash_is_not_made_again(start: Start) -> None:
    exports = "/data/core/ups/export/jobs"
    async with start(scheduler_poll_s=600) as emulator:
        await _add(emulator, state="active")
        await emulator.call("POST", PATH, json={"name": "snapshot", "type": "export", "state": "active"})
        await _jump(emulator, "P1D")
        await _finished_jobs(emulator, 1)
        await emulator.until(exports, lambda body: [one["status"] for one in body["records"]] == ["SUCCEEDED"])
        folder = emulator.settings.state_dir
    # As if the process had ended between storing the runs and planning the next ones.
    planned_ms = int(datetime(2026, 3, 2, 1, tzinfo=UTC).timestamp() * 1000)
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection, connection:
        changed = connection.execute(
            "UPDATE work SET document = CAST(json_set(CAST(document AS TEXT), '$._nextMs', ?) AS BLOB) "
            "WHERE kind = 'schedule'",
            (planned_ms,),
        )
        assert changed.rowcount == 2
    async with start(scheduler_poll_s=600) as emulator:
        await _jump(emulator, "PT1S")
        assert len((await emulator.call("GET", exports)).json()["records"]) == 1
        assert len((await emulator.call("GET", JOBS)).json()["children"]) == 1
        await _jump(emulator, "P1D")
        assert len((await emulator.call("GET", exports)).json()["records"]) == 2


async def _jump(emulator: Emulator, duration: str) -> None:
    assert (await emulator.http.put("/emulator/clock", json={"advance": duration})).status_code == 200
    emulator._tokens.clear()
