"""Remarks: what a rule in order may still be told, and rules that are told nothing."""

from __future__ import annotations

import time

import pytest

from app import pql
from app.pql.diagnostics import Severity
from tests.pql.test_every_construct import SCHEMA

POINTS = "_wwfovlab011.loyalty.points"
LEVEL = "_wwfovlab011.loyalty.level"
RECENT = "xEvent[timestamp occurs <= 1 days before now].count() > 0"


@pytest.mark.parametrize(
    ("rule", "code", "part"),
    [
        (f"{POINTS} > 5 and {POINTS} < 3", "always-false", f"{POINTS} > 5 and {POINTS} < 3"),
        (f'{LEVEL} = "gold" and {LEVEL} = "silver"', "always-false", None),
        (f'{LEVEL} in ["gold"] and {LEVEL} in ["silver", "bronze"]', "always-false", None),
        (f"{POINTS} > 5 and not ({POINTS} > 5)", "always-false", None),
        (f"{POINTS} > 5 or not ({POINTS} > 5)", "always-true", None),
        (f"{POINTS} > 5 or {POINTS} <= 5", "always-true", None),
        (f"{POINTS} > 5 and {POINTS} > 3", "no-effect", f"{POINTS} > 3"),
        (f"{POINTS} > 5 and true", "no-effect", "true"),
        (f"{POINTS} > 5 and false", "always-false", "false"),
        (f"{POINTS} > 5 or true", "always-true", "true"),
        (f"{POINTS} > 5 and {POINTS} > 5", "repeated-part", f"{POINTS} > 5"),
        ("1 = 2", "always-false", "1 = 2"),
        ("2 > 1", "always-true", "2 > 1"),
        (f'{LEVEL} = "gold" or {LEVEL} = "silver" or {LEVEL} = "bronze"', "use-in", None),
        (f'not ({LEVEL} = "gold" or {LEVEL} = "silver")', "use-not-in", None),
        (f'not ({LEVEL} = "gold")', "keeps-missing", f'not ({LEVEL} = "gold")'),
        (f'not ({LEVEL} in ["gold"])', "keeps-missing", None),
        ('not person.name.lastName.contains("x")', "keeps-missing", None),
        ("xEvent[commerce.purchases.value > 0].count() > 3", "no-time-window", None),
        ("CHAIN(xEvent, timestamp, [A: WHAT(true)])", "no-time-window", None),
        (
            f"CHAIN(xEvent, timestamp, [{', '.join(f'C{n}: WHAT(true) WHEN(today)' for n in range(7))}])",
            "many-sequential-events",
            None,
        ),
        (
            " and ".join(["xEvent.count() > 1", "xEvent.sum(commerce.order.priceTotal) > 1"] * 2),
            "many-aggregations",
            None,
        ),
    ],
)
def test_a_doubt_is_told_with_its_place_and_a_way_out(rule: str, code: str, part: str | None) -> None:
    found = [one for one in pql.review(pql.parse(rule), SCHEMA).diagnostics if one.code == code]
    assert found, code
    assert all(one.severity is not Severity.ERROR and one.hint for one in found)
    if part is not None:
        assert part in [rule[one.span.start : one.span.end] for one in found]


@pytest.mark.parametrize(
    "rule",
    [
        f'{LEVEL} in ["gold", "platinum"]',
        f"{POINTS} > 3 and {POINTS} < 5",
        f"{POINTS} > 3 and {POINTS} <= 4 and {POINTS} != 4",
        f'{LEVEL} = "gold" or {LEVEL} = "silver"',
        f'{LEVEL} != "gold" and {LEVEL} != "silver"',
        f"{POINTS} > 5 or {POINTS} < 3",
        RECENT,
        'person.gender = "female" and homeAddress.city > "A" and homeAddress.city < "B"',
    ],
)
def test_a_rule_that_says_what_it_means_is_told_nothing(rule: str) -> None:
    assert pql.review(pql.parse(rule), SCHEMA).diagnostics == ()


def test_remarks_stand_in_the_order_of_the_text() -> None:
    rule = f"({POINTS} > 5 and true) or (1 = 2) or xEvent.count() > 1"
    spans = [one.span for one in pql.review(pql.parse(rule), SCHEMA).diagnostics]
    assert spans == sorted(spans)
    assert len(spans) >= 3


def test_check_alone_is_silent_about_doubts() -> None:
    assert pql.check(pql.parse(f"{POINTS} > 5 and true"), SCHEMA).diagnostics == ()


def test_thousands_of_conditions_on_one_field_are_remarked_upon_quickly() -> None:
    for joint in (" or ", " and "):
        rule = joint.join(f"{POINTS} != {number}" if number % 2 else f"{POINTS} = {number}" for number in range(1_500))
        begun = time.process_time()
        pql.remarks(pql.check(pql.parse(rule), SCHEMA))
        assert time.process_time() - begun < 2
