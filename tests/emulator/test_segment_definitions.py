"""The seven calls of segment definitions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.emulator.conftest import LUMA, Emulator, Start, definition

PATH = "/data/core/ups/segment/definitions"


async def _post(emulator: Emulator, body: Any) -> Any:
    return await emulator.call("POST", PATH, json=body)


@pytest.mark.parity("segment_definitions.create_is_200_with_location", source="openapi")
async def test_the_lesson_body_makes_a_definition(emulator: Emulator) -> None:
    body = {
        "name": "Luma Bronze Customer",
        "description": "Segment dataset into all bronze customers",
        "expression": {"type": "PQL", "format": "pql/text", "value": '_wwfovlab011.loyalty.level="bronze"'},
        "schema": {"name": "_xdm.context.profile", "id": "luma_bronze_customers"},
        "ttlInDays": 90,
    }
    answer = await _post(emulator, body)
    made = answer.json()
    now_ms = int(emulator.clock.now().timestamp() * 1000)
    owner = emulator.organizations[LUMA]
    assert answer.status_code == 200
    assert answer.headers["x-location"] == f"{PATH}/{made['id']}"
    assert {name: made[name] for name in body} == body
    assert made["profileInstanceId"] == "ups"
    assert made["imsOrgId"] == owner.org_id
    assert made["sandbox"] == {
        "sandboxId": owner.sandboxes[0].id,
        "sandboxName": "prod",
        "type": "production",
        "default": True,
    }
    assert made["evaluationInfo"] == {
        "batch": {"enabled": True},
        "continuous": {"enabled": False},
        "synchronous": {"enabled": False},
    }
    assert made["dataGovernancePolicy"] == {"excludeOptOut": True}
    assert made["createdBy"] == owner.credentials[0].technical_account_id
    assert made["creationTime"] == now_ms
    assert made["updateEpoch"] == now_ms // 1000
    assert made["updateTime"] == made["updateEpoch"] * 1000
    assert (await emulator.call("GET", f"{PATH}/{made['id']}")).json() == made
    listed = (await emulator.call("GET", PATH)).json()["segments"]
    assert listed == [made]


@pytest.mark.parity("segment_definitions.optional_members_are_echoed", source="measured")
async def test_known_optional_members_are_echoed_and_unknown_ones_ignored(emulator: Emulator) -> None:
    made = await emulator.create(labels=["core/C1"], tags=["t"], payloadSchema="p", somethingElse=1)
    assert (made["labels"], made["tags"], made["payloadSchema"]) == (["core/C1"], ["t"], "p")
    assert "somethingElse" not in made


async def test_a_taken_name_is_422_and_changes_nothing(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    answer = await _post(emulator, definition("Gold", emulator.rule("silver")))
    assert answer.status_code == 422
    assert answer.json()["status"] == 422
    assert "PATCH" in answer.json()["title"]
    assert (await emulator.call("GET", PATH)).json()["segments"] == [made]


async def test_of_creates_with_one_name_at_once_exactly_one_wins(emulator: Emulator) -> None:
    body = definition("Race", emulator.rule("gold"))
    answers = await asyncio.gather(*(_post(emulator, body) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [422] * 19
    assert (await emulator.call("GET", PATH)).json()["page"]["totalCount"] == 1


@pytest.mark.parity("segment_definitions.unreadable_body_code", source="openapi")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "The mandatory field name is missing. Add it and try again."),
        ({"expression": None}, "The mandatory field expression is missing. Add it and try again."),
        ({"schema": None}, "The mandatory field schema is missing. Add it and try again."),
        ({"name": "  "}, "The field name is not valid: must not be blank."),
        ({"name": 3}, "The field name is not valid: input should be a valid string."),
        ({"schema": {}}, "The field schema is not valid: must have a name or an id."),
        ({"ttlInDays": -1}, "The field ttlInDays is not valid: input should be greater than or equal to 0."),
    ],
)
async def test_faults_of_a_body_are_named(emulator: Emulator, change: dict[str, Any], message: str) -> None:
    body = {**definition("x", emulator.rule("gold")), **change}
    answer = await _post(emulator, {name: value for name, value in body.items() if value is not None})
    assert answer.status_code == 400
    assert answer.json()["type"] == "https://ns.adobe.com/aep/errors/UPLIB-101206-500"
    assert [entry["message"] for entry in answer.json()["errors"]["400"]] == [message]


@pytest.mark.parametrize("body", [[], "text", 5, None, {}])
async def test_a_body_of_another_kind_is_a_bad_request(emulator: Emulator, body: Any) -> None:
    headers = {**await emulator.headers(), "content-type": "application/json"}
    answer = await emulator.http.post(PATH, json=body, headers=headers)
    assert answer.status_code == 400


async def test_a_rule_with_an_unknown_field_is_refused_with_place_and_hint(emulator: Emulator) -> None:
    answer = await _post(emulator, definition("x", '_wwfovlab011.loyalty.levle = "gold"'))
    assert answer.status_code == 400
    message = answer.json()["errors"]["400"][0]["message"]
    assert message.startswith("PQL, line 1, column ")
    assert "level" in message
    assert (await emulator.call("GET", PATH)).json()["segments"] == []


@pytest.mark.parity("segment_definitions.pql_faults_are_400", source="assumed")
async def test_a_rule_that_does_not_parse_is_refused_with_place(emulator: Emulator) -> None:
    answer = await _post(emulator, definition("x", '_wwfovlab011.loyalty.level =\n= "gold"'))
    assert answer.status_code == 400
    assert answer.json()["title"].startswith("PQL, line 2, column 1:")


async def test_the_fields_of_one_organization_are_unknown_in_the_other(emulator: Emulator) -> None:
    other = emulator.organizations[1].namespace
    answer = await _post(emulator, definition("x", f'{other}.loyalty.level = "gold"'))
    assert answer.status_code == 400


async def test_a_rule_that_is_too_long_is_refused(emulator: Emulator) -> None:
    rule = emulator.rule(*["gold"] * 2_000)
    assert (await _post(emulator, definition("x", rule))).status_code == 400


async def test_another_entity_class_is_refused(emulator: Emulator) -> None:
    body = definition("x", emulator.rule("gold"), schema={"name": "_xdm.context.account"})
    assert (await _post(emulator, body)).status_code == 400


async def test_an_unknown_merge_policy_is_refused_and_the_default_is_filled_in(emulator: Emulator) -> None:
    policies = (await emulator.call("GET", "/data/core/ups/config/mergePolicies")).json()["children"]
    made = await emulator.create()
    assert made["mergePolicyId"] == policies[0]["id"]
    body = definition("x", emulator.rule("gold"), mergePolicyId="c4f0d8f2-9a57-4a0c-8a27-0e2a3b6f7c55")
    assert (await _post(emulator, body)).status_code == 400


@pytest.mark.parametrize("method", ["continuous", "synchronous"])
async def test_a_rule_about_attributes_may_be_streaming_or_edge(emulator: Emulator, method: str) -> None:
    made = await emulator.create(evaluationInfo={method: {"enabled": True}})
    assert {name for name, switch in made["evaluationInfo"].items() if switch["enabled"]} == {method}


@pytest.mark.parity("segment_definitions.ineligible_becomes_batch", source="documents")
async def test_a_rule_that_is_not_eligible_for_streaming_becomes_batch(emulator: Emulator) -> None:
    rule = 'select E from xEvent where E.eventType = "commerce.purchases"'
    made = await emulator.create("Buyers", f"({rule})", evaluationInfo={"continuous": {"enabled": True}})
    assert made["evaluationInfo"]["batch"] == {"enabled": True}
    assert made["evaluationInfo"]["continuous"] == {"enabled": False}


@pytest.mark.parity("segment_definitions.one_evaluation_method", source="assumed")
async def test_two_evaluation_methods_are_refused(emulator: Emulator) -> None:
    info = {"batch": {"enabled": True}, "continuous": {"enabled": True}}
    answer = await _post(emulator, definition("x", emulator.rule("gold"), evaluationInfo=info))
    assert answer.status_code == 400


async def test_patch_merges_and_moves_the_update_time(emulator: Emulator) -> None:
    made = await emulator.create("Gold", description="first", ttlInDays=30)
    emulator.clock.advance(minutes=1)
    path = f"{PATH}/{made['id']}"
    answer = await emulator.call("PATCH", path, json={"description": "second", "id": "0", "creationTime": 0})
    changed = answer.json()
    assert answer.status_code == 200
    assert answer.headers["x-location"] == path
    now_s = int(emulator.clock.now().timestamp())
    expected = {**made, "description": "second", "updateEpoch": now_s, "updateTime": now_s * 1000}
    assert changed == expected
    assert (await emulator.call("GET", path)).json() == expected


@pytest.mark.parity("segment_definitions.patch_replaces_objects", source="assumed")
async def test_patch_replaces_objects_as_a_whole(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    expression = {"type": "PQL", "format": "pql/text", "value": emulator.rule("silver")}
    body = {"expression": expression, "schema": {"id": "only-an-id"}}
    changed = (await emulator.call("PATCH", f"{PATH}/{made['id']}", json=body)).json()
    assert changed["expression"] == expression
    assert changed["schema"] == {"id": "only-an-id"}


@pytest.mark.parity("segment_definitions.patch_ignores_server_owned_members", source="documents")
async def test_patch_of_a_full_body_works(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    body = definition("Gold renamed", emulator.rule("gold", "platinum"), ttlInDays=60)
    changed = (await emulator.call("PATCH", f"{PATH}/{made['id']}", json=body)).json()
    assert (changed["name"], changed["ttlInDays"], changed["id"]) == ("Gold renamed", 60, made["id"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([{"op": "add", "path": "/name", "value": "x"}], 400),
        ({"expression": {"type": "PQL", "format": "pql/text", "value": "nonsense = 1"}}, 400),
        ({"expression": None}, 400),
        ({"name": ""}, 400),
        ({"name": "Silver"}, 422),
    ],
)
async def test_a_refused_patch_changes_nothing(emulator: Emulator, body: Any, status: int) -> None:
    made = await emulator.create("Gold")
    await emulator.create("Silver", emulator.rule("silver"))
    path = f"{PATH}/{made['id']}"
    assert (await emulator.call("PATCH", path, json=body)).status_code == status
    assert (await emulator.call("GET", path)).json() == made


async def test_patch_that_makes_a_streaming_rule_ineligible_makes_it_batch(emulator: Emulator) -> None:
    made = await emulator.create(evaluationInfo={"continuous": {"enabled": True}})
    rule = 'select E from xEvent where E.eventType = "commerce.purchases"'
    body = {"expression": {"type": "PQL", "format": "pql/text", "value": rule}}
    changed = (await emulator.call("PATCH", f"{PATH}/{made['id']}", json=body)).json()
    assert changed["evaluationInfo"]["batch"] == {"enabled": True}


async def test_patches_of_different_members_at_once_all_count(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    path = f"{PATH}/{made['id']}"
    rule = emulator.rule("silver")
    bodies: list[dict[str, Any]] = [
        {"description": "d"},
        {"ttlInDays": 7},
        {"labels": ["core/C1"]},
        {"expression": {"type": "PQL", "format": "pql/text", "value": rule}},
    ]
    answers = await asyncio.gather(*(emulator.call("PATCH", path, json=body) for body in bodies))
    assert [answer.status_code for answer in answers] == [200] * 4
    changed = (await emulator.call("GET", path)).json()
    assert (changed["description"], changed["ttlInDays"], changed["labels"]) == ("d", 7, ["core/C1"])
    assert changed["expression"]["value"] == rule


@pytest.mark.parity("segment_definitions.delete_is_200_with_message", source="openapi")
async def test_delete_answers_with_a_message_and_frees_the_name(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    path = f"{PATH}/{made['id']}"
    answer = await emulator.call("DELETE", path)
    assert answer.status_code == 200
    assert answer.json() == {
        "status": True,
        "message": f"Segment with id '{made['id']}' has been marked for deletion",
    }
    assert (await emulator.call("GET", path)).status_code == 404
    assert (await emulator.call("DELETE", path)).status_code == 404
    await emulator.create("Gold")


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)])
async def test_an_unknown_id_is_not_found(emulator: Emulator, method: str, body: Any) -> None:
    answer = await emulator.call(method, f"{PATH}/b2c0e6c4-0000-4000-8000-000000000000", json=body)
    assert answer.status_code == 404
    assert set(answer.json()) == {"requestId", "errors", "type", "title", "status"}


async def test_bulk_get_is_keyed_by_id(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    answer = await emulator.call("POST", f"{PATH}/bulk-get", json={"ids": [{"id": made["id"]}, {"id": "missing"}]})
    results = answer.json()["results"]
    assert answer.status_code == 207
    assert results[made["id"]] == made
    assert results["missing"]["errors"] == {"404": [{"code": "404", "message": "Not found."}]}
    assert len(results["missing"]["requestId"]) == 32


async def test_bulk_get_of_nothing_known_is_not_found_and_lists_the_ids(emulator: Emulator) -> None:
    answer = await emulator.call("POST", f"{PATH}/bulk-get", json=["one", "two"])
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("/UPAPI-113000-404")
    assert "one, two" in answer.json()["title"]


@pytest.mark.parametrize("ids", [[], ["x"] * 101])
async def test_bulk_get_takes_1_to_100_ids(emulator: Emulator, ids: list[str]) -> None:
    answer = await emulator.call("POST", f"{PATH}/bulk-get", json={"ids": [{"id": one} for one in ids]})
    assert answer.status_code == 400
    assert answer.json()["type"].endswith("/UPAPI-113015-400")


async def test_the_empty_list(emulator: Emulator) -> None:
    assert (await emulator.call("GET", PATH)).json() == {
        "segments": [],
        "page": {
            "totalCount": 0,
            "totalPages": 0,
            "sortField": "creationTime",
            "sort": "desc",
            "pageSize": 0,
            "limit": 100,
        },
        "link": {},
    }


async def _many(emulator: Emulator, count: int) -> list[str]:
    ids = []
    for number in range(count):
        emulator.clock.advance(seconds=1)
        ids.append((await emulator.create(f"Segment {number:03}"))["id"])
    return ids


@pytest.mark.parity("segment_definitions.page_counts_from_zero", source="measured")
async def test_a_client_that_walks_pages_meets_every_definition_once(emulator: Emulator) -> None:
    """The way of the public Python client: one call without parameters, then page=1..totalPages."""
    ids = await _many(emulator, 23)
    first = (await emulator.call("GET", PATH, params={"limit": 10})).json()
    met = [segment["id"] for segment in first["segments"]]
    for page in range(1, first["page"]["totalPages"] + 1):
        body = (await emulator.call("GET", PATH, params={"limit": 10, "page": page})).json()
        met += [segment["id"] for segment in body["segments"]]
    assert met == list(reversed(ids))
    assert body["segments"] == []
    assert first["page"]["totalPages"] == 3


@pytest.mark.parity("segment_definitions.sort_by_several_attributes", source="documents")
async def test_sorting(emulator: Emulator) -> None:
    await _many(emulator, 3)
    for sort, expected in [("name:asc", "000"), ("name:desc", "002"), ("creationTime:asc,name:asc", "000")]:
        body = (await emulator.call("GET", PATH, params={"sort": sort})).json()
        assert body["segments"][0]["name"] == f"Segment {expected}"
    refused = await emulator.call("GET", PATH, params={"sort": "document:asc"})
    assert refused.status_code == 400


@pytest.mark.parametrize("params", [{"limit": "0"}, {"limit": "x"}, {"page": "-1"}, {"start": "x"}])
async def test_bad_paging_is_refused(emulator: Emulator, params: dict[str, str]) -> None:
    answer = await emulator.call("GET", PATH, params=params)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)


@pytest.mark.parity("segment_definitions.evaluation_filters_any_letter_case", source="measured")
async def test_filters_by_evaluation_method_in_any_letter_case(emulator: Emulator) -> None:
    await emulator.create("Batch")
    await emulator.create("Streaming", evaluationInfo={"continuous": {"enabled": True}})
    await emulator.create("Edge", evaluationInfo={"synchronous": {"enabled": True}})

    async def names(**params: str) -> set[str]:
        body = (await emulator.call("GET", PATH, params=params)).json()
        assert body["page"]["totalCount"] == len(body["segments"])
        return {segment["name"] for segment in body["segments"]}

    assert await names(**{"evaluationInfo.continuous.enabled": "True"}) == {"Streaming"}
    assert await names(**{"evaluationInfo.synchronous.enabled": "true"}) == {"Edge"}
    assert await names(**{"evaluationInfo.batch.enabled": "false"}) == {"Streaming", "Edge"}
    both = {"evaluationInfo.batch.enabled": "true", "evaluationInfo.continuous.enabled": "true"}
    assert await names(**both) == set()


async def test_what_was_acknowledged_is_there_after_a_restart(start: Start) -> None:
    async with start() as emulator:
        kept = await emulator.create("Kept")
        gone = await emulator.create("Gone", emulator.rule("silver"))
        await emulator.call("DELETE", f"{PATH}/{gone['id']}")
        changed = (await emulator.call("PATCH", f"{PATH}/{kept['id']}", json={"ttlInDays": 5})).json()
    async with start() as emulator:
        assert (await emulator.call("GET", PATH)).json()["segments"] == [changed]


ONE_EVENT = 'xEvent[eventType = "commerce.checkouts" and timestamp occurs <= 24 hours before now]'


@pytest.mark.parametrize(
    ("rule", "method", "given"),
    [
        (ONE_EVENT, "continuous", "continuous"),
        (ONE_EVENT, "synchronous", "synchronous"),
        (f'{ONE_EVENT} and xEvent[eventType = "web.visit" and timestamp occurs today]', "continuous", "continuous"),
        (f'{ONE_EVENT} and xEvent[eventType = "web.visit" and timestamp occurs today]', "synchronous", "batch"),
        (ONE_EVENT.replace("24 hours", "7 days"), "continuous", "batch"),
        (ONE_EVENT.replace("24 hours", "7 days"), "synchronous", "batch"),
        (f"not {ONE_EVENT}", "continuous", "batch"),
    ],
)
async def test_a_definition_gets_the_method_that_its_rule_is_eligible_for(
    emulator: Emulator, rule: str, method: str, given: str
) -> None:
    made = await emulator.create("Eligible", rule, evaluationInfo={method: {"enabled": True}})
    assert [name for name, switch in made["evaluationInfo"].items() if switch["enabled"]] == [given]
