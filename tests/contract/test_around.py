"""Search, merge policies, sandboxes, access control and the audit log on the wire."""

from __future__ import annotations

import asyncio

import pytest

from tests.contract.services import UPS, Service, unique

VERSION = {"x-ups-search-version": "1.0"}
FOUNDATION = "/data/foundation"


@pytest.mark.parity("search.namespaces_with_their_counts", source="documents")
async def test_namespaces_have_counts(service: Service) -> None:
    await service.definition()
    params = {"schema.name": "_xdm.context.segmentdefinition"}
    body = (await service.call("GET", f"{UPS}/search/namespaces", params=params, headers=VERSION)).json()
    assert body["status"] == {"message": "Success"}
    assert body["totalCount"] == len(body["namespaces"]) >= 1
    assert all({"namespace", "displayName", "count"} <= set(one) for one in body["namespaces"])


@pytest.mark.parity("paging.p4_there_is_always_one_page", source="measured", note="aepp 0.6.0")
async def test_a_search_without_hits_has_one_page(service: Service) -> None:
    params = {"schemaClass": "_xdm.context.segmentdefinition", "namespace": "ECID", "s": "name:nothing"}
    answer = await service.call("GET", f"{UPS}/search/entities", params=params, headers=VERSION)
    assert answer.status_code == 200
    body = answer.json()
    assert body["entities"] == []
    assert body["page"]["totalPages"] >= 1
    assert body["page"]["pageOffset"] == 0


@pytest.mark.parity("search.class_by_either_parameter", source="documents")
@pytest.mark.parametrize("parameter", ["schemaClass", "schema.name"])
async def test_the_class_of_a_search_has_two_names(service: Service, parameter: str) -> None:
    params = {parameter: "_xdm.context.segmentdefinition", "namespace": "AEPSegments"}
    assert (await service.call("GET", f"{UPS}/search/entities", params=params, headers=VERSION)).status_code == 200


@pytest.mark.parity("merge_policies.list_always_has_links_next", source="measured", note="aepp 0.6.0")
async def test_the_list_of_merge_policies_has_its_links(service: Service) -> None:
    body = (await service.call("GET", f"{UPS}/config/mergePolicies")).json()
    assert isinstance(body["_links"]["next"], dict)
    policy = body["children"][0]
    assert {"id", "name", "schema", "version", "identityGraph", "attributeMerge", "default"} <= set(policy)
    assert (await service.call("GET", f"{UPS}/config/mergePolicies/{policy['id']}")).json()["id"] == policy["id"]


@pytest.mark.parity("sandboxes.list_with_page_and_links", source="documents")
async def test_sandboxes_are_listed(service: Service) -> None:
    body = (await service.call("GET", f"{FOUNDATION}/sandbox-management/sandboxes")).json()
    assert service.account.sandbox in [one["name"] for one in body["sandboxes"]]
    assert body["_page"]["count"] == len(body["sandboxes"])
    assert body["_links"]["page"]["templated"] is True
    one = (await service.call("GET", f"{FOUNDATION}/sandbox-management/sandboxes/{service.account.sandbox}")).json()
    assert {"name", "title", "state", "type", "isDefault"} <= set(one)
    assert one["state"] == "active"


@pytest.mark.parity("access_control.reference", source="documents")
async def test_the_reference_names_permissions_and_kinds_of_resources(service: Service) -> None:
    body = (await service.call("GET", f"{FOUNDATION}/access-control/acl/reference")).json()
    assert set(body) == {"permissions", "resource-types"}
    assert set(body["resource-types"]["segments"]) == {"read", "write", "delete"}
    assert "segments" in body["permissions"]["manage-segments"]


@pytest.mark.parity("access_control.effective_policies", source="documents")
async def test_effective_policies_are_keyed_by_what_was_asked(service: Service) -> None:
    path = f"{FOUNDATION}/access-control/acl/effective-policies"
    body = (await service.call("POST", path, json=["/resource-types/segments"])).json()
    assert "read" in body["policies"]["/resource-types/segments"]


@pytest.mark.parity("paging.p7_audit_is_hal", source="documents")
async def test_the_audit_log_is_hal(service: Service) -> None:
    await service.definition()
    await service.definition()
    answer = await service.call("GET", f"{FOUNDATION}/audit/events", params={"limit": "1"})
    assert answer.status_code == 200
    body = answer.json()
    assert len(body["_embedded"]["events"]) == 1
    following = body["_links"]["next"]["href"]
    assert "start=" in following
    assert "queryId=" in following
    event = body["_embedded"]["events"][0]
    assert event["status"] in {"Allow", "Deny"}
    assert event["timestamp"].endswith("+0000")


EXTERNAL = "/data/core/ais/external-audience"
NO_STORAGE = "an upload reads a file of a storage that the organization has connected"


@pytest.fixture
async def upload(service: Service) -> str:
    """The id of a new external audience."""
    service.not_at("adobe", because=NO_STORAGE)
    body = {
        "name": unique("upload"),
        "description": "a list of customers",
        "fields": [{"name": "email", "type": "string", "identityNs": "Email"}],
        "sourceSpec": {
            "params": {"path": "list.csv", "type": "file", "sourceType": "Cloud Storage", "baseConnectionId": "c"}
        },
        "ttlInDays": "30",
        "audienceType": "people",
        "originName": "CUSTOM_UPLOAD",
    }
    answer = await service.call("POST", f"{EXTERNAL}/", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["operationDetails"]["name"] == body["name"]
    path = f"{EXTERNAL}/operations/{answer.json()['operationId']}"
    async with asyncio.timeout(20):
        while True:
            operation = (await service.call("GET", path)).json()
            if operation["status"] != "PROCESSING":
                break
            await asyncio.sleep(0.05)
    assert operation["status"] == "SUCCESS", operation
    return str(operation["audienceId"])


@pytest.mark.parity("paging.p8_runs_are_counted", source="documents")
async def test_the_runs_of_an_upload_are_counted(service: Service, upload: str) -> None:
    answer = await service.call("GET", f"{EXTERNAL}/{upload}/runs", params={"limit": "1"})
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) >= {"runs", "_page"}
    assert body["_page"]["limit"] == 1
    assert body["_page"]["count"] == len(body["runs"]) <= 1
    assert body["_page"]["totalCount"] >= body["_page"]["count"]


@pytest.mark.parity("external_audiences.create_is_202_with_an_operation", source="documents")
async def test_an_upload_becomes_an_audience(service: Service, upload: str) -> None:
    audience = await service.call("GET", f"{UPS}/audiences/{upload}")
    assert (audience.status_code, audience.json()["type"]) == (200, "ExternalSegment")
    deleted = await service.call("DELETE", f"{EXTERNAL}/{upload}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await service.call("DELETE", f"{EXTERNAL}/{upload}")).status_code == 404
