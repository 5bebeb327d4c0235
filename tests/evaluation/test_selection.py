"""Counting, splitting, paging and sampling the profiles of a statement, against plain SQL and plain Python."""

from __future__ import annotations

from collections import Counter

import pytest

from app.evaluation import selection
from app.evaluation.dataset import Dataset
from app.evaluation.selection import Selection
from tests.evaluation.conftest import SPEC

GOLD = Selection("SELECT profile_no FROM profiles WHERE loyalty_level IN (?, ?)", ("gold", "platinum"))
BUYERS = Selection("SELECT DISTINCT profile_no FROM events WHERE event_type = ?", ("commerce.purchases",))
GEAR = Selection(
    """WITH gear AS (SELECT sku FROM products WHERE category = ?)
       SELECT profile_no FROM profiles AS p
       WHERE EXISTS (SELECT 1 FROM items AS i SEMI JOIN gear USING (sku) WHERE i.profile_no = p.profile_no)""",
    ("Gear",),
)
NOT_BUYERS = Selection(
    "SELECT profile_no FROM profiles ANTI JOIN (FROM events WHERE event_type = ?) AS e USING (profile_no)",
    ("commerce.purchases",),
)
NOBODY = Selection("SELECT profile_no FROM profiles WHERE false")

ALL = pytest.mark.parametrize(
    "selected", [GOLD, BUYERS, GEAR, NOT_BUYERS, NOBODY], ids=["gold", "buyers", "gear", "not buyers", "nobody"]
)


async def numbers(dataset: Dataset, selected: Selection) -> set[int]:
    rows = await dataset.run(lambda connection: connection.execute(selected.sql, selected.parameters).fetchall())
    return {number for (number,) in rows}


async def identities(dataset: Dataset) -> list[tuple[int, str, str]]:
    query = "SELECT profile_no, namespace::VARCHAR, identity FROM identities"
    return await dataset.run(lambda connection: connection.execute(query).fetchall())


@ALL
async def test_the_count_is_the_number_of_selected_profiles(dataset: Dataset, selected: Selection) -> None:
    expected = len(await numbers(dataset, selected))
    assert await dataset.run(lambda connection: selection.count(connection, selected)) == expected


@ALL
@pytest.mark.parametrize("rows", [None, range(0), range(1_000), range(1_500, 2_500), range(SPEC.profiles)])
async def test_counts_of_a_range_are_those_of_its_profiles(
    dataset: Dataset, selected: Selection, rows: range | None
) -> None:
    window = range(SPEC.profiles) if rows is None else rows
    expected = {number for number in await numbers(dataset, selected) if number in window}
    by_namespace = Counter(namespace for number, namespace, _ in await identities(dataset) if number in expected)
    counts = await dataset.run(lambda connection: selection.count_by_namespace(connection, selected, rows))
    assert counts.matched == len(expected)
    assert {found.namespace.code: found.profiles for found in counts.by_namespace} == by_namespace


@ALL
async def test_a_result_tells_who_the_members_are(dataset: Dataset, selected: Selection) -> None:
    expected = await numbers(dataset, selected)
    result = await dataset.run(lambda connection: selection.evaluate(connection, selected, SPEC.profiles))
    counts = await dataset.run(lambda connection: selection.count_by_namespace(connection, selected))
    assert result.counts == counts
    assert {number for number in range(SPEC.profiles) if number in result.members} == expected
    assert len(result.members) == len(expected)


async def test_namespaces_carry_the_numbers_of_the_vendor(dataset: Dataset) -> None:
    counts = await dataset.run(lambda connection: selection.count_by_namespace(connection, GOLD))
    assert [found.namespace.number for found in counts.by_namespace] == [4, 6, 7, 10_001_000]


async def test_pages_of_members_join_to_the_whole_without_repetition(dataset: Dataset) -> None:
    expected = len(await numbers(dataset, GOLD))
    pages = [
        await dataset.run(lambda connection, offset=offset: selection.members(connection, GOLD, offset, 100))  # type: ignore[misc]
        for offset in range(0, expected + 100, 100)
    ]
    assert [len(page) for page in pages[:-2]] == [100] * (len(pages) - 2)
    assert len({member.profile_id for page in pages for member in page}) == sum(map(len, pages)) == expected
    assert pages[-1] == ()


async def test_members_come_with_all_their_identities(dataset: Dataset) -> None:
    members = await dataset.run(lambda connection: selection.members(connection, GOLD, 0, 50))
    for member in members:
        query = """SELECT namespace::VARCHAR, identity FROM identities JOIN profiles USING (profile_no)
                   WHERE profile_id = ? ORDER BY namespace"""
        found = await dataset.run(lambda connection: connection.execute(query, [member.profile_id]).fetchall())  # noqa: B023
        assert list(member.identities) == found


async def test_a_member_without_identities_is_still_a_member(dataset: Dataset) -> None:
    anonymous = Selection("SELECT profile_no FROM profiles WHERE namespace_bits = 0")
    members = await dataset.run(lambda connection: selection.members(connection, anonymous, 0, 10))
    assert members
    assert all(member.identities == () for member in members)
