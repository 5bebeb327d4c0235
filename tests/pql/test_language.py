"""Reading, checking and writing rules."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import pql
from app.errors import PQLError
from app.evaluation.schema import event_union, profile_union
from app.pql.schema import XDMSchema
from app.pql.spans import position
from tests.pql.rules import NAMESPACE, rules

SCHEMA = XDMSchema.from_json_schema(profile_union(NAMESPACE), event_union(NAMESPACE))


@given(rules)
@settings(max_examples=200, deadline=None)
def test_what_is_written_reads_as_the_same_rule(rule: str) -> None:
    query = pql.parse(rule)
    written = pql.format_query(query)
    again = pql.parse(written)
    assert pql.format_query(again) == written
    assert pql.parse(pql.format_query(again)).body == again.body
    pql.check(query, SCHEMA)
    pql.check(again, SCHEMA)


@given(st.text(max_size=300) | st.text(alphabet="abE.()[]{}\"\\,:=<>!^$@`'0 1\nandornotin", max_size=200))
@settings(max_examples=400, deadline=None)
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        pql.check(pql.parse(text), SCHEMA)
    except PQLError as problem:
        assert problem.diagnostics
        for one in problem.diagnostics:
            line, column = position(text, one.span)
            assert line >= 1
            assert column >= 1


@pytest.mark.parametrize(
    ("rule", "code", "column", "hint"),
    [
        (f'{NAMESPACE}.loyalty.levl = "gold"', "unknown-field", 22, "level"),
        ("loyalty.level = ", None, 17, None),
        ('person.gender = "female', None, 17, None),
        ("person.gender = 'female'", None, 17, None),
        ('person.gender == "x"', None, 15, "="),
        ('person.gender = "a" && person.gender = "b"', None, 21, "and"),
        ('person.gender.startswith("f")', None, None, "startsWith"),
        ("", None, 1, None),
    ],
)
def test_errors_teach(rule: str, code: str | None, column: int | None, hint: str | None) -> None:
    with pytest.raises(PQLError) as refusal:
        pql.check(pql.parse(rule), SCHEMA)
    first = refusal.value.diagnostics[0]
    if code is not None:
        assert first.code == code
    if column is not None:
        assert position(rule, first.span) == (1, column)
    if hint is not None:
        assert hint in (first.hint or "") + first.message


@pytest.mark.parametrize(
    "rule", ["(" * 70 + "true" + ")" * 70, "not " * 5_000 + "true", 'person.gender = "' + "x" * 70_000]
)
def test_deep_and_huge_rules_are_refused(rule: str) -> None:
    with pytest.raises(PQLError):
        pql.parse(rule)


@pytest.mark.parametrize(
    "piece", ['person.gender = "x" or ', "-", "[", "`a`.", '"', "^", "select E from xEvent where "]
)
def test_hostile_repetition_is_answered_at_once(piece: str) -> None:
    text = (piece * (60_000 // len(piece)))[:60_000]
    started = time.process_time()
    with pytest.raises(PQLError):
        pql.check(pql.parse(text), SCHEMA)
    assert time.process_time() - started < 20


def test_fields_used_are_named_with_their_paths() -> None:
    rule = f'{NAMESPACE}.loyalty.level = "gold" and (select E from xEvent where E.eventType = "commerce.purchases")'
    checked = pql.check(pql.parse(rule), SCHEMA)
    assert pql.fields_used(checked) == (f"{NAMESPACE}.loyalty.level", "xEvent", "xEvent.eventType") or set(
        pql.fields_used(checked)
    ) >= {f"{NAMESPACE}.loyalty.level", "xEvent.eventType"}
