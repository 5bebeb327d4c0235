"""Audiences on the wire."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.contract.services import AUDIENCES, DEFINITIONS, Service, definition, unique


def external(**members: Any) -> dict[str, Any]:
    return {
        "audienceId": f"contract-{uuid4().hex}",
        "name": unique("external"),
        "namespace": "contract",
        "type": "ExternalSegment",
        "originName": "CUSTOM_UPLOAD",
        **members,
    }


async def created(service: Service, body: dict[str, Any]) -> dict[str, Any]:
    answer = await service.create(AUDIENCES, body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


@pytest.mark.parity("audiences.create_is_201", source="openapi")
async def test_a_new_audience_is_a_201(service: Service) -> None:
    made = await created(service, {**definition(service.account.rule), "type": "SegmentDefinition"})
    assert made["audienceId"] == made["id"]
    assert made["_etag"].startswith('"')
    assert made["createEpoch"] == made["creationTime"] // 1000
    assert (made["dependencies"], made["dependents"], made["isSystem"]) == ([], [], False)
    assert (await service.call("GET", f"{DEFINITIONS}/{made['id']}")).json()["name"] == made["name"]


@pytest.mark.parity("audiences.external_audience_has_no_rule", source="documents")
async def test_an_external_audience_has_its_own_id_and_no_rule(service: Service) -> None:
    body = external(labels=["core/C1"])
    made = await created(service, body)
    assert made["id"] != made["audienceId"] == body["audienceId"]
    assert made["labels"] == ["core/C1"]
    assert not {"expression", "schema", "mergePolicyId", "evaluationInfo"} & set(made)
    assert (await service.call("GET", f"{AUDIENCES}/{body['audienceId']}")).status_code == 404


@pytest.mark.parity("audiences.deleted_state_cannot_be_set", source="openapi")
async def test_an_audience_cannot_be_created_as_deleted(service: Service) -> None:
    answer = await service.create(AUDIENCES, external(lifecycleState="deleted"))
    assert answer.status_code == 400


@pytest.mark.parity("audiences.patch_is_json_patch", source="documents")
async def test_a_patch_is_a_json_patch_that_overwrites(service: Service) -> None:
    made = await created(service, external(description="before"))
    patch = [{"op": "add", "path": "/description", "value": "after"}]
    answer = await service.call("PATCH", f"{AUDIENCES}/{made['id']}", json=patch)
    assert (answer.status_code, answer.json()["description"]) == (201, "after")
    assert answer.json()["_etag"] != made["_etag"] or answer.json()["updateTime"] >= made["updateTime"]
    refused = await service.call("PATCH", f"{AUDIENCES}/{made['id']}", json={"description": "x"})
    assert refused.status_code == 400


@pytest.mark.parity("audiences.namespace_is_immutable", source="openapi")
async def test_the_namespace_of_an_audience_stays(service: Service) -> None:
    made = await created(service, external())
    answer = await service.call(
        "PATCH", f"{AUDIENCES}/{made['id']}", json=[{"op": "add", "path": "/namespace", "value": "other"}]
    )
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("UPAPI-113434-400")


@pytest.mark.parity("audiences.put_replaces_and_is_201", source="openapi")
async def test_a_put_replaces_the_editable_part(service: Service) -> None:
    body = external(description="before", labels=["core/C1"])
    made = await created(service, body)
    answer = await service.call("PUT", f"{AUDIENCES}/{made['id']}", json={**body, "name": unique("renamed")})
    assert answer.status_code == 201
    assert answer.json()["id"] == made["id"]
    assert answer.json()["creationTime"] == made["creationTime"]
    assert answer.json()["name"] != made["name"]


@pytest.mark.parity("audiences.delete_is_204_without_a_body", source="openapi")
async def test_a_deletion_is_a_204(service: Service) -> None:
    made = await created(service, external())
    answer = await service.call("DELETE", f"{AUDIENCES}/{made['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await service.call("GET", f"{AUDIENCES}/{made['id']}")).status_code == 404


@pytest.mark.parity("audiences.not_found_has_its_long_code", source="openapi")
async def test_an_audience_that_is_not_there_has_a_long_code(service: Service) -> None:
    answer = await service.call("GET", f"{AUDIENCES}/{uuid4()}")
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("UPAPI-113430-404")


@pytest.mark.parity("audiences.used_audience_cannot_be_deleted", source="openapi")
async def test_an_audience_that_another_one_uses_cannot_be_deleted(service: Service) -> None:
    used = await service.definition()
    user = await service.definition(
        expression={"type": "PQL", "format": "pql/text", "value": f'inSegment("{used["id"]}")'}
    )
    answer = await service.call("DELETE", f"{AUDIENCES}/{used['id']}")
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("UPAPI-113631-403")
    shown = (await service.call("GET", f"{AUDIENCES}/{user['id']}")).json()
    assert shown["dependencies"] == [used["id"]]


@pytest.mark.parity("paging.p2_start_is_a_page_and_next_is_absent_at_the_end", source="measured", note="aepp 0.6.0")
async def test_pages_of_audiences_end_without_a_next(service: Service) -> None:
    for _ in range(3):
        await created(service, external())
    # At the facade other tests' definitions may appear meanwhile; these do not.
    params: dict[str, str] = {"limit": "2", "property": "namespace==contract"}
    seen: list[str] = []
    for _ in range(50):
        body = (await service.call("GET", AUDIENCES, params=params)).json()
        seen += [one["id"] for one in body["children"]]
        assert body["_page"]["pageSize"] == len(body["children"])
        if "next" not in body["_page"]:
            assert body["_links"]["next"] == {}
            break
        assert isinstance(body["_page"]["next"], str)
        assert body["_links"]["next"]["href"].startswith("@/audiences?start=")
        params["start"] = body["_page"]["next"]
    assert len(seen) == len(set(seen)) == body["_page"]["totalCount"]
    assert len(seen) >= 3


@pytest.mark.parity("audiences.list_sorts_by_attributes", source="documents")
@pytest.mark.parametrize("sort", ["updateTime:asc", "updateTime:desc"])
async def test_audiences_come_in_the_order_that_was_asked_for(service: Service, sort: str) -> None:
    for _ in range(2):
        await created(service, external())
    params = {"sort": sort, "limit": "100"}
    found = [one["updateTime"] for one in (await service.call("GET", AUDIENCES, params=params)).json()["children"]]
    assert found == sorted(found, reverse=sort.endswith("desc"))
    assert len(found) >= 2


@pytest.mark.parity("audiences.several_property_filters_must_all_hold", source="documents")
async def test_several_filters_must_all_hold(service: Service) -> None:
    made = await created(service, external())
    wanted = [("property", f"audienceId=={made['audienceId']}"), ("property", "type==ExternalSegment")]
    found = (await service.call("GET", AUDIENCES, params=wanted)).json()["children"]
    assert [one["id"] for one in found] == [made["id"]]
    none = [*wanted, ("property", "type==SegmentDefinition")]
    assert (await service.call("GET", AUDIENCES, params=none)).json()["children"] == []


@pytest.mark.parity("audiences.list_with_metrics", source="documents")
async def test_a_list_can_be_asked_for_with_metrics(service: Service) -> None:
    made = await created(service, external())
    params = {"withMetrics": "true", "property": f"audienceId=={made['audienceId']}"}
    answer = await service.call("GET", AUDIENCES, params=params)
    assert [one["id"] for one in answer.json()["children"]] == [made["id"]]
