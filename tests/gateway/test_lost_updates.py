"""Who says which version he has seen does not overwrite a newer one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from app.settings import WriteSettings
from tests.gateway.conftest import Emulator, Stack, running_stack
from tests.gateway.test_upstream_faults import DEFINITIONS
from tests.gateway.test_writes import AUDIT, RULE, body, create, unique

AUDIENCES = "/data/core/ups/audiences"
RULE_2 = f"{RULE} and person.birthYear > 1990"


def rule(text: str) -> dict[str, Any]:
    return {"expression": {"type": "PQL", "format": "pql/text", "value": text}}


async def made(stack: Stack) -> str:
    reply = await stack.facade("POST", DEFINITIONS, json=body(unique("Versioned"), RULE))
    return str(reply.json()["id"])


async def patch(stack: Stack, aep_id: str, sent: dict[str, Any], tag: str) -> httpx.Response:
    return await stack.facade("PATCH", f"{DEFINITIONS}/{aep_id}", json=sent, headers={"if-match": tag})


async def test_a_change_of_what_was_read_is_made_and_a_second_one_of_it_is_not(stack: Stack) -> None:
    aep_id = await made(stack)
    read = await stack.facade("GET", f"{DEFINITIONS}/{aep_id}")
    tag = read.headers["etag"]
    assert tag.startswith('"')
    first = await patch(stack, aep_id, rule(RULE_2), tag)
    assert first.status_code == 200
    assert first.headers["etag"] != tag
    assert (await stack.facade("GET", f"{DEFINITIONS}/{aep_id}")).headers["etag"] == first.headers["etag"]

    second = await patch(stack, aep_id, {"description": "lost"}, tag)
    assert (second.status_code, second.headers["etag"]) == (412, first.headers["etag"])
    conflict = second.json()["conflict"]
    assert (conflict["expectedVersion"], conflict["currentVersion"]) == (1, 2)
    assert (conflict["expected"], conflict["current"]) == (read.json(), first.json())
    assert conflict["changes"] == [
        {"member": "expression", "kind": "added", "before": None, "after": "person.birthYear > 1990"}
    ]
    assert (await stack.upstream("GET", f"{DEFINITIONS}/{aep_id}")).json() == first.json()
    events = await stack.graphql(AUDIT, {"filter": {"resourceId": aep_id}}, account="admin")
    assert events["data"]["auditEvents"]["totalCount"] == 2, "a refused precondition is no attempt"
    assert (await patch(stack, aep_id, {"description": "kept"}, second.headers["etag"])).status_code == 200


async def test_a_change_in_adobes_own_pages_is_seen_before_any_sync(stack: Stack) -> None:
    aep_id = await made(stack)
    tag = (await stack.facade("GET", f"{DEFINITIONS}/{aep_id}")).headers["etag"]
    behind = await stack.upstream("PATCH", f"{DEFINITIONS}/{aep_id}", json={"description": "behind"})
    assert behind.status_code == 200
    refused = await patch(stack, aep_id, {"description": "lost"}, tag)
    assert refused.status_code == 412
    (change,) = refused.json()["conflict"]["changes"]
    assert change == {"member": "description", "kind": "added", "before": None, "after": "behind"}
    gone = await stack.facade("DELETE", f"{DEFINITIONS}/{aep_id}", headers={"if-match": tag})
    assert gone.status_code == 412
    now = refused.headers["etag"]
    assert (await stack.facade("DELETE", f"{DEFINITIONS}/{aep_id}", headers={"if-match": now})).status_code == 200


async def test_of_two_changes_of_one_version_at_once_one_is_made(stack: Stack) -> None:
    aep_id = await made(stack)
    tag = (await stack.facade("GET", f"{DEFINITIONS}/{aep_id}")).headers["etag"]
    answers = await asyncio.gather(*(patch(stack, aep_id, {"description": str(n)}, tag) for n in range(4)))
    assert sorted(one.status_code for one in answers) == [200, 412, 412, 412]


async def test_entity_tags_are_compared_as_http_says(stack: Stack) -> None:
    aep_id = await made(stack)
    for tag, status in (
        ("*", 200),
        ('"other", {tag}', 200),
        ("W/{tag}", 412),
        ('"other"', 412),
        ("other", 400),
        ('"open', 400),
    ):
        known = (await stack.facade("GET", f"{DEFINITIONS}/{aep_id}")).headers["etag"]
        assert (await patch(stack, aep_id, {"description": tag}, tag.format(tag=known))).status_code == status, tag


async def test_who_has_the_newest_version_need_not_get_it_again(stack: Stack) -> None:
    path = f"{DEFINITIONS}/{await made(stack)}"
    tag = (await stack.facade("GET", path)).headers["etag"]
    again = await stack.facade("GET", path, headers={"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await stack.facade("GET", path, headers={"if-none-match": '"other"'})).status_code == 200


async def test_audiences_have_versions_too(stack: Stack) -> None:
    aep_id = await made(stack)
    path = f"{AUDIENCES}/{aep_id}"
    tag = (await stack.facade("GET", path)).headers["etag"]
    # A sync in between would bring AEP's own copy, which has another tag.
    async with stack.sync_held():
        assert (await patch(stack, aep_id, {"description": "by definition"}, "*")).status_code == 200
        add = [{"op": "add", "path": "/description", "value": "by audience"}]
        refused = await stack.facade("PATCH", path, json=add, headers={"if-match": tag})
        assert refused.status_code == 412
        assert refused.json()["conflict"]["current"]["description"] == "by definition"
        # The cache's copy is put together from two answers of AEP; what it shows must do as a version all the same.
        tag = (await stack.facade("GET", path)).headers["etag"]
        changed = await stack.facade("PATCH", path, json=add, headers={"if-match": tag})
        assert changed.status_code == 201, "AEP's own status for it"
        assert changed.headers["etag"] == (await stack.facade("GET", path)).headers["etag"]
        gone = await stack.facade("DELETE", path, headers={"if-match": changed.headers["etag"]})
        assert gone.status_code == 204


async def test_graphql_names_versions_by_number_and_shows_both_on_a_conflict(stack: Stack) -> None:
    made = (await create(stack, unique("Numbered")))["segmentDefinition"]
    update = """mutation ($input: UpdateSegmentDefinitionInput!) { updateSegmentDefinition(input: $input) {
      segmentDefinition { version } userErrors { code path conflict {
        expectedVersion currentVersion expected current changes { member kind before after } } } } }"""
    given = {"id": made["id"], "expression": RULE_2, "expectedVersion": 1}
    first = (await stack.graphql(update, {"input": given}))["data"]["updateSegmentDefinition"]
    assert first == {"segmentDefinition": {"version": 2}, "userErrors": []}
    second = (await stack.graphql(update, {"input": given}, account="admin"))["data"]["updateSegmentDefinition"]
    (error,) = second["userErrors"]
    assert (error["code"], error["path"]) == ("VERSION_CONFLICT", ["input", "expectedVersion"])
    conflict = error["conflict"]
    assert (conflict["expectedVersion"], conflict["currentVersion"]) == (1, 2)
    assert conflict["expected"]["expression"]["value"] == RULE
    assert conflict["current"]["expression"]["value"] == RULE_2
    assert [one["after"] for one in conflict["changes"]] == ["person.birthYear > 1990"]
    delete = """mutation ($input: DeleteSegmentDefinitionInput!) { deleteSegmentDefinition(input: $input) {
      userErrors { code } } }"""
    stale = await stack.graphql(delete, {"input": {"id": made["id"], "expectedVersion": 1}})
    assert stale["data"]["deleteSegmentDefinition"]["userErrors"] == [{"code": "VERSION_CONFLICT"}]
    fresh = await stack.graphql(delete, {"input": {"id": made["id"], "expectedVersion": 2}})
    assert fresh["data"]["deleteSegmentDefinition"]["userErrors"] == []


async def test_a_change_waits_for_another_one_of_the_same_object_and_not_for_ever(
    emulator: Emulator, database_url: str, tmp_path: Path
) -> None:
    write = WriteSettings(write_wait_s=0.6)
    async with running_stack(emulator, database_url, tmp_path, write=write) as stack:
        aep_id = await made(stack)
        (tenant,) = [one for one in await tenants(stack) if one.slug == "luma"]

        async def hold(seconds: float) -> None:
            # As a process that died leaves it.
            async with stack.gateway.database.write(tenant.id) as unit:
                (sandbox, *_) = await unit.tenancy.sandboxes()
                await unit.object_leases.take(sandbox.id, aep_id, holder, lease_s=seconds)

        holder: UUID = uuid4()
        await hold(60)
        busy = await patch(stack, aep_id, {"description": "x"}, "*")
        assert (busy.status_code, busy.headers["retry-after"]) == (409, "1")
        await hold(0.2)
        assert (await patch(stack, aep_id, {"description": "x"}, "*")).status_code == 200


async def tenants(stack: Stack) -> Any:
    async with stack.gateway.database.directory() as directory:
        return await directory.tenants()
