"""Merge policies: a sandbox begins with one, others are made, changed and deleted, and one is the default."""

from __future__ import annotations

from typing import Any

import pytest

from tests.emulator.conftest import SOLSTICE, Emulator, Start, definition

PATH = "/data/core/ups/config/mergePolicies"
DEFINITIONS = "/data/core/ups/segment/definitions"


def _body(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Loyalty first",
        "schema": {"name": "_xdm.context.profile"},
        "identityGraph": {"type": "none"},
        "attributeMerge": {"type": "dataSetPrecedence", "order": ["d1", "d2"]},
        **changes,
    }


async def _create(emulator: Emulator, **changes: Any) -> dict[str, Any]:
    answer = await emulator.call("POST", PATH, json=_body(**changes))
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def _all(emulator: Emulator, **params: Any) -> list[dict[str, Any]]:
    children: list[dict[str, Any]] = (await emulator.call("GET", PATH, params=params)).json()["children"]
    return children


@pytest.mark.parity("merge_policies.create", source="openapi")
async def test_a_new_policy_has_the_documented_members(emulator: Emulator) -> None:
    made = await _create(emulator)
    now_s = int(emulator.clock.now().timestamp())
    assert {name: made[name] for name in _body()} == _body()
    assert (made["version"], made["updateEpoch"], made["default"], made["isActiveOnEdge"]) == (1, now_s, False, False)
    assert made["sandbox"]["sandboxName"] == "prod"
    assert not [name for name in made if name.startswith("_") or name == "state"]
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).json() == made
    assert (await _all(emulator, orderby="-updateEpoch"))[0]["id"] == made["id"]


@pytest.mark.parity("merge_policies.list_has_links_and_count", source="measured", note="aepp")
async def test_a_list_is_paged_and_says_where_it_goes_on(emulator: Emulator) -> None:
    await _create(emulator)
    body = (await emulator.call("GET", PATH, params={"limit": 1})).json()
    assert (body["_page"], body["_links"]) == ({"count": 1, "next": "1"}, {"next": {}})
    body = (await emulator.call("GET", PATH, params={"limit": 1, "start": 1})).json()
    assert body["_page"] == {"count": 1}
    assert (await emulator.call("GET", PATH, params={"orderby": "colour"})).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": None},
        {"schema": {"name": "_xdm.context.opportunity"}},
        {"identityGraph": {"type": "public"}},
        {"identityGraph": None},
        {"attributeMerge": {"type": "dataSetPrecedence"}},
        {"attributeMerge": {"type": "newest"}},
        {"name": ""},
        {"default": "yes"},
    ],
)
async def test_bad_policies_are_refused(emulator: Emulator, changes: dict[str, Any]) -> None:
    assert (await emulator.call("POST", PATH, json=_body(**changes))).status_code == 400
    assert len(await _all(emulator)) == 1


async def test_one_policy_is_the_default_and_new_definitions_get_it(start: Start) -> None:
    async with start() as emulator:
        (first,) = await _all(emulator)
        made = await _create(emulator, default=True)
        assert {one["id"]: one["default"] for one in await _all(emulator)} == {first["id"]: False, made["id"]: True}
        assert (await emulator.create("Gold"))["mergePolicyId"] == made["id"]
        refused = await emulator.call("PUT", f"{PATH}/{made['id']}", json=_body(default=False))
        assert refused.status_code == 400
    async with start() as emulator:
        patch = [{"op": "add", "path": "/default", "value": True}]
        patched = await emulator.call("PATCH", f"{PATH}/{first['id']}", json=patch)
        assert patched.json()["default"] is True
        assert (await emulator.create("Silver", emulator.rule("silver")))["mergePolicyId"] == first["id"]


@pytest.mark.parity("merge_policies.patch_paths", source="openapi")
async def test_a_patch_changes_single_members_and_counts_versions(emulator: Emulator) -> None:
    made = await _create(emulator)
    patch = [
        {"op": "add", "path": "/identityGraph.type", "value": "pdg"},
        {"op": "add", "path": "/attributeMerge.type", "value": "timestampOrdered"},
        {"op": "add", "path": "/isActiveOnEdge", "value": True},
        {"op": "add", "path": "/name", "value": "Newest first"},
    ]
    changed = (await emulator.call("PATCH", f"{PATH}/{made['id']}", json=patch)).json()
    assert (changed["identityGraph"], changed["attributeMerge"]["type"]) == ({"type": "pdg"}, "timestampOrdered")
    assert (changed["name"], changed["isActiveOnEdge"], changed["version"]) == ("Newest first", True, 2)
    for bad in ({"op": "add", "path": "/id", "value": "x"}, {"op": "add", "path": "/identityGraph.type", "value": "x"}):
        assert (await emulator.call("PATCH", f"{PATH}/{made['id']}", json=[patch[0], bad])).status_code == 400
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).json() == changed
    replaced = (await emulator.call("PUT", f"{PATH}/{made['id']}", json=_body())).json()
    assert (replaced["name"], replaced["isActiveOnEdge"], replaced["version"]) == ("Loyalty first", False, 3)


@pytest.mark.parity("merge_policies.five_at_most", source="documents")
async def test_there_are_five_at_most(emulator: Emulator) -> None:
    for _ in range(4):
        await _create(emulator)
    answer = await emulator.call("POST", PATH, json=_body())
    assert (answer.status_code, "limit is 5" in answer.json()["title"]) == (400, True)


