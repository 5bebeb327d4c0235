"""What a change would do: told in full, and nothing of it done."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.gateway.conftest import Stack
from tests.gateway.test_upstream_faults import DEFINITIONS
from tests.gateway.test_writes import RULE, body, create, unique

AUDIENCES = "/data/core/ups/audiences"
STREAMING = 'person.gender = "female"'
BATCH = 'xEvent[eventType = "commerce.purchases"].count() > 3'


async def dry(stack: Stack, method: str, path: str, sent: Any = None, **headers: str) -> dict[str, Any]:
    content = {} if sent is None else {"json": sent}
    reply = await stack.facade(method, path, params={"dryRun": "true"}, headers=headers, **content)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    assert found["dryRun"] is True
    return found


async def events(stack: Stack) -> list[str]:
    """Return the actions that the audit has of definitions and audiences."""
    query = "{ auditEvents(first: 100) { nodes { action } } }"
    found = (await stack.graphql(query, account="admin"))["data"]["auditEvents"]["nodes"]
    return [one["action"] for one in found if "preview" not in one["action"]]


async def test_a_create_is_told_with_its_size_and_not_made(stack: Stack) -> None:
    before, sent = await events(stack), body(unique("Tried"), BATCH)
    key = {"idempotency-key": str(uuid4())}
    found = await dry(stack, "POST", DEFINITIONS, sent, **key)
    assert found["wouldSend"] == {"method": "POST", "path": DEFINITIONS, "body": sent}
    assert found["resource"] == {"id": None, "name": sent["name"]}
    assert found["estimate"]["before"] is None
    assert found["estimate"]["after"]["state"] == "RESULT_READY"
    assert found["estimate"]["after"]["estimatedSize"] >= 0
    assert (found["eligibility"]["before"], found["eligibility"]["after"]["streaming"]) == (None, False)
    assert [one["code"] for one in found["diagnostics"]] == ["no-time-window"]
    listed = await stack.upstream("GET", DEFINITIONS, params={"limit": "100", "sort": "creationTime:desc"})
    assert sent["name"] not in [one["name"] for one in listed.json()["segments"]]
    assert await events(stack) == before
    made = await stack.facade("POST", DEFINITIONS, json=sent, headers=key)
    assert (made.status_code, "idempotent-replayed" in made.headers) == (200, False), "a dry run takes no key"


async def test_an_update_and_a_deletion_are_told_with_what_they_would_change(stack: Stack) -> None:
    made = (await stack.facade("POST", DEFINITIONS, json=body(unique("Base"), STREAMING))).json()
    path = f"{DEFINITIONS}/{made['id']}"
    user = body(unique("User"), f'inSegment("{made["id"]}")')
    user_id = (await stack.facade("POST", DEFINITIONS, json=user)).json()["id"]
    before = await events(stack)
    rule = {"expression": {"type": "PQL", "format": "pql/text", "value": BATCH}}
    found = await dry(stack, "PATCH", path, rule)
    assert found["wouldSend"] == {"method": "PATCH", "path": path, "body": rule}
    assert found["estimate"]["before"]["estimatedSize"] > 0
    assert found["estimate"]["after"]["previewId"] != found["estimate"]["before"]["previewId"]
    eligible = found["eligibility"]
    assert (eligible["before"]["streaming"], eligible["after"]["streaming"], eligible["changed"]) == (True, False, True)
    assert found["dependents"] == [user_id]

    described = await dry(stack, "PATCH", path, {"description": "only"})
    assert described["estimate"]["before"] == described["estimate"]["after"], "one rule, one preview"
    assert described["eligibility"]["changed"] is False

    gone = await dry(stack, "DELETE", path)
    assert (gone["wouldSend"]["method"], gone["dependents"]) == ("DELETE", [user_id])
    assert (gone["eligibility"]["before"]["streaming"], gone["eligibility"]["after"]) == (True, None)
    by_audience = await dry(
        stack, "PATCH", f"{AUDIENCES}/{made['id']}", [{"op": "replace", "path": "/expression", **_value(rule)}]
    )
    assert by_audience["eligibility"]["changed"] is True
    assert (await stack.upstream("GET", path)).json() == made
    assert await events(stack) == before


def _value(rule: dict[str, Any]) -> dict[str, Any]:
    return {"value": rule["expression"]}


async def test_a_dry_run_is_refused_where_the_change_would_be(stack: Stack) -> None:
    made = (await create(stack, unique("There")))["segmentDefinition"]
    path = f"{DEFINITIONS}/{made['aepId']}"
    for method, where, sent, headers, status in (
        ("POST", DEFINITIONS, body(unique("Wrong"), "person.gendr = 1"), {}, 400),
        ("PATCH", path, {"description": "x"}, {"if-match": '"other"'}, 412),
        ("DELETE", f"{DEFINITIONS}/{uuid4()}", None, {}, 404),
    ):
        content = {} if sent is None else {"json": sent}
        reply = await stack.facade(method, where, params={"dryRun": "true"}, headers=headers, **content)
        assert reply.status_code == status, (method, reply.text)
    mutation = """mutation ($input: CreateSegmentDefinitionInput!) { createSegmentDefinition(input: $input) {
      userErrors { code } dryRun { operation } } }"""
    given = {"input": {"name": unique("Denied"), "expression": RULE, "dryRun": True}}
    denied = (await stack.graphql(mutation, given, account="viewer"))["data"]["createSegmentDefinition"]
    assert denied == {"userErrors": [{"code": "FORBIDDEN"}], "dryRun": None}


async def test_graphql_tells_the_same(stack: Stack) -> None:
    made = (await create(stack, unique("Asked")))["segmentDefinition"]
    update = """mutation ($input: UpdateSegmentDefinitionInput!) { updateSegmentDefinition(input: $input) {
      segmentDefinition { id } userErrors { code } auditEvent { id }
      dryRun { operation method path body diagnostics { code } estimateBefore { estimatedSize }
        estimateAfter { state estimatedSize } estimateProblem eligibilityChanged
        eligibilityAfter { streaming } dependents } } }"""
    given = {"input": {"id": made["id"], "expression": BATCH, "dryRun": True}}
    payload = (await stack.graphql(update, given))["data"]["updateSegmentDefinition"]
    told = payload.pop("dryRun")
    assert payload == {"segmentDefinition": None, "userErrors": [], "auditEvent": None}
    assert (told["operation"], told["method"]) == ("update_segment_definition", "PATCH")
    assert told["body"]["expression"]["value"] == BATCH
    assert told["estimateAfter"]["state"] == "RESULT_READY"
    assert told["eligibilityAfter"]["streaming"] is False
    version = "query ($id: ID!) { segmentDefinition(id: $id) { version expression { text } } }"
    now = (await stack.graphql(version, {"id": made["id"]}))["data"]["segmentDefinition"]
    assert now == {"version": 1, "expression": {"text": RULE}}


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/data/core/ups/segment/jobs", [{"segmentId": "x"}]),
        ("/data/core/ups/config/schedules", {"name": "Nightly"}),
        ("/data/core/ups/export/jobs", {"fields": "id"}),
        ("/data/core/ups/preview", {"predicateExpression": STREAMING, "predicateType": "pql/text"}),
    ],
)
async def test_every_other_change_can_be_tried_too(stack: Stack, path: str, sent: Any) -> None:
    if path.endswith("preview"):
        sent = sent | {"predicateModel": "_xdm.context.profile"}
    found = await dry(stack, "POST", path, sent)
    assert found["wouldSend"] == {"method": "POST", "path": path, "body": sent}


async def test_a_typing_slip_does_not_turn_a_trial_into_a_change(stack: Stack) -> None:
    sent = body(unique("Slip"))
    reply = await stack.facade("POST", DEFINITIONS, params={"dryRun": "ture"}, json=sent)
    assert reply.status_code == 400
    assert "dryRun must be true or false" in reply.text
