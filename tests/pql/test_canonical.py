"""One form for all spellings: the same hash for the same rule, and never another meaning."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app import pql
from app.pql import ast
from app.pql.canonical import canonical
from app.pql.reference import matches
from tests.pql.constructs import CONSTRUCTS
from tests.pql.rules import NAMESPACE, rules
from tests.pql.test_every_construct import SCHEMA

NOW = datetime(2025, 11, 24, 12, tzinfo=UTC)
POINTS = f"{NAMESPACE}.loyalty.points"

any_rule = (
    rules
    | st.sampled_from(list(CONSTRUCTS.values()))
    | st.builds(
        "({}) {} not ({})".format,
        st.sampled_from(list(CONSTRUCTS.values())),
        st.sampled_from(["and", "or"]),
        st.sampled_from(list(CONSTRUCTS.values())),
    )
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('loyalty.level = "gold"', '(P) => "gold" = P.loyalty.level'),
        ('loyalty.level = "gold"', '!(!($1.loyalty.`level` = "gold"))'),
        ('loyalty.level = "gold"', 'loyalty.level in ["gold", "gold"]'),
        ('loyalty.level = "gold"', 'loyalty.level.equals("gold", true)'),
        ('loyalty.level != "gold"', 'loyalty.level.notEqualTo("gold")'),
        ("a = 1 and (b = 2 and c = 3)", "(c = 3 AND a = 1) and b = 2 and a = 1"),
        ("a = 1 or not (not (b = 2 or c = 3))", "c = 3 or b = 2 or a = 1"),
        ("a > b", "b < a"),
        ("5 >= a", "a <= 5"),
        ("a + b > 2", "2 < b + a"),
        ('a in ["x", "y"]', 'a in (["y", "x", "y"])'),
        ("a.isNotNull()", "not a.isNull()"),
        ("select E from xEvent where E.a = 1", "exists other from xEvent: 1 = other.a"),
        ("xEvent.filter((e) => e.a = $1.b).count() > 1", "xEvent[a = ^b].count() > 1"),
        ("xEvent[this.a = 1].count() > 1", "(P) => P.xEvent[a = 1].count() > 1"),
        (
            "CHAIN(xEvent, timestamp, [A: WHAT(a = 1) WHERE(b = 2), B: WHAT(c = A.c)])",
            "chain(xEvent, timestamp, [X: what(b = 2 and a = 1) count(1), Y: what(X.c = c)])",
        ),
        ("let n = xEvent.count() in (n > 1)", "let m = $1.xEvent.count() in (1 < m)"),
    ],
)
def test_two_spellings_have_one_hash(one: str, other: str) -> None:
    assert canonical(pql.parse(one)).hash == canonical(pql.parse(other)).hash
    assert canonical(pql.parse(one)).text == canonical(pql.parse(other)).text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('a != "x"', 'not (a = "x")'),
        ('a notIn ["x"]', 'a != "x"'),
        ("a = 5", "a = 5.0"),
        ("a - b = 1", "b - a = 1"),
        ("a = 1 and b = 2", "a = 1 or b = 2"),
        ("select v0 from xEvent where v0.x = 1", "select E from xEvent where v0.x = 1"),
        ('a.equals("x", false)', 'a.equals("x")'),
        ("t occurs <= 24 hours before now", "t occurs <= 1 days before now"),
        ("xEvent[a = b].count() > 1", "xEvent[a = ^b].count() > 1"),
        ("a.b@{c}.d = 1", "a.b.d = 1"),
        ("`a.b` = 1", "a.b = 1"),
        (
            "CHAIN(xEvent, timestamp, [A: WHAT(a = 1), B: WHAT(b = 1)])",
            "CHAIN(xEvent, timestamp, [B: WHAT(b = 1), A: WHAT(a = 1)])",
        ),
    ],
)
def test_two_meanings_have_two_hashes(one: str, other: str) -> None:
    assert canonical(pql.parse(one)).hash != canonical(pql.parse(other)).hash


@given(any_rule)
@settings(max_examples=300, deadline=None)
def test_the_canonical_form_is_a_fixed_point(rule: str) -> None:
    form = canonical(pql.parse(rule))
    again = canonical(pql.parse(form.text))
    assert again.tree == form.tree
    assert again.text == form.text
    assert again.hash == form.hash


def _profiles() -> st.SearchStrategy[dict[str, Any]]:
    word = st.sampled_from(["gold", "GOLD", "female", "DE", "US", "o", "", "%", "lounge", "freeShipping", "Berlin"])
    number = st.sampled_from([-1, 0, 1, 2, 100, 1000, 1001])
    day = st.sampled_from(["2020-02-29", "2022-05-31", "2025-11-01"])
    instant = st.sampled_from(
        ["2022-05-31T10:00:00Z", "2024-11-30T00:00:00Z", "2025-10-31T23:59:59Z", "2025-11-24T11:00:00Z"]
    )
    item = _object(SKU=word, name=word, quantity=number, priceTotal=number)
    event = _object(
        _id=word,
        eventType=st.sampled_from(["commerce.purchases", "commerce.productViews", "other"]),
        timestamp=instant,
        commerce=_object(
            purchases=_object(value=number), productViews=_object(value=number), order=_object(priceTotal=number)
        ),
        web=_object(webPageDetails=_object(name=word)),
        productListItems=st.lists(item, max_size=3),
    )
    loyalty = _object(level=word, points=number, joinDate=instant, perks=st.lists(word, max_size=3))
    return _object(
        person=_object(gender=word, birthDate=day, birthYear=number, birthMonth=number),
        homeAddress=_object(countryCode=word, city=word),
        shippingAddress=_object(countryCode=word),
        xEvent=st.lists(event, max_size=4),
        **{NAMESPACE: _object(loyalty=loyalty)},
    )


def _object(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in fields.items()})


@given(rule=any_rule, profiles=st.lists(_profiles(), min_size=3, max_size=6))
@example(rule="not (not (homeAddress.city.isNotNull()))", profiles=[{}, {"homeAddress": {"city": ""}}])
@settings(max_examples=150, deadline=None)
def test_the_canonical_form_selects_the_same_profiles(rule: str, profiles: list[dict[str, Any]]) -> None:
    query = pql.parse(rule)
    before, after = pql.check(query, SCHEMA), pql.check(pql.parse(canonical(query).text), SCHEMA)
    for profile in profiles:
        assert matches(before, profile, NOW) == matches(after, profile, NOW)


@given(rule=any_rule, seed=st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_spelling_a_rule_anew_leaves_its_hash(rule: str, seed: int) -> None:
    query = pql.parse(rule)
    spelled = _Speller(random.Random(seed)).spell(query.body)
    text = pql.format_query(ast.Query("", spelled))
    assert canonical(pql.parse(text)).hash == canonical(query).hash


class _Speller:
    """Writes the logic of a rule in another way: other order, repetitions, nesting, negations, sides."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def spell(self, node: ast.Expr) -> ast.Expr:
        match node:
            case ast.Logical(operator, operands):
                shuffled = [self.spell(one) for one in operands]
                self._chance.shuffle(shuffled)
                if self._chance.random() < 0.3:
                    shuffled.append(shuffled[0])
                node = ast.Logical(operator, tuple(shuffled))
            case ast.Not(operand):
                node = ast.Not(self.spell(operand))
            case ast.Comparison("=" | "!=" as operator, left, ast.StringLiteral() as right):
                if self._chance.random() < 0.5:
                    node = ast.Comparison(operator, right, left)
                elif operator == "=":
                    node = ast.Comparison("in", left, ast.ListExpr((right, right)))
            case ast.Comparison("in" | "notIn" as operator, left, ast.ListExpr(items)):
                members = list(items)
                self._chance.shuffle(members)
                node = ast.Comparison(operator, left, ast.ListExpr(tuple(members)))
        if self._chance.random() < 0.2:
            return ast.Not(ast.Not(node))
        return node
