"""Segment definitions on the wire."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.contract.services import AUDIENCES, DEFINITIONS, UPS, Service, definition, unique

CONVERSION = f"{UPS}/segment/conversion"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parity("segment_definitions.create_is_200_with_x_location", source="openapi")
async def test_a_new_definition_is_a_200_with_its_place(service: Service) -> None:
    answer = await service.create(DEFINITIONS, definition(service.account.rule))
    assert answer.status_code == 200
    assert answer.headers["x-location"].endswith(f"/segment/definitions/{answer.json()['id']}")


@pytest.mark.parity("segment_definitions.defaults_on_create", source="documents")
async def test_a_new_definition_has_the_services_defaults(service: Service) -> None:
    made = await service.definition()
    assert made["profileInstanceId"] == "ups"
    assert made["imsOrgId"] == service.account.org_id
    assert made["sandbox"]["sandboxName"] == service.account.sandbox
    assert set(made["sandbox"]) == {"sandboxId", "sandboxName", "type", "default"}
    assert made["mergePolicyId"]
    assert made["evaluationInfo"] == {
        "batch": {"enabled": True},
        "continuous": {"enabled": False},
        "synchronous": {"enabled": False},
    }
    assert made["dataGovernancePolicy"] == {"excludeOptOut": True}


@pytest.mark.parity("segment_definitions.times_in_ms_and_s", source="openapi")
async def test_times_are_milliseconds_and_epochs_are_seconds(service: Service) -> None:
    made = await service.definition()
    assert 1_600_000_000_000 < made["creationTime"] < 4_200_000_000_000
    assert made["updateTime"] == made["updateEpoch"] * 1000
    assert made["creationTime"] // 1000 == made["updateEpoch"]


@pytest.mark.parity("segment_definitions.known_optional_members_are_kept", source="documents")
async def test_optional_members_are_echoed_and_kept(service: Service) -> None:
    made = await service.definition(ttlInDays=30, description="kept", somethingOfTomorrow={"a": 1})
    assert (made["ttlInDays"], made["description"]) == (30, "kept")
    read = (await service.call("GET", f"{DEFINITIONS}/{made['id']}")).json()
    assert read == made


@pytest.mark.parity("segment_definitions.duplicate_name_is_422", source="openapi")
async def test_a_name_that_is_taken_is_a_422(service: Service) -> None:
    made = await service.definition()
    again = await service.create(DEFINITIONS, definition(service.account.rule, name=made["name"]))
    assert (again.status_code, again.json()["status"]) == (422, 422)


@pytest.mark.parity("segment_definitions.missing_name_is_400", source="documents")
async def test_a_definition_without_a_name_is_a_400(service: Service) -> None:
    body = definition(service.account.rule)
    del body["name"]
    answer = await service.create(DEFINITIONS, body)
    assert answer.status_code == 400
    assert "name" in answer.json()["title"]


@pytest.mark.parity("segment_definitions.rule_that_does_not_parse_is_400", source="assumed")
async def test_a_rule_that_does_not_parse_is_a_400(service: Service) -> None:
    answer = await service.create(DEFINITIONS, definition("this is (not a rule"))
    assert answer.status_code == 400


@pytest.mark.parity("segment_definitions.patch_merges_an_object", source="documents")
async def test_a_patch_replaces_the_members_that_it_has(service: Service) -> None:
    made = await service.definition(description="before", ttlInDays=30)
    answer = await service.call(
        "PATCH", f"{DEFINITIONS}/{made['id']}", json={"description": "after", "id": UNKNOWN, "creationTime": 0}
    )
    assert answer.status_code == 200
    assert answer.headers["x-location"].endswith(made["id"])
    changed = answer.json()
    assert changed["description"] == "after"
    kept = ("id", "name", "expression", "ttlInDays", "creationTime", "mergePolicyId")
    assert {name: changed[name] for name in kept} == {name: made[name] for name in kept}


@pytest.mark.parity("segment_definitions.patch_with_an_array_is_400", source="assumed")
async def test_a_json_patch_is_refused_here(service: Service) -> None:
    made = await service.definition()
    patch = [{"op": "add", "path": "/description", "value": "x"}]
    assert (await service.call("PATCH", f"{DEFINITIONS}/{made['id']}", json=patch)).status_code == 400


@pytest.mark.parity("segment_definitions.delete_is_200_with_a_message", source="openapi")
async def test_a_deletion_says_so(service: Service) -> None:
    made = await service.definition()
    answer = await service.call("DELETE", f"{DEFINITIONS}/{made['id']}")
    assert answer.status_code == 200
    assert answer.json()["status"] is True
    assert made["id"] in answer.json()["message"]
    assert (await service.call("GET", f"{DEFINITIONS}/{made['id']}")).status_code == 404
    assert (await service.call("DELETE", f"{DEFINITIONS}/{made['id']}")).status_code == 404


@pytest.mark.parity("paging.p1_pages_count_from_zero", source="measured", note="aepp 0.6.0")
async def test_pages_of_definitions_count_from_zero(service: Service) -> None:
    for _ in range(3):
        await service.definition()
    params = {"limit": "2", "sort": "creationTime:asc"}
    first = (await service.call("GET", DEFINITIONS, params={**params, "page": "0"})).json()
    assert (await service.call("GET", DEFINITIONS, params=params)).json()["segments"] == first["segments"]
    second = (await service.call("GET", DEFINITIONS, params={**params, "page": "1"})).json()
    assert len(first["segments"]) == 2
    assert {one["id"] for one in first["segments"]}.isdisjoint({one["id"] for one in second["segments"]})
    page = first["page"]
    assert (page["pageSize"], page["limit"], page["sortField"], page["sort"]) == (2, 2, "creationTime", "asc")
    assert page["totalPages"] == -(-page["totalCount"] // 2)
    assert isinstance(first["link"], dict)


@pytest.mark.parity("paging.p1_page_past_the_end_is_empty", source="measured", note="aepp 0.6.0")
async def test_a_page_past_the_end_is_empty(service: Service) -> None:
    answer = await service.call("GET", DEFINITIONS, params={"limit": "100", "page": "5000"})
    assert (answer.status_code, answer.json()["segments"]) == (200, [])


@pytest.mark.parity("paging.limit_below_one_is_400", source="assumed")
@pytest.mark.parametrize("limit", ["0", "-1", "many"])
async def test_a_senseless_limit_is_a_400(service: Service, limit: str) -> None:
    assert (await service.call("GET", DEFINITIONS, params={"limit": limit})).status_code == 400


@pytest.mark.parity("segment_definitions.filter_in_any_letter_case", source="measured", note="aepp 0.6.0")
async def test_a_filter_may_be_written_as_python_writes_true(service: Service) -> None:
    made = await service.definition()
    listed = (await service.call("GET", DEFINITIONS, params={"evaluationInfo.batch.enabled": "True"})).json()
    assert made["id"] in [one["id"] for one in listed["segments"]]
    listed = (await service.call("GET", DEFINITIONS, params={"evaluationInfo.continuous.enabled": "True"})).json()
    assert made["id"] not in [one["id"] for one in listed["segments"]]


@pytest.mark.parity("segment_definitions.filter_for_a_method_that_is_off", source="documents")
async def test_definitions_can_be_filtered_by_a_method_that_is_off(service: Service) -> None:
    made = await service.definition()
    for value, is_found in (("false", True), ("true", False)):
        params = {"evaluationInfo.synchronous.enabled": value, "sort": "creationTime:desc"}
        listed = (await service.call("GET", DEFINITIONS, params=params)).json()["segments"]
        assert (made["id"] in [one["id"] for one in listed]) is is_found


@pytest.mark.parity("bulk_get.answer_is_an_object_by_id", source="documents")
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
async def test_a_bulk_get_is_keyed_by_id_and_tells_what_is_missing(service: Service, content_type: str) -> None:
    made = await service.definition()
    content = json.dumps({"ids": [{"id": made["id"]}, {"id": UNKNOWN}]})
    answer = await service.call(
        "POST", f"{DEFINITIONS}/bulk-get", content=content, headers={"content-type": content_type}
    )
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert results[made["id"]] == made
    assert results[UNKNOWN]["errors"]["404"][0]["code"] == "404"


@pytest.mark.parity("bulk_get.one_to_a_hundred_ids", source="openapi")
@pytest.mark.parametrize("count", [0, 101])
async def test_a_bulk_get_takes_one_to_a_hundred_ids(service: Service, count: int) -> None:
    ids = [{"id": f"{number:08d}-0000-4000-8000-000000000000"} for number in range(count)]
    answer = await service.call("POST", f"{AUDIENCES}/bulk-get", json={"ids": ids})
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("UPAPI-113015-400")


@pytest.mark.parity("bulk_get.none_found_is_404", source="openapi")
async def test_a_bulk_get_that_finds_nothing_is_a_404(service: Service) -> None:
    answer = await service.call("POST", f"{AUDIENCES}/bulk-get", json={"ids": [{"id": UNKNOWN}]})
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("UPAPI-113000-404")
    assert UNKNOWN in answer.json()["title"]


@pytest.mark.parity("conversion.has_no_id_and_stores_nothing", source="documents")
async def test_a_conversion_goes_there_and_back_and_stores_nothing(service: Service) -> None:
    body = definition(service.account.rule, description=None, ttlInDays=30)
    there = await service.call("POST", CONVERSION, json=body)
    if there.status_code == 501:
        pytest.skip(there.json()["title"])
    assert there.status_code == 200
    converted = there.json()
    assert "id" not in converted
    assert converted["expression"]["format"] == "pql/json"
    assert isinstance(converted["expression"]["value"], str)
    back = await service.call("POST", CONVERSION, json={**body, "expression": converted["expression"]})
    assert back.json()["expression"]["format"] == "pql/text"
    again = await service.call("POST", CONVERSION, json={**body, "expression": back.json()["expression"]})
    assert again.json()["expression"] == converted["expression"]
    listed = await service.call("GET", DEFINITIONS, params={"sort": "creationTime:desc"})
    assert body["name"] not in [one["name"] for one in listed.json()["segments"]]


@pytest.mark.parity("audiences.a_definition_is_an_audience", source="documents")
async def test_a_definition_is_also_an_audience(service: Service) -> None:
    made = await service.definition()
    answer = await service.call("GET", f"{AUDIENCES}/{made['id']}")
    assert answer.status_code == 200
    audience = answer.json()
    assert audience["audienceId"] == made["id"]
    assert (audience["type"], audience["namespace"]) == ("SegmentDefinition", "AEPSegments")
    assert audience["originName"] == "REAL_TIME_CUSTOMER_PROFILE"
    assert audience["lifecycleState"] == "published"
    async with asyncio.timeout(15):
        while True:
            listed = await service.call("GET", AUDIENCES, params={"property": f"audienceId=={made['id']}"})
            if listed.json()["children"]:
                break
            await asyncio.sleep(0.1)
    assert [one["id"] for one in listed.json()["children"]] == [made["id"]]


@pytest.mark.parity("segment_definitions.names_are_unique_in_a_sandbox", source="documents")
async def test_a_name_may_be_used_again_after_its_definition_is_gone(service: Service) -> None:
    name = unique("again")
    made = await service.definition(name=name)
    await service.call("DELETE", f"{DEFINITIONS}/{made['id']}")
    assert (await service.definition(name=name))["id"] != made["id"]
