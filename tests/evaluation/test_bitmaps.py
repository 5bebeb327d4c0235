"""Bit strings of the database and roaring bitmaps hold the same numbers, whatever their density."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from app.evaluation import bitmaps

WIDTH = bitmaps.CONTAINER


def roundtrip(numbers: list[int], window: range) -> BitMap:
    with duckdb.connect() as connection:
        sql = f"SELECT {bitmaps.bitstring_sql('n', window)} FROM (SELECT unnest($1::INTEGER[]) AS n)"
        [(bits,)] = connection.execute(sql, [numbers]).fetchall()
    return bitmaps.from_bitstring(bits, window)


@pytest.mark.parametrize("count", [0, 1, 4_095, 4_096, 4_097, 30_000, WIDTH - 4_096, WIDTH - 1, WIDTH])
@pytest.mark.parametrize("start", [0, 3 * WIDTH])
def test_every_density_comes_back(count: int, start: int) -> None:
    numbers = [start + number * 40_503 % WIDTH for number in range(count)]
    assert roundtrip(numbers, range(start, start + WIDTH)) == BitMap(numbers)


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(2 * WIDTH, 5 * WIDTH - 1)), st.booleans())
def test_sets_over_several_containers_come_back(numbers: set[int], fill: bool) -> None:
    wanted = BitMap(numbers)
    if fill:
        wanted |= BitMap(range(3 * WIDTH, 4 * WIDTH))
    assert roundtrip(list(wanted), range(2 * WIDTH, 5 * WIDTH)) == wanted


def test_windows_are_whole_containers() -> None:
    assert bitmaps.whole_containers(range(1)) == range(WIDTH)
    assert bitmaps.whole_containers(range(WIDTH, 2 * WIDTH)) == range(WIDTH, 2 * WIDTH)
    assert bitmaps.whole_containers(range(WIDTH + 5, 2 * WIDTH + 1)) == range(WIDTH, 3 * WIDTH)
    with pytest.raises(ValueError, match="whole containers"):
        bitmaps.from_bitstring(b"\x00" * 10, range(80))
