"""Search finds audiences by text, in AEP's shapes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.emulator.text_query import parse_text_query, words_of
from app.errors import InvalidRequest
from tests.emulator.conftest import Emulator
from tests.emulator.test_audiences import EXTERNAL

CLASS = {"schema.name": "_xdm.context.segmentdefinition"}


async def _get(emulator: Emulator, what: str, **params: Any) -> Any:
    headers = {**await emulator.headers(), "x-ups-search-version": "1.0"}
    return await emulator.http.get(f"/data/core/ups/search/{what}", params={**CLASS, **params}, headers=headers)


def _fits(query: str, text: str) -> bool:
    return parse_text_query(query)({"name": words_of(text), "segmentId": ["7"], "folderId": ["root"]})


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("", True),
        ("luma", True),
        ("LUMA", True),
        ("lum", False),
        ("lum*", True),
        ("l?ma", True),
        ("l?a", False),
        ("luma AND gold", True),
        ("luma AND silver", False),
        ("luma silver", True),
        ("silver OR gold", True),
        ("NOT silver", True),
        ("luma AND NOT gold", False),
        ('"gold or above"', True),
        ('"gold above"', False),
        ('"gold above"~1', True),
        ('"above gold"~1', True),
        ("name:gold", True),
        ("name: gold", True),
        ("segmentId:gold", False),
        ("segmentId:7", True),
        ("other:gold", False),
        ("gald~1", True),
        ("geld~0", False),
        ("glod~1", False),
        ("glod~", True),
        ("/[fg]old/", True),
        ("/g.*d/", True),
        ("/[^g]old/", False),
        ("/go{1,2}ld/", True),
        ("(silver OR luma) AND (gold)", True),
        ("gold-or-above", True),
    ],
)
def test_the_query_language(query: str, fits: bool) -> None:
    assert _fits(query, "Luma : Gold or Above") is fits


@pytest.mark.parametrize(
    "query", ["AND", "luma AND", "(luma", "luma)", "NOT", "x~7", '"open', "/(a|b)/", "name:", "x" * 1001, "(" * 30]
)
def test_what_cannot_be_read_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_text_query(query)
    assert caught.value.path == ("s",)


@given(st.text(alphabet='ab*?"~/()[]:+{}1, ANDORNT\\', max_size=40))
@settings(max_examples=300)
def test_no_text_breaks_the_reader(query: str) -> None:
    try:
        test = parse_text_query(query)
    except InvalidRequest:
        return
    test({"name": ["aaaa", "ab"]})


def test_a_malicious_pattern_takes_no_time() -> None:
    pattern = "/" + "a*" * 100 + "b/"
    assert not _fits(pattern, "a" * 1000)


@pytest.mark.parity("search.entities", source="documents")
async def test_entities_are_found_in_their_namespace(emulator: Emulator) -> None:
    gold = await emulator.create("Gold customers", description="loyal")
    await emulator.create("Silver customers", emulator.rule("silver"))
    await emulator.call("POST", "/data/core/ups/audiences", json=EXTERNAL)
    body = (await _get(emulator, "entities", namespace="AEPSegments", s="name:gold")).json()
    assert body["page"] == {"totalCount": 1, "totalPages": 1, "pageOffset": 0, "pageSize": 1}
    assert body["status"] == {"message": "Success"}
    assert body["entities"] == [
        {
            "id": gold["id"],
            "base64EncodedSourceId": body["entities"][0]["base64EncodedSourceId"],
            "sourceId": gold["id"],
            "isFolder": False,
            "parentFolderId": "root",
            "name": "Gold customers",
            "description": "loyal",
        }
    ]
    everything = (await _get(emulator, "entities", namespace="AEPSegments", limit=1, page=1)).json()
    assert [one["name"] for one in everything["entities"]] == ["Silver customers"]
    assert everything["page"] == {"totalCount": 2, "totalPages": 2, "pageOffset": 1, "pageSize": 1}


@pytest.mark.parity("search.one_page_without_hits", source="measured")
async def test_a_search_without_hits_has_one_page_and_no_error(emulator: Emulator) -> None:
    answer = await _get(emulator, "entities", namespace="ECID")
    assert answer.status_code == 200
    assert answer.json()["page"] == {"totalCount": 0, "totalPages": 1, "pageOffset": 0, "pageSize": 0}


@pytest.mark.parity("search.both_class_parameters", source="documents")
async def test_both_names_of_the_class_parameter_work(emulator: Emulator) -> None:
    headers = {**await emulator.headers(), "x-ups-search-version": "1.0"}
    params = {"schemaClass": "_xdm.context.segmentdefinition", "namespace": "AEPSegments"}
    answer = await emulator.http.get("/data/core/ups/search/entities", params=params, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parity("search.namespaces", source="documents")
async def test_namespaces_are_counted(emulator: Emulator) -> None:
    await emulator.create("Gold")
    await emulator.create("Silver", emulator.rule("silver"))
    await emulator.call("POST", "/data/core/ups/audiences", json=EXTERNAL)
    body = (await _get(emulator, "namespaces")).json()
    assert body == {
        "namespaces": [
            {"namespace": "AEPSegments", "displayName": "AEPSegments", "count": 2},
            {"namespace": "aam", "displayName": "aam", "count": 1},
        ],
        "totalCount": 2,
        "status": {"message": "Success"},
    }
    found = (await _get(emulator, "namespaces", s="gold")).json()
    assert found["namespaces"][0]["count"] == 1


@pytest.mark.parity("search.taxonomy", source="documents")
async def test_the_taxonomy_of_an_entity_is_the_root(emulator: Emulator) -> None:
    made = await emulator.create()
    body = (await _get(emulator, "taxonomy", namespace="AEPSegments", entityId=made["id"])).json()
    assert [(one["id"], one["parentFolderId"]) for one in body["taxonomy"]] == [("root", "root")]
    assert (await _get(emulator, "taxonomy", namespace="AEPSegments", entityId="x")).status_code == 404
    assert (await _get(emulator, "taxonomy", namespace="other", entityId=made["id"])).status_code == 404


@pytest.mark.parametrize(
    ("what", "params"),
    [
        ("entities", {}),
        ("entities", {"namespace": "x", "s": '"'}),
        ("entities", {"namespace": "x", "limit": "0"}),
        ("entities", {"namespace": "x", "schema.name": "other"}),
        ("namespaces", {"schema.name": ""}),
        ("taxonomy", {"namespace": "x"}),
    ],
)
async def test_bad_searches_are_refused(emulator: Emulator, what: str, params: dict[str, str]) -> None:
    assert (await _get(emulator, what, **params)).status_code == 400


@pytest.mark.parity("search.version_header", source="openapi")
async def test_the_version_header_is_wanted(emulator: Emulator) -> None:
    params = {**CLASS, "namespace": "x"}
    answer = await emulator.call("GET", "/data/core/ups/search/entities", params=params)
    assert answer.status_code == 400
    assert "x-ups-search-version" in answer.json()["title"]


async def test_nothing_of_another_sandbox_is_found(emulator: Emulator) -> None:
    await emulator.create("Gold")
    headers = {**await emulator.headers(sandbox="dev"), "x-ups-search-version": "1.0"}
    answer = await emulator.http.get("/data/core/ups/search/namespaces", params=CLASS, headers=headers)
    assert answer.json()["totalCount"] == 0
