"""The statement and the slow evaluator select the same profiles: generated rules, ties, hot profiles, attacks."""

from __future__ import annotations

from datetime import UTC, timedelta, tzinfo
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from app import pql
from app.errors import PQLError
from app.pql.sql import to_sql
from tests.pql.generated import quoted, rules
from tests.pql.world import BERLIN, NOW, World, WorldLayout, check, hostile_profiles, make_world


@cache
def world() -> World:
    return make_world(hostile_profiles(60, seed=5), seed=5)


@given(rules, st.sampled_from([UTC, BERLIN]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@example("address.since occurs ignoreYear between address.since and date(2025, 3, 29)", BERLIN)
@example("joinedAt occurs ignoreYear <= 0 weeks after joinedAt", BERLIN)
@example("xEvent.max(timestamp) occurs ignoreYear != 3 days after address.since", BERLIN)
def test_generated_rules_mean_the_same_twice(rule: str, zone: tzinfo) -> None:
    try:
        checked = check(rule)
    except PQLError:
        assume(False)
        raise
    assert world().by_statement(checked, zone=zone) == world().by_reference(checked, zone=zone)


def _event(kind: str, minutes: int, **more: object) -> dict[str, object]:
    return {"eventType": kind, "timestamp": (NOW - timedelta(days=2) + timedelta(minutes=minutes)).isoformat(), **more}


TIES = {
    "A and B at one instant": ([_event("A", 0), _event("B", 0)], False),
    "an earlier A beside a tie": ([_event("A", -5), _event("A", 0), _event("B", 0)], True),
    "a later B beside a tie": ([_event("B", 0), _event("A", 0), _event("B", 1)], True),
    "B before A": ([_event("B", 0), _event("A", 1)], False),
    "out of order in the document": ([_event("B", 3), _event("A", 1)], True),
    "one duplicate": ([_event("A", 1, _id="x"), _event("A", 1, _id="x")], False),
    "no events": ([], False),
}


@pytest.mark.parametrize("name", TIES)
def test_equal_instants_are_not_later(name: str) -> None:
    events, expected = TIES[name]
    checked = check('CHAIN(xEvent, timestamp, [X: WHAT(eventType = "A"), Y: WHAT(eventType = "B")])')
    one = make_world([{"xEvent": events}])
    assert one.by_statement(checked) == one.by_reference(checked) == ([0] if expected else [])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ('CHAIN(xEvent, timestamp, [X: WHAT(eventType = "A") COUNT(2), Y: WHAT(eventType = "B")])', True),
        ('CHAIN(xEvent, timestamp, [X: WHAT(eventType = "A") COUNT(= 1), Y: WHAT(eventType = "B")])', False),
        ('CHAIN(xEvent, timestamp, [X: WHAT(eventType = "A"), GAP(<= 1 minutes), Y: WHAT(eventType = "B")])', False),
        ('CHAIN(xEvent, timestamp, [X: WHAT(eventType = "A"), GAP(<= 2 minutes), Y: WHAT(eventType = "B")])', True),
    ],
)
def test_equal_instants_in_counts_and_gaps(rule: str, expected: bool) -> None:
    one = make_world([{"xEvent": [_event("A", 0), _event("A", 0), _event("B", 0), _event("B", 2)]}])
    checked = check(rule)
    assert one.by_statement(checked) == one.by_reference(checked) == ([0] if expected else [])


