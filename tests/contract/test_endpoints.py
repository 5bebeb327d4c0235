"""Calls that the other files have no occasion for: profiles, samples, merge policies, schedules, exports of the log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.services import UPS, Service, unique

UNKNOWN = "00000000-0000-4000-8000-000000000000"
FOUNDATION = "/data/foundation"
POLICIES = f"{UPS}/config/mergePolicies"
SCHEDULES = f"{UPS}/config/schedules"
ENTITIES = f"{UPS}/access/entities"
PROFILE = {"schema.name": "_xdm.context.profile"}
EVENTS = {"schema.name": "_xdm.context.experienceevent", "relatedSchema.name": "_xdm.context.profile"}
FEW_POLICIES = "an organization has five merge policies, which are not the suite's to use up"
ONE_ONLY = "an organization has one schedule, which is not the suite's to change"
DEPRECATED = "Adobe calls this read deprecated, and not every organization has it"


async def member(service: Service) -> str:
    """Return the id of a profile that the account's rule selects."""
    body = {"predicateExpression": service.account.rule, "predicateType": "pql/text"}
    made = await service.create(f"{UPS}/preview", body | {"predicateModel": "_xdm.context.profile"})
    path = f"{UPS}/preview/{made.json()['previewId']}"
    async with asyncio.timeout(60):
        while (found := (await service.call("GET", path)).json())["state"] != "RESULT_READY":
            await asyncio.sleep(0.05)
    return str(next(iter(found["results"][0])))


@pytest.mark.parity("profiles.entities_keyed_by_xid", source="openapi")
async def test_a_profile_is_keyed_by_its_id_and_tells_its_memberships(service: Service) -> None:
    xid = await member(service)
    answer = await service.call("GET", ENTITIES, params=PROFILE | {"entityId": xid})
    assert answer.status_code == 200
    profile = answer.json()[xid]
    assert profile["entityId"] == xid
    assert isinstance(profile["entity"]["segmentMembership"]["ups"], dict)
    only = await service.call("GET", ENTITIES, params=PROFILE | {"entityId": xid, "fields": "identityMap"})
    assert set(only.json()[xid]["entity"]) <= {"identityMap", "segmentMembership"}


@pytest.mark.parity("profiles.unknown_is_404", source="openapi")
async def test_an_unknown_profile_is_a_404(service: Service) -> None:
    params = PROFILE | {"entityId": "nobody@nowhere.invalid", "entityIdNS": "email"}
    assert (await service.call("GET", ENTITIES, params=params)).status_code == 404


@pytest.mark.parity("profiles.events", source="documents", note="AEP calls this read deprecated")
async def test_the_events_of_a_profile_are_a_page(service: Service) -> None:
    service.not_at("adobe", because=DEPRECATED)
    xid = await member(service)
    answer = await service.call("GET", ENTITIES, params=EVENTS | {"relatedEntityId": xid, "limit": 1})
    assert answer.status_code == 200
    body = answer.json()
    assert body["_page"]["count"] == len(body["children"]) <= 1
    assert set(body["_links"]) == {"next"}
    assert all(one["relatedEntityId"] == xid and one["entity"]["_id"] == one["entityId"] for one in body["children"])


@pytest.mark.parity("samples.status", source="documents")
async def test_the_sample_tells_how_large_it_is_in_text(service: Service) -> None:
    body = (await service.call("GET", f"{UPS}/previewsamplestatus")).json()
    assert int(body["numRowsToRead"]) <= int(body["totalRows"])
    assert isinstance(body["docCount"], str)
    assert {"samplingRatio", "lastSampledTimestamp", "status", "sampleJobRunning"} <= set(body)


@pytest.mark.parity("samples.namespaces", source="documents")
async def test_the_report_of_namespaces_has_counts_and_shares(service: Service) -> None:
    body = (await service.call("GET", f"{UPS}/previewsamplestatus/report/namespace")).json()
    wanted = {"value", "code", "fullIDsCount", "fullIDsFragmentCount", "fullIDsPercentage", "sampleCount"}
    assert body["data"]
    assert all(wanted | {"samplePercentage"} <= set(one) for one in body["data"])
    assert isinstance(body["reportTimestamp"], str)


@pytest.mark.parity("merge_policies.life", source="openapi")
async def test_a_merge_policy_is_made_read_changed_and_deleted(service: Service) -> None:
    service.not_at("adobe", because=FEW_POLICIES)
    body: dict[str, Any] = {
        "name": unique("policy"),
        "schema": {"name": "_xdm.context.profile"},
        "identityGraph": {"type": "none"},
        "attributeMerge": {"type": "timestampOrdered"},
    }
    made = await service.call("POST", POLICIES, json=body)
    if made.status_code == 403 and service.name == "facade":
        pytest.skip("the demo's integrations see merge policies and do not manage them")
    assert made.status_code == 200
    one = f"{POLICIES}/{made.json()['id']}"
    try:
        replaced = await service.call("PUT", one, json=body | {"name": unique("replaced")})
        assert (replaced.status_code, replaced.json()["version"]) == (200, 2)
        patched = await service.call("PATCH", one, json=[{"op": "add", "path": "/isActiveOnEdge", "value": True}])
        assert (patched.status_code, patched.json()["isActiveOnEdge"]) == (200, True)
        found = await service.call("POST", f"{POLICIES}/bulk-get", json={"ids": [{"id": made.json()["id"]}]})
        assert (found.status_code, list(found.json()["results"])) == (207, [made.json()["id"]])
    finally:
        assert (await service.call("DELETE", one)).status_code == 200
    assert (await service.call("GET", one)).status_code == 404


