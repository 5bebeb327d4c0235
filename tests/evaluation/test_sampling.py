"""Sample sizes, standard errors and intervals."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.evaluation import sampling
from app.evaluation.sampling import Interval


@pytest.mark.parametrize(
    ("total", "read"),
    [
        (0, 0),
        (1, 1),
        (999_999, 999_999),
        (1_000_000, 1_000_000),
        (1_000_001, 1_000_000),
        (20_000_000, 1_000_000),
        (20_000_001, 1_000_001),
        (100_000_000, 5_000_000),
    ],
)
def test_sample_sizes_are_the_documented_ones(total: int, read: int) -> None:
    assert sampling.rows_to_read(total) == read


@pytest.mark.parametrize(
    ("total", "steps"),
    [
        (0, (0,)),
        (1, (1,)),
        (50, (1, 10, 50)),
        (999_999, (10_000, 100_000, 999_999)),
        (10_000_000, (100_000, 1_000_000)),
        (100_000_000, (1_000_000, 5_000_000)),
    ],
)
def test_steps_begin_with_a_hundredth_and_end_with_the_whole_sample(total: int, steps: tuple[int, ...]) -> None:
    assert sampling.rows_of_steps(total) == steps


def test_reading_everything_leaves_no_doubt() -> None:
    assert sampling.estimated_size(87, 500, 500) == 87
    assert sampling.standard_error(87, 500, 500) == 0
    assert sampling.wilson_interval(87, 500, 500) == Interval(87, 87)


def test_reading_nothing_says_nothing() -> None:
    assert sampling.estimated_size(0, 0, 500) == 0
    assert sampling.standard_error(0, 0, 500) == 0
    assert sampling.wilson_interval(0, 0, 500) == Interval(0, 500)


def test_known_values_of_a_sample() -> None:
    # 10,000,000 * sqrt(0.1 * 0.9 / 1,000,000) * sqrt(9,000,000 / 9,999,999) = 2846.05
    assert sampling.estimated_size(100_000, 1_000_000, 10_000_000) == 1_000_000
    assert sampling.standard_error(100_000, 1_000_000, 10_000_000) == 2846
    # Roots of (share - p)^2 = z^2 p (1 - p) / size in exact decimals: 994435.67 and 1005591.99.
    assert sampling.wilson_interval(100_000, 1_000_000, 10_000_000) == Interval(994_435, 1_005_592)


def test_a_sample_without_matches_still_bounds_the_size() -> None:
    # The textbook bound: with no match in n, Wilson's upper end is z^2 / (n + z^2), here of a nearly endless whole.
    interval = sampling.wilson_interval(0, 1_000, 1_000_000_000)
    assert interval.low == 0
    assert interval.high == pytest.approx(1_000_000_000 * 3.8415 / (1_000 + 3.8415), rel=1e-3)


@given(st.data())
def test_the_interval_holds_the_estimate_and_what_was_seen(data: st.DataObject) -> None:
    total = data.draw(st.integers(1, 50_000_000))
    read = data.draw(st.integers(1, total))
    matched = data.draw(st.integers(0, read))
    interval = sampling.wilson_interval(matched, read, total)
    assert matched <= interval.low <= sampling.estimated_size(matched, read, total) <= interval.high
    assert interval.high <= total - (read - matched)


@pytest.mark.parametrize("size", [40, 400, 10_000])
def test_the_interval_covers_the_true_size_as_often_as_it_says(size: int) -> None:
    dice = random.Random(size)
    total, read, rounds = 20_000, 2_000, 1_000
    members = set(range(size))
    hits = 0
    for _ in range(rounds):
        matched = sum(1 for number in dice.sample(range(total), read) if number in members)
        interval = sampling.wilson_interval(matched, read, total)
        hits += interval.low <= size <= interval.high
    assert hits / rounds > 0.93
