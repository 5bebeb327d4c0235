"""Memberships behave as the sets that they stand for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.evaluation.membership import Membership

SIZES = st.integers(1, 200)


def membership(profiles: int, members: set[int]) -> Membership:
    return Membership(profiles, sum(1 << (profiles - 1 - number) for number in members))


@given(st.data())
def test_members_survive_storage(data: st.DataObject) -> None:
    profiles = data.draw(SIZES)
    members = data.draw(st.sets(st.integers(0, profiles - 1)))
    stored = membership(profiles, members).to_bytes()
    found = Membership.from_bytes(profiles, stored)
    assert len(stored) == (profiles + 7) // 8
    assert {number for number in range(-1, profiles + 2) if number in found} == members
    assert len(found) == len(members)


@given(st.data())
def test_who_left_is_who_was_in_before_and_is_not_now(data: st.DataObject) -> None:
    profiles = data.draw(SIZES)
    before = data.draw(st.sets(st.integers(0, profiles - 1)))
    after = data.draw(st.sets(st.integers(0, profiles - 1)))
    assert membership(profiles, after).left_since(membership(profiles, before)) == len(before - after)


def test_memberships_of_different_sizes_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different data sets"):
        membership(8, {1}).left_since(membership(9, {1}))


def test_too_many_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot have 9 bits"):
        Membership.from_bytes(8, b"\x01\x00")