@pytest.mark.parity("schedules.audiences_are_added_and_removed", source="documents", note="of limited availability")
async def test_audiences_are_put_on_a_schedule_and_taken_off(service: Service) -> None:
    service.not_at("adobe", because=ONE_ONLY)
    first, second = (await service.definition())["id"], (await service.definition())["id"]
    body = {"name": unique("schedule"), "type": "batch_segmentation", "properties": {"segments": [first]}}
    schedule = (await service.create(SCHEDULES, body)).json()["id"]
    listed = (await service.call("GET", SCHEDULES, params={"start": 0})).json()
    assert schedule in [one["id"] for one in listed["children"]]
    sent = {"id": schedule, "segments": [first, second, UNKNOWN]}
    added = (await service.call("POST", f"{SCHEDULES}/add-audiences", json=sent)).json()
    assert (added["added"], added["existing"], added["invalid"]) == ([second], [first], [UNKNOWN])
    assert added["segmentCount"] == {"previous": 1, "current": 2, "diff": 1}
    mapped = (await service.call("POST", f"{SCHEDULES}/audience-map", json={"segments": [second]})).json()
    assert mapped["audienceMap"] == {second: [schedule]}
    sent = {"id": schedule, "segments": [second]}
    removed = (await service.call("POST", f"{SCHEDULES}/remove-audiences", json=sent)).json()
    assert removed["removed"] == [second]
    assert (await service.call("POST", f"{SCHEDULES}/trigger", json={"id": schedule})).status_code == 200


@pytest.mark.parity("search.taxonomy_of_an_unknown_entity", source="assumed")
async def test_the_taxonomy_of_an_unknown_entity_is_a_404(service: Service) -> None:
    params = {"schema.name": "_xdm.context.segmentdefinition", "namespace": "AEPSegments", "entityId": UNKNOWN}
    headers = {"x-ups-search-version": "1.0"}
    answer = await service.call("GET", f"{UPS}/search/taxonomy", params=params, headers=headers)
    assert answer.status_code == 404


@pytest.mark.parity("sandboxes.types", source="openapi")
async def test_the_kinds_of_sandboxes_have_titles(service: Service) -> None:
    body = (await service.call("GET", f"{FOUNDATION}/sandbox-management/sandboxTypes")).json()
    assert {"production", "development"} >= {one["id"] for one in body["sandboxTypes"]} > set()
    active = (await service.call("GET", f"{FOUNDATION}/sandbox-management/")).json()
    assert service.account.sandbox in [one["name"] for one in active["sandboxes"]]


@pytest.mark.parity("audit.export_redirects_to_a_file", source="documents")
async def test_an_export_of_the_log_is_a_redirect_to_a_file(service: Service) -> None:
    await service.definition()
    answer = await service.call("GET", f"{FOUNDATION}/audit/export", headers={"accept": "application/octet-stream"})
    assert answer.status_code in {204, 307}
    assert answer.status_code == 204 or answer.headers["location"].startswith("http")


@pytest.mark.parity("audiences.bulk_metrics_of_unknown_ones", source="assumed")
async def test_metrics_of_an_unknown_audience_are_refused_by_its_entry(service: Service) -> None:
    value = {"op": "add", "path": "/metrics/data", "value": {"totalProfiles": 3}}
    resource = {"audienceId": UNKNOWN, "namespace": "AO", "operations": [value]}
    body = {"jobId": "contract", "jobType": "AO", "resources": [resource]}
    answer = await service.call("POST", f"{UPS}/audiences/bulk-patch-metric", json=body)
    assert answer.status_code == 207
    assert [(one["audienceId"], one["status"]) for one in answer.json()["resources"]] == [(UNKNOWN, 404)]


@pytest.mark.parity("schemas.union_of_profiles", source="documents")
async def test_the_union_of_profiles_can_be_read(service: Service) -> None:
    headers = {"accept": "application/vnd.adobe.xed-id+json"}
    answer = await service.call("GET", f"{FOUNDATION}/schemaregistry/tenant/unions", headers=headers)
    assert answer.status_code == 200
    assert "https://ns.adobe.com/xdm/context/profile__union" in answer.text


@pytest.mark.parity("external_audiences.drafts_of_the_paths", source="documents")
async def test_the_older_paths_of_uploads_answer_as_the_newest(service: Service) -> None:
    answers = [
        await service.call("GET", f"/data/core/ais/external-audience/{word}/{UNKNOWN}")
        for word in ("operations", "task")
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    made = await service.call("POST", "/data/core/ais/external-audience/submit", json={})
    assert made.status_code == 400
