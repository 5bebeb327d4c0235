"""Segments made, changed and deleted through the gateway, and what the audit says of it."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.gateway.conftest import Stack

RULE = '_wwfovlab011.loyalty.level in ["gold", "platinum"]'
CREATE = """mutation ($input: CreateSegmentDefinitionInput!) { createSegmentDefinition(input: $input) {
  segmentDefinition { id aepId name version createdBy { person integration } }
  userErrors { path code message hint span { start end line column } }
  auditEvent { phase actorName action } } }"""
AUDIT = """query ($filter: AuditEventFilterInput) { auditEvents(filter: $filter) { totalCount
  nodes { phase actorKind actorName action resource { id name } } } }"""


def unique(name: str) -> str:
    return f"{name} {uuid4().hex[:8]}"


def body(name: str, rule: str = RULE) -> dict[str, Any]:
    return {
        "name": name,
        "expression": {"type": "PQL", "format": "pql/text", "value": rule},
        "schema": {"name": "_xdm.context.profile"},
    }


async def create(stack: Stack, name: str, **kwargs: Any) -> dict[str, Any]:
    answer = await stack.graphql(CREATE, {"input": {"name": name, "expression": RULE}}, **kwargs)
    return dict(answer["data"]["createSegmentDefinition"])


async def test_a_segment_made_by_a_person_is_in_the_list_in_aep_and_in_the_audit(stack: Stack) -> None:
    name = unique("Gold")
    made = await create(stack, name)
    assert made["userErrors"] == []
    assert made["segmentDefinition"]["createdBy"] == {"person": "author@luma.example", "integration": None}
    assert made["auditEvent"] == {
        "phase": "SUCCEEDED",
        "actorName": "author@luma.example",
        "action": "sandbox:segment_definition:create",
    }
    aep_id = made["segmentDefinition"]["aepId"]
    listed = await stack.graphql(
        "query ($n: String) { segmentDefinitions(filter: {name: $n}) { nodes { aepId } } }", {"n": name.upper()}
    )
    assert listed["data"]["segmentDefinitions"]["nodes"] == [{"aepId": aep_id}]
    upstream = await stack.upstream("GET", f"/data/core/ups/segment/definitions/{aep_id}")
    assert upstream.json()["name"] == name


async def test_the_facade_answers_a_create_with_what_aep_sent(stack: Stack) -> None:
    sent = body(unique("Bronze")) | {"ttlInDays": 90, "schema": {"name": "_xdm.context.profile", "id": "x"}}
    made = await stack.facade("POST", "/data/core/ups/segment/definitions", json=sent)
    assert made.status_code == 200
    assert made.headers["x-location"].endswith(made.json()["id"])
    upstream = await stack.upstream("GET", f"/data/core/ups/segment/definitions/{made.json()['id']}")
    assert upstream.json() == made.json()
    read = await stack.facade("GET", f"/data/core/ups/segment/definitions/{made.json()['id']}")
    assert read.json() == made.json()


async def test_a_person_with_view_only_is_refused_and_nothing_is_sent(stack: Stack) -> None:
    name = unique("Silver")
    made = await create(stack, name, account="viewer")
    assert made["segmentDefinition"] is None
    assert [error["code"] for error in made["userErrors"]] == ["FORBIDDEN"]
    assert "Manage Segments" in made["userErrors"][0]["message"]
    listed = await stack.upstream("GET", "/data/core/ups/segment/definitions")
    assert name not in [one["name"] for one in listed.json()["segments"]]
    audit = await stack.graphql(AUDIT, {"filter": {"phase": "DENIED"}})
    assert audit["data"]["auditEvents"]["nodes"] == [
        {
            "phase": "DENIED",
            "actorKind": "PERSON",
            "actorName": "viewer@luma.example",
            "action": "sandbox:segment_definition:create",
            "resource": {"id": None, "name": name},
        }
    ]


async def test_people_in_the_user_role_cannot_use_the_facade(stack: Stack) -> None:
    headers = {"authorization": f"Bearer {stack.key('author')}"}
    reply = await stack.http.get("/data/core/ups/segment/definitions", headers=headers)
    assert reply.status_code == 403
    assert "developer role" in reply.json()["title"]


async def test_a_name_that_is_taken_is_a_user_error_and_422_on_the_facade(stack: Stack) -> None:
    name = unique("Twice")
    await create(stack, name)
    again = await create(stack, name)
    assert [error["code"] for error in again["userErrors"]] == ["NAME_TAKEN"]
    facade = await stack.facade("POST", "/data/core/ups/segment/definitions", json=body(name))
    assert facade.status_code == 422
    assert facade.json()["status"] == 422


async def test_two_creates_of_one_name_at_once_make_one_segment(stack: Stack) -> None:
    name = unique("Race")
    made = await asyncio.gather(create(stack, name), create(stack, name, account="admin"))
    assert sorted(len(one["userErrors"]) for one in made) == [0, 1]


async def test_an_update_makes_a_version_with_its_author(stack: Stack) -> None:
    made = (await create(stack, unique("Change")))["segmentDefinition"]
    update = """mutation ($input: UpdateSegmentDefinitionInput!) { updateSegmentDefinition(input: $input) {
      segmentDefinition { version description updatedBy { person } createdBy { person } } userErrors { message } } }"""
    answer = await stack.graphql(update, {"input": {"id": made["id"], "description": "changed"}}, account="admin")
    assert answer["data"]["updateSegmentDefinition"] == {
        "segmentDefinition": {
            "version": 2,
            "description": "changed",
            "updatedBy": {"person": "admin@luma.example"},
            "createdBy": {"person": "author@luma.example"},
        },
        "userErrors": [],
    }


async def test_a_deleted_segment_is_gone_everywhere_and_stays_in_the_audit(stack: Stack) -> None:
    made = (await create(stack, unique("Delete")))["segmentDefinition"]
    delete = """mutation ($id: ID!) { deleteSegmentDefinition(input: {id: $id}) { userErrors { code }
      auditEvent { phase } } }"""
    answer = await stack.graphql(delete, {"id": made["id"]})
    assert answer["data"]["deleteSegmentDefinition"] == {"userErrors": [], "auditEvent": {"phase": "SUCCEEDED"}}
    assert (await stack.upstream("GET", f"/data/core/ups/segment/definitions/{made['aepId']}")).status_code == 404
    again = await stack.graphql(delete, {"id": made["id"]})
    assert again["data"]["deleteSegmentDefinition"]["userErrors"] == [{"code": "NOT_FOUND"}]
    audit = await stack.graphql(AUDIT, {"filter": {"resourceId": made["aepId"]}})
    actions = [(one["action"].rsplit(":", 1)[1], one["phase"]) for one in audit["data"]["auditEvents"]["nodes"]]
    assert actions == [("delete", "SUCCEEDED"), ("create", "SUCCEEDED")]


@pytest.mark.parametrize(
    ("rule", "code"),
    [('_wwfovlab011.loyalty.levl = "gold"', "INVALID_PQL"), ("loyalty.level = ", "INVALID_PQL"), ("", "INVALID")],
)
async def test_a_wrong_rule_is_refused_with_its_place_and_nothing_is_recorded(
    stack: Stack, rule: str, code: str
) -> None:
    before = (await stack.graphql(AUDIT))["data"]["auditEvents"]["totalCount"]
    answer = await stack.graphql(CREATE, {"input": {"name": unique("Wrong"), "expression": rule}})
    (error, *_) = answer["data"]["createSegmentDefinition"]["userErrors"]
    assert error["code"].startswith(code)
    if code == "INVALID_PQL":
        assert error["span"]["line"] == 1
        assert error["span"]["column"] >= 1
    assert (await stack.graphql(AUDIT))["data"]["auditEvents"]["totalCount"] == before


async def test_an_unknown_field_comes_with_the_nearest_name(stack: Stack) -> None:
    answer = await stack.graphql(
        CREATE, {"input": {"name": unique("Near"), "expression": '_wwfovlab011.loyalty.levl = "gold"'}}
    )
    (error,) = answer["data"]["createSegmentDefinition"]["userErrors"]
    assert "level" in (error["hint"] or "")


async def test_an_estimate_counts_the_sample(stack: Stack) -> None:
    started = await stack.graphql(
        "mutation ($r: String!) { estimateSegment(input: {expression: $r}) { estimate { previewId } "
        "userErrors { message } } }",
        {"r": RULE},
    )
    preview_id = started["data"]["estimateSegment"]["estimate"]["previewId"]
    query = "query ($id: String!) { estimate(previewId: $id) { state estimatedSize rowsTotal standardError } }"
    for _ in range(200):
        estimate = (await stack.graphql(query, {"id": preview_id}))["data"]["estimate"]
        if estimate["state"] == "RESULT_READY":
            break
        await asyncio.sleep(0.05)
    assert estimate["state"] == "RESULT_READY"
    assert estimate["rowsTotal"] == 500
    assert 0 < estimate["estimatedSize"] < 500
    assert estimate["standardError"] == 0


async def test_a_segment_job_passes_through_and_is_audited(stack: Stack) -> None:
    made = (await create(stack, unique("Job")))["segmentDefinition"]
    started = await stack.facade("POST", "/data/core/ups/segment/jobs", json=[{"segmentId": made["aepId"]}])
    assert started.status_code == 200
    job = started.json()
    for _ in range(200):
        job = (await stack.facade("GET", f"/data/core/ups/segment/jobs/{job['id']}")).json()
        if job["status"] == "SUCCEEDED":
            break
        await asyncio.sleep(0.05)
    assert job["metrics"]["segmentedProfileCounter"][made["aepId"]] > 0
    audit = await stack.graphql(AUDIT, {"filter": {"resourceId": job["id"]}})
    assert audit["data"]["auditEvents"]["nodes"][0]["actorName"] == "Luma Loader"


async def test_a_rule_may_follow_a_relation_to_any_class_of_the_registry(stack: Stack) -> None:
    query = """mutation($rule: String!) { estimateSegment(input: {expression: $rule}) {
        estimate { state } userErrors { code message } } }"""
    rule = (
        "select E from xEvent, I from E.productListItems"
        ' where I.SKU@{_xdm.context.product}._wwfovlab011.category = "Men"'
    )
    answer = (await stack.graphql(query, {"rule": rule}))["data"]["estimateSegment"]
    assert answer["userErrors"] == []
    assert answer["estimate"]["state"] in {"NEW", "RUNNING", "RESULT_READY"}
    unknown = (await stack.graphql(query, {"rule": rule.replace("product}", "nothing}")}))["data"]["estimateSegment"]
    assert unknown["userErrors"][0]["code"] == "INVALID_PQL"


async def test_a_definition_tells_what_its_rule_says(stack: Stack) -> None:
    create = """mutation($rule: String!) { createSegmentDefinition(input: {name: "Said", expression: $rule}) {
        segmentDefinition { expression {
            canonical hash json explanation fields segments eligibility { batch streaming edge reasons { code } } } }
        userErrors { code message } } }"""
    rule = 'person.gender   = "female" and xEvent[eventType = "commerce.purchases"].count() > 3'
    made = (await stack.graphql(create, {"rule": rule}))["data"]["createSegmentDefinition"]
    assert made["userErrors"] == []
    said = made["segmentDefinition"]["expression"]
    assert said["canonical"] == rule.replace("   ", " ")
    assert said["fields"] == ["person.gender", "xEvent.eventType"]
    assert said["explanation"].startswith("A profile qualifies when all of these hold:")
    assert said["json"].startswith('{"nodeType":"fnApply","fnName":"and"')
    assert said["segments"] == []
    assert said["eligibility"]["batch"]
    assert not said["eligibility"]["streaming"]
    assert "no-window" in [one["code"] for one in said["eligibility"]["reasons"]]
    check = "query($rule: String!) { validatePql(expression: $rule) { valid hash diagnostics { code severity } } }"
    other = 'xEvent[eventType = "commerce.purchases"].count() > 3 and not (not (person.gender = "female"))'
    report = (await stack.graphql(check, {"rule": other}))["data"]["validatePql"]
    assert report["hash"] == said["hash"]
    assert "no-time-window" in [one["code"] for one in report["diagnostics"]]


async def test_null_clears_a_member_and_leaving_it_out_keeps_it(stack: Stack) -> None:
    made = (await create(stack, unique("Cleared")))["segmentDefinition"]
    change = (
        "mutation ($i: UpdateSegmentDefinitionInput!) { m: updateSegmentDefinition(input: $i) "
        "{ segmentDefinition { name description ttlInDays } userErrors { path code } } }"
    )

    async def update(**members: object) -> dict[str, Any]:
        answer = await stack.graphql(change, {"i": {"id": made["id"], **members}})
        return dict(answer["data"]["m"])

    await update(description="kept", ttlInDays=30)
    assert (await update(ttlInDays=None))["segmentDefinition"] == {
        "name": made["name"],
        "description": "kept",
        "ttlInDays": None,
    }
    assert (await update(description=None))["segmentDefinition"]["description"] is None
    refused = await update(expression=None)
    assert refused["segmentDefinition"] is None
    assert [one["code"] for one in refused["userErrors"]] == ["INVALID_REQUEST"]
    assert [one["code"] for one in (await update(name=None))["userErrors"]] == ["INVALID_REQUEST"]


async def test_the_event_of_a_change_is_a_node(stack: Stack) -> None:
    await create(stack, unique("Told"))
    event = (await stack.graphql("{ auditEvents(first: 1) { nodes { id } } }"))["data"]["auditEvents"]["nodes"][0]
    asked = await stack.graphql(
        "query ($id: ID!) { node(id: $id) { id ... on AuditEvent { action phase } } }", {"id": event["id"]}
    )
    assert asked["data"]["node"] == {
        "id": event["id"],
        "action": "sandbox:segment_definition:create",
        "phase": "SUCCEEDED",
    }
