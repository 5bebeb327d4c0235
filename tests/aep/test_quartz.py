"""Quartz expressions fire when they say; those that AEP refuses are refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.aep.quartz import parse_quartz
from app.errors import InvalidRequest

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)  # a Sunday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 1 * * ?", "2026-03-02 01:00:00"),
        ("0 0 13 * * ?", "2026-03-01 13:00:00"),
        ("0 0 12 * * ?", "2026-03-02 12:00:00"),
        ("30 15 1 ? * MON", "2026-03-02 01:15:30"),
        ("0 0 1 ? * 1", "2026-03-08 01:00:00"),
        ("0 0 1 ? * mon-fri", "2026-03-02 01:00:00"),
        ("0 0 1 ? * FRI-MON", "2026-03-02 01:00:00"),
        ("0 0 1 15 * ?", "2026-03-15 01:00:00"),
        ("0 0 1 L * ?", "2026-03-31 01:00:00"),
        ("0 0 1 L-3 * ?", "2026-03-28 01:00:00"),
        ("0 0 1 LW 5 ?", "2026-05-29 01:00:00"),
        ("0 0 1 15W 3 ?", "2026-03-16 01:00:00"),
        ("0 0 1 1W 8 ?", "2026-08-03 01:00:00"),
        ("0 0 1 ? * 6L", "2026-03-27 01:00:00"),
        ("0 0 1 ? * 6#3", "2026-03-20 01:00:00"),
        ("0 0 1 ? * FRI#5", "2026-05-29 01:00:00"),
        ("0 0 1 29 2 ?", "2028-02-29 01:00:00"),
        ("0 0 1 1 JAN ? 2030", "2030-01-01 01:00:00"),
        ("0 0 1 1/10 * ?", "2026-03-11 01:00:00"),
        ("0 0 1 */15 * ?", "2026-03-16 01:00:00"),
        ("0 0 1 5,10-11 * ?", "2026-03-05 01:00:00"),
        ("0 0 1 ? 11-2 *", "2026-11-01 01:00:00"),
    ],
)
def test_next_time(text: str, expected: str) -> None:
    found = parse_quartz(text).next_after(NOW)
    assert found is not None
    assert f"{found:%Y-%m-%d %H:%M:%S}" == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0 0 1 * *",
        "0 0 1 * * ? 2030 x",
        "0 0 1 * * *",
        "0 0 1 ? * ?",
        "0 0 25 * * ?",
        "60 0 1 * * ?",
        "0 0 1 32 * ?",
        "0 0 1 ? * 8",
        "0 0 1 ? * MOON",
        "0 0 1 ? FOO *",
        "0 0 1 * * ? 1969",
        "0 0 1,13 * * ?",
        "0 0 */12 * * ?",
        "0 0/30 1 * * ?",
        "* 0 1 * * ?",
        "0 0 1 30 2 ?",
        "0 0 1 ? * 6#6",
        "0 0 1 1-- * ?",
        "0 0 1 1/0 * ?",
        "0 0 ١ * * ?",
    ],
)
def test_what_is_wrong_or_too_frequent_or_never_fires_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_quartz(text)
    assert caught.value.path == ("schedule",)


@pytest.mark.parametrize(
    ("text", "frequency"),
    [
        ("0 0 1 * * ?", "daily"),
        ("0 0 1 ? * *", "daily"),
        ("0 0 1 ? * MON", "weekly"),
        ("0 0 1 1 * ?", "monthly"),
        ("0 0 1 1 JAN ?", "yearly"),
    ],
)
def test_frequency_is_derived(text: str, frequency: str) -> None:
    assert parse_quartz(text).frequency == frequency


def test_there_is_no_time_after_the_last_year() -> None:
    assert parse_quartz("0 0 1 * * ? 2020").next_after(NOW) is None


@given(st.text(alphabet="0123456789*?,-/LW# MONSUJAN", max_size=30))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        cron = parse_quartz(text)
    except InvalidRequest:
        return
    found = cron.next_after(NOW)
    assert found is None or found > NOW
