"""`aepp`, unmodified, against the emulator and against the facade."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.contract.services import Account, local_accounts, unique

SEGMENT = {"schema": {"name": "_xdm.context.profile"}, "ttlInDays": 30, "description": "made by aepp"}


class Client:
    """The client's process."""

    def __init__(self, account: Account) -> None:
        self.account = account
        driver = Path(__file__).with_name("aepp_driver.py")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(driver)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version = self._send(asdict(account))["ready"]

    def call(self, client: str, method: str, **arguments: Any) -> Any:
        """Return what a method of the client returns. Fails the test when the client raises."""
        reply = self._send({"client": client, "method": method, "arguments": arguments})
        assert "raised" not in reply, (method, reply)
        return reply["result"]

    def segmentation(self, method: str, **arguments: Any) -> Any:
        return self.call("Segmentation", method, **arguments)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(20)
        if self._process.stdout:
            self._process.stdout.close()

    def _send(self, line: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@pytest.fixture(scope="module", params=["emulator", "facade"])
def client(request: pytest.FixtureRequest, running_demo: dict[str, Any]) -> Iterator[Client]:
    """The client, pointed at each service."""
    client = Client(local_accounts(running_demo)[request.param])
    yield client
    client.close()


def segment(client: Client, **members: Any) -> dict[str, Any]:
    expression = {"type": "PQL", "format": "pql/text", "value": client.account.rule}
    return {**SEGMENT, "name": unique("aepp"), "expression": expression, **members}


def until(client: Client, method: str, state: str, wanted: set[str], **arguments: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found: dict[str, Any] = client.segmentation(method, **arguments)
        if found[state] in wanted:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{method} never came to {wanted}")


def measured(behaviour: str) -> pytest.MarkDecorator:
    return pytest.mark.parity(behaviour, source="measured", note="aepp 0.6.0")


def test_the_version_is_the_one_that_the_ledger_names(client: Client) -> None:
    assert client.version == "0.6.0"


@measured("aepp.segments_are_made_read_changed_and_deleted")
def test_segments_live_through_the_client(client: Client) -> None:
    made = client.segmentation("createSegment", segment_data=segment(client))
    assert client.segmentation("getSegment", segment_id=made["id"]) == made
    changed = client.segmentation(
        "updateSegment", segment_id=made["id"], segment_data={**segment(client), "description": "changed"}
    )
    assert (changed["id"], changed["description"]) == (made["id"], "changed")
    many = client.segmentation("getMultipleSegments", segmentIds=[{"id": made["id"]}])
    assert many == {made["id"]: changed}
    client.segmentation("deleteSegment", segment_id=made["id"])
    assert client.segmentation("getSegment", segment_id=made["id"])["status"] == 404


@measured("aepp.every_segment_comes_once_over_several_pages")
def test_every_segment_comes_exactly_once(client: Client) -> None:
    made = [client.segmentation("createSegment", segment_data=segment(client))["id"] for _ in range(105)]
    listed = [one["id"] for one in client.segmentation("getSegments")]
    assert len(listed) == len(set(listed))
    assert set(made) <= set(listed)
    for one in made:
        client.segmentation("deleteSegment", segment_id=one)


@measured("aepp.audiences_are_made_patched_replaced_listed_and_deleted")
def test_audiences_live_through_the_client(client: Client) -> None:
    wanted = {**segment(client), "type": "SegmentDefinition", "labels": ["core/C1"]}
    made = client.segmentation("createAudience", audienceObj=wanted)
    patch = [{"op": "add", "path": "/description", "value": "patched"}]
    assert client.segmentation("patchAudience", audienceId=made["id"], operations=patch)["description"] == "patched"
    replaced = client.segmentation("putAudience", audienceId=made["id"], audienceObj={**wanted, "description": "put"})
    assert replaced["description"] == "put"
    found = client.segmentation("getAudiences", prop=f"audienceId=={made['id']}")
    assert [one["id"] for one in found] == [made["id"]]
    assert client.segmentation("getAudience", audienceId=made["id"])["name"] == wanted["name"]
    client.segmentation("deleteAudience", audienceId=made["id"])
    assert client.segmentation("getAudience", audienceId=made["id"])["status"] == 404


@measured("aepp.audiences_end_after_their_last_page")
def test_the_list_of_audiences_ends(client: Client) -> None:
    made = [client.segmentation("createSegment", segment_data=segment(client))["id"] for _ in range(3)]
    deadline = time.monotonic() + 20
    while True:
        listed = [one["id"] for one in client.segmentation("getAudiences", limit=2)]
        if set(made) <= set(listed) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert set(made) <= set(listed)
    for one in made:
        client.segmentation("deleteSegment", segment_id=one)


@measured("aepp.jobs_are_created_listed_and_read")
def test_jobs_are_run_through_the_client(client: Client) -> None:
    made = client.segmentation("createSegment", segment_data=segment(client))
    job = client.segmentation("createJob", segmentIds=[made["id"]])
    done = until(client, "getJob", "status", {"SUCCEEDED", "FAILED"}, job_id=job["id"])
    assert done["status"] == "SUCCEEDED"
    assert done["metrics"]["segmentedProfileCounter"][made["id"]] > 0
    assert job["id"] in [one["id"] for one in client.segmentation("getJobs")]
    client.segmentation("deleteJob", job_id=job["id"])


@measured("aepp.previews_and_estimates")
def test_estimates_are_made_through_the_client(client: Client) -> None:
    preview = client.segmentation("createPreview", pql=client.account.rule)
    estimate = until(client, "getEstimate", "state", {"RESULT_READY", "FAILED"}, previewId=preview["previewId"])
    assert estimate["state"] == "RESULT_READY"
    assert 0 < estimate["estimatedSize"] < estimate["totalRows"]
    assert client.segmentation("getPreview", previewId=preview["previewId"])["results"]
    client.segmentation("deletePreview", previewId=preview["previewId"])


@measured("aepp.schedules_are_made_switched_and_deleted")
def test_schedules_live_through_the_client(client: Client) -> None:
    wanted = {
        "name": unique("aepp"),
        "type": "batch_segmentation",
        "properties": {"segments": ["*"]},
        "schedule": "0 0 1 * * ?",
    }
    made = client.segmentation("createSchedule", schedule_data=wanted)
    patch = [{"op": "add", "path": "/state", "value": "active"}]
    client.segmentation("updateSchedule", scheduleId=made["id"], operations=patch)
    assert client.segmentation("getSchedule", scheduleId=made["id"])["state"] == "active"
    assert made["id"] in [one["id"] for one in client.segmentation("getSchedules")]
    client.segmentation("updateScheduledBatchSegmentationJob", schedule="0 0 2 * * ?")
    client.segmentation("deleteSchedule", scheduleId=made["id"])
    assert client.segmentation("getSchedule", scheduleId=made["id"])["status"] == 404


@measured("aepp.exports_are_made_listed_and_cancelled")
def test_exports_live_through_the_client(client: Client) -> None:
    wanted = {"destination": {"datasetId": "692d1f0a97f8e31b639fb14d"}, "schema": {"name": "_xdm.context.profile"}}
    made = [client.segmentation("createExport", export_request=wanted)["id"] for _ in range(3)]
    until(client, "getExport", "status", {"SUCCEEDED"}, export_id=str(made[0]))
    listed = [one["id"] for one in client.segmentation("getExportJobs", limit=2)]
    assert len(listed) == len(set(listed))
    assert set(made) <= set(listed)
    # The client gives the status instead of the body here.
    assert client.segmentation("deleteExport", export_id=str(made[0])) == 200


@measured("aepp.search_ends_with_and_without_hits")
def test_searches_end(client: Client) -> None:
    word = unique("").split()[-1]
    made = client.segmentation("createSegment", segment_data=segment(client, name=f"searched {word}"))
    found = client.segmentation("searchEntities", query=f"name:{word}", namespace="AEPSegments")
    assert [one["id"] for one in found] == [made["id"]]
    assert client.segmentation("searchEntities", query="name:nothing") == []
    assert client.segmentation("searchNamespaces", query=f"name:{word}")["totalCount"] == 1
    client.segmentation("deleteSegment", segment_id=made["id"])


@measured("aepp.merge_policies_and_sandboxes_are_listed")
def test_merge_policies_and_sandboxes_are_read(client: Client) -> None:
    policies = client.call("Profile", "getMergePolicies")
    assert [one["default"] for one in policies] == [True]
    assert client.call("Profile", "getMergePolicy", policy_id=policies[0]["id"])["id"] == policies[0]["id"]
    names = [one["name"] for one in client.call("Sandboxes", "getSandboxes")]
    assert client.account.sandbox in names
    assert client.call("Sandboxes", "getSandboxTypes")


@measured("aepp.access_control_reference")
def test_the_access_control_reference_is_read(client: Client) -> None:
    reference = client.call("AccessControl", "getPermissions")
    assert "manage-segments" in reference["permissions"]


@measured("aepp.audit_events_over_several_pages")
def test_audit_events_are_listed_over_several_pages(client: Client) -> None:
    made = [client.segmentation("createSegment", segment_data=segment(client))["id"] for _ in range(3)]
    events = client.call("aepp", "getPlatformEvents", limit=2, prop="action==create")
    ids = [one["id"] for one in events]
    assert len(ids) == len(set(ids))
    assert set(made) <= {one["assetId"] for one in events}
    for one in made:
        client.segmentation("deleteSegment", segment_id=one)


@measured("aepp.errors_come_back_as_bodies")
def test_errors_come_back_as_the_services_bodies(client: Client) -> None:
    name = unique("aepp")
    made = client.segmentation("createSegment", segment_data=segment(client, name=name))
    again = client.segmentation("createSegment", segment_data=segment(client, name=name))
    assert again["status"] == 422
    client.segmentation("deleteSegment", segment_id=made["id"])


@measured("aepp.external_audiences_are_made_run_and_followed")
def test_external_audiences_live_through_the_client(client: Client) -> None:
    made = client.segmentation(
        "createExtenalAudience",
        audience_data={
            "name": unique("aepp external"),
            "description": "made by aepp",
            "fields": [{"name": "email", "type": "string", "identityNs": "Email"}],
            "sourceSpec": {"params": {"path": "none.csv", "type": "file", "sourceType": "Cloud Storage"}},
            "ttlInDays": "30",
            "audienceType": "people",
            "originName": "CUSTOM_UPLOAD",
        },
    )
    operation = until(
        client, "getExternalAudienceStatus", "status", {"SUCCESS", "FAILED"}, operationId=made["operationId"]
    )
    assert operation["status"] == "SUCCESS"
    audience_id = operation["audienceId"]
    run = client.segmentation("runExternalAudienceJob", audience_id=audience_id, startTime=1_764_547_200)
    arguments = {"audience_id": audience_id, "job_id": run["runId"]}
    # There is no such file, which the client is told by the run's status.
    assert until(client, "getExternalAudienceJob", "status", {"SUCCESS", "FAILED"}, **arguments)["status"] == "FAILED"
