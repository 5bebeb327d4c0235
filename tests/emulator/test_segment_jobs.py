"""Segment jobs evaluate definitions for real, in the background, and survive restarts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.emulator.populations import Population
from app.emulator.state import FILE_NAME, State
from tests.emulator.conftest import LUMA, PROFILES, Emulator, Start

PATH = "/data/core/ups/segment/jobs"


async def _begin(emulator: Emulator, body: Any) -> dict[str, Any]:
    answer = await emulator.call("POST", PATH, json=body)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def _ended(emulator: Emulator, job: dict[str, Any]) -> dict[str, Any]:
    ends = {"SUCCEEDED", "FAILED", "CANCELLED"}
    return await emulator.until(f"{PATH}/{job['id']}", lambda body: body["status"] in ends)


@pytest.mark.parity("segment_jobs.new_job", source="documents")
async def test_a_job_begins_as_new_with_the_documented_members(emulator: Emulator) -> None:
    made = await emulator.create()
    job = await _begin(emulator, [{"segmentId": made["id"]}])
    assert job["status"] == "NEW"
    assert job["source"] == "api"
    assert job["metrics"] == {
        "totalTime": {"startTimeInMs": job["creationTime"]},
        "profileSegmentationTime": {},
    }
    assert job["segments"] == [
        {
            "segmentId": made["id"],
            "segment": {
                "id": made["id"],
                "version": 1,
                "expression": made["expression"],
                "mergePolicyId": made["mergePolicyId"],
                "mergePolicy": {"id": made["mergePolicyId"], "version": 1},
            },
        }
    ]
    assert job["_links"]["cancel"] == {"href": f"/segment/jobs/{job['id']}", "method": "DELETE"}
    assert job["schema"] == {"name": "_xdm.context.profile"}
    assert not [name for name in job if name.startswith("_") and name != "_links"]


@pytest.mark.parity("segment_jobs.counters", source="documents")
async def test_a_finished_job_counts_what_an_estimate_counts(emulator: Emulator) -> None:
    made = await emulator.create()
    job = await _ended(emulator, await _begin(emulator, [{"segmentId": made["id"]}]))
    preview = await emulator.call(
        "POST", "/data/core/ups/preview", json={"predicateExpression": made["expression"]["value"]}
    )
    path = f"/data/core/ups/estimate/{preview.json()['previewId']}"
    estimate = await emulator.until(path, lambda body: body["state"] == "RESULT_READY")
    metrics = job["metrics"]
    assert job["status"] == "SUCCEEDED"
    assert metrics["totalProfiles"] == PROFILES
    assert metrics["segmentedProfileCounter"] == {made["id"]: estimate["estimatedSize"]}
    realized = {"realized": estimate["estimatedSize"], "exited": 0}
    assert metrics["segmentedProfileByStatusCounter"] == {made["id"]: realized}
    assert metrics["totalProfilesByMergePolicy"] == {made["mergePolicyId"]: PROFILES}
    by_namespace = metrics["segmentedProfileByNamespaceCounter"][made["id"]]
    assert set(by_namespace) <= {"ecid", "email", "phone", "lumaloyaltyid"}
    assert all(0 < count <= estimate["estimatedSize"] for count in by_namespace.values())
    for name in ("totalTime", "profileSegmentationTime"):
        span = metrics[name]
        assert span["endTimeInMs"] - span["startTimeInMs"] == span["totalTimeInMs"] >= 0


@pytest.mark.parity("segment_jobs.exited_counter", source="documents")
async def test_who_left_since_the_last_job_is_counted(emulator: Emulator) -> None:
    made = await emulator.create("Moving", emulator.rule("gold", "silver"))
    body = [{"segmentId": made["id"]}]
    first = await _ended(emulator, await _begin(emulator, body))
    change = {"expression": {"type": "PQL", "format": "pql/text", "value": emulator.rule("gold")}}
    await emulator.call("PATCH", f"/data/core/ups/segment/definitions/{made['id']}", json=change)
    second = await _ended(emulator, await _begin(emulator, body))
    before = first["metrics"]["segmentedProfileCounter"][made["id"]]
    now = second["metrics"]["segmentedProfileByStatusCounter"][made["id"]]
    assert now["realized"] + now["exited"] == before
    assert now["exited"] > 0


@pytest.mark.parity("segment_jobs.zero_is_listed", source="documents")
async def test_nobody_is_counted_explicitly(emulator: Emulator) -> None:
    made = await emulator.create("Nobody", f"not ({emulator.rule('gold')}) and ({emulator.rule('gold')})")
    job = await _ended(emulator, await _begin(emulator, [{"segmentId": made["id"]}]))
    assert job["metrics"]["segmentedProfileCounter"] == {made["id"]: 0}
    assert job["metrics"]["segmentedProfileByNamespaceCounter"] == {made["id"]: {}}


@pytest.mark.parity("segment_jobs.inactive_are_not_evaluated", source="documents")
async def test_a_job_for_everything_leaves_out_the_inactive(emulator: Emulator) -> None:
    active = await emulator.create("Active")
    await emulator.create("Inactive", emulator.rule("silver"), lifecycleState="inactive")
    body = {"schema": {"name": "_xdm.context.profile"}, "segments": [{"segmentId": "*"}]}
    job = await _ended(emulator, await _begin(emulator, body))
    assert set(job["metrics"]["segmentedProfileCounter"]) == {active["id"]}


async def test_a_job_for_everything_of_nothing_succeeds(emulator: Emulator) -> None:
    job = await _ended(emulator, await _begin(emulator, [{"segmentId": "*"}]))
    assert (job["status"], job["metrics"]["segmentedProfileCounter"]) == ("SUCCEEDED", {})


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"segments": []},
        [{}],
        ["x"],
        [{"segmentId": 5}],
        [{"segmentId": "unknown"}],
        [{"segmentId": "*"}, {"segmentId": "x"}],
        "text",
        None,
    ],
)
async def test_bad_jobs_are_refused(emulator: Emulator, body: Any) -> None:
    headers = {**await emulator.headers(), "content-type": "application/json"}
    answer = await emulator.http.post(PATH, json=body, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert (await emulator.call("GET", PATH)).json()["children"] == []


@pytest.mark.parity("segment_jobs.unknown_ids_are_400", source="assumed")
async def test_unknown_ids_are_named(emulator: Emulator) -> None:
    made = await emulator.create()
    answer = await emulator.call("POST", PATH, json=[{"segmentId": made["id"]}, {"segmentId": "nope"}])
    assert answer.status_code == 400
    assert "nope" in answer.json()["title"]
    assert made["id"] not in answer.json()["title"]


@pytest.mark.parity("segment_jobs.too_many_is_429", source="openapi")
async def test_too_many_unfinished_jobs_are_refused(start: Start) -> None:
    async with start(job_step_s=30, max_unfinished_jobs=2) as emulator:
        for _ in range(2):
            await _begin(emulator, [{"segmentId": "*"}])
        answer = await emulator.call("POST", PATH, json=[{"segmentId": "*"}])
        assert (answer.status_code, answer.json()["status"]) == (429, 429)


@pytest.mark.parity("segment_jobs.cancel_is_204_and_cancelling", source="openapi")
async def test_a_running_job_can_be_cancelled(start: Start) -> None:
    async with start(job_step_s=30) as emulator:
        job = await _begin(emulator, [{"segmentId": "*"}])
        answer = await emulator.call("DELETE", f"{PATH}/{job['id']}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await _ended(emulator, job))["status"] == "CANCELLED"
        assert (await emulator.call("DELETE", f"{PATH}/{job['id']}")).status_code == 204


@pytest.mark.parity("segment_jobs.cancel_of_a_finished_job", source="assumed")
async def test_cancelling_a_finished_job_changes_nothing(emulator: Emulator) -> None:
    job = await _ended(emulator, await _begin(emulator, [{"segmentId": "*"}]))
    assert (await emulator.call("DELETE", f"{PATH}/{job['id']}")).status_code == 204
    assert (await emulator.call("GET", f"{PATH}/{job['id']}")).json() == job


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_job_is_not_found(emulator: Emulator, method: str) -> None:
    assert (await emulator.call(method, f"{PATH}/unknown")).status_code == 404


async def test_bulk_get_of_jobs(emulator: Emulator) -> None:
    job = await _ended(emulator, await _begin(emulator, [{"segmentId": "*"}]))
    answer = await emulator.call("POST", f"{PATH}/bulk-get", json={"ids": [{"id": job["id"]}, {"id": "x"}]})
    assert answer.status_code == 207
    assert answer.json()["results"][job["id"]] == job
    assert "404" in answer.json()["results"]["x"]["errors"]


@pytest.mark.parity("segment_jobs.list_and_property_filter", source="documents")
async def test_jobs_are_listed_newest_first_in_pages_and_filtered(emulator: Emulator) -> None:
    made = await emulator.create()
    jobs = []
    for body in ([{"segmentId": "*"}], [{"segmentId": made["id"]}], [{"segmentId": "*"}]):
        emulator.clock.advance(seconds=1)
        jobs.append(await _ended(emulator, await _begin(emulator, body)))
    listed = (await emulator.call("GET", PATH, params={"limit": 2, "start": 0})).json()
    assert [job["id"] for job in listed["children"]] == [jobs[2]["id"], jobs[1]["id"]]
    assert (listed["_page"]["totalCount"], listed["_page"]["next"]) == (3, "1")
    last = (await emulator.call("GET", PATH, params={"limit": 2, "start": 1})).json()
    assert [job["id"] for job in last["children"]] == [jobs[0]["id"]]
    assert "next" not in last["_page"]
    assert last["_links"] == {"next": {}}
    params = {"property": f"segments~segmentId=={made['id']}"}
    found = (await emulator.call("GET", PATH, params=params)).json()["children"]
    assert jobs[1]["id"] in [job["id"] for job in found]
    assert (await emulator.call("GET", PATH, params={"status": "FAILED"})).json()["_page"]["totalCount"] == 0
    assert (await emulator.call("GET", PATH, params={"status": "SUCCEEDED"})).json()["_page"]["totalCount"] == 3


async def test_an_unfinished_job_is_taken_up_after_a_restart(start: Start) -> None:
    async with start(job_step_s=30) as emulator:
        made = await emulator.create()
        job = await _begin(emulator, [{"segmentId": made["id"]}])
    async with start() as emulator:
        ended = await _ended(emulator, job)
        assert ended["status"] == "SUCCEEDED"
        assert ended["metrics"]["segmentedProfileCounter"][made["id"]] > 0


async def test_a_job_keeps_the_rule_that_it_began_with(start: Start) -> None:
    async with start(job_step_s=30) as emulator:
        made = await emulator.create("Gold")
        reference = await emulator.create("Reference")
        job = await _begin(emulator, [{"segmentId": made["id"]}, {"segmentId": reference["id"]}])
        change = {"expression": {"type": "PQL", "format": "pql/text", "value": emulator.rule("bronze")}}
        await emulator.call("PATCH", f"/data/core/ups/segment/definitions/{made['id']}", json=change)
        await emulator.call("DELETE", f"/data/core/ups/segment/definitions/{reference['id']}")
    async with start() as emulator:
        counters = (await _ended(emulator, job))["metrics"]["segmentedProfileCounter"]
        assert counters[made["id"]] == counters[reference["id"]] > 0


async def test_segments_of_segments_follow_what_they_use(emulator: Emulator) -> None:
    inner = await emulator.create("Inner", emulator.rule("gold"))
    outer = await emulator.create("Outer", f'not inSegment("{inner["id"]}")')
    everything = await _ended(emulator, await _begin(emulator, [{"segmentId": "*"}]))
    counts = everything["metrics"]["segmentedProfileCounter"]
    assert counts[inner["id"]] + counts[outer["id"]] == PROFILES
    change = {"expression": {"type": "PQL", "format": "pql/text", "value": emulator.rule("gold", "silver")}}
    await emulator.call("PATCH", f"/data/core/ups/segment/definitions/{inner['id']}", json=change)
    # Alone, a segment of segments asks for the members that are stored.
    alone = await _ended(emulator, await _begin(emulator, [{"segmentId": outer["id"]}]))
    assert alone["metrics"]["segmentedProfileByStatusCounter"][outer["id"]] == {
        "realized": counts[outer["id"]],
        "exited": 0,
    }
    both = await _ended(emulator, await _begin(emulator, [{"segmentId": outer["id"]}, {"segmentId": inner["id"]}]))
    now = both["metrics"]["segmentedProfileByStatusCounter"]
    assert now[inner["id"]]["realized"] + now[outer["id"]]["realized"] == PROFILES
    assert now[outer["id"]]["exited"] == now[inner["id"]]["realized"] - counts[inner["id"]] > 0


async def test_a_job_that_was_storing_when_the_process_died_counts_once(start: Start) -> None:
    async with start() as emulator:
        made = await emulator.create("Moving", emulator.rule("gold", "silver"))
        body = [{"segmentId": made["id"]}]
        first = await _ended(emulator, await _begin(emulator, body))
        change = {"expression": {"type": "PQL", "format": "pql/text", "value": emulator.rule("gold")}}
        await emulator.call("PATCH", f"/data/core/ups/segment/definitions/{made['id']}", json=change)
        second = await _ended(emulator, await _begin(emulator, body))
        # As if the process had died between the members and the end of the job.
        organization, settings = emulator.organizations[LUMA], emulator.settings
    state = State(settings.state_dir / FILE_NAME)
    store = state.store(organization.org_id, organization.sandboxes[0].name)
    unfinished = {"status": "PROCESSING", "metrics": first["metrics"] | {"segmentedProfileCounter": {}}}
    await store.change_work("segment_job", second["id"], lambda job: job | unfinished, state_member="status", now_ms=1)
    state.close()
    async with start() as emulator:
        again = await _ended(emulator, second)
        assert again["status"] == "SUCCEEDED"
        for counter in ("segmentedProfileCounter", "segmentedProfileByStatusCounter"):
            assert again["metrics"][counter] == second["metrics"][counter]
        assert again["metrics"]["segmentedProfileByStatusCounter"][made["id"]]["exited"] > 0


@pytest.mark.parametrize("way", ["one", "list", "bulk"])
async def test_a_job_tells_its_progress_while_it_evaluates(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    reached, released = asyncio.Event(), asyncio.Event()
    evaluate = Population.evaluate

    async def held(self: Population, rules: Any, now: Any, *, on_progress: Any = None) -> Any:
        """Evaluate for real, and hold the job half-way as its readers see it."""
        result = await evaluate(self, rules, now, on_progress=on_progress)
        on_progress(2, 4)
        reached.set()
        await released.wait()
        return result

    monkeypatch.setattr(Population, "evaluate", held)
    made = await emulator.create()
    job = await _begin(emulator, [{"segmentId": made["id"]}])
    assert "progress" not in job
    await reached.wait()
    match way:
        case "one":
            shown = (await emulator.call("GET", f"{PATH}/{job['id']}")).json()
        case "list":
            (shown,) = (await emulator.call("GET", PATH)).json()["children"]
        case _:
            body = {"ids": [{"id": job["id"]}]}
            shown = (await emulator.call("POST", f"{PATH}/bulk-get", json=body)).json()["results"][job["id"]]
    assert (shown["status"], shown["progress"]) == ("PROCESSING", {"done": 2, "total": 4})
    released.set()
    done = await _ended(emulator, job)
    assert (done["status"], "progress" in done) == ("SUCCEEDED", False)
