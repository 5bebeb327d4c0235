"""Exports write the profiles of audiences for real, and are listed the way clients walk them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import polars as pl
import pytest

from app.emulator.export_files import FOLDER
from app.emulator.populations import Population
from tests.emulator.conftest import PROFILES, Emulator, Start

PATH = "/data/core/ups/export/jobs"
DATASET = "692d1f0a97f8e31b639fb14d"


def _export(**changes: Any) -> dict[str, Any]:
    return {
        "destination": {"datasetId": DATASET, "segmentPerBatch": False},
        "schema": {"name": "_xdm.context.profile"},
        **changes,
    }


def _of(*segment_ids: str, **more: Any) -> dict[str, Any]:
    return {"segments": [{"segmentId": one, **more} for one in segment_ids]}


async def _begin(emulator: Emulator, **changes: Any) -> dict[str, Any]:
    answer = await emulator.call("POST", PATH, json=_export(**changes))
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["x-location"] == f"{PATH}/{job['id']}"
    return job


async def _ended(emulator: Emulator, job: dict[str, Any]) -> dict[str, Any]:
    ends = {"SUCCEEDED", "FAILED", "CANCELLED"}
    return await emulator.until(f"{PATH}/{job['id']}", lambda body: body["status"] in ends)


async def _evaluated(emulator: Emulator, name: str, *levels: str) -> tuple[str, int]:
    made = await emulator.create(name, emulator.rule(*levels))
    await _evaluate(emulator)
    jobs = (await emulator.call("GET", "/data/core/ups/segment/jobs")).json()["children"]
    return made["id"], jobs[0]["metrics"]["segmentedProfileCounter"][made["id"]]


async def _evaluate(emulator: Emulator) -> None:
    emulator.clock.advance(seconds=1)
    answer = await emulator.call("POST", "/data/core/ups/segment/jobs", json=[{"segmentId": "*"}])
    path = f"/data/core/ups/segment/jobs/{answer.json()['id']}"
    await emulator.until(path, lambda body: body["status"] == "SUCCEEDED")


def _rows(emulator: Emulator, batch_id: str) -> list[dict[str, Any]]:
    (path,) = (emulator.settings.state_dir / FOLDER).rglob(f"{batch_id}.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def _files(emulator: Emulator) -> list[Path]:
    return [path for path in (emulator.settings.state_dir / FOLDER).rglob("*") if path.is_file()]


@pytest.mark.parity("export_jobs.new_job", source="openapi")
async def test_a_new_export_has_the_documented_members(emulator: Emulator) -> None:
    job = await _begin(emulator, fields="identities.id,personalEmail.address")
    assert isinstance(job["id"], int)
    assert (job["status"], job["jobType"], job["profileInstanceId"]) == ("NEW", "BATCH", "ups")
    assert job["destination"]["datasetId"] == DATASET
    assert job["destination"]["batchId"]
    assert job["metrics"] == {"totalTime": {"startTimeInMs": job["creationTime"]}}
    assert job["mergePolicy"]["version"] == 1
    assert not [name for name in job if name.startswith("_")]


async def test_an_export_without_a_filter_writes_everybody(emulator: Emulator) -> None:
    job = await _ended(emulator, await _begin(emulator, fields="identities.id,personalEmail.address"))
    rows = _rows(emulator, job["destination"]["batchId"])
    assert job["status"] == "SUCCEEDED"
    assert len(rows) == job["metrics"]["totalExportedProfileCounter"] == PROFILES
    assert all(set(row) <= {"identities", "personalEmail"} for row in rows)
    assert all(identity.keys() == {"id"} for row in rows for identity in row["identities"])
    counts = job["metrics"]["exportedProfileByNamespaceCounter"]
    assert all(0 < count <= PROFILES for count in counts.values())
    assert {"totalTime", "profileExportTime", "aCPDatasetWriteTime"} <= set(job["metrics"])


async def test_an_export_of_a_segment_writes_those_who_qualified_in_the_latest_job(emulator: Emulator) -> None:
    segment_id, count = await _evaluated(emulator, "Gold", "gold")
    job = await _ended(emulator, await _begin(emulator, filter=_of(segment_id)))
    rows = _rows(emulator, job["destination"]["batchId"])
    assert len(rows) == count == job["metrics"]["totalExportedProfileCounter"]
    levels = {row["_wwfovlab011"]["loyalty"]["level"] for row in rows}
    assert levels == {"gold"}
    assert all("xEvent" not in row for row in rows)


async def test_a_segment_that_was_never_evaluated_has_nobody_unless_it_is_evaluated_first(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    job = await _ended(emulator, await _begin(emulator, filter=_of(made["id"])))
    assert job["metrics"]["totalExportedProfileCounter"] == 0
    assert _rows(emulator, job["destination"]["batchId"]) == []
    first = {"evaluationInfo": {"segmentation": True}}
    job = await _ended(emulator, await _begin(emulator, filter=_of(made["id"]), **first))
    assert job["metrics"]["totalExportedProfileCounter"] > 0


@pytest.mark.parity("export_jobs.filter_by_status", source="openapi")
async def test_those_who_left_can_be_exported(emulator: Emulator) -> None:
    segment_id, before = await _evaluated(emulator, "Moving", "gold", "silver")
    change = {"expression": {"type": "PQL", "format": "pql/text", "value": emulator.rule("gold")}}
    await emulator.call("PATCH", f"/data/core/ups/segment/definitions/{segment_id}", json=change)
    await _evaluate(emulator)
    counts = {}
    for status in ("realized", "exited"):
        job = await _ended(emulator, await _begin(emulator, filter=_of(segment_id, status=[status])))
        rows = _rows(emulator, job["destination"]["batchId"])
        assert {row["_wwfovlab011"]["loyalty"]["level"] for row in rows} == {
            "gold" if status == "realized" else "silver"
        }
        counts[status] = len(rows)
    assert sum(counts.values()) == before


@pytest.mark.parity("export_jobs.segment_per_batch", source="documents")
async def test_each_segment_may_have_a_batch_of_its_own(emulator: Emulator) -> None:
    gold, gold_count = await _evaluated(emulator, "Gold", "gold")
    silver, silver_count = await _evaluated(emulator, "Silver", "silver")
    destination = {"datasetId": DATASET, "segmentPerBatch": True}
    job = await _ended(emulator, await _begin(emulator, destination=destination, filter=_of(gold, silver)))
    batches = job["destination"]["batches"]
    assert "batchId" not in job["destination"]
    assert [(one["segmentId"], one["segmentNs"]) for one in batches] == [(gold, "ups"), (silver, "ups")]
    assert [len(_rows(emulator, one["batchId"])) for one in batches] == [gold_count, silver_count]
    assert job["metrics"]["totalExportedProfileCounter"] == gold_count + silver_count


@pytest.mark.parity("export_jobs.event_list", source="openapi")
async def test_events_are_written_when_they_are_asked_for(emulator: Emulator) -> None:
    events = {"eventList": {"fields": "eventType,timestamp"}}
    job = await _ended(emulator, await _begin(emulator, fields="personalEmail.address", additionalFields=events))
    rows = _rows(emulator, job["destination"]["batchId"])
    found = [event for row in rows for event in row["xEvent"]]
    assert found
    assert all(set(event) == {"eventType", "timestamp"} for event in found)
    middle = sorted(event["timestamp"] for event in found)[len(found) // 2]
    limited = {"eventList": {"fields": "timestamp", "filter": {"fromIngestTimestamp": middle}}}
    job = await _ended(emulator, await _begin(emulator, fields="x", additionalFields=limited))
    later = [event for row in _rows(emulator, job["destination"]["batchId"]) for event in row["xEvent"]]
    assert len(later) == sum(event["timestamp"] >= middle for event in found)


@pytest.mark.parametrize(
    "changes",
    [
        {"destination": {}},
        {"destination": {"datasetId": " "}},
        {"destination": {"datasetId": DATASET, "segmentPerBatch": "yes"}},
        {"destination": {"datasetId": DATASET, "segmentPerBatch": True}},
        {"destination": None},
        {"schema": {}},
        {"schema": {"name": "_xdm.context.account"}},
        {"fields": ["a"]},
        {"filter": []},
        {"filter": {"segments": []}},
        {"filter": {"segments": [{}]}},
        {"filter": {"segments": [{"segmentId": "unknown"}]}},
        {"filter": {"segments": [{"segmentId": "x", "status": ["other"]}]}},
        {"filter": {"segments": [{"segmentId": "x", "segmentNs": "aam"}]}},
        {"mergePolicy": {"id": "unknown"}},
        {"additionalFields": {}},
        {"additionalFields": {"eventList": {"filter": {"fromIngestTimestamp": "yesterday"}}}},
        {"additionalFields": {"eventList": {"filter": {"fromIngestTimestamp": "2026-01-01T00:00:00"}}}},
        {"evaluationInfo": {"segmentation": "yes"}},
    ],
)
async def test_bad_exports_are_refused(emulator: Emulator, changes: dict[str, Any]) -> None:
    answer = await emulator.call("POST", PATH, json=_export(**changes))
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert (await emulator.call("GET", PATH)).json()["records"] == []


@pytest.mark.parity("export_jobs.filter_by_qualification_time", source="openapi")
async def test_an_export_can_be_of_those_who_qualified_or_left_within_a_time(emulator: Emulator) -> None:
    segment_id, before = await _evaluated(emulator, "Moving", "gold")
    change = {"expression": {"type": "PQL", "format": "pql/text", "value": emulator.rule("gold", "silver")}}
    await emulator.call("PATCH", f"/data/core/ups/segment/definitions/{segment_id}", json=change)
    emulator.clock.advance(hours=1)
    await _evaluate(emulator)
    counts = {}
    for limits in (
        {"startTime": "2026-03-01T12:30:00Z"},
        {"endTime": "2026-03-01T13:30:00+01:00"},
        {"startTime": "2026-03-01T11:00:00Z", "endTime": "2026-03-02T00:00:00Z"},
    ):
        wanted = {**_of(segment_id), "segmentQualificationTime": limits}
        job = await _ended(emulator, await _begin(emulator, filter=wanted))
        rows = _rows(emulator, job["destination"]["batchId"])
        counts[len(counts)] = len(rows)
        times = {row["segmentMembership"]["ups"][segment_id]["lastQualificationTime"] for row in rows}
        assert times <= {"2026-03-01T12:00:01Z", "2026-03-01T13:00:02Z"}
        assert {row["segmentMembership"]["ups"][segment_id]["status"] for row in rows} == {"realized"}
    assert counts[1] == before
    assert 0 < counts[0] == counts[2] - before


@pytest.mark.parity("export_jobs.filter_by_ingestion", source="openapi")
async def test_an_export_can_be_of_what_came_in_since(emulator: Emulator) -> None:
    for moment, count in (("2026-03-01T12:00:00Z", PROFILES), ("2026-03-01T12:00:01Z", 0)):
        job = await _ended(emulator, await _begin(emulator, filter={"fromIngestTimestamp": moment}))
        assert job["metrics"]["totalExportedProfileCounter"] == count


@pytest.mark.parametrize(
    "filter",
    [
        {"segmentQualificationTime": {"startTime": "2026-03-01T12:00:00Z"}},
        {"segments": [{"segmentId": "x"}], "segmentQualificationTime": "today"},
        {"segments": [{"segmentId": "x"}], "segmentQualificationTime": {"startTime": "today"}},
        {"fromIngestTimestamp": "2026-03-01T12:00:00"},
        {"fromIngestTimestamp": 5},
        {"emptyProfiles": "yes"},
        {"segments": []},
        {"segments": [{"segmentId": "x", "status": ["gone"]}]},
    ],
)
async def test_bad_filters_are_refused(emulator: Emulator, filter: dict[str, Any]) -> None:
    answer = await emulator.call("POST", PATH, json=_export(filter=filter))
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert (await emulator.call("GET", PATH)).json()["records"] == []


async def test_the_parquet_file_holds_what_the_lines_hold(emulator: Emulator) -> None:
    segment_id, _ = await _evaluated(emulator, "Gold", "gold")
    fields = "personalEmail.address,_wwfovlab011.loyalty.level,segmentMembership"
    job = await _ended(emulator, await _begin(emulator, filter=_of(segment_id), fields=fields))
    rows = _rows(emulator, job["destination"]["batchId"])
    (path,) = (emulator.settings.state_dir / FOLDER).rglob(f"{job['destination']['batchId']}.parquet")
    frame = pl.read_parquet(path)
    assert frame["_wwfovlab011"].struct.field("loyalty").struct.field("level").to_list() == ["gold"] * len(rows)
    emails = [row.get("personalEmail", {}).get("address") for row in rows]
    assert frame["personalEmail"].struct.field("address").to_list() == emails
    membership = frame["segmentMembership"].struct.field("ups").struct.field(segment_id).struct.field("status")
    assert set(membership.to_list()) == {"realized"}


async def test_an_export_of_nobody_leaves_empty_files(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    job = await _ended(emulator, await _begin(emulator, filter=_of(made["id"]), fields="person.name,personalEmail"))
    (path,) = (emulator.settings.state_dir / FOLDER).rglob(f"{job['destination']['batchId']}.parquet")
    frame = pl.read_parquet(path)
    assert (frame.height, frame.columns) == (0, ["person", "personalEmail"])


@pytest.mark.parity("export_jobs.segment_first", source="openapi")
async def test_segments_that_are_evaluated_first_keep_their_members(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    first = {"evaluationInfo": {"segmentation": True}}
    job = await _ended(emulator, await _begin(emulator, filter=_of(made["id"]), **first))
    again = await _ended(emulator, await _begin(emulator, filter=_of(made["id"])))
    count = job["metrics"]["totalExportedProfileCounter"]
    assert count == again["metrics"]["totalExportedProfileCounter"] > 0


@pytest.mark.parity("export_jobs.gateway_job_ids", source="openapi")
async def test_the_ids_of_the_compute_jobs_come_with_the_work(emulator: Emulator) -> None:
    job = await _begin(emulator)
    assert job["computeGatewayJobId"] == {"exportJob": ""}
    ended = await _ended(emulator, job)
    assert all(ended["computeGatewayJobId"][name] for name in ("exportJob", "pushJob"))


async def test_a_data_set_id_cannot_lead_out_of_the_folder(emulator: Emulator) -> None:
    job = await _begin(emulator, destination={"datasetId": "../../../evil"}, fields="x")
    await _ended(emulator, job)
    folder = emulator.settings.state_dir / FOLDER
    assert [path.is_relative_to(folder) for path in folder.rglob(f"{job['destination']['batchId']}.jsonl")] == [True]
    assert not list(emulator.settings.state_dir.parent.glob("**/evil"))


async def test_a_running_export_can_be_cancelled(start: Start) -> None:
    async with start(job_step_s=30) as emulator:
        job = await _begin(emulator)
        answer = await emulator.call("DELETE", f"{PATH}/{job['id']}")
        assert answer.status_code == 200
        assert answer.json() == {"status": True, "message": "Export job has been marked for cancelling"}
        assert (await emulator.call("GET", f"{PATH}/{job['id']}")).json()["status"] == "CANCELLED"
        assert _files(emulator) == []


async def test_cancelling_a_finished_export_changes_nothing(emulator: Emulator) -> None:
    job = await _ended(emulator, await _begin(emulator, fields="x"))
    assert (await emulator.call("DELETE", f"{PATH}/{job['id']}")).status_code == 200
    assert (await emulator.call("GET", f"{PATH}/{job['id']}")).json() == job


async def test_an_unfinished_export_is_taken_up_after_a_restart(start: Start) -> None:
    async with start(job_step_s=30) as emulator:
        job = await _begin(emulator, fields="personalEmail.address")
    async with start() as emulator:
        ended = await _ended(emulator, job)
        assert ended["status"] == "SUCCEEDED"
        assert len(_rows(emulator, job["destination"]["batchId"])) == PROFILES


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("identifier", ["1", "x"])
async def test_an_unknown_export_is_not_found(emulator: Emulator, method: str, identifier: str) -> None:
    assert (await emulator.call(method, f"{PATH}/{identifier}")).status_code == 404


async def test_exports_of_another_sandbox_are_not_found(emulator: Emulator) -> None:
    job = await _begin(emulator, fields="x")
    for method in ("GET", "DELETE"):
        assert (await emulator.call(method, f"{PATH}/{job['id']}", sandbox="dev")).status_code == 404


@pytest.mark.parity("export_jobs.offset_paging", source="measured")
async def test_a_client_that_cuts_the_offset_out_of_next_meets_every_export_once(emulator: Emulator) -> None:
    """The way of the public Python client: the text after ``offset=``, up to the next ``&``, asked for again."""
    ids = []
    for number in range(5):
        emulator.clock.advance(seconds=number % 2)
        ids.append((await _ended(emulator, await _begin(emulator, fields="x")))["id"])
    met: list[int] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        body = (await emulator.call("GET", f"{PATH}/", params=params)).json()
        met += [record["id"] for record in body["records"]]
        assert body["page"]["pageSize"] == len(body["records"])
        if body["link"]["next"] == "":
            break
        assert urlparse(body["link"]["next"]).path == "/export/jobs/"
        params["offset"] = parse_qs(urlparse(body["link"]["next"]).query)["offset"][0]
    assert met == list(reversed(ids))
    listed = (await emulator.call("GET", PATH, params={"status": "FAILED"})).json()
    assert (listed["records"], listed["link"]["next"]) == ([], "")
    assert (await emulator.call("GET", PATH, params={"limit": 1000})).status_code == 200
    assert (await emulator.call("GET", PATH, params={"offset": "x"})).status_code == 400


async def test_an_export_tells_its_progress_while_it_writes(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, released = asyncio.Event(), asyncio.Event()
    documents = Population.documents

    async def held(self: Population, *given: Any, **named: Any) -> Any:
        reached.set()
        await released.wait()
        return await documents(self, *given, **named)

    monkeypatch.setattr(Population, "documents", held)
    job = await _begin(emulator)
    await reached.wait()
    shown = (await emulator.call("GET", f"{PATH}/{job['id']}")).json()
    assert (shown["status"], shown["progress"]) == ("PROCESSING", {"done": 0, "total": PROFILES})
    (listed,) = (await emulator.call("GET", PATH)).json()["records"]
    assert listed == shown
    released.set()
    assert "progress" not in await _ended(emulator, job)
