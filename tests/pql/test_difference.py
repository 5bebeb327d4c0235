"""What changed between two rules, with the text of both sides."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from app import pql
from app.pql.difference import difference
from tests.pql.constructs import CONSTRUCTS
from tests.pql.rules import rules


def changes(before: str, after: str) -> list[tuple[str, str | None, str | None]]:
    found = difference(pql.parse(before), pql.parse(after)).changes
    for one in found:
        for clause, text in ((one.before, before), (one.after, after)):
            assert clause is None or text[slice(*clause.span)] == clause.text
    return [(one.kind, one.before.text if one.before else None, one.after.text if one.after else None) for one in found]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("a = 1 and b = 2", "b = 2 AND (1 = a)", []),
        ("a = 1", "a = 1 and b = 2", [("added", None, "b = 2")]),
        ("a = 1 and b = 2", "b = 2", [("removed", "a = 1", None)]),
        ("a = 1 and b = 2", "b = 2 and a = 3", [("changed", "a = 1", "a = 3")]),
        ('level in ["x", "y"] and z', 'z and level in ["x"]', [("changed", 'level in ["x", "y"]', 'level in ["x"]')]),
        ("a = 1 or b = 2", "b = 2 or c.d.isNull() or a = 1", [("added", None, "c.d.isNull()")]),
        ("a = 1 and b = 2", "a = 1 or b = 2", [("changed", "a = 1 and b = 2", "a = 1 or b = 2")]),
        ("(a = 1 or b = 2)", "(b = 2 or a = 1) and c = 3", [("added", None, "c = 3")]),
        ("not (a = 1)", "a = 1", [("changed", "not (a = 1)", "a = 1")]),
        (
            "select E from xEvent where E.a = 1 and E.b = 2",
            "exists V from xEvent where V.b = 2 and V.a = 3",
            [("changed", "E.a = 1", "V.a = 3")],
        ),
        (
            "z and CHAIN(xEvent, timestamp, [A: WHAT(a = 1), B: WHAT(b = 2)])",
            "CHAIN(xEvent, timestamp, [A: WHAT(a = 1), B: WHAT(b = 2 and c = 3)]) and z",
            [("added", None, "c = 3")],
        ),
    ],
)
def test_changes_are_told_clause_by_clause(
    before: str, after: str, expected: list[tuple[str, str | None, str | None]]
) -> None:
    assert changes(before, after) == expected


@given(rules, rules)
@settings(max_examples=200, deadline=None)
def test_there_are_changes_exactly_when_the_hashes_differ(one: str, other: str) -> None:
    before, after = pql.parse(one), pql.parse(other)
    found = difference(before, after)
    assert found.same_meaning is (pql.canonical(before).hash == pql.canonical(after).hash)
    assert difference(before, before).same_meaning
    assert sorted(_turned(kind) for kind, _, _ in changes(other, one)) == sorted(
        kind for kind, _, _ in changes(one, other)
    )


def _turned(kind: str) -> str:
    return {"added": "removed", "removed": "added"}.get(kind, kind)


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_a_clause_beside_any_construct_is_found(construct: str) -> None:
    rule = f"({CONSTRUCTS[construct]})"
    if construct in {"implicit profile", "`and`", "named profile"}:
        rule = "true"
    assert [kind for kind, _, _ in changes(rule, f"{rule} and some.other.field = 77")] == ["added"]


def test_many_changes_take_little_time() -> None:
    before = " and ".join(f"a{number} = {number}" for number in range(1_000))
    after = " and ".join(f"a{number} = {number + 1}" for number in range(1_000))
    assert len(changes(before, after)) == 2_000
