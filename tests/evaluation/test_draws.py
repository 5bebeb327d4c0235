"""Draws are a function of seed, purpose and row, and behave like random numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import duckdb
import pytest

from app.evaluation.draws import Draws

ROWS = 100_000


def fetch(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(sql).fetchall()


def column(expression: str, rows: int = ROWS) -> list[Any]:
    return [value for (value,) in fetch(f"SELECT {expression} FROM range({rows}) AS r(n) ORDER BY n")]


def correlation(left: str, right: str) -> float:
    [(found,)] = fetch(f"SELECT corr({left}, {right}) FROM range({ROWS}) AS r(n)")
    return float(found)


def test_equal_inputs_give_equal_draws() -> None:
    assert column(Draws(7).uniform("age", "n"), 100) == column(Draws(7).uniform("age", "n"), 100)


@pytest.mark.parametrize(("left", "right"), [((7, "age"), (8, "age")), ((7, "age"), (7, "name"))])
def test_seeds_and_purposes_are_independent(left: tuple[int, str], right: tuple[int, str]) -> None:
    expressions = [Draws(seed).uniform(purpose, "n") for seed, purpose in (left, right)]
    assert abs(correlation(*expressions)) < 0.02


def test_neighbouring_rows_are_independent() -> None:
    draws = Draws(7)
    assert abs(correlation(draws.uniform("age", "n"), draws.uniform("age", "n + 1"))) < 0.02


def test_uniform_draws_fill_the_unit_interval_evenly() -> None:
    values = column(Draws(7).uniform("age", "n"))
    assert min(values) >= 0
    assert max(values) < 1
    tenths = [sum(1 for value in values if low <= value < high) for low, high in pairwise(x / 10 for x in range(11))]
    assert all(abs(count - ROWS / 10) < 500 for count in tenths)


def test_exponential_draws_have_mean_one_and_no_infinity() -> None:
    values = column(Draws(7).exponential("gap", "n"))
    assert sum(values) / ROWS == pytest.approx(1, abs=0.02)
    assert max(values) < 38


def test_choice_follows_the_weights() -> None:
    values = column(Draws(7).choice("tint", "n", (("red", 6), ("it's blue", 3), (None, 1))))
    shares = {value: values.count(value) / ROWS for value in set(values)}
    assert shares == {
        "red": pytest.approx(0.6, abs=0.01),
        "it's blue": pytest.approx(0.3, abs=0.01),
        None: pytest.approx(0.1, abs=0.01),
    }
