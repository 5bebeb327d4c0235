"""What AEP computes: segment jobs, previews and estimates, exports; and schedules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.services import EXPORTS, JOBS, SCHEDULES, UPS, Service, unique

PREVIEW, ESTIMATE = f"{UPS}/preview", f"{UPS}/estimate"
TAKES_LONG = "an evaluation at Adobe takes minutes and counts against the organization's yearly runs"
NO_DATASET = "an export writes into a dataset of the organization"
ONE_ONLY = "an organization has one schedule, which is not the suite's to change"


async def until(service: Service, path: str, done: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            body: dict[str, Any] = (await service.call("GET", path)).json()
            if done(body):
                return body
            await asyncio.sleep(0.05 if service.name != "adobe" else 2)


async def started_job(service: Service) -> tuple[str, dict[str, Any]]:
    made = await service.definition()
    answer = await service.call("POST", JOBS, json=[{"segmentId": made["id"]}])
    assert answer.status_code == 200, answer.text
    return made["id"], answer.json()


@pytest.mark.parity("segment_jobs.create_is_200_and_new", source="documents")
async def test_a_job_begins_as_new_and_ends_with_its_counters(service: Service) -> None:
    service.not_at("adobe", because=TAKES_LONG)
    segment_id, job = await started_job(service)
    assert job["status"] == "NEW"
    assert job["metrics"] == {
        "totalTime": {"startTimeInMs": job["metrics"]["totalTime"]["startTimeInMs"]},
        "profileSegmentationTime": {},
    }
    done = await until(service, f"{JOBS}/{job['id']}", lambda body: body["status"] in {"SUCCEEDED", "FAILED"})
    assert (done["status"], done["source"]) == ("SUCCEEDED", "api")
    metrics = done["metrics"]
    count = metrics["segmentedProfileCounter"][segment_id]
    assert 0 < count < metrics["totalProfiles"]
    assert metrics["segmentedProfileByStatusCounter"][segment_id] == {"realized": count, "exited": 0}
    assert max(metrics["segmentedProfileByNamespaceCounter"][segment_id].values()) <= count
    span = metrics["totalTime"]
    assert span["totalTimeInMs"] == span["endTimeInMs"] - span["startTimeInMs"]


@pytest.mark.parity("segment_jobs.delete_is_204", source="openapi")
async def test_a_job_can_be_cancelled_with_an_empty_answer(service: Service) -> None:
    service.not_at("adobe", because=TAKES_LONG)
    _, job = await started_job(service)
    answer = await service.call("DELETE", f"{JOBS}/{job['id']}")
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parity("segment_jobs.unknown_segment_is_400", source="assumed")
async def test_a_job_for_an_unknown_segment_is_a_400(service: Service) -> None:
    answer = await service.call("POST", JOBS, json=[{"segmentId": "00000000-0000-4000-8000-000000000000"}])
    assert answer.status_code == 400


@pytest.mark.parity("segment_jobs.list_links_are_an_object", source="measured", note="aepp 0.6.0")
async def test_the_list_of_jobs_always_has_its_links(service: Service) -> None:
    body = (await service.call("GET", JOBS, params={"limit": "100", "start": "0"})).json()
    assert isinstance(body["_links"]["next"], dict)
    assert body["_page"]["pageSize"] == len(body["children"])


@pytest.mark.parity("segment_jobs.bulk_get_takes_plain_text", source="measured", note="Postman")
async def test_jobs_can_be_read_in_bulk_as_plain_text(service: Service) -> None:
    service.not_at("adobe", because=TAKES_LONG)
    _, job = await started_job(service)
    content = f'{{"ids": [{{"id": "{job["id"]}"}}]}}'
    answer = await service.call("POST", f"{JOBS}/bulk-get", content=content, headers={"content-type": "text/plain"})
    assert answer.status_code == 207
    assert answer.json()["results"][job["id"]]["id"] == job["id"]


@pytest.mark.parity("previews.create_is_201_with_x_location", source="openapi")
async def test_a_preview_makes_an_estimate_of_the_same_id(service: Service) -> None:
    body = {
        "predicateExpression": service.account.rule,
        "predicateType": "pql/text",
        "predicateModel": "_xdm.context.profile",
        "graphType": "none",
    }
    answer = await service.call("POST", PREVIEW, json=body)
    assert answer.status_code == 201
    made = answer.json()
    assert made["state"] == made["previewQueryStatus"] == "NEW"
    assert isinstance(made["previewExecutionId"], int)
    preview_id = made["previewId"]
    assert answer.headers["x-location"].endswith(f"/preview/{preview_id}")
    ready = await until(service, f"{ESTIMATE}/{preview_id}", lambda one: one["state"] in {"RESULT_READY", "FAILED"})
    assert ready["state"] == "RESULT_READY"
    assert ready["confidenceInterval"].endswith("%")
    assert 0 <= ready["estimatedSize"] <= ready["totalRows"]
    assert all(isinstance(one["namespaceId"], str) for one in ready["estimatedNamespaceDistribution"])
    assert ready["error"] == {"description": "", "traceback": ""}
    deleted = await service.call("DELETE", f"{PREVIEW}/{preview_id}")
    assert (deleted.status_code, deleted.json()["status"]) == (200, True)
    for path in (PREVIEW, ESTIMATE):
        assert (await service.call("GET", f"{path}/{preview_id}")).status_code == 404


@pytest.mark.parity("paging.p5_preview_rows_by_offset", source="documents")
async def test_the_rows_of_a_preview_come_in_pages(service: Service) -> None:
    made = (await service.call("POST", PREVIEW, json={"predicateExpression": service.account.rule})).json()
    path = f"{PREVIEW}/{made['previewId']}"
    whole = await until(service, path, lambda one: one["state"] == "RESULT_READY")
    part = (await service.call("GET", path, params={"offset": "1", "limit": "2"})).json()
    assert part["results"] == whole["results"][1:3]
    assert part["page"]["offset"] == 1
    assert isinstance(part["links"]["next"], str)
    await service.call("DELETE", path)


@pytest.mark.parity("export_jobs.create_cancel_and_list", source="openapi")
async def test_an_export_is_created_listed_and_cancelled(service: Service) -> None:
    service.not_at("adobe", because=NO_DATASET)
    wanted = {"destination": {"datasetId": "692d1f0a97f8e31b639fb14d"}, "schema": {"name": "_xdm.context.profile"}}
    answer = await service.call("POST", EXPORTS, json=wanted)
    assert answer.status_code == 200
    job = answer.json()
    assert isinstance(job["id"], int)
    assert answer.headers["x-location"].endswith(f"/export/jobs/{job['id']}")
    cancelled = await service.call("DELETE", f"{EXPORTS}/{job['id']}")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, True)
    listed = (await service.call("GET", EXPORTS, params={"limit": "1"})).json()
    assert len(listed["records"]) == 1
    assert isinstance(listed["link"]["next"], str)


@pytest.mark.parity("paging.p3_offset_is_opaque_and_next_is_empty_at_the_end", source="measured", note="aepp 0.6.0")
async def test_pages_of_exports_end_with_an_empty_next(service: Service) -> None:
    if service.name != "adobe":
        wanted = {"destination": {"datasetId": "692d1f0a97f8e31b639fb14d"}, "schema": {"name": "_xdm.context.profile"}}
        for _ in range(3):
            await service.call("POST", EXPORTS, json=wanted)
    params = {"limit": "2"}
    seen: list[int] = []
    for _ in range(200):
        body = (await service.call("GET", EXPORTS, params=params)).json()
        seen += [one["id"] for one in body["records"]]
        following = body["link"].get("next", "")
        if following == "":
            break
        params["offset"] = following.partition("offset=")[2].partition("&")[0]
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parity("export_jobs.dataset_is_required", source="openapi")
async def test_an_export_without_a_dataset_is_a_400(service: Service) -> None:
    answer = await service.call("POST", EXPORTS, json={"schema": {"name": "_xdm.context.profile"}})
    assert answer.status_code == 400


@pytest.mark.parity("schedules.create_patch_and_delete", source="documents")
async def test_a_schedule_is_created_changed_and_deleted(service: Service) -> None:
    service.not_at("adobe", because=ONE_ONLY)
    wanted = {
        "name": unique("nightly"),
        "type": "batch_segmentation",
        "properties": {"segments": ["*"]},
        "schedule": "0 0 1 * * ?",
    }
    answer = await service.create(SCHEDULES, wanted)
    assert answer.status_code == 200
    made = answer.json()
    assert (made["state"], made["frequency"]) == ("inactive", "daily")
    path = f"{SCHEDULES}/{made['id']}"
    wrong = await service.call("PATCH", path, json=[{"op": "add", "path": "/schedule", "value": "* * * * * ?"}])
    assert wrong.status_code == 400
    patched = await service.call("PATCH", path, json=[{"op": "add", "path": "/schedule", "value": "0 30 2 * * ?"}])
    assert (patched.status_code, patched.content) == (204, b"")
    assert (await service.call("GET", path)).json()["schedule"] == "0 30 2 * * ?"
    assert (await service.call("DELETE", path)).status_code == 204
    assert (await service.call("GET", path)).status_code == 404
