"""Headers, ids, filters, times and paths."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.aep import filters, headers, ids, paths, times
from app.errors import InvalidRequest


def test_new_request_ids_are_32_alphanumerics_and_differ() -> None:
    first, second = headers.new_request_id(), headers.new_request_id()
    assert len(first) == 32
    assert first.isalnum()
    assert first != second


def test_a_request_id_that_could_break_a_header_is_replaced() -> None:
    assert headers.request_id_or_new("abc-123") == "abc-123"
    assert headers.request_id_or_new("a\r\nb") != "a\r\nb"
    assert len(headers.request_id_or_new(None)) == 32


@pytest.mark.parametrize(
    ("value", "token"),
    [("Bearer abc", "abc"), ("bearer abc", "abc"), ("Basic abc", None), ("Bearer ", None), ("", None), (None, None)],
)
def test_bearer_scheme_is_read_in_any_letter_case(value: str | None, token: str | None) -> None:
    assert headers.bearer_token(value) == token


@pytest.mark.parametrize(
    ("value", "valid"),
    [("5C1D7E2A6A0F4B990A495C3E@AdobeOrg", True), ("5C1D@AdobeID", False), ("@AdobeOrg", False), ("", False)],
)
def test_org_ids_end_in_adobe_org(value: str, valid: bool) -> None:
    assert headers.is_org_id(value) is valid


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/problem+json", True),
        ("text/plain", False),
        (None, False),
    ],
)
def test_json_content_types_are_known(value: str | None, valid: bool) -> None:
    assert headers.is_json(value) is valid


def test_the_documented_preview_id_decodes() -> None:
    text = "MDphcHAtbHVtYTpmM2ExYzVlNy05YjJkLTRjNDgtOGU2MC0xYTdkM2Y1YjljMjI6MA"
    decoded = ids.decode_preview_id(text)
    assert decoded == ids.PreviewId("app-luma", "f3a1c5e7-9b2d-4c48-8e60-1a7d3f5b9c22", 0)
    assert decoded.encode() == text


@given(st.text(max_size=60))
def test_no_text_breaks_the_decoding_of_preview_ids(text: str) -> None:
    ids.decode_preview_id(text)


def test_etags_carry_their_quotes() -> None:
    assert ids.new_etag(1).startswith('"')
    assert ids.new_etag(1).endswith('"')


@pytest.mark.parametrize(
    ("text", "document", "matches"),
    [
        ("audienceId==luma-winback", {"audienceId": "luma-winback"}, True),
        ("audienceId==luma", {"audienceId": "luma-winback"}, False),
        ("sandbox.sandboxName==prod", {"sandbox": {"sandboxName": "prod"}}, True),
        ("segments~segmentId==b", {"segments": [{"segmentId": "a"}, {"segmentId": "b"}]}, True),
        ("labels==core/C1", {"labels": ["core/C1", "core/C2"]}, True),
        ("isSystem==false", {"isSystem": False}, True),
        ("creationTime==5", {"creationTime": 5}, True),
        ("a.b.c==x", {"a": "x"}, False),
    ],
)
def test_property_filters(text: str, document: dict[str, Any], matches: bool) -> None:
    assert filters.parse_property(text).matches(document) is matches


@pytest.mark.parametrize("text", ["", "a", "a=b", "==b"])
def test_bad_property_filters_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        filters.parse_property(text)


def test_update_time_is_whole_seconds() -> None:
    assert times.creation_members(1_764_547_200_123) == {
        "creationTime": 1_764_547_200_123,
        "updateEpoch": 1_764_547_200,
        "updateTime": 1_764_547_200_000,
    }


def test_times_survive_the_way_there_and_back() -> None:
    moment = datetime(2025, 12, 1, 0, 0, 0, 123_000, tzinfo=UTC)
    assert times.from_epoch_ms(times.epoch_ms(moment)) == moment


def test_resource_paths_escape_the_whole_id() -> None:
    assert paths.resource(paths.AUDIENCES, "a/b=_-") == "/data/core/ups/audiences/a%2Fb%3D_-"
