"""Audiences with labels that a caller's roles do not hold, permissions, and what lists tell about sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.emulator.conftest import LUMA, Emulator, Start, configure, definition

AUDIENCES = "/data/core/ups/audiences"
DEFINITIONS = "/data/core/ups/segment/definitions"
JOBS = "/data/core/ups/segment/jobs"
METRICS = f"{AUDIENCES}/bulk-patch-metric"


async def _external(emulator: Emulator, audience_id: str = "winback", **more: Any) -> dict[str, Any]:
    body = {"audienceId": audience_id, "name": "Win-back", "namespace": "aam", "type": "ExternalSegment"}
    answer = await emulator.call("POST", AUDIENCES, json={**body, "originName": "CUSTOM_UPLOAD", **more})
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


@pytest.mark.parity("access_control.label_denial_names_the_resource", source="documents")
async def test_an_audience_whose_labels_the_caller_lacks_cannot_be_read_or_changed(
    start: Start, state_folder: Path
) -> None:
    async with start() as emulator:
        hidden = await emulator.create("Hidden", labels=["core/C1", "core/C2"])
        shown = await emulator.create("Shown", labels=["core/C2"])
    configure(state_folder, labels=["core/C2"])
    async with start() as emulator:
        owner = emulator.organizations[LUMA].org_id
        uri = f"/orgs/{owner}/sandboxes/prod/segments/{hidden['id']}"
        for collection in (AUDIENCES, DEFINITIONS):
            answer = await emulator.call("GET", f"{collection}/{hidden['id']}")
            assert answer.status_code == 403
            assert answer.json()["type"] == "https://ns.adobe.com/aep/errors/UPAPI-113752-403"
            said = f'errorMessage=[{{"resource":{{"uri":"{uri}","labels":[]}},"action":"READ"}}]'
            assert said in answer.json()["errors"]["403"][0]["message"]
            assert (await emulator.call("GET", f"{collection}/{shown['id']}")).status_code == 200
            refused = await emulator.call("DELETE", f"{collection}/{hidden['id']}")
            assert (refused.status_code, '"action":"WRITE"' in refused.json()["title"]) == (403, True)
        patch = [{"op": "add", "path": "/name", "value": "Other"}]
        assert (await emulator.call("PATCH", f"{AUDIENCES}/{hidden['id']}", json=patch)).status_code == 403
        assert (await emulator.call("PATCH", f"{DEFINITIONS}/{hidden['id']}", json={"name": "x"})).status_code == 403
        listed = (await emulator.call("GET", AUDIENCES)).json()
        assert [one["id"] for one in listed["children"]] == [shown["id"]]
        assert listed["_page"]["totalCount"] == 1
        assert [one["id"] for one in (await emulator.call("GET", DEFINITIONS)).json()["segments"]] == [shown["id"]]
        ids = {"ids": [{"id": hidden["id"]}, {"id": shown["id"]}]}
        results = (await emulator.call("POST", f"{AUDIENCES}/bulk-get", json=ids)).json()["results"]
        assert (list(results[hidden["id"]]["errors"]), results[shown["id"]]["name"]) == (["403"], "Shown")
        denied = await emulator.call("GET", "/data/foundation/audit/events", params={"property": "status==deny"})
        assert len(denied.json()["_embedded"]["events"]) == 6
    configure(state_folder, labels=None)
    async with start() as emulator:
        assert (await emulator.call("GET", f"{AUDIENCES}/{hidden['id']}")).json()["name"] == "Hidden"


@pytest.mark.parity("audiences.not_enabled_for_external", source="openapi")
async def test_an_organization_may_be_without_external_audiences(start: Start, state_folder: Path) -> None:
    configure(state_folder, external_audiences=False)
    async with start() as emulator:
        body = {"audienceId": "x", "name": "x", "namespace": "aam", "type": "ExternalSegment", "originName": "y"}
        answer = await emulator.call("POST", AUDIENCES, json=body)
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (403, "UPAPI-113740-403")
        assert (await emulator.call("GET", AUDIENCES)).json()["children"] == []


async def test_effective_policies_tell_what_the_caller_holds(start: Start, state_folder: Path) -> None:
    configure(state_folder, permissions=["View Profiles"])
    async with start() as emulator:
        path = "/data/foundation/access-control/acl/effective-policies"
        asked = ["/permissions/manage-segments", "/resource-types/segments", "/resource-types/segment-jobs"]
        policies = (await emulator.call("POST", path, json=asked)).json()["policies"]
        assert policies == {"/resource-types/segments": ["read"], "/resource-types/segment-jobs": []}


@pytest.mark.parity("audiences.with_metrics_shows_the_latest_job", source="documents")
async def test_with_metrics_a_list_tells_what_the_latest_job_counted(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    job = (await emulator.call("POST", JOBS, json=[{"segmentId": made["id"]}])).json()
    job = await emulator.until(f"{JOBS}/{job['id']}", lambda body: body["status"] == "SUCCEEDED")
    counters = job["metrics"]
    assert "metrics" not in (await emulator.call("GET", AUDIENCES)).json()["children"][0]
    listed = await emulator.call("GET", AUDIENCES, params={"withMetrics": "true"})
    (child,) = listed.json()["children"]
    metrics = child["metrics"]
    assert (metrics["jobId"], metrics["type"], metrics["id"]) == (job["id"], "batch_segmentation", made["id"])
    assert metrics["data"] == {
        "totalProfiles": counters["segmentedProfileCounter"][made["id"]],
        "totalProfilesByNamespace": counters["segmentedProfileByNamespaceCounter"][made["id"]],
        "totalProfilesByStatus": counters["segmentedProfileByStatusCounter"][made["id"]],
    }
    single = await emulator.call("GET", f"{AUDIENCES}/{made['id']}", params={"withMetrics": "true"})
    assert single.json()["metrics"] == metrics


@pytest.mark.parity("audiences.bulk_patch_metric", source="documents")
async def test_the_owner_of_an_audience_tells_its_size(emulator: Emulator) -> None:
    made = await _external(emulator)
    operations = [
        {"op": "add", "path": "/metrics/data", "value": {"totalProfiles": 11037}},
        {"op": "add", "path": "/recordMetrics/data", "value": {"recordCount": 12000}},
    ]
    named = {"audienceId": "winback", "namespace": "aam"}
    unknown = {"audienceId": "nobody", "namespace": "aam"}
    body = {
        "jobId": "job-1",
        "jobType": "export",
        "resources": [{**named, "operations": operations}, {**unknown, "operations": operations}],
    }
    answer = await emulator.call("POST", METRICS, json=body)
    first, second = answer.json()["resources"]
    assert (answer.status_code, first) == (207, {**named, "status": 200})
    assert (second["status"], list(second["errors"])) == (404, ["404"])
    shown = (await emulator.call("GET", f"{AUDIENCES}/{made['id']}", params={"withMetrics": True})).json()
    assert shown["metrics"]["data"] == {"totalProfiles": 11037}
    assert (shown["metrics"]["jobId"], shown["recordMetrics"]["data"]) == ("job-1", {"recordCount": 12000})


@pytest.mark.parametrize(
    "change",
    [
        {"jobType": "other"},
        {"resources": []},
        {"jobId": None},
        {"resources": [{"audienceId": "winback", "namespace": "aam", "operations": []}]},
        {
            "resources": [
                {
                    "audienceId": "winback",
                    "namespace": "aam",
                    "operations": [{"op": "add", "path": "/metrics", "value": {"totalProfiles": 1}}],
                }
            ]
        },
        {
            "resources": [
                {
                    "audienceId": "winback",
                    "namespace": "aam",
                    "operations": [{"op": "add", "path": "/metrics/data", "value": {"totalProfiles": -1}}],
                }
            ]
        },
    ],
)
async def test_bad_metrics_are_refused_and_change_nothing(emulator: Emulator, change: dict[str, Any]) -> None:
    made = await _external(emulator)
    operations = [{"op": "add", "path": "/metrics/data", "value": {"totalProfiles": 1}}]
    body = {
        "jobId": "job-1",
        "jobType": "AO",
        "resources": [{"audienceId": "winback", "namespace": "aam", "operations": operations}],
    }
    assert (await emulator.call("POST", METRICS, json={**body, **change})).status_code == 400
    shown = (await emulator.call("GET", f"{AUDIENCES}/{made['id']}", params={"withMetrics": "true"})).json()
    assert "metrics" not in shown


async def test_metrics_go_with_their_audience(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    job = (await emulator.call("POST", JOBS, json=[{"segmentId": made["id"]}])).json()
    await emulator.until(f"{JOBS}/{job['id']}", lambda body: body["status"] == "SUCCEEDED")
    await emulator.call("DELETE", f"{DEFINITIONS}/{made['id']}")
    again = await emulator.call("POST", DEFINITIONS, json=definition("Gold", emulator.rule("gold")))
    shown = await emulator.call("GET", f"{AUDIENCES}/{again.json()['id']}", params={"withMetrics": "true"})
    assert "metrics" not in shown.json()


@pytest.mark.parity("audiences.refused_json_patch_changes_nothing", source="assumed")
async def test_a_patch_whose_last_operation_is_wrong_changes_nothing(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    before = (await emulator.call("GET", f"{AUDIENCES}/{made['id']}")).json()
    for last in (
        {"op": "add", "path": "/expression", "value": {"type": "PQL", "format": "pql/text", "value": "no such rule"}},
        {"op": "remove", "path": "/name"},
        {"op": "test", "path": "/name", "value": "Gold"},
        {"op": "add", "path": "/namespace", "value": "other"},
        {"op": "add", "path": "/lifecycleState", "value": "deleted"},
    ):
        patch = [{"op": "add", "path": "/name", "value": "Other"}, last]
        assert (await emulator.call("PATCH", f"{AUDIENCES}/{made['id']}", json=patch)).status_code == 400
    assert (await emulator.call("GET", f"{AUDIENCES}/{made['id']}")).json() == before
