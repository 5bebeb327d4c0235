"""External audiences are made by operations, filled by runs from uploaded files, and emptied by the clock."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.emulator.external_audience_files import uploads_folder
from tests.emulator.conftest import LUMA, SOLSTICE, Emulator, Start

BASE = "/data/core/ais/external-audience"
AUDIENCES = "/data/core/ups/audiences"


@pytest.fixture
async def emulator(start: Start) -> AsyncIterator[Emulator]:
    async with start(scheduler_poll_s=600) as running_emulator:
        yield running_emulator


def _body(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Win-back",
        "description": "Uploaded by CRM",
        "fields": [
            {"name": "email", "type": "string", "identityNs": "Email", "labels": []},
            {"name": "score", "type": "number"},
        ],
        "sourceSpec": {
            "params": {
                "path": "winback.csv",
                "type": "file",
                "sourceType": "Cloud Storage",
                "cloudType": "S3",
                "baseConnectionId": "c",
            }
        },
        "ttlInDays": "7",
        "audienceType": "people",
        "originName": "CUSTOM_UPLOAD",
        **changes,
    }


def _upload(emulator: Emulator, name: str, *lines: str) -> None:
    folder = uploads_folder(emulator.settings.state_dir, emulator.organizations[LUMA].org_id, "prod")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["email,score", *lines, ""]))


async def _emails(emulator: Emulator, count: int) -> list[str]:
    """Return e-mail addresses of as many profiles, by an export of identities."""
    body = {
        "destination": {"datasetId": "d"},
        "schema": {"name": "_xdm.context.profile"},
        "fields": "identityMap.Email.id",
    }
    job = (await emulator.call("POST", "/data/core/ups/export/jobs", json=body)).json()
    path = f"/data/core/ups/export/jobs/{job['id']}"
    job = await emulator.until(path, lambda body: body["status"] == "SUCCEEDED")
    (file,) = emulator.settings.state_dir.glob(f"exports/**/{job['destination']['batchId']}.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    found = [row["identityMap"]["Email"][0]["id"] for row in rows if row.get("identityMap", {}).get("Email")]
    return list(dict.fromkeys(found))[:count]


async def _create(emulator: Emulator, **changes: Any) -> str:
    answer = await emulator.call("POST", f"{BASE}/", json=_body(**changes))
    assert answer.status_code == 202, answer.text
    path = f"{BASE}/operations/{answer.json()['operationId']}"
    operation = await emulator.until(path, lambda body: body["status"] == "SUCCESS")
    audience_id: str = operation["audienceId"]
    return audience_id


async def _run(emulator: Emulator, audience_id: str, **changes: Any) -> dict[str, Any]:
    body = {"dataFilterStartTime": 1_764_547_200, **changes}
    answer = await emulator.call("POST", f"{BASE}/{audience_id}/runs", json=body)
    assert answer.status_code == 200, answer.text
    path = f"{BASE}/{audience_id}/runs/{answer.json()['runId']}"
    return await emulator.until(path, lambda body: body["status"] != "PROCESSING")


async def _size(emulator: Emulator, audience_id: str) -> int:
    shown = await emulator.call("GET", f"{AUDIENCES}/{audience_id}", params={"withMetrics": "true"})
    size: int = shown.json()["metrics"]["data"]["totalProfiles"]
    return size


@pytest.mark.parity("external_audiences.create_is_202_with_an_operation", source="documents")
async def test_a_creation_is_an_operation_that_makes_an_audience(emulator: Emulator) -> None:
    answer = await emulator.call("POST", f"{BASE}/", json=_body())
    body = answer.json()
    assert (answer.status_code, sorted(body)) == (202, ["operationDetails", "operationId"])
    assert body["operationDetails"]["ttlInDays"] == 7
    assert body["operationDetails"]["namespace"] == "CustomerAudienceUpload"
    path = f"{BASE}/operations/{body['operationId']}"
    operation = await emulator.until(path, lambda body: body["status"] == "SUCCESS")
    assert operation["audienceName"] == "Win-back"
    assert operation["createdAt"] == int(emulator.clock.now().timestamp())
    assert (await emulator.call("GET", f"{BASE}/task/{body['operationId']}")).json() == operation
    audience = (await emulator.call("GET", f"{AUDIENCES}/{operation['audienceId']}")).json()
    shown = ("type", "originName", "namespace", "name", "description", "lifecycleState")
    assert [audience[name] for name in shown] == [
        "ExternalSegment",
        "CUSTOM_UPLOAD",
        "CustomerAudienceUpload",
        "Win-back",
        "Uploaded by CRM",
        "published",
    ]
    assert "expression" not in audience


@pytest.mark.parity("external_audiences.draft_paths_are_aliases", source="documents")
async def test_the_paths_of_earlier_drafts_work(emulator: Emulator) -> None:
    source = {"path": "winback.csv", "type": "file", "sourceType": "Cloud Storage"}
    answer = await emulator.call("POST", f"{BASE}/submit", json=_body(sourceSpec=source))
    assert answer.status_code == 202
    path = f"{BASE}/task/{answer.json()['operationId']}"
    operation = await emulator.until(path, lambda body: body["status"] == "SUCCESS")
    run = await emulator.call("POST", f"{BASE}/{operation['audienceId']}/run", json={"dataFilterStartTime": 1})
    assert (run.status_code, run.json()["differentialIngestion"]) == (200, True)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"name": ""}, 400),
        ({"fields": []}, 400),
        ({"fields": [{"name": "x", "type": "text", "identityNs": "Email"}]}, 400),
        ({"fields": [{"name": "x", "type": "string"}]}, 422),
        ({"ttlInDays": 0}, 400),
        ({"ttlInDays": 91}, 400),
        ({"ttlInDays": "soon"}, 400),
        ({"originName": "OTHER"}, 400),
        ({"audienceType": "accounts"}, 400),
        ({"sourceSpec": {}}, 400),
        ({"sourceSpec": {"params": {"path": "x", "type": "disk"}}}, 400),
    ],
)
async def test_a_bad_creation_is_refused(emulator: Emulator, changes: dict[str, Any], status: int) -> None:
    answer = await emulator.call("POST", BASE, json=_body(**changes))
    assert answer.status_code == status
    assert answer.json()["type"].rpartition("/")[2] == ("100910-400" if status == 400 else "100960-422")
    assert (await emulator.call("GET", AUDIENCES)).json()["children"] == []


async def test_a_name_is_taken_once(emulator: Emulator) -> None:
    await _create(emulator)
    answer = await emulator.call("POST", BASE, json=_body())
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "100950-409")


async def test_a_run_finds_the_profiles_of_the_identities(emulator: Emulator) -> None:
    emails = await _emails(emulator, 3)
    audience_id = await _create(emulator)
    _upload(emulator, "winback.csv", *(f"{email},5" for email in emails), "nobody@nowhere.example,1")
    run = await _run(emulator, audience_id)
    assert [(one["stage"], one["status"]) for one in run["details"]] == [
        ("DATASET_INGEST", "SUCCESS"),
        ("PROFILE_STORE_INGEST", "SUCCESS"),
    ]
    assert (run["audienceName"], run["audienceId"]) == ("Win-back", audience_id)
    shown = (await emulator.call("GET", f"{AUDIENCES}/{audience_id}", params={"withMetrics": "true"})).json()
    assert shown["recordMetrics"]["data"] == {"recordCount": 4}
    size = shown["metrics"]["data"]["totalProfiles"]
    assert size >= 3
    _upload(emulator, "winback.csv", f"{emails[0]},5")
    await _run(emulator, audience_id)
    assert await _size(emulator, audience_id) == size
    await _run(emulator, audience_id, differentialIngestion=False)
    assert 1 <= await _size(emulator, audience_id) < size


async def test_a_rule_may_ask_who_is_in_an_uploaded_audience(emulator: Emulator) -> None:
    emails = await _emails(emulator, 5)
    audience_id = await _create(emulator)
    _upload(emulator, "winback.csv", *(f"{email},5" for email in emails))
    await _run(emulator, audience_id)
    made = await emulator.create("In the upload", f'inSegment("{audience_id}")')
    jobs = "/data/core/ups/segment/jobs"
    job = (await emulator.call("POST", jobs, json=[{"segmentId": made["id"]}])).json()
    job = await emulator.until(f"{jobs}/{job['id']}", lambda body: body["status"] == "SUCCEEDED")
    assert job["metrics"]["segmentedProfileCounter"] == {made["id"]: await _size(emulator, audience_id)}
    refused = await emulator.call("DELETE", f"{BASE}/{audience_id}")
    assert (refused.status_code, made["id"] in refused.json()["title"]) == (400, True)


async def test_a_run_without_readable_data_fails_and_leaves_the_audience_as_it_was(emulator: Emulator) -> None:
    emails = await _emails(emulator, 1)
    audience_id = await _create(emulator)
    assert (await _run(emulator, audience_id))["status"] == "FAILED"
    _upload(emulator, "winback.csv", f"{emails[0]},5")
    await _run(emulator, audience_id)
    size = await _size(emulator, audience_id)
    path = uploads_folder(emulator.settings.state_dir, emulator.organizations[LUMA].org_id, "prod") / "winback.csv"
    path.write_text("other\n1\n")
    run = await _run(emulator, audience_id)
    assert (run["status"], run["details"][0]["status"]) == ("FAILED", "FAILED")
    assert "email" in run["details"][0]["message"]
    assert await _size(emulator, audience_id) == size


async def test_a_source_cannot_lead_out_of_the_uploads_of_its_sandbox(emulator: Emulator) -> None:
    (emulator.settings.state_dir / "secret.csv").write_text("email,score\n")
    params = {"path": "../../../secret.csv", "type": "file"}
    audience_id = await _create(emulator, sourceSpec={"params": params})
    run = await _run(emulator, audience_id)
    assert (run["status"], "leads out" in run["details"][0]["message"]) == ("FAILED", True)


@pytest.mark.parity("external_audiences.data_expires_after_ttl", source="documents")
async def test_the_data_ends_after_its_days_and_the_audience_stays(emulator: Emulator) -> None:
    emails = await _emails(emulator, 2)
    audience_id = await _create(emulator)
    _upload(emulator, "winback.csv", *(f"{email},5" for email in emails))
    await _run(emulator, audience_id)
    size = await _size(emulator, audience_id)
    await emulator.http.put("/emulator/clock", json={"advance": "P6D"})
    emulator.clock.advance(days=6)
    assert await _size(emulator, audience_id) == size >= 2
    await emulator.http.put("/emulator/clock", json={"advance": "P1DT1H"})
    emulator._tokens.clear()
    assert await _size(emulator, audience_id) == 0


@pytest.mark.parity("external_audiences.runs_list", source="documents")
async def test_runs_are_listed_newest_first_and_filtered(emulator: Emulator) -> None:
    audience_id = await _create(emulator)
    _upload(emulator, "winback.csv")
    first = await _run(emulator, audience_id)
    emulator.clock.advance(minutes=1)
    uploads_folder(emulator.settings.state_dir, emulator.organizations[LUMA].org_id, "prod").joinpath(
        "winback.csv"
    ).unlink()
    second = await _run(emulator, audience_id)
    path = f"{BASE}/{audience_id}/runs"
    body = (await emulator.call("GET", path)).json()
    assert body == {"runs": [second, first], "_page": {"limit": 20, "count": 2, "totalCount": 2}}
    for params, runs in (
        ({"limit": 1}, [second]),
        ({"property": "status=SUCCESS"}, [first]),
        ({"property": "name=contains(win)"}, [second, first]),
        ({"property": f"ingestionTime>={second['createdAt']}"}, [second]),
        ({"sortBy": "ingestionTime:asc"}, [first, second]),
    ):
        assert (await emulator.call("GET", path, params=params)).json()["runs"] == runs
    for params in ({"limit": 41}, {"limit": 0}, {"property": "colour=red"}, {"sortBy": "colour"}):
        assert (await emulator.call("GET", path, params=params)).status_code == 400


async def test_one_run_at_a_time(start: Start) -> None:
    async with start(job_step_s=0.2, scheduler_poll_s=600) as emulator:
        audience_id = await _create(emulator)
        first = await emulator.call("POST", f"{BASE}/{audience_id}/runs", json={"dataFilterStartTime": 1})
        second = await emulator.call("POST", f"{BASE}/{audience_id}/runs", json={"dataFilterStartTime": 1})
        assert (first.status_code, second.status_code) == (200, 409)


@pytest.mark.parity("external_audiences.patch_replaces_members", source="documents")
async def test_a_patch_replaces_what_it_names(emulator: Emulator) -> None:
    audience_id = await _create(emulator)
    answer = await emulator.call("PATCH", f"{BASE}/{audience_id}", json={"description": "New", "ttlInDays": 3})
    body = answer.json()
    assert (answer.status_code, body["audienceId"], body["audienceName"]) == (200, audience_id, "Win-back")
    assert (body["description"], body["ttlInDays"]) == ("New", 3)
    shown = (await emulator.call("GET", f"{AUDIENCES}/{audience_id}")).json()
    assert (shown["description"], shown["ttlInDays"]) == ("New", 3)
    refused = await emulator.call("PATCH", f"{BASE}/{audience_id}", json={"ttlInDays": 91})
    assert refused.status_code == 400


async def test_a_deleted_audience_is_gone(emulator: Emulator) -> None:
    audience_id = await _create(emulator)
    assert (await emulator.call("DELETE", f"{BASE}/{audience_id}")).status_code == 204
    for method, path in (("DELETE", audience_id), ("GET", f"{audience_id}/runs"), ("PATCH", audience_id)):
        body = {} if method == "PATCH" else None
        answer = await emulator.call(method, f"{BASE}/{path}", json=body)
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (404, "100940-404")
    assert (await emulator.call("GET", f"{AUDIENCES}/{audience_id}")).status_code == 404
    await _create(emulator)


async def test_another_organization_or_sandbox_does_not_find_it(emulator: Emulator) -> None:
    audience_id = await _create(emulator)
    for place in ({"organization": SOLSTICE}, {"sandbox": "dev"}):
        assert (await emulator.call("GET", f"{BASE}/{audience_id}/runs", **place)).status_code == 404
        assert (await emulator.call("DELETE", f"{BASE}/{audience_id}", **place)).status_code == 404
    assert (await emulator.call("GET", f"{BASE}/{audience_id}/runs")).status_code == 200


async def test_an_operation_that_a_stop_cut_off_is_finished_by_the_next_start(start: Start) -> None:
    async with start(job_step_s=60) as emulator:
        operation = (await emulator.call("POST", BASE, json=_body())).json()["operationId"]
    async with start() as emulator:
        await emulator.until(f"{BASE}/operations/{operation}", lambda body: body["status"] == "SUCCESS")
        assert len((await emulator.call("GET", AUDIENCES)).json()["children"]) == 1


@pytest.mark.parity("profiles.membership_of_uploads", source="documents", note="the namespace as a key: assumed")
async def test_a_profile_tells_that_it_is_in_an_upload_and_that_it_was(emulator: Emulator) -> None:
    jane, john = await _emails(emulator, 2)
    _upload(emulator, "winback.csv", f"{jane},1")
    audience_id = await _create(emulator)
    await _run(emulator, audience_id)
    audience = (await emulator.call("GET", f"{AUDIENCES}/{audience_id}")).json()

    async def standing(email: str) -> dict[str, Any]:
        params = {"schema.name": "_xdm.context.profile", "entityId": email, "entityIdNS": "Email"}
        found = await emulator.call("GET", "/data/core/ups/access/entities", params=params)
        (profile,) = found.json().values()
        memberships: dict[str, Any] = profile["entity"]["segmentMembership"]
        return memberships

    entered = await standing(jane)
    assert set(entered) == {"ups", audience["namespace"]}
    assert entered[audience["namespace"]][audience["audienceId"]]["status"] == "realized"
    assert await standing(john) == {"ups": {}}
    emulator.clock.advance(hours=1)
    _upload(emulator, "winback.csv", f"{john},1")
    await _run(emulator, audience_id, differentialIngestion=False)
    left = (await standing(jane))[audience["namespace"]][audience["audienceId"]]
    assert left == {"lastQualificationTime": "2026-03-01T13:00:00Z", "status": "exited"}
    assert (await standing(john))[audience["namespace"]][audience["audienceId"]]["status"] == "realized"
