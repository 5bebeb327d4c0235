"""The versions of a definition: who changed which clause when, as of a time, and back again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.conftest import Stack
from tests.gateway.test_writes import unique

FEMALE, ROME = 'person.gender = "female"', 'homeAddress.city = "Rome"'
CREATE = """mutation ($input: CreateSegmentDefinitionInput!) { createSegmentDefinition(input: $input) {
  segmentDefinition { id aepId version } userErrors { message } } }"""
UPDATE = """mutation ($input: UpdateSegmentDefinitionInput!) { updateSegmentDefinition(input: $input) {
  segmentDefinition { version } userErrors { code message } } }"""
RESTORE = """mutation ($input: RestoreSegmentDefinitionInput!) { restoreSegmentDefinition(input: $input) {
  segmentDefinition { version expression { text } description } userErrors { code path }
  auditEvent { action detail } } }"""
REVISIONS = """query ($id: ID!, $first: Int, $after: String) { segmentDefinition(id: $id) {
  revisions(first: $first, after: $after) { totalCount pageInfo { hasNextPage endCursor } nodes {
    version source deleted restoredFrom author { person integration } expression { text }
    changes { sameMeaning clauses { kind before after among } members { member kind before after } } } } } }"""
BLAME = "query ($id: ID!) { segmentDefinition(id: $id) { blame { text version author { person integration } } } }"


async def _made(stack: Stack) -> dict[str, Any]:
    """Make a definition with a second version by another actor."""
    made = await stack.graphql(CREATE, {"input": {"name": unique("Versions"), "expression": FEMALE}})
    found = dict(made["data"]["createSegmentDefinition"]["segmentDefinition"])
    patch = {
        "expression": {"type": "PQL", "format": "pql/text", "value": f"{ROME} and {FEMALE}"},
        "description": "in Rome",
    }
    reply = await stack.facade("PATCH", f"/data/core/ups/segment/definitions/{found['aepId']}", json=patch)
    assert reply.status_code == 200
    return found


async def test_every_version_tells_its_author_and_what_changed_clause_by_clause(stack: Stack) -> None:
    made = await _made(stack)
    answer = await stack.graphql(REVISIONS, {"id": made["id"], "first": 1})
    page = answer["data"]["segmentDefinition"]["revisions"]
    integration = stack.tenants["luma"]["integrations"][0]["name"]
    assert page["totalCount"] == 2
    assert page["pageInfo"]["hasNextPage"]
    assert page["nodes"] == [
        {
            "version": 2,
            "source": "GATEWAY",
            "deleted": False,
            "restoredFrom": None,
            "author": {"person": None, "integration": integration},
            "expression": {"text": f"{ROME} and {FEMALE}"},
            "changes": {
                "sameMeaning": False,
                "clauses": [{"kind": "ADDED", "before": None, "after": ROME, "among": "and"}],
                "members": [{"member": "description", "kind": "added", "before": None, "after": "in Rome"}],
            },
        }
    ]
    after = page["pageInfo"]["endCursor"]
    answer = await stack.graphql(REVISIONS, {"id": made["id"], "first": 5, "after": after})
    (first,) = answer["data"]["segmentDefinition"]["revisions"]["nodes"]
    assert (first["version"], first["author"]["person"], first["changes"]["clauses"]) == (
        1,
        "author@luma.example",
        None,
    )


async def test_blame_names_who_brought_each_clause(stack: Stack) -> None:
    made = await _made(stack)
    answer = await stack.graphql(BLAME, {"id": made["id"]})
    integration = stack.tenants["luma"]["integrations"][0]["name"]
    assert answer["data"]["segmentDefinition"]["blame"] == [
        {"text": ROME, "version": 2, "author": {"person": None, "integration": integration}},
        {"text": FEMALE, "version": 1, "author": {"person": "author@luma.example", "integration": None}},
    ]


async def test_restoring_makes_a_new_version_through_the_door(stack: Stack) -> None:
    made = await _made(stack)
    answer = await stack.graphql(RESTORE, {"input": {"id": made["id"], "version": 1}})
    restored = answer["data"]["restoreSegmentDefinition"]
    assert restored["userErrors"] == []
    assert restored["segmentDefinition"] == {"version": 3, "expression": {"text": FEMALE}, "description": ""}
    assert restored["auditEvent"]["action"] == "sandbox:segment_definition:restore"
    assert restored["auditEvent"]["detail"]["restoredFrom"] == 1
    upstream = await stack.upstream("GET", f"/data/core/ups/segment/definitions/{made['aepId']}")
    assert upstream.json()["expression"]["value"] == FEMALE
    answer = await stack.graphql(REVISIONS, {"id": made["id"], "first": 1})
    (newest,) = answer["data"]["segmentDefinition"]["revisions"]["nodes"]
    assert (newest["version"], newest["source"], newest["restoredFrom"]) == (3, "RESTORE", 1)


@pytest.mark.parametrize(("version", "code"), [(9, "NOT_FOUND"), (2, "INVALID_REQUEST")])
async def test_what_is_not_there_or_is_there_already_cannot_be_restored(stack: Stack, version: int, code: str) -> None:
    made = await _made(stack)
    answer = await stack.graphql(RESTORE, {"input": {"id": made["id"], "version": version}})
    assert answer["data"]["restoreSegmentDefinition"]["userErrors"][0]["code"] == code


async def test_a_viewer_cannot_restore_and_nothing_changes(stack: Stack) -> None:
    made = await _made(stack)
    answer = await stack.graphql(RESTORE, {"input": {"id": made["id"], "version": 1}}, account="viewer")
    assert answer["data"]["restoreSegmentDefinition"]["userErrors"][0]["code"] == "FORBIDDEN"
    assert (await stack.graphql(REVISIONS, {"id": made["id"]}))["data"]["segmentDefinition"]["revisions"][
        "totalCount"
    ] == 2


async def test_v1_tells_the_same_and_looks_back_also_after_the_end(stack: Stack) -> None:
    made = await _made(stack)
    path = f"/v1/segment-definitions/{made['aepId']}"
    listed = (await stack.facade("GET", f"{path}/revisions")).json()["revisions"]
    assert [(one["version"], one["changes"]["sameMeaning"]) for one in listed] == [(2, False), (1, None)]
    blamed = (await stack.facade("GET", f"{path}/blame")).json()["clauses"]
    assert [(one["text"], one["version"]) for one in blamed] == [(ROME, 2), (FEMALE, 1)]
    then = (await stack.facade("GET", path, params={"asOf": listed[1]["at"]})).json()
    assert (then["version"], then["document"]["expression"]["value"]) == (1, FEMALE)
    assert (await stack.facade("GET", path)).json()["version"] == 2
    restored = await stack.facade("POST", f"{path}/restore", json={"version": 1})
    assert (restored.status_code, restored.json()["version"]) == (200, 3)
    await stack.facade("DELETE", f"/data/core/ups/segment/definitions/{made['aepId']}")
    (end, *_) = (await stack.facade("GET", f"{path}/revisions", params={"first": "1"})).json()["revisions"]
    assert (end["version"], end["deleted"], end["author"]["source"]) == (4, True, "gateway")
    assert (await stack.facade("GET", path, params={"asOf": listed[0]["at"]})).json()["version"] == 2
    assert (await stack.facade("GET", path, params={"asOf": end["at"]})).status_code == 404
    before = await stack.facade("GET", path, params={"asOf": "2020-01-01T00:00:00Z"})
    assert "oldest known version" in before.json()["hint"]
    query = "query ($id: String!) { a: segmentDefinitionRevision(aepId: $id, version: 2) { id version } }"
    found = (await stack.graphql(query, {"id": made["aepId"]}))["data"]["a"]
    assert found["version"] == 2
    node = "query ($id: ID!) { node(id: $id) { ... on SegmentDefinitionRevision { version } } }"
    assert (await stack.graphql(node, {"id": found["id"]}))["data"]["node"] == {"version": 2}
    assert (await stack.graphql(node, {"id": found["id"]}, slug="solstice"))["data"]["node"] is None


@pytest.mark.parametrize("call", ["", "/revisions", "/revisions/1", "/blame", "?asOf=2030-01-01T00:00:00Z"])
async def test_another_organizations_versions_are_not_found(stack: Stack, call: str) -> None:
    made = await _made(stack)
    reply = await stack.facade("GET", f"/v1/segment-definitions/{made['aepId']}{call}", slug="solstice")
    assert reply.status_code == 404