async def test_a_policy_is_deleted_when_nothing_uses_it(emulator: Emulator) -> None:
    (first,) = await _all(emulator)
    made = await _create(emulator)
    used = await emulator.create("Gold", mergePolicyId=made["id"])
    for one in (first, made):
        assert (await emulator.call("DELETE", f"{PATH}/{one['id']}")).status_code == 400
    await emulator.call("DELETE", f"{DEFINITIONS}/{used['id']}")
    answer = await emulator.call("DELETE", f"{PATH}/{made['id']}")
    assert (answer.status_code, answer.json()["status"]) == (200, True)
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).status_code == 404
    assert (await emulator.call("DELETE", f"{PATH}/{made['id']}")).status_code == 404


@pytest.mark.parity("merge_policies.streaming_needs_one_active_on_edge", source="documents")
async def test_streaming_needs_a_policy_that_is_active_on_edge(emulator: Emulator) -> None:
    made = await _create(emulator)
    streaming = {"evaluationInfo": {"continuous": {"enabled": True}}}
    batch = await emulator.create("Batch", mergePolicyId=made["id"], **streaming)
    assert (batch["evaluationInfo"]["batch"], batch["mergePolicyId"]) == ({"enabled": True}, made["id"])
    live = await emulator.create("Live", **streaming)
    assert live["evaluationInfo"]["continuous"] == {"enabled": True}
    path = f"{DEFINITIONS}/{live['id']}"
    changed = (await emulator.call("PATCH", path, json={"mergePolicyId": made["id"]})).json()
    assert changed["evaluationInfo"]["batch"] == {"enabled": True}
    back = (await emulator.call("PATCH", path, json={"mergePolicyId": None})).json()
    assert back["mergePolicyId"] == live["mergePolicyId"]


async def test_an_unknown_policy_is_refused(emulator: Emulator) -> None:
    body = definition("Gold", emulator.rule("gold"), mergePolicyId="unknown")
    answer = await emulator.call("POST", DEFINITIONS, json=body)
    assert (answer.status_code, "unknown" in answer.json()["title"]) == (400, True)


@pytest.mark.parity("merge_policies.must_exist", source="assumed")
async def test_a_policy_must_exist_wherever_it_is_named(emulator: Emulator) -> None:
    made = await emulator.create()
    rule = {"predicateExpression": emulator.rule("gold")}
    profile = {"name": "_xdm.context.profile"}
    segments = [{"segmentId": made["id"]}]
    export = {"destination": {"datasetId": "d"}, "schema": profile}
    patch = [{"op": "add", "path": "/mergePolicyId", "value": "unknown"}]
    accounts = await _create(emulator, schema={"name": "_xdm.context.account"})
    for wanted in ("unknown", accounts["id"]):
        for method, path, body in (
            ("PATCH", f"{DEFINITIONS}/{made['id']}", {"mergePolicyId": wanted}),
            ("PATCH", f"/data/core/ups/audiences/{made['id']}", [patch[0] | {"value": wanted}]),
            ("POST", "/data/core/ups/preview", rule | {"mergePolicyId": wanted}),
            ("POST", "/data/core/ups/segment/jobs", {"schema": profile, "segments": segments, "mergePolicyId": wanted}),
            ("POST", "/data/core/ups/export/jobs", export | {"mergePolicy": {"id": wanted, "version": 1}}),
        ):
            answer = await emulator.call(method, path, json=body)
            assert (answer.status_code, wanted in answer.json()["title"]) == (400, True), (method, path)
    assert (await emulator.call("GET", f"{DEFINITIONS}/{made['id']}")).json()["mergePolicyId"] == made["mergePolicyId"]


@pytest.mark.parity("merge_policies.default_of_each_class", source="documents")
async def test_each_class_of_entities_has_a_default_of_its_own(emulator: Emulator) -> None:
    account = {"name": "_xdm.context.account"}
    first = await _create(emulator, schema=account)
    assert first["default"] is True
    second = await _create(emulator, schema=account, default=True)
    shown = {one["id"]: one["default"] for one in await _all(emulator, **{"schema.name": account["name"]})}
    assert shown == {first["id"]: False, second["id"]: True}
    (people,) = await _all(emulator)
    assert people["default"] is True
    assert (await emulator.create())["mergePolicyId"] == people["id"]
    moved = [{"op": "add", "path": "/schema.name", "value": "_xdm.context.profile"}]
    assert (await emulator.call("PATCH", f"{PATH}/{first['id']}", json=moved)).status_code == 400
    assert (await emulator.call("DELETE", f"{PATH}/{second['id']}")).status_code == 400
    for one in (first, second):
        assert (await emulator.call("DELETE", f"{PATH}/{one['id']}")).status_code == 200


async def test_bulk_get(emulator: Emulator) -> None:
    made = await _create(emulator)
    ids = {"ids": [{"id": made["id"]}, {"id": "unknown"}]}
    answer = await emulator.call("POST", f"{PATH}/bulk-get", json=ids)
    assert (answer.status_code, answer.json()["results"][made["id"]]) == (207, made)
    assert list(answer.json()["results"]["unknown"]["errors"]) == ["404"]


async def test_policies_of_other_places_are_not_found(emulator: Emulator) -> None:
    made = await _create(emulator)
    for place in ({"organization": SOLSTICE}, {"sandbox": "dev"}):
        assert (await emulator.call("GET", f"{PATH}/{made['id']}", **place)).status_code == 404
        assert (await emulator.call("PUT", f"{PATH}/{made['id']}", json=_body(), **place)).status_code == 404
        assert (await emulator.call("DELETE", f"{PATH}/{made['id']}", **place)).status_code == 404
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).json() == made
