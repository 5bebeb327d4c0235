"""What a rule says in plain English: every part of it, nested as it is written."""

from __future__ import annotations

import pytest

from app import pql
from app.pql import ast
from app.pql.explain import explain, field_words
from tests.pql.constructs import CONSTRUCTS


def explained(rule: str) -> str:
    return explain(pql.parse(rule))


def test_a_nested_rule_keeps_its_structure() -> None:
    rule = """
        _wwfovlab011.loyalty.level in ["gold", "platinum"]
        and (homeAddress.countryCode = "DE" or not (person.gender = "male" or person.gender.isNull()))
        and (select E from xEvent where E.commerce.purchases.value > 0
             and E.timestamp occurs <= 14 days before now, I from E.productListItems where I.quantity >= 2)
    """
    assert explained(rule).splitlines() == [
        "A profile qualifies when all of these hold:",
        '- loyalty level is one of "gold", "platinum"',
        "- at least one of these holds:",
        '  - home address country code is "DE"',
        "  - none of these holds:",
        '    - person gender is "male"',
        "    - person gender is missing",
        "- there is an event (E) and an item (I) of E's product list items such that all of these hold:",
        "  - E's commerce purchases value is greater than 0",
        "  - E's timestamp is at most 14 days before now",
        "  - I's quantity is at least 2",
    ]


def test_a_chain_is_told_in_its_order() -> None:
    rule = (
        'CHAIN(xEvent, timestamp, [C0: WHAT(eventType.equals("view", false)) WHEN(today) COUNT(2), '
        "GAP(<= 2 hours), C1: not WHAT(true)])"
    )
    assert explained(rule).splitlines() == [
        "A profile qualifies when events happened in this order:",
        '- at least 2 events (C0) whose time is within today, where event type is "view" (in upper or lower case)',
        "- at most 2 hours later, no event (C1)",
    ]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("true", "Every profile qualifies."),
        ("false", "No profile qualifies."),
        ('homeAddress.countryCode != "DE"', 'home address country code is known and is not "DE"'),
        ("(P) => P.loyalty.points + 5 > 10", "loyalty points plus 5 is greater than 10"),
        ("xEvent[a.b = 1].count() > 2", "there are more than 2 of events for which a b is 1"),
        ("person.birthDate occurs ignoreYear today", "person birth date is within today, whatever the year"),
        (
            '_t.storeId@{_t.xdm.classes.store}.city = "Berlin"',
            'the store record of store id\'s city is "Berlin"',
        ),
    ],
)
def test_clauses_read_as_sentences(rule: str, text: str) -> None:
    assert text in explained(rule)


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_every_literal_and_field_of_every_construct_is_told(construct: str) -> None:
    query = pql.parse(CONSTRUCTS[construct])
    text = explain(query)
    nodes = list(ast.walk(query.body))
    operations = [node.arguments[0] for node in nodes if isinstance(node, ast.Call) and node.name == "stringCompare"]
    for node in nodes:
        match node:
            case ast.StringLiteral(value) if node not in operations:
                assert value in text
            case ast.Step(name) if not name.startswith("_") and name != "xEvent":
                assert field_words((name,)) in text
            case ast.Duration(count):
                assert str(count) in text


def test_every_kind_of_expression_has_words() -> None:
    met = {type(node).__name__ for rule in CONSTRUCTS.values() for node in ast.walk(pql.parse(rule).body)}
    assert {kind.__name__ for kind in ast.Expr.__subclasses__()} - met == {"ClassReference"}
    assert "class a.b" in explained("@{a.b;version=1}.c = 1")
    assert "the profile" in explained("$1.isNull()")
