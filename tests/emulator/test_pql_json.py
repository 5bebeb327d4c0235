"""Rules in pql/json wherever rules in text are taken, and their conversion."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.emulator.conftest import Emulator, definition

DEFINITIONS = "/data/core/ups/segment/definitions"
CONVERSION = "/data/core/ups/segment/conversion"
TEXT = '_wwfovlab011.loyalty.level = "bronze"'
TREE = {
    "nodeType": "fnApply",
    "fnName": "=",
    "params": [
        {
            "nodeType": "fieldLookup",
            "fieldName": "level",
            "object": {
                "nodeType": "fieldLookup",
                "fieldName": "loyalty",
                "object": {
                    "nodeType": "fieldLookup",
                    "fieldName": "_wwfovlab011",
                    "object": {"nodeType": "parameterReference", "position": 1},
                },
            },
        },
        {"nodeType": "literal", "literalType": "String", "value": "bronze"},
    ],
}
COMPACT = json.dumps(TREE, separators=(",", ":"))


def expression(value: Any, format_name: str = "pql/json") -> dict[str, Any]:
    return {"type": "PQL", "format": format_name, "value": value}


async def test_conversion_goes_both_ways_and_answers_only_what_was_given(emulator: Emulator) -> None:
    body = {
        "name": "Bronze",
        "description": None,
        "ttlInDays": 30,
        "schema": {"name": "_xdm.context.profile"},
        "expression": expression(TEXT, "pql/text"),
    }
    answer = await emulator.call("POST", CONVERSION, json=body)
    assert answer.status_code == 200
    converted = answer.json()
    assert set(converted) == {"imsOrgId", "sandbox", "ttlInDays", "description", "expression"}
    assert converted["expression"] == expression(COMPACT)
    back = await emulator.call("POST", CONVERSION, json={**body, "expression": converted["expression"]})
    assert back.json()["expression"] == expression(TEXT, "pql/text")
    assert (await emulator.call("GET", DEFINITIONS)).json()["segments"] == []


async def test_conversion_of_a_definition_that_exists_is_a_conflict(emulator: Emulator) -> None:
    made = await emulator.create()
    answer = await emulator.call("POST", CONVERSION, json=made)
    assert answer.status_code == 409
    assert made["id"] in answer.json()["title"]
    unknown = await emulator.call("POST", CONVERSION, json={**made, "id": "11111111-1111-4111-8111-111111111111"})
    assert unknown.status_code == 200


@pytest.mark.parametrize("value", [json.dumps(TREE, indent=1), TREE], ids=["text", "object"])
async def test_a_definition_in_json_is_kept_as_text_and_counts_like_its_text(emulator: Emulator, value: Any) -> None:
    answer = await emulator.call(
        "POST", DEFINITIONS, json={**definition("Bronze", TEXT), "expression": expression(value)}
    )
    assert answer.status_code == 200, answer.text
    kept = answer.json()["expression"]
    assert kept["format"] == "pql/json"
    assert kept["value"] == (value if isinstance(value, str) else COMPACT)
    changed = await emulator.call(
        "PATCH", f"{DEFINITIONS}/{answer.json()['id']}", json={"expression": expression(COMPACT)}
    )
    assert changed.json()["expression"] == expression(COMPACT)


async def test_a_preview_of_json_counts_what_its_text_counts(emulator: Emulator) -> None:
    counts = []
    for kind, rule in (("pql/text", TEXT), ("pql/json", COMPACT)):
        body = {"predicateExpression": rule, "predicateType": kind, "predicateModel": "_xdm.context.profile"}
        made = (await emulator.call("POST", "/data/core/ups/preview", json=body)).json()
        path = f"/data/core/ups/estimate/{made['previewId']}"
        done = await emulator.until(path, lambda body: body["state"] == "RESULT_READY")
        counts.append(done["estimatedSize"])
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{", "This is not JSON"),
        (json.dumps({**TREE, "nodeType": "fnAply"}), "$: The node type"),
        (COMPACT.replace("level", "levl"), "at $.params[0]"),
        (COMPACT.replace('"bronze"', "null"), "$.params[1]: This literal node has no value"),
    ],
)
async def test_faulty_json_is_refused_with_its_place(emulator: Emulator, value: str, said: str) -> None:
    answer = await emulator.call(
        "POST", DEFINITIONS, json={**definition("Bronze", TEXT), "expression": expression(value)}
    )
    assert answer.status_code == 400
    assert said in answer.json()["title"]