@cache
def hot() -> World:
    """One profile with as many events as a profile may have, and a cool one."""
    events = [_event("ABC"[number % 3], number, value=float(number)) for number in range(2_000)]
    return make_world([{"xEvent": events}, {"xEvent": events[:4]}])


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ("A: WHAT(true), B: WHAT(true), C: WHAT(true), D: WHAT(true), E: WHAT(true), F: WHAT(true)", [0]),
        (
            'A: WHAT(eventType = "A"), GAP(<= 2 minutes), B: WHAT(eventType = "B"), GAP(<= 2 minutes), C: WHAT(eventType = "C")',
            [0, 1],
        ),
        ('A: WHAT(eventType = "A") COUNT(= 667), B: WHAT(eventType = "B")', [0]),
        (
            'A: WHAT(eventType = "A"), N: WHAT(eventType = "B") COUNT(<= 1), C: WHAT(eventType = "C"), D: WHAT(eventType = "C") COUNT(600)',
            [0],
        ),
        ('A: WHAT(eventType = "A"), N: not WHAT(eventType = "B"), C: WHAT(eventType = "C")', []),
    ],
)
def test_a_hot_profile_takes_bounded_work_and_memory(links: str, expected: list[int]) -> None:
    hot().connection.execute("SET memory_limit = '300MB'")
    assert hot().by_statement(check(f"CHAIN(xEvent, timestamp, [{links}])")) == expected


ATTACKS = [
    "'; DROP TABLE profiles; --",
    '") OR 1=1 --',
    "x' OR 'x'='x",
    "$1",
    "${jndi}",
    "\\', 1); --",
    "%' ESCAPE '!",
    "\u0000",
    "?",
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(
    "rule",
    [
        "name = {}",
        "name in [{}, {}]",
        "name.contains({}, false)",
        "name like {}",
        'stringCompare("equals", name, [{}])',
        "visits.get({}) > 1",
        "inSegment({})",
        "perks.intersects([{}])",
        "xEvent.map(mapEntry(eventType, count)).get({}) = 1",
        "let X = {} in X = name",
    ],
)
def test_a_literal_never_becomes_text_of_the_statement(rule: str, attack: str) -> None:
    text = rule.replace("{}", quoted(attack).replace("\u0000", "\\u0000"))
    compiled = to_sql(check(text), WorldLayout(), NOW)
    assert attack in compiled.parameters or any(attack in str(one) for one in compiled.parameters)
    if attack not in {"$1", "?"}:
        assert attack not in compiled.sql()
    assert world().by_statement(check(text)) == world().by_reference(check(text))
    assert world().connection.execute("SELECT count(*) FROM profiles").fetchone() == (60,)


@pytest.mark.parametrize("rule", ['name.matches("a\\\\)|(b")', 'name.matches("\'; DROP TABLE profiles; --")'])
def test_a_pattern_never_becomes_text_of_the_statement(rule: str) -> None:
    try:
        compiled = to_sql(check(rule), WorldLayout(), NOW)
    except PQLError as problem:
        assert problem.diagnostics[0].code == "pattern"
        return
    assert "DROP" not in compiled.sql()


@pytest.mark.parametrize(
    "rule",
    [
        '`name"; DROP TABLE profiles; --` = "x"',
        '`x" OR "1"="1`.`y` = "x"',
        'storeSku@{products"; DROP TABLE profiles; --}.category = "x"',
        "@{products; DROP TABLE profiles}.count() > 1",
        'xEvent.`items"; --`.count() > 0',
    ],
)
def test_a_name_that_the_schema_does_not_have_never_reaches_a_statement(rule: str) -> None:
    with pytest.raises(PQLError):
        check(rule)
    with pytest.raises(PQLError):
        # Without a schema every name is admitted; the layout then holds nothing of the kind.
        to_sql(pql.check(pql.parse(rule)), WorldLayout(), NOW)


def test_a_variables_name_is_never_printed() -> None:
    compiled = to_sql(check("select `x; DROP` from xEvent where `x; DROP`.value > 1"), WorldLayout(), NOW)
    assert "DROP" not in compiled.sql()


def test_names_of_names_cannot_grow_a_statement_without_bound() -> None:
    names = ["perks", *(f"N{level}" for level in range(25))]
    lets = "".join(f"let {name} = {before}.intersection({before}) in " for before, name in pairwise(names))
    with pytest.raises(PQLError) as refusal:
        to_sql(check(f"{lets}{names[-1]}.count() > 0"), WorldLayout(), NOW)
    assert refusal.value.diagnostics[0].code == "too-large"
