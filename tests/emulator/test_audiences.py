"""Audiences: the platform's own, which are the definitions, and those that were made elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import Emulator, Start, definition

PATH = "/data/core/ups/audiences"
DEFINITIONS = "/data/core/ups/segment/definitions"

EXTERNAL: dict[str, Any] = {
    "audienceId": "luma-winback-2025",
    "name": "Luma win-back list",
    "namespace": "aam",
    "type": "ExternalSegment",
    "originName": "CUSTOM_UPLOAD",
    "datasetId": "692d1f0a97f8e31b639fb14d",
    "description": "Uploaded by CRM",
    "labels": ["core/C1"],
    "audienceMeta": {"segmentStatus": "ACTIVE"},
    "linkedAudienceRef": {"flowId": "b9d6a2c4-1f3e-4c77-9a1b-2f5d8e7c6b30"},
}


async def _add(emulator: Emulator, body: dict[str, Any]) -> dict[str, Any]:
    answer = await emulator.call("POST", PATH, json=body)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def _patch(*operations: tuple[str, str, Any]) -> list[dict[str, Any]]:
    return [{"op": op, "path": path, "value": value} for op, path, value in operations]


@pytest.mark.parity("audiences.definition_in_full", source="documents")
async def test_a_definition_is_an_audience_with_the_same_id(emulator: Emulator) -> None:
    made = await emulator.create("Gold", description="d", labels=["core/C1"])
    audience = (await emulator.call("GET", f"{PATH}/{made['id']}")).json()
    assert {name: audience[name] for name in made} == made
    assert audience["audienceId"] == audience["id"]
    assert (audience["namespace"], audience["originName"]) == ("AEPSegments", "REAL_TIME_CUSTOMER_PROFILE")
    assert (audience["type"], audience["lifecycleState"]) == ("SegmentDefinition", "published")
    assert audience["createEpoch"] == audience["updateEpoch"] == made["updateEpoch"]
    assert (audience["isSystem"], audience["dependents"], audience["dependencies"]) == (False, [], [])
    assert audience["definedOn"][0]["$ref"] == "https://ns.adobe.com/xdm/context/profile__union"
    assert audience["_etag"][0] == audience["_etag"][-1] == '"'


async def test_a_platform_audience_is_a_definition(emulator: Emulator) -> None:
    body = {**definition("Gold", emulator.rule("gold")), "type": "SegmentDefinition", "lifecycleState": "draft"}
    made = await _add(emulator, body)
    assert made["lifecycleState"] == "draft"
    found = (await emulator.call("GET", f"{DEFINITIONS}/{made['id']}")).json()
    assert found["name"] == "Gold"
    taken = await emulator.call("POST", PATH, json=body)
    assert taken.status_code == 422


async def test_an_external_audience_has_no_rule_and_is_no_definition(emulator: Emulator) -> None:
    made = await _add(emulator, EXTERNAL)
    assert {name: made[name] for name in EXTERNAL} == EXTERNAL
    assert made["id"] != made["audienceId"]
    assert made["lifecycleState"] == "published"
    assert made["createEpoch"] == made["creationTime"] // 1000
    assert not {"schema", "expression", "mergePolicyId", "evaluationInfo"} & set(made)
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).json() == made
    for path in (f"{PATH}/{made['audienceId']}", f"{DEFINITIONS}/{made['id']}"):
        assert (await emulator.call("GET", path)).status_code == 404
    assert (await emulator.call("GET", DEFINITIONS)).json()["segments"] == []
    for method, body in (("PATCH", {"name": "x"}), ("DELETE", None)):
        assert (await emulator.call(method, f"{DEFINITIONS}/{made['id']}", json=body)).status_code == 404
    found = await emulator.call("POST", f"{DEFINITIONS}/bulk-get", json=[made["id"]])
    assert found.status_code == 404


@pytest.mark.parity("audiences.external_audience_is_an_alias", source="openapi")
async def test_the_other_word_for_external_is_understood(emulator: Emulator) -> None:
    made = await _add(emulator, {**EXTERNAL, "type": "ExternalAudience"})
    assert made["type"] == "ExternalSegment"


async def test_an_external_id_is_taken_once_in_its_namespace(emulator: Emulator) -> None:
    await _add(emulator, EXTERNAL)
    answer = await emulator.call("POST", PATH, json={**EXTERNAL, "name": "other"})
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("/UPAPI-113434-400")
    await _add(emulator, {**EXTERNAL, "namespace": "AO"})


@pytest.mark.parity("audiences.refusals_have_long_codes", source="openapi")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "UPLIB-101206-500"),
        ({"name": "x", "type": "ExternalSegment"}, "UPLIB-101206-500"),
        ({"name": "x", "type": "SegmentDefinition"}, "UPLIB-101206-500"),
        ({**EXTERNAL, "type": "Other"}, "UPLIB-101206-500"),
        ({**EXTERNAL, "lifecycleState": "deleted"}, "UPAPI-113434-400"),
        ({**EXTERNAL, "lifecycleState": "sleeping"}, "UPLIB-101206-500"),
        ([], "UPLIB-101206-500"),
    ],
)
async def test_bad_audiences_are_refused_with_their_code(emulator: Emulator, body: Any, code: str) -> None:
    answer = await emulator.call("POST", PATH, json=body)
    assert answer.status_code == 400
    assert answer.json()["type"] == f"https://ns.adobe.com/aep/errors/{code}"
    assert (await emulator.call("GET", PATH)).json()["children"] == []


@pytest.mark.parity("audiences.empty_list_has_an_empty_link", source="measured")
async def test_the_empty_list(emulator: Emulator) -> None:
    body = (await emulator.call("GET", PATH)).json()
    assert body["children"] == []
    assert body["_page"]["totalCount"] == 0
    assert "next" not in body["_page"]
    assert body["_links"] == {"next": {}}


@pytest.mark.parity("audiences.start_is_a_page_index", source="measured")
async def test_a_client_that_follows_next_meets_every_audience_once(emulator: Emulator) -> None:
    """The way of the public clients: feed ``_page.next`` back as ``start`` until it is not there."""
    for number in range(11):
        emulator.clock.advance(seconds=number % 2)
        await emulator.create(f"Segment {number:02}")
    met: list[str] = []
    start: str | None = "0"
    while start is not None:
        body = (await emulator.call("GET", PATH, params={"limit": 4, "start": start, "sort": "updateTime:desc"})).json()
        met += [audience["name"] for audience in body["children"]]
        start = body["_page"].get("next")
        assert isinstance(start, str | None)
    assert sorted(met) == [f"Segment {number:02}" for number in range(11)]


@pytest.mark.parity("audiences.property_name_and_description_filters", source="documents")
async def test_filters(emulator: Emulator) -> None:
    await emulator.create("Gold customers", description="Loyal people")
    await emulator.create("Silver customers", emulator.rule("silver"))
    external = await _add(emulator, EXTERNAL)

    async def names(**params: Any) -> list[str]:
        body = (await emulator.call("GET", PATH, params=params)).json()
        assert body["_page"]["totalCount"] == len(body["children"])
        return sorted(audience["name"] for audience in body["children"])

    assert await names(name="CUSTOMERS") == ["Gold customers", "Silver customers"]
    assert await names(description="loyal") == ["Gold customers"]
    assert await names(property=f"audienceId=={external['audienceId']}") == [external["name"]]
    assert await names(property=["namespace==aam", "originName==CUSTOM_UPLOAD"]) == [external["name"]]
    assert await names(property=["namespace==aam", "originName==AO"]) == []
    assert await names(property="linkedAudienceRef.flowId==b9d6a2c4-1f3e-4c77-9a1b-2f5d8e7c6b30") == [external["name"]]
    assert len(await names(entityType="_xdm.context.profile")) == 3
    assert await names(entityType="_xdm.context.account") == []
    assert (await emulator.call("GET", PATH, params={"property": "name"})).status_code == 400


async def test_the_link_to_the_next_page_keeps_the_filters(emulator: Emulator) -> None:
    for number in range(3):
        await emulator.create(f"Gold {number}")
    body = (await emulator.call("GET", PATH, params={"limit": 2, "name": "gold"})).json()
    assert body["_links"]["next"]["href"] == "@/audiences?start=1&limit=2&totalCount=3&name=gold"


async def test_bulk_get(emulator: Emulator) -> None:
    platform, external = await emulator.create(), await _add(emulator, EXTERNAL)
    body = {"ids": [{"id": platform["id"]}, {"id": external["id"]}, {"id": "x"}]}
    answer = await emulator.call("POST", f"{PATH}/bulk-get", json=body)
    results = answer.json()["results"]
    assert answer.status_code == 207
    assert results[external["id"]] == external
    assert results[platform["id"]]["namespace"] == "AEPSegments"
    assert "404" in results["x"]["errors"]
    nothing = await emulator.call("POST", f"{PATH}/bulk-get", json={"ids": [{"id": "x"}]})
    assert (nothing.status_code, nothing.json()["type"][-16:]) == (404, "UPAPI-113000-404")


@pytest.mark.parametrize("op", ["add", "replace"])
async def test_json_patch_overwrites_members(emulator: Emulator, op: str) -> None:
    made = await emulator.create("Gold")
    emulator.clock.advance(minutes=1)
    expression = {"type": "PQL", "format": "pql/text", "value": emulator.rule("silver")}
    body = _patch((op, "/description", "new"), (op, "/labels", ["core/C2"]), (op, "/expression", expression))
    answer = await emulator.call("PATCH", f"{PATH}/{made['id']}", json=body)
    changed = answer.json()
    assert answer.status_code == 201
    assert (changed["description"], changed["labels"], changed["expression"]) == ("new", ["core/C2"], expression)
    assert changed["updateTime"] > made["updateTime"]
    assert changed["lastModifiedBy"] == made["createdBy"]
    assert changed["name"] == "Gold"


@pytest.mark.parity("audiences.json_patch_remove", source="assumed")
async def test_json_patch_removes_optional_members(emulator: Emulator) -> None:
    made = await emulator.create("Gold", description="d")
    body = [{"op": "remove", "path": "/description"}]
    changed = (await emulator.call("PATCH", f"{PATH}/{made['id']}", json=body)).json()
    assert "description" not in changed


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "x"}, "400"),
        ([], "400"),
        (["x"], "400"),
        (_patch(("move", "/name", "x")), "400"),
        (_patch(("add", "/id", "x")), "400"),
        (_patch(("add", "name", "x")), "400"),
        (_patch(("add", "/name", None)), "400"),
        ([{"op": "remove", "path": "/name"}], "400"),
        (_patch(("add", "/name", " ")), "UPLIB-101206-500"),
        (_patch(("add", "/labels", "core/C1")), "UPLIB-101206-500"),
        (_patch(("add", "/lifecycleState", "deleted")), "UPAPI-113434-400"),
        (_patch(("add", "/namespace", "other")), "UPAPI-113434-400"),
        (_patch(("add", "/expression", {"type": "PQL", "format": "pql/text", "value": "nonsense = 1"})), "400"),
    ],
)
async def test_a_refused_json_patch_changes_nothing(emulator: Emulator, body: Any, code: str) -> None:
    made = await emulator.create("Gold")
    before = (await emulator.call("GET", f"{PATH}/{made['id']}")).json()
    answer = await emulator.call("PATCH", f"{PATH}/{made['id']}", json=body)
    assert answer.status_code == 400
    assert answer.json()["type"] == f"https://ns.adobe.com/aep/errors/{code}"
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).json() == before


async def test_json_patch_of_an_external_audience(emulator: Emulator) -> None:
    made = await _add(emulator, EXTERNAL)
    reference = {"flowId": "4685ea90-d2b6-11ec-9d64-0242ac120002"}
    body = _patch(("add", "/linkedAudienceRef", reference), ("add", "/lifecycleState", "inactive"))
    changed = (await emulator.call("PATCH", f"{PATH}/{made['id']}", json=body)).json()
    assert (changed["linkedAudienceRef"], changed["lifecycleState"]) == (reference, "inactive")
    refused = await emulator.call("PATCH", f"{PATH}/{made['id']}", json=_patch(("add", "/expression", {})))
    assert refused.status_code == 400


@pytest.mark.parity("audiences.put_keeps_server_owned_members", source="documents")
async def test_put_overwrites_what_is_editable_and_keeps_what_the_server_owns(emulator: Emulator) -> None:
    made = await emulator.create("Gold", description="d", labels=["core/C1"], ttlInDays=30)
    body = {**definition("New name", emulator.rule("silver")), "namespace": "AEPSegments"}
    answer = await emulator.call("PUT", f"{PATH}/{made['id']}", json=body)
    changed = answer.json()
    assert answer.status_code == 201
    assert not {"description", "labels", "ttlInDays"} & set(changed)
    assert (changed["name"], changed["expression"]) == ("New name", body["expression"])
    for name in ("id", "creationTime", "createdBy", "mergePolicyId", "lifecycleState", "namespace"):
        assert changed[name] == {**made, "lifecycleState": "published", "namespace": "AEPSegments"}[name]


async def test_put_of_an_external_audience(emulator: Emulator) -> None:
    made = await _add(emulator, EXTERNAL)
    body = {"name": "New", "namespace": "aam", "audienceId": made["audienceId"], "type": "ExternalSegment"}
    changed = (await emulator.call("PUT", f"{PATH}/{made['id']}", json=body)).json()
    assert (changed["name"], changed["id"]) == ("New", made["id"])
    assert not {"description", "labels", "datasetId"} & set(changed)


@pytest.mark.parametrize("body", [{"namespace": "other"}, {"lifecycleState": "deleted"}, {"name": ""}, {"type": "X"}])
async def test_a_refused_put_changes_nothing(emulator: Emulator, body: dict[str, Any]) -> None:
    made = await _add(emulator, EXTERNAL)
    answer = await emulator.call("PUT", f"{PATH}/{made['id']}", json={**EXTERNAL, **body})
    assert answer.status_code == 400
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).json() == made


async def test_put_of_a_list_is_refused(emulator: Emulator) -> None:
    made = await _add(emulator, EXTERNAL)
    assert (await emulator.call("PUT", f"{PATH}/{made['id']}", json=[])).status_code == 400


@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("PUT", EXTERNAL), ("PATCH", _patch(("add", "/name", "x"))), ("DELETE", None)]
)
async def test_an_unknown_audience_is_not_found(emulator: Emulator, method: str, body: Any) -> None:
    answer = await emulator.call(method, f"{PATH}/7d1e9a52-luma", json=body)
    message = "The audience entity 7d1e9a52-luma is not found. Use a valid entity and try again."
    assert answer.status_code == 404
    assert {name: value for name, value in answer.json().items() if name != "requestId"} == {
        "errors": {"404": [{"code": "404", "message": message}]},
        "type": "https://ns.adobe.com/aep/errors/UPAPI-113430-404",
        "title": message,
        "status": 404,
    }


async def test_delete_is_204_and_empty(emulator: Emulator) -> None:
    for made in (await emulator.create(), await _add(emulator, EXTERNAL)):
        answer = await emulator.call("DELETE", f"{PATH}/{made['id']}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await emulator.call("GET", f"{PATH}/{made['id']}")).status_code == 404


async def test_audiences_outlive_a_restart(start: Start) -> None:
    async with start() as emulator:
        made = await _add(emulator, EXTERNAL)
    async with start() as emulator:
        assert (await emulator.call("GET", f"{PATH}/{made['id']}")).json() == made


@pytest.mark.parity("audiences.sort", source="documents", note="attributes other than updateTime: assumed")
@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("name:asc", ["A", "B", "C"]),
        ("name:desc", ["C", "B", "A"]),
        ("originName:asc,name:desc", ["A", "C", "B"]),
        ("namespace:desc,name:asc", ["A", "B", "C"]),
        ("type:desc,audienceId:desc", ["C", "B", "A"]),
        ("lifecycleState:asc,name:asc", ["C", "A", "B"]),
        ("creationTime:asc,name:desc", ["C", "B", "A"]),
    ],
)
async def test_lists_are_sorted_by_several_attributes(emulator: Emulator, sort: str, expected: list[str]) -> None:
    common = {"type": "ExternalSegment", "originName": "CUSTOM_UPLOAD", "datasetId": "d"}
    for name, more in (
        ("A", {"namespace": "z", "originName": "AUDIENCE_MANAGER"}),
        ("B", {"namespace": "crm"}),
        ("C", {"namespace": "crm", "lifecycleState": "draft"}),
    ):
        body = common | {"name": name, "audienceId": name} | more
        made = await emulator.call("POST", "/data/core/ups/audiences", json=body)
        assert made.status_code == 201, made.text
    answer = await emulator.call("GET", "/data/core/ups/audiences", params={"sort": sort})
    assert [one["name"] for one in answer.json()["children"]] == expected
