"""Pages begin and end where AEP's do."""

from __future__ import annotations

import pytest

from app.aep import paging
from app.errors import InvalidRequest

SORTABLE = {"name", "creationTime", "updateTime"}


def _p1(**query: str) -> paging.PageRequest:
    return paging.parse_p1(query, sortable=SORTABLE)


def _p2(**query: str) -> paging.PageRequest:
    return paging.parse_p2(query, sortable=SORTABLE)


def test_p1_defaults_to_the_newest_hundred() -> None:
    request = _p1()
    assert (request.offset, request.limit) == (0, 100)
    assert request.sort == (paging.SortKey("creationTime", descending=True),)


def test_p1_page_counts_from_zero() -> None:
    assert _p1(page="0", limit="10").offset == 0
    assert _p1(page="2", limit="10").offset == 20


def test_p1_start_is_a_row() -> None:
    assert _p1(start="7", limit="10").offset == 7


def test_p2_start_is_a_page() -> None:
    assert _p2(start="2", limit="10").offset == 20


def test_limit_over_the_maximum_is_answered_with_the_maximum() -> None:
    assert _p2(limit="5000").limit == 100


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "٣", "99999999999999999999"])
def test_bad_limit_is_refused(limit: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _p1(limit=limit)
    assert caught.value.path == ("limit",)


@pytest.mark.parametrize("sort", ["size:asc", "name:up", ":", "name,,", "name;drop"])
def test_bad_sort_is_refused(sort: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _p1(sort=sort)
    assert caught.value.path == ("sort",)


def test_several_sort_keys_are_read_in_order() -> None:
    assert _p1(sort="name:asc,updateTime:desc").sort == (
        paging.SortKey("name", descending=False),
        paging.SortKey("updateTime", descending=True),
    )


def test_p1_body_of_nothing() -> None:
    assert paging.p1_body([], 0, _p1()) == {
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


def test_p2_body_with_more_has_next_as_text_and_a_link() -> None:
    body = paging.p2_body(list(range(20)), 111, _p2(limit="20"), path="/audiences")
    assert body["_page"]["next"] == "1"
    assert body["_page"]["totalPages"] == 6
    assert body["_links"] == {"next": {"href": "@/audiences?start=1&limit=20&totalCount=111"}}


def test_p2_body_at_the_end_has_no_next_and_an_empty_link() -> None:
    body = paging.p2_body(list(range(11)), 111, _p2(limit="20", start="5"), path="/audiences")
    assert "next" not in body["_page"]
    assert body["_links"] == {"next": {}}


def test_p2_link_repeats_filters() -> None:
    body = paging.p2_body([1], 2, _p2(limit="1"), path="/audiences", filters=[("property", "a==b c")])
    assert body["_links"]["next"]["href"] == "@/audiences?start=1&limit=1&totalCount=2&property=a%3D%3Db+c"


def test_p2_page_past_the_end_has_no_next() -> None:
    body = paging.p2_body([], 3, _p2(limit="2", start="9"), path="/audiences")
    assert "next" not in body["_page"]


@pytest.mark.parametrize(("text", "value"), [("true", True), ("True", True), ("FALSE", False)])
def test_booleans_are_read_in_any_letter_case(text: str, value: bool) -> None:
    assert paging.boolean({"x": text}, "x") is value


def test_other_words_are_no_boolean() -> None:
    with pytest.raises(InvalidRequest):
        paging.boolean({"x": "yes"}, "x")
