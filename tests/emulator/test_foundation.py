"""Sandboxes, union schemas, merge policies and the access-control reference."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from app.aep import paths
from tests.emulator.conftest import LUMA, SOLSTICE, Emulator

MANAGEMENT = "/data/foundation/sandbox-management"
UNIONS = "/data/foundation/schemaregistry/tenant/unions"


@pytest.mark.parity("sandboxes.list", source="openapi")
async def test_sandboxes_are_those_of_the_organization_and_need_no_sandbox_header(emulator: Emulator) -> None:
    headers = await emulator.headers(LUMA)
    del headers["x-sandbox-name"]
    for path in (f"{MANAGEMENT}/", MANAGEMENT, f"{MANAGEMENT}/sandboxes"):
        body = (await emulator.http.get(path, headers=headers)).json()
        assert [one["name"] for one in body["sandboxes"]] == ["prod", "dev"]
    prod = body["sandboxes"][0]
    assert (prod["state"], prod["type"], prod["isDefault"], prod["region"]) == ("active", "production", True, "VA7")
    assert prod["id"] == emulator.organizations[LUMA].sandboxes[0].id
    assert body["_page"] == {"limit": 200, "count": 2}


async def test_one_sandbox(emulator: Emulator) -> None:
    found = await emulator.call("GET", f"{MANAGEMENT}/sandboxes/dev")
    assert (found.json()["name"], found.json()["isDefault"]) == ("dev", False)
    assert (await emulator.call("GET", f"{MANAGEMENT}/sandboxes/nowhere")).status_code == 404


@pytest.mark.parity("sandboxes.types", source="openapi")
async def test_sandbox_types(emulator: Emulator) -> None:
    body = (await emulator.call("GET", f"{MANAGEMENT}/sandboxTypes")).json()
    assert [one["id"] for one in body["sandboxTypes"]] == ["production", "development"]


async def test_union_schemas_are_listed(emulator: Emulator) -> None:
    results = (await emulator.call("GET", UNIONS)).json()["results"]
    ids = [one["$id"] for one in results]
    assert paths.PROFILE_UNION in ids
    assert paths.EXPERIENCE_EVENT_UNION in ids
    assert "_xdm.context.profile__union" in [one["meta:altId"] for one in results]


@pytest.mark.parametrize("identifier", [quote(paths.PROFILE_UNION, safe=""), "_xdm.context.profile__union"])
@pytest.mark.parametrize("accept", ["application/json", "application/vnd.adobe.xed-full+json; version=1", "*/*"])
async def test_a_union_schema_is_found_by_both_ids_whatever_is_accepted(
    emulator: Emulator, identifier: str, accept: str
) -> None:
    headers = {**await emulator.headers(), "accept": accept}
    answer = await emulator.http.get(f"{UNIONS}/{identifier}", headers=headers)
    properties = answer.json()["properties"]
    assert answer.status_code == 200
    assert answer.json()["$id"] == paths.PROFILE_UNION
    levels = properties["_wwfovlab011"]["properties"]["loyalty"]["properties"]["level"]
    assert {"gold", "platinum", "silver", "bronze"} <= set(levels["enum"])


async def test_each_organization_has_the_fields_of_its_own_namespace(emulator: Emulator) -> None:
    path = f"{UNIONS}/_xdm.context.profile__union"
    luma = (await emulator.call("GET", path)).json()["properties"]
    solstice = (await emulator.call("GET", path, organization=SOLSTICE)).json()["properties"]
    assert "_wwfovlab011" in luma
    assert "_wwfovlab011" not in solstice
    assert emulator.organizations[SOLSTICE].namespace in solstice


async def test_an_unknown_union_schema_is_not_found(emulator: Emulator) -> None:
    assert (await emulator.call("GET", f"{UNIONS}/_xdm.context.nothing__union")).status_code == 404


@pytest.mark.parity("merge_policies.first_policy", source="assumed")
async def test_merge_policies(emulator: Emulator) -> None:
    path = "/data/core/ups/config/mergePolicies"
    body = (await emulator.call("GET", path, params={"limit": 10, "start": 0})).json()
    policy = body["children"][0]
    assert body["_page"] == {"count": 1}
    assert body["_links"] == {"next": {}}
    assert (policy["default"], policy["isActiveOnEdge"]) == (True, True)
    assert policy["attributeMerge"] == {"type": "timestampOrdered"}
    assert (await emulator.call("GET", f"{path}/{policy['id']}")).json() == policy
    assert (await emulator.call("GET", f"{path}/unknown")).status_code == 404
    assert (await emulator.call("GET", path, params={"default": "false"})).json()["children"] == []
    other = (await emulator.call("GET", path, sandbox="dev")).json()["children"][0]
    assert other["id"] != policy["id"]


@pytest.mark.parity("access_control.permissions_by_api_name", source="documents")
async def test_the_access_control_reference(emulator: Emulator) -> None:
    body = (await emulator.call("GET", "/data/foundation/access-control/acl/reference")).json()
    assert body["permissions"]["manage-profiles"]["segments"] == ["read", "write", "delete"]
    assert body["permissions"]["view-segments"] == {"segments": ["read"]}
    assert body["resource-types"]["segments"] == ["read", "write", "delete"]


async def test_effective_policies(emulator: Emulator) -> None:
    path = "/data/foundation/access-control/acl/effective-policies"
    asked = ["/permissions/view-segments", "/resource-types/segment-jobs", "/resource-types/unknown"]
    body = (await emulator.call("POST", path, json=asked)).json()
    assert body == {
        "policies": {
            "/resource-types/segments": ["read"],
            "/resource-types/segment-jobs": ["read", "write", "delete"],
        }
    }
    assert (await emulator.call("POST", path, json={"x": 1})).status_code == 400
