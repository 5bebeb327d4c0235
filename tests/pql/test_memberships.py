"""Memberships by path are memberships."""

from __future__ import annotations

import pytest

from app import pql
from app.pql import ir
from tests.pql.test_every_construct import SCHEMA

PATH = 'segmentMembership.get("ups").get("s1").status'


@pytest.mark.parametrize(
    "rule",
    [
        f'{PATH} = "realized"',
        f'{PATH} in ["realized", "existing"]',
        'segmentMembership.ups.s1.status = "existing"',
        f'person.gender = "female" and not ({PATH} = "realized")',
        f'xEvent[^.{PATH} = "realized"].count() > 0',
    ],
)
def test_a_test_of_the_status_is_the_segment(rule: str) -> None:
    checked = pql.check(pql.parse(rule), SCHEMA)
    assert pql.segments_used(checked) == ("s1",)
    asked = [one.segment_id for one in ir.walk(pql.by_segment(checked).root) if isinstance(one, ir.InSegment)]
    assert asked == ["s1"]


@pytest.mark.parametrize(
    "rule",
    [
        f'{PATH} = "exited"',
        f'{PATH} != "realized"',
        f'{PATH} in ["realized", "exited"]',
        'segmentMembership.get("AAMSegments").get("s1").status = "realized"',
        f"{PATH}.isNull()",
        'person.gender = "female"',
    ],
)
def test_everything_else_stays_what_it_is(rule: str) -> None:
    checked = pql.check(pql.parse(rule), SCHEMA)
    assert pql.by_segment(checked) is checked
