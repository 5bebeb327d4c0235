"""The same key and the same body: one change at AEP, one answer, however often it is asked for."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from app.context.permissions import Permission
from tests.gateway.conftest import Stack
from tests.gateway.test_upstream_faults import DEFINITIONS, add, faults
from tests.gateway.test_writes import AUDIT, RULE, body, unique

__all__ = ["faults"]  # a fixture

CREATE = """mutation ($input: CreateSegmentDefinitionInput!) { createSegmentDefinition(input: $input) {
  segmentDefinition { id aepId name version createdAt createdBy { person } }
  userErrors { code path message } auditEvent { id phase } } }"""
DELETE = """mutation ($input: DeleteSegmentDefinitionInput!) { deleteSegmentDefinition(input: $input) {
  segmentDefinition { id aepId name version } userErrors { code } auditEvent { id phase } } }"""


async def upstream_count(stack: Stack, name: str) -> int:
    listed = await stack.upstream("GET", DEFINITIONS, params={"limit": "100", "sort": "creationTime:desc"})
    return [one["name"] for one in listed.json()["segments"]].count(name)


async def post(stack: Stack, sent: dict[str, Any], key: str, **headers: str) -> httpx.Response:
    return await stack.facade("POST", DEFINITIONS, json=sent, headers={"idempotency-key": key, **headers})


async def test_a_create_that_is_repeated_is_made_once_and_answered_alike(stack: Stack) -> None:
    sent, key = body(unique("Once")), str(uuid4())
    first, second = await post(stack, sent, key), await post(stack, sent, key)
    assert (second.status_code, second.content) == (first.status_code, first.content) == (200, first.content)
    assert second.headers["x-location"] == first.headers["x-location"]
    assert second.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert await upstream_count(stack, sent["name"]) == 1
    events = await stack.graphql(AUDIT, {"filter": {"resourceId": first.json()["id"]}}, account="admin")
    assert events["data"]["auditEvents"]["totalCount"] == 1


async def test_members_in_another_order_are_the_same_body(stack: Stack) -> None:
    sent, key = body(unique("Order")), str(uuid4())
    first = await post(stack, sent, key)
    assert (await post(stack, dict(reversed(sent.items())), key)).json() == first.json()


async def test_another_body_under_the_same_key_is_refused(stack: Stack) -> None:
    sent, key = body(unique("First")), str(uuid4())
    await post(stack, sent, key)
    refused = await post(stack, body(unique("Second")), key)
    assert refused.status_code == 422
    assert "used for another request" in refused.json()["title"]


async def test_a_key_belongs_to_one_actor_sandbox_organization_and_operation(stack: Stack) -> None:
    sent, key = body(unique("Mine")), str(uuid4())
    made = (await post(stack, sent, key)).json()
    other = await stack.headers_with(Permission.MANAGE_SEGMENTS)
    taken = await stack.http.post(DEFINITIONS, json=sent, headers=other | {"idempotency-key": key})
    assert taken.status_code == 422
    assert "idempotency" not in taken.text
    elsewhere = await stack.facade(
        "POST", DEFINITIONS, json=sent, headers={"idempotency-key": key, "x-sandbox-name": "dev"}
    )
    assert elsewhere.json()["id"] != made["id"]
    # The tests share an emulator, and others rely on a sandbox that is empty.
    one = f"{DEFINITIONS}/{elsewhere.json()['id']}"
    assert (await stack.facade("DELETE", one, headers={"x-sandbox-name": "dev"})).status_code == 200
    solstice = body(sent["name"], 'person.gender = "female"')
    abroad = await stack.facade("POST", DEFINITIONS, json=solstice, headers={"idempotency-key": key}, slug="solstice")
    assert abroad.json()["id"] not in {made["id"], elsewhere.json()["id"]}
    gone = await stack.facade("DELETE", f"{DEFINITIONS}/{made['id']}", headers={"idempotency-key": key})
    assert (gone.status_code, "idempotent-replayed" in gone.headers) == (200, False)


async def test_a_key_of_a_change_that_was_refused_is_free_again(stack: Stack) -> None:
    name, key = unique("Taken"), str(uuid4())
    blocker = (await stack.facade("POST", DEFINITIONS, json=body(name))).json()
    assert (await post(stack, body(name), key)).status_code == 422
    await stack.facade("DELETE", f"{DEFINITIONS}/{blocker['id']}")
    made = await post(stack, body(name), key)
    assert (made.status_code, "idempotent-replayed" in made.headers) == (200, False)


async def test_a_key_of_a_change_without_an_answer_stays_taken(stack: Stack, faults: httpx.AsyncClient) -> None:
    sent, key = body(unique("Unknown")), str(uuid4())
    await add(faults, "cut_body", "POST", DEFINITIONS, share=0.5)
    assert (await post(stack, sent, key)).status_code == 503
    again = await post(stack, sent, key)
    assert (again.status_code, int(again.headers["retry-after"]) >= 1) == (409, True)
    assert await upstream_count(stack, sent["name"]) == 1


async def test_a_second_call_while_the_first_is_under_way_is_told_to_come_back(
    stack: Stack, faults: httpx.AsyncClient
) -> None:
    sent, key = body(unique("Busy")), str(uuid4())
    await add(faults, "delay", "POST", DEFINITIONS, seconds=0.4)
    answers = await asyncio.gather(*(post(stack, sent, key) for _ in range(5)))
    assert sorted(one.status_code for one in answers) == [200, 409, 409, 409, 409]
    assert all(one.headers["retry-after"] == "1" for one in answers if one.status_code == 409)
    assert (await post(stack, sent, key)).headers["idempotent-replayed"] == "true"
    assert await upstream_count(stack, sent["name"]) == 1


async def test_an_answer_that_is_too_old_is_forgotten(stack: Stack, owner_url: str) -> None:
    sent, key = body(unique("Old")), str(uuid4())
    made = (await post(stack, sent, key)).json()
    await stack.facade("DELETE", f"{DEFINITIONS}/{made['id']}")
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")
        again = await post(stack, sent, key)
        assert again.status_code == 200
        assert again.json()["id"] != made["id"]
        await connection.execute("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")
        await post(stack, body(unique("Next")), str(uuid4()))
        assert await connection.fetchval("SELECT count(*) FROM idempotency_keys WHERE key = $1", key) == 0
    finally:
        await connection.close()


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
async def test_a_key_that_is_none_is_a_400(stack: Stack, key: str) -> None:
    assert (await post(stack, body(unique("Bad")), key)).status_code == 400


async def test_a_create_that_is_repeated_in_graphql_is_answered_alike(stack: Stack) -> None:
    given = {"input": {"name": unique("Once"), "expression": RULE, "idempotencyKey": str(uuid4())}}
    first, second = await stack.graphql(CREATE, given), await stack.graphql(CREATE, given)
    assert first["data"]["createSegmentDefinition"]["auditEvent"]["phase"] == "SUCCEEDED"
    assert second == first
    given["input"]["name"] = unique("Other")
    refused = (await stack.graphql(CREATE, given))["data"]["createSegmentDefinition"]
    assert refused["userErrors"][0]["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert refused["userErrors"][0]["path"] == ["input", "idempotencyKey"]


async def test_a_deletion_can_be_repeated_although_its_object_is_gone(stack: Stack) -> None:
    made = await stack.graphql(CREATE, {"input": {"name": unique("Gone"), "expression": RULE}})
    given = {"input": {"id": made["data"]["createSegmentDefinition"]["segmentDefinition"]["id"]}}
    keyed = {"input": given["input"] | {"idempotencyKey": str(uuid4())}}
    first, second = await stack.graphql(DELETE, keyed), await stack.graphql(DELETE, keyed)
    assert first["data"]["deleteSegmentDefinition"]["auditEvent"]["phase"] == "SUCCEEDED"
    assert second == first
    without = await stack.graphql(DELETE, given)
    assert without["data"]["deleteSegmentDefinition"]["userErrors"] == [{"code": "NOT_FOUND"}]


async def test_the_header_means_nothing_to_graphql(stack: Stack) -> None:
    headers = {"authorization": f"Bearer {stack.key('author')}", "idempotency-key": "fixed"}
    ids = []
    for _ in range(2):
        asked = {"query": CREATE, "variables": {"input": {"name": unique("Header"), "expression": RULE}}}
        answer = (await stack.http.post("/graphql", json=asked, headers=headers)).json()
        ids.append(answer["data"]["createSegmentDefinition"]["segmentDefinition"]["id"])
    assert ids[0] != ids[1]


async def test_a_replay_needs_the_permission_of_the_change(stack: Stack, owner_url: str) -> None:
    headers = await stack.headers_with(Permission.MANAGE_SEGMENTS) | {"idempotency-key": str(uuid4())}
    sent = body(unique("Withdrawn"))
    assert (await stack.http.post(DEFINITIONS, json=sent, headers=headers)).status_code == 200
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute("UPDATE product_profiles SET permissions = '{}' WHERE name LIKE 'Test %'")
    finally:
        await connection.close()
    assert (await stack.http.post(DEFINITIONS, json=sent, headers=headers)).status_code == 403


async def test_previews_and_jobs_are_replayed_as_well(stack: Stack) -> None:
    preview = {
        "predicateExpression": 'person.gender = "female"',
        "predicateType": "pql/text",
        "predicateModel": "_xdm.context.profile",
    }
    segment = (await stack.facade("POST", DEFINITIONS, json=body(unique("Job")))).json()["id"]
    jobs = "/data/core/ups/segment/jobs"
    for path, sent in (("/data/core/ups/preview", preview), (jobs, [{"segmentId": segment}])):
        key = {"idempotency-key": str(uuid4())}
        answers = [await stack.facade("POST", path, json=sent, headers=key) for _ in range(2)]
        assert answers[0].is_success
        assert answers[1].content == answers[0].content, path
        assert answers[1].headers["idempotent-replayed"] == "true"
    job = answers[0].json()["id"]
    key = {"idempotency-key": str(uuid4())}
    cancelled = [await stack.facade("DELETE", f"{jobs}/{job}", headers=key) for _ in range(2)]
    assert [one.status_code for one in cancelled] == [204, 204]
