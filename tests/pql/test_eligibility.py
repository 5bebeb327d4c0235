"""Which rules may be evaluated as events stream in or on the edge, and which clause keeps them from it."""

from __future__ import annotations

import pytest

from app import pql
from app.pql.eligibility import Eligibility, ReferencedSegment, Rules, classify
from tests.pql.constructs import CONSTRUCTS
from tests.pql.rules import NAMESPACE
from tests.pql.test_every_construct import SCHEMA

SEGMENT = "c0ffee00-0000-4000-8000-000000000001"
PURCHASE = "commerce.purchases.value > 0"
DAY = "WHEN(<= 24 hours before now)"


def classified(rule: str, rules: Rules = "2025-05") -> Eligibility:
    return classify(pql.check(pql.parse(rule), SCHEMA), rules=rules)


@pytest.mark.parametrize(
    ("rule", "streaming", "edge", "code", "clause"),
    [
        ('person.gender = "female"', True, True, None, None),
        (f"CHAIN(xEvent, timestamp, [A: WHAT({PURCHASE}) {DAY}])", True, True, None, None),
        (f"CHAIN(xEvent, timestamp, [A: WHAT({PURCHASE}) WHEN(today)])", True, True, None, None),
        (f"xEvent[{PURCHASE} and timestamp occurs today]", True, True, None, None),
        (f"xEvent.exists({PURCHASE} and timestamp occurs < 1 day before now)", True, True, None, None),
        (
            f"select E from xEvent where E.{PURCHASE} and E.timestamp occurs <= 1 day before today",
            True,
            True,
            None,
            None,
        ),
        (
            "select E from xEvent, I from E.productListItems where I.quantity > 1 and E.timestamp occurs today",
            True,
            True,
            None,
            None,
        ),
        (
            f'person.gender = "female" and CHAIN(xEvent, timestamp, [A: WHAT({PURCHASE}) {DAY}])',
            True,
            True,
            None,
            None,
        ),
        (
            f"CHAIN(xEvent, timestamp, [A: WHAT(true) {DAY}, B: WHAT({PURCHASE}) {DAY}])",
            True,
            False,
            "several-events",
            PURCHASE,
        ),
        (f"CHAIN(xEvent, timestamp, [A: WHAT({PURCHASE}) {DAY} COUNT(2)])", True, False, "several-events", PURCHASE),
        (
            f"CHAIN(xEvent, timestamp, [A: WHAT({PURCHASE}) {DAY}, B: not WHAT(true) {DAY}])",
            True,
            False,
            "several-events",
            "true",
        ),
        (f"CHAIN(xEvent, timestamp, [A: WHAT({PURCHASE})])", False, False, "no-window", PURCHASE),
        (f"xEvent[{PURCHASE}]", False, False, "no-window", f"xEvent[{PURCHASE}]"),
        (
            f"CHAIN(xEvent, timestamp, [A: WHAT({PURCHASE}) WHEN(<= 2 days before now)])",
            False,
            False,
            "window-too-long",
            PURCHASE,
        ),
        (
            "xEvent.timestamp occurs yesterday",
            False,
            False,
            "window-too-long",
            "xEvent.timestamp occurs yesterday",
        ),
        (
            f"not CHAIN(xEvent, timestamp, [A: WHAT({PURCHASE}) {DAY}])",
            False,
            False,
            "negation",
            f"not CHAIN(xEvent, timestamp, [A: WHAT({PURCHASE}) {DAY}])",
        ),
        (f'inSegment("{SEGMENT}")', True, True, None, None),
        (f'inSegment("{SEGMENT}") and person.gender = "male"', True, True, None, None),
        (
            f'inSegment("{SEGMENT}") and CHAIN(xEvent, timestamp, [A: WHAT({PURCHASE}) {DAY}])',
            False,
            False,
            "segment-beside-event",
            f'inSegment("{SEGMENT}")',
        ),
        (
            f'{NAMESPACE}.favouriteStoreId@{{{NAMESPACE}.xdm.classes.store}}.{NAMESPACE}.city = "Berlin"',
            False,
            False,
            "relation",
            f"{NAMESPACE}.favouriteStoreId@{{{NAMESPACE}.xdm.classes.store}}",
        ),
        (
            "person.birthDate occurs ignoreYear today",
            False,
            False,
            "ignore-year",
            "person.birthDate occurs ignoreYear today",
        ),
        (
            "xEvent[timestamp occurs today].sum(commerce.order.priceTotal) > 10",
            False,
            False,
            "event-aggregate",
            "xEvent[timestamp occurs today].sum(commerce.order.priceTotal)",
        ),
        (
            "forall E from xEvent where E.timestamp occurs today",
            False,
            False,
            "forall-events",
            "forall E from xEvent where E.timestamp occurs today",
        ),
        (
            "select A from xEvent where A.timestamp occurs today, B from xEvent where B.eventType = A.eventType",
            False,
            False,
            "joined-events",
            "B.eventType = A.eventType",
        ),
    ],
)
def test_a_rule_is_classified_with_the_clause_that_decides(
    rule: str, streaming: bool, edge: bool, code: str | None, clause: str | None
) -> None:
    found = classified(rule)
    assert found.batch
    assert (found.streaming, found.edge) == (streaming, edge)
    if code is None:
        assert found.reasons == ()
    else:
        reasons = {one.code: one for one in found.reasons}
        assert rule[slice(*reasons[code].span)] == clause


