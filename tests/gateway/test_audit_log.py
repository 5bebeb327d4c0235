"""The gateway's audit in AEP's shape: it names the person, and answers AEP's own query."""

from __future__ import annotations

import csv
import io
from typing import Any
from uuid import uuid4

from tests.gateway.conftest import Stack

EVENTS = "/data/foundation/audit/events"
EXPORT = "/data/foundation/audit/export"
CREATE = "mutation ($input: CreateSegmentDefinitionInput!) { createSegmentDefinition(input: $input) { userErrors { message } } }"


async def _made(stack: Stack, *names: str) -> list[str]:
    """Create definitions and return their names: the tests share an emulator, which takes each name once."""
    names = tuple(f"{name} {uuid4().hex}" for name in names)
    for name in names:
        rule = {"name": name, "expression": '_wwfovlab011.loyalty.level = "gold"'}
        answer = await stack.graphql(CREATE, variables={"input": rule})
        assert answer["data"]["createSegmentDefinition"]["userErrors"] == []
    return list(names)


async def _headers(stack: Stack, slug: str = "luma") -> dict[str, str]:
    return {"authorization": f"Bearer {await stack.token(slug)}"}


async def _events(stack: Stack, *properties: str, **more: str) -> dict[str, Any]:
    params = [("property", one) for one in properties] + list(more.items())
    reply = await stack.http.get(EVENTS, params=params, headers=await _headers(stack))
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def test_a_creation_names_the_person(stack: Stack) -> None:
    (name,) = await _made(stack, "Gold")
    (event,) = (await _events(stack, "action==create", f"assetName=={name.upper()}"))["_embedded"]["events"]
    (inner,) = event["enhancedEvents"]
    assert (event["status"], inner["status"], inner["failureCode"]) == ("Allow", "Success", "")
    assert (event["assetType"], event["assetName"], event["action"]) == ("Segment", name, "Create")
    assert event["userEmail"].startswith("author@")
    assert event["imsOrgId"] == stack.tenants["luma"]["org_id"]
    assert event["sandboxId"]
    assert event["timestamp"].endswith("+0000")


async def test_a_denied_attempt_is_told_as_a_denial(stack: Stack) -> None:
    rule = {"name": "No", "expression": '_wwfovlab011.loyalty.level = "gold"'}
    await stack.graphql(CREATE, variables={"input": rule}, account="viewer")
    (event,) = (await _events(stack, "status==deny"))["_embedded"]["events"]
    assert (event["userEmail"].split("@")[0], event["enhancedEvents"]) == ("viewer", [])
    assert event["failureCode"] == "Manage Segments"


async def test_pages_follow_the_link_and_do_not_shift(stack: Stack) -> None:
    one, two = await _made(stack, "One", "Two")
    first = await _events(stack, "assetType==segment", limit="1")
    await _made(stack, "Three")
    reply = await stack.http.get(first["_links"]["next"]["href"], headers=await _headers(stack))
    second = reply.json()
    names = [body["_embedded"]["events"][0]["assetName"] for body in (first, second)]
    assert names == [two, one]
    assert "next" not in second["_links"]
    assert second["page"]["totalElements"] == 2


async def test_filters_add_up_and_order_is_kept(stack: Stack) -> None:
    b, a = await _made(stack, "B", "A")
    body = await _events(stack, f"assetName=={a},{b}", "timestamp>2020-01-01T00:00:00Z", orderBy="+assetName")
    assert [event["assetName"] for event in body["_embedded"]["events"]] == [a, b]
    assert (await _events(stack, f"assetName=={a}", f"assetName=={b}"))["_embedded"]["events"] == []
    assert (await _events(stack, "timestamp>99999999999999"))["_embedded"]["events"] == []


async def test_another_organization_sees_none_of_it(stack: Stack) -> None:
    (name,) = await _made(stack, "Gold")
    mine = await _events(stack, f"assetName=={name}")
    assert len(mine["_embedded"]["events"]) == 1
    params = {"queryId": mine["queryId"]}
    reply = await stack.http.get(EVENTS, params=params, headers=await _headers(stack, "solstice"))
    assert reply.status_code == 200
    assert reply.json()["_embedded"]["events"] == []


async def test_an_export_is_a_csv_behind_the_same_credential(stack: Stack) -> None:
    (name,) = await _made(stack, "Gold")
    reply = await stack.http.get(EXPORT, params={"property": f"assetName=={name}"}, headers=await _headers(stack))
    assert reply.status_code == 307
    link = reply.headers["location"]
    assert (await stack.http.get(link)).status_code == 403, "as AEP refuses a call without a token"
    text = (await stack.http.get(link, headers=await _headers(stack))).text
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["assetName"], row["userEmail"].split("@")[0]) == (name, "author")
    empty = await stack.http.get(EXPORT, params={"property": "assetName==none"}, headers=await _headers(stack))
    assert (empty.status_code, empty.content) == (204, b"")


async def test_a_bad_question_is_refused_with_its_cause(stack: Stack) -> None:
    questions = {
        "property=color==red": "color==red",
        "property=timestamp==soon": "RFC 3339",
        "orderBy=color": "orderBy",
        "queryId=bm8": "queryId",
        "limit=0": "limit",
        "limit=1001": "limit",
    }
    for query, cause in questions.items():
        reply = await stack.http.get(f"{EVENTS}?{query}", headers=await _headers(stack))
        assert (reply.status_code, cause in reply.text) == (400, True), reply.text


async def test_v1_and_graphql_filter_by_who_where_and_what(stack: Stack) -> None:
    await _made(stack, "Gold")
    headers = {"authorization": f"Bearer {stack.key('admin')}"}
    params = {"actorKind": "person", "entrance": "graphql", "sandbox": "prod", "resourceType": "segment_definition"}
    (event,) = (await stack.http.get("/v1/audit-events", params=params, headers=headers)).json()["events"]
    found = await stack.http.get("/v1/audit-events", params={"actorId": event["actor"]["id"]}, headers=headers)
    assert event["id"] in {one["id"] for one in found.json()["events"]}
    assert (await stack.http.get("/v1/audit-events", params={"actorId": "x"}, headers=headers)).status_code == 400
    query = (
        """query ($filter: AuditEventFilterInput) { auditEvents(filter: $filter) { nodes { actorId actorName } } }"""
    )
    wanted = {"actorId": event["actor"]["id"], "entrance": "graphql", "resourceType": "segment_definition"}
    answer = await stack.graphql(query, variables={"filter": wanted}, account="admin")
    assert answer["data"]["auditEvents"]["nodes"] == [
        {"actorId": event["actor"]["id"], "actorName": event["actor"]["name"]}
    ]
