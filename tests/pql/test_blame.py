"""Who brought which clause of a rule."""

from __future__ import annotations

import pytest

from app import pql

FEMALE, ADULT = 'person.gender = "female"', "person.birthYear < 2000"
CITY = 'homeAddress.city = "Rome"'


def _blame(*versions: str | None) -> dict[str, int]:
    parsed = [None if one is None else pql.parse(one) for one in versions]
    return {one.clause.text: one.index for one in pql.blame(parsed)}


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([FEMALE], {FEMALE: 0}),
        ([f"{FEMALE} and {CITY}", FEMALE], {FEMALE: 1, CITY: 0}),
        ([f"{CITY} and {FEMALE}", f"{FEMALE} and {CITY}"], {FEMALE: 1, CITY: 1}),
        ([f"{FEMALE} or {CITY}", f"{FEMALE} and {CITY}", FEMALE], {FEMALE: 2, CITY: 1}),
        ([f"({FEMALE} or {CITY}) and {ADULT}", f"{FEMALE} and {ADULT}"], {FEMALE: 1, CITY: 0, ADULT: 1}),
        ([FEMALE, ADULT, FEMALE], {FEMALE: 0}),
        ([FEMALE, None, FEMALE], {FEMALE: 0}),
        (['person.gender="female"', FEMALE], {'person.gender="female"': 1}),
        ([None, FEMALE], {}),
        ([], {}),
    ],
)
def test_each_clause_is_as_old_as_the_versions_that_have_it_without_a_gap(
    versions: list[str | None], expected: dict[str, int]
) -> None:
    assert _blame(*versions) == expected


def test_clauses_come_in_the_order_of_the_text() -> None:
    rule = f"{CITY} and ({FEMALE} or {ADULT})"
    assert [one.clause.text for one in pql.blame([pql.parse(rule)])] == [CITY, FEMALE, ADULT]