def test_an_audience_manager_segment_makes_a_rule_batch() -> None:
    rule = 'segmentMembership.get("AAMSegments").get("998877").status in ["realized"]'
    found = classify(pql.check(pql.parse(rule)))
    assert [one.code for one in found.reasons] == ["audience-manager"]
    assert not found.streaming


@pytest.mark.parametrize(
    ("rule", "streaming", "edge"),
    [
        (f"CHAIN(xEvent, timestamp, [A: WHAT({PURCHASE})])", True, False),
        (f"CHAIN(xEvent, timestamp, [A: WHAT({PURCHASE}) WHEN(<= 7 days before now)])", False, True),
        (f"CHAIN(xEvent, timestamp, [A: WHAT(true) {DAY}, B: WHAT({PURCHASE}) {DAY}])", True, True),
        (f"not CHAIN(xEvent, timestamp, [A: WHAT({PURCHASE}) {DAY}])", False, True),
    ],
)
def test_definitions_from_before_may_20_2025_follow_the_older_criteria(rule: str, streaming: bool, edge: bool) -> None:
    found = classified(rule, "legacy")
    assert (found.streaming, found.edge) == (streaming, edge)


def test_what_is_known_of_a_segment_decides_about_rules_that_refer_to_it() -> None:
    beside = pql.check(pql.parse(f'inSegment("{SEGMENT}") and xEvent[timestamp occurs today]'), SCHEMA)
    profile_only = {SEGMENT: ReferencedSegment("batch", is_profile_only=True)}
    assert not classify(beside).edge
    assert classify(beside, profile_only).edge
    assert not classify(beside, profile_only).streaming
    assert classify(beside, profile_only, rules="legacy").streaming
    assert classify(beside, strict_segment_refs=False).streaming
    alone = pql.check(pql.parse(f'inSegment("{SEGMENT}")'), SCHEMA)
    assert not classify(alone, {SEGMENT: ReferencedSegment("streaming")}).edge


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_every_construct_is_classified_and_every_no_has_a_reason(construct: str) -> None:
    found = classified(CONSTRUCTS[construct])
    assert found.streaming is not any("streaming" in one.methods for one in found.reasons)
    assert found.edge is not any("edge" in one.methods for one in found.reasons)
    assert all(one.span.end > one.span.start for one in found.reasons)
