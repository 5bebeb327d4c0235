"""Rules in pql/json through the gateway: checked, explained, converted and sent like rules in text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.context.permissions import Permission
from tests.gateway.conftest import Stack
from tests.gateway.test_writes import body, unique

DEFINITIONS = "/data/core/ups/segment/definitions"
CONVERSION = "/data/core/ups/segment/conversion"
TEXT = 'person.gender = "female"'
TREE: dict[str, Any] = {
    "nodeType": "fnApply",
    "fnName": "=",
    "params": [
        {
            "nodeType": "fieldLookup",
            "fieldName": "gender",
            "object": {
                "nodeType": "fieldLookup",
                "fieldName": "person",
                "object": {"nodeType": "parameterReference", "position": 1},
            },
        },
        {"nodeType": "literal", "literalType": "String", "value": "female"},
    ],
}
COMPACT = json.dumps(TREE, separators=(",", ":"))
VALIDATE = """query ($rule: String!) { validatePql(expression: $rule, format: PQL_JSON) {
  valid canonical fields diagnostics { code place span { line column } } } }"""
CONVERT = """query ($input: ConvertPqlInput!) { convertPql(input: $input) {
  format value diagnostics { code place } } }"""


def json_body(value: Any) -> dict[str, Any]:
    return {**body(unique("JSON")), "expression": {"type": "PQL", "format": "pql/json", "value": value}}


@pytest.mark.parametrize("value", [COMPACT, TREE], ids=["text", "object"])
async def test_a_definition_in_json_is_sent_as_text_and_understood(stack: Stack, value: Any) -> None:
    made = await stack.facade("POST", DEFINITIONS, json=json_body(value))
    assert made.status_code == 200, made.text
    aep_id = made.json()["id"]
    kept = (await stack.upstream("GET", f"{DEFINITIONS}/{aep_id}")).json()["expression"]
    assert kept == {"type": "PQL", "format": "pql/json", "value": COMPACT}
    answer = await stack.graphql(
        "query ($id: String) { segmentDefinition(aepId: $id) { expression { format text canonical fields } } }",
        {"id": aep_id},
    )
    assert answer["data"]["segmentDefinition"]["expression"] == {
        "format": "pql/json",
        "text": COMPACT,
        "canonical": TEXT,
        "fields": ["person.gender"],
    }


async def test_a_faulty_tree_is_refused_before_anything_is_sent(stack: Stack) -> None:
    refused = await stack.facade("POST", DEFINITIONS, json=json_body(COMPACT.replace("gender", "gendr")))
    assert refused.status_code == 400
    assert "$.params[0]" in refused.text
    deep: Any = TREE
    for _ in range(300):
        deep = {"nodeType": "fnApply", "fnName": "not", "params": [deep]}
    assert (await stack.facade("POST", DEFINITIONS, json=json_body(deep))).status_code == 400


async def test_validate_pql_reads_json(stack: Stack) -> None:
    valid = (await stack.graphql(VALIDATE, {"rule": COMPACT}))["data"]["validatePql"]
    assert valid == {"valid": True, "canonical": TEXT, "fields": ["person.gender"], "diagnostics": []}
    faulty = (await stack.graphql(VALIDATE, {"rule": COMPACT.replace("gender", "gendr")}))["data"]["validatePql"]
    assert faulty["valid"] is False
    assert faulty["diagnostics"] == [
        {"code": "unknown-field", "place": "$.params[0]", "span": {"line": 1, "column": 8}}
    ]


async def test_convert_pql_goes_both_ways_and_tells_what_is_wrong(stack: Stack) -> None:
    there = await stack.graphql(CONVERT, {"input": {"format": "PQL_TEXT", "value": TEXT}}, account="viewer")
    assert there["data"]["convertPql"] == {"format": "PQL_JSON", "value": COMPACT, "diagnostics": []}
    back = await stack.graphql(CONVERT, {"input": {"format": "PQL_JSON", "value": COMPACT}}, account="viewer")
    assert back["data"]["convertPql"] == {"format": "PQL_TEXT", "value": TEXT, "diagnostics": []}
    old = await stack.graphql(
        CONVERT, {"input": {"format": "PQL_JSON", "value": COMPACT.replace("person", "xdm:person")}}
    )
    assert old["data"]["convertPql"]["value"] == TEXT
    assert [one["code"] for one in old["data"]["convertPql"]["diagnostics"]] == ["old-prefix"]
    broken = await stack.graphql(CONVERT, {"input": {"format": "PQL_JSON", "value": '{"nodeType": "x"}'}})
    assert broken["data"]["convertPql"] == {
        "format": "PQL_TEXT",
        "value": None,
        "diagnostics": [{"code": "node-type", "place": "$"}],
    }


async def test_conversion_on_the_facade_stores_nothing_and_needs_manage_segments(stack: Stack) -> None:
    sent = {**body(unique("Converted"), TEXT), "ttlInDays": 30}
    converted = await stack.facade("POST", CONVERSION, json=sent)
    assert converted.status_code == 200, converted.text
    assert converted.json()["expression"] == {"type": "PQL", "format": "pql/json", "value": COMPACT}
    assert converted.json()["ttlInDays"] == 30
    assert "id" not in converted.json()
    back = await stack.facade("POST", CONVERSION, json={**sent, "expression": converted.json()["expression"]})
    assert back.json()["expression"]["value"] == TEXT
    listed = (await stack.upstream("GET", DEFINITIONS)).json()["segments"]
    assert sent["name"] not in {one["name"] for one in listed}
    reader = await stack.headers_with(Permission.VIEW_SEGMENTS)
    assert (await stack.facade("POST", CONVERSION, json=sent, headers=reader)).status_code == 403
