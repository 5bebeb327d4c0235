"""Two organizations on one gateway: nothing of one can be reached as the other, by any call."""

from __future__ import annotations

import pytest

from tests.gateway.conftest import Stack
from tests.gateway.test_writes import create, unique

DEFINITIONS = "/data/core/ups/segment/definitions"


@pytest.mark.parametrize(
    "call",
    [
        ("GET", f"{DEFINITIONS}/{{id}}", None),
        ("PATCH", f"{DEFINITIONS}/{{id}}", {"description": "stolen"}),
        ("DELETE", f"{DEFINITIONS}/{{id}}", None),
        ("POST", f"{DEFINITIONS}/bulk-get", {"ids": [{"id": "{id}"}]}),
        ("GET", "/data/core/ups/audiences/{id}", None),
        ("POST", "/data/core/ups/audiences/bulk-get", {"ids": [{"id": "{id}"}]}),
    ],
    ids=lambda call: f"{call[0]} {call[1]}",
)
async def test_another_organizations_segment_is_not_found_on_the_facade(
    stack: Stack, call: tuple[str, str, object]
) -> None:
    aep_id = (await create(stack, unique("Mine")))["segmentDefinition"]["aepId"]
    method, path, body = call
    filled = {"ids": [{"id": aep_id}]} if isinstance(body, dict) and "ids" in body else body
    reply = await stack.facade(method, path.format(id=aep_id), slug="solstice", json=filled)
    assert reply.status_code == 404
    kept = await stack.upstream("GET", f"{DEFINITIONS}/{aep_id}")
    assert "description" not in kept.json() or kept.json()["description"] != "stolen"


async def test_another_organizations_segment_is_not_found_in_graphql(stack: Stack) -> None:
    name = unique("Mine")
    made = (await create(stack, name))["segmentDefinition"]
    answer = await stack.graphql(
        "query ($id: ID!, $aep: String!, $name: String!) { node(id: $id) { id } nodes(ids: [$id]) { id } "
        "a: segmentDefinition(id: $id) { id } b: segmentDefinition(aepId: $aep) { id } "
        "segmentDefinitions(filter: {name: $name}) { totalCount nodes { id } } "
        "audiences(filter: {name: $name}) { totalCount } }",
        {"id": made["id"], "aep": made["aepId"], "name": name},
        slug="solstice",
    )
    assert answer["data"] == {
        "node": None,
        "nodes": [None],
        "a": None,
        "b": None,
        "segmentDefinitions": {"totalCount": 0, "nodes": []},
        "audiences": {"totalCount": 0},
    }
    for mutation, variables in (
        ("deleteSegmentDefinition(input: {id: $id})", {"id": made["id"]}),
        ('updateSegmentDefinition(input: {id: $id, description: "stolen"})', {"id": made["id"]}),
    ):
        refused = await stack.graphql(
            f"mutation ($id: ID!) {{ m: {mutation} {{ userErrors {{ code }} }} }}", variables, slug="solstice"
        )
        assert refused["data"]["m"]["userErrors"] == [{"code": "NOT_FOUND"}]


async def test_another_sandbox_of_the_same_organization_is_apart_as_well(stack: Stack) -> None:
    made = (await create(stack, unique("Mine")))["segmentDefinition"]
    headers = {"x-sandbox-name": "dev"}
    reply = await stack.facade("GET", f"{DEFINITIONS}/{made['aepId']}", headers=headers)
    assert reply.status_code == 404
    assert (await stack.facade("GET", DEFINITIONS, headers=headers)).json()["segments"] == []


@pytest.mark.parametrize("org", ["{other}", "0000000000000000000000AA@AdobeOrg"])
async def test_naming_another_organization_is_refused_alike_whether_it_exists_or_not(stack: Stack, org: str) -> None:
    named = org.format(other=stack.tenants["solstice"]["org_id"])
    reply = await stack.facade("GET", DEFINITIONS, headers={"x-gw-ims-org-id": named})
    assert (reply.status_code, reply.json()) == (403, {"error_code": "403025", "message": "Profile is not valid"})
    headers = {"authorization": f"Bearer {stack.key('admin')}", "x-gw-ims-org-id": named}
    graphql = await stack.http.post("/graphql", json={"query": "{ viewer { name } }"}, headers=headers)
    assert graphql.status_code == 403
    assert graphql.json()["errors"][0]["extensions"]["code"] == "WRONG_TENANT"


async def test_the_audit_of_another_organization_is_not_shown(stack: Stack) -> None:
    await create(stack, unique("Mine"))
    answer = await stack.graphql("{ auditEvents(first: 100) { nodes { actorName } } }", slug="solstice")
    names = {one["actorName"] for one in answer["data"]["auditEvents"]["nodes"]}
    assert not [name for name in names if "luma" in name.lower()]
