"""The sample: reproducible, shaped like a shop's data, consistent in itself, stored in the order that rules read."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from app.evaluation import luma, model, people, visits
from app.evaluation.dataset import Dataset, build
from app.evaluation.luma import SampleSpec
from tests.evaluation.conftest import AS_OF, NAMESPACE, SPEC

SPEC_OF_900 = SampleSpec(900, 5, AS_OF)


async def rows(dataset: Dataset, sql: str) -> list[tuple[Any, ...]]:
    return await dataset.run(lambda connection: connection.execute(sql).fetchall())


async def single(dataset: Dataset, sql: str) -> Any:
    [(value,)] = await rows(dataset, sql)
    return value


def fingerprints(path: Path) -> dict[str, object]:
    """One number for each table that depends on all rows and their order."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return {
            entity.table: connection.execute(
                f"SELECT count(*), sum(hash(made, rowid)) FROM {entity.table} AS made"
            ).fetchall()
            for entity in model.TABLES
        }


def test_equal_inputs_give_equal_files_and_another_seed_gives_others(tmp_path: Path) -> None:
    for name, seed in (("first", 5), ("second", 5), ("other", 6)):
        build(tmp_path / name, NAMESPACE, SampleSpec(1_000, seed, AS_OF))
    first, second, other = (fingerprints(tmp_path / name) for name in ("first", "second", "other"))
    assert first == second
    differing = {table for table in first if first[table] != other[table]}
    assert differing == {entity.table for entity in model.TABLES} - {"stores"}


def test_the_anchor_moves_times_and_nothing_else(tmp_path: Path) -> None:
    later = AS_OF + timedelta(days=10)
    for name, as_of in (("now", AS_OF), ("later", later)):
        build(tmp_path / name, NAMESPACE, SampleSpec(500, 5, as_of))
    query = "SELECT profile_no, event_no, occurred_at, price_total FROM events ORDER BY event_no"
    with duckdb.connect(str(tmp_path / "now")) as now, duckdb.connect(str(tmp_path / "later")) as after:
        moved = [
            (profile, event, at + timedelta(days=10), price)
            for profile, event, at, price in now.execute(query).fetchall()
        ]
        assert moved == after.execute(query).fetchall()


@pytest.mark.parametrize("profiles", [-1, 100_000_001])
def test_an_impossible_size_is_refused(profiles: int) -> None:
    with pytest.raises(ValueError, match="number of profiles"):
        SampleSpec(profiles, 1, AS_OF)


def test_an_anchor_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        SampleSpec(10, 1, datetime(2025, 1, 1))  # noqa: DTZ001


async def test_a_single_profile_is_a_sample_too(tmp_path: Path) -> None:
    dataset = await Dataset.create(tmp_path / "one", NAMESPACE, SampleSpec(1, 3, AS_OF))
    assert await single(dataset, "SELECT count(*) FROM profiles") == 1
    await dataset.close()


async def test_profile_numbers_run_from_zero_and_ids_are_unique(dataset: Dataset) -> None:
    query = "SELECT min(profile_no), max(profile_no), count(DISTINCT profile_no), count(DISTINCT profile_id), count(*)"
    assert await rows(dataset, f"{query} FROM profiles") == [
        (0, SPEC.profiles - 1, SPEC.profiles, SPEC.profiles, SPEC.profiles)
    ]


async def test_event_numbers_and_ids_are_unique(dataset: Dataset) -> None:
    query = "SELECT count(*) - count(DISTINCT event_no), count(*) - count(DISTINCT event_id) FROM events"
    assert await rows(dataset, query) == [(0, 0)]


async def test_there_are_about_five_purchases_for_each_profile(dataset: Dataset) -> None:
    purchases = await single(dataset, "SELECT count(*) FROM events WHERE event_type = 'commerce.purchases'")
    assert purchases == pytest.approx(5 * SPEC.profiles + people.RESELLER_PURCHASES, rel=0.04)


async def test_a_few_customers_buy_much_and_some_never(dataset: Dataset) -> None:
    query = """SELECT count(purchases), max(purchases), median(purchases)
               FROM profiles LEFT JOIN (SELECT profile_no, count(*) AS purchases FROM events
                                        WHERE event_type = 'commerce.purchases' GROUP BY ALL) USING (profile_no)"""
    [(buyers, most, middle)] = await rows(dataset, query)
    assert 0.6 < buyers / SPEC.profiles < 0.8
    assert 2 <= middle <= 4
    assert most >= people.RESELLER_PURCHASES


async def test_values_are_missing_where_a_shop_would_miss_them(dataset: Dataset) -> None:
    shares = "avg((gender IS NULL)::INT), avg((email IS NULL)::INT), avg((loyalty_level IS NULL)::INT)"
    [found] = await rows(dataset, f"SELECT {shares} FROM profiles")
    assert found == (pytest.approx(0.06, abs=0.02), pytest.approx(0.08, abs=0.02), pytest.approx(0.25, abs=0.03))


async def test_every_enumerated_value_occurs(dataset: Dataset) -> None:
    for entity in model.TABLES:
        for field in entity.fields:
            if field.codes and field.codes.values:
                used = await rows(dataset, f"SELECT DISTINCT {field.column}::VARCHAR FROM {entity.table}")
                assert {value for (value,) in used} - {None} == set(field.codes.values), (entity.table, field.column)


async def test_levels_follow_points(dataset: Dataset) -> None:
    query = "SELECT loyalty_level::VARCHAR, min(loyalty_points), max(loyalty_points) FROM profiles GROUP BY ALL"
    bounds = {level: (low, high) for level, low, high in await rows(dataset, query)}
    assert bounds.pop(None) == (None, None)
    assert bounds["bronze"][1] < 900 <= bounds["silver"][0] <= bounds["silver"][1] < 2500 <= bounds["gold"][0]
    assert bounds["gold"][1] < 6000 <= bounds["platinum"][0]


async def test_an_order_costs_what_its_items_cost(dataset: Dataset) -> None:
    query = """SELECT count(*) FROM events
               LEFT JOIN (SELECT event_no, round(sum(price_total), 2) AS of_items FROM items GROUP BY ALL)
                    USING (event_no)
               WHERE event_type = 'commerce.purchases' AND price_total IS DISTINCT FROM of_items"""
    assert await single(dataset, query) == 0


async def test_items_repeat_profile_type_and_time_of_their_event(dataset: Dataset) -> None:
    query = """SELECT count(*) FROM items LEFT JOIN events USING (event_no)
               WHERE (items.profile_no, items.event_type, items.occurred_at)
                     IS DISTINCT FROM (events.profile_no, events.event_type, events.occurred_at)"""
    assert await single(dataset, query) == 0


COUNTERS = {
    "commerce.checkouts": "checkouts",
    "commerce.productListAdds": "product_list_adds",
    "commerce.productViews": "product_views",
    "commerce.purchases": "purchases",
    "web.webpagedetails.pageViews": "page_views",
}


@pytest.mark.parametrize("event_type", COUNTERS)
async def test_each_event_counts_what_its_type_says(dataset: Dataset, event_type: str) -> None:
    counted = ", ".join(f"count({counter})" for counter in COUNTERS.values())
    query = f"SELECT count(*), {counted} FROM events WHERE event_type = '{event_type}'"
    [(events, *counts)] = await rows(dataset, query)
    assert counts == [events if kind == event_type else 0 for kind in COUNTERS]


async def test_purchases_in_a_store_name_the_store_and_come_without_a_trail(dataset: Dataset) -> None:
    query = """SELECT count(*) FILTER (event_type <> 'commerce.purchases'), count(*) FILTER (store IS NULL),
                      count(page_name), count(*) > 1000
               FROM events WHERE channel = 'point of sale'"""
    assert await rows(dataset, query) == [(0, 0, 0, True)]
    assert await single(dataset, "SELECT count(store) FROM events WHERE channel = 'web'") == 0


async def test_events_lie_in_the_two_years_before_the_anchor(dataset: Dataset) -> None:
    [(first, last)] = await rows(dataset, "SELECT min(occurred_at), max(occurred_at) FROM events")
    anchor = AS_OF.replace(tzinfo=None)
    assert anchor - timedelta(days=visits.HISTORY_DAYS + 2) < first < last <= anchor
    assert last > anchor - timedelta(days=1)


async def test_some_events_of_a_profile_share_an_instant(dataset: Dataset) -> None:
    query = """SELECT count(*) FROM events AS one JOIN events AS other USING (profile_no, occurred_at)
               WHERE one.event_no < other.event_no"""
    assert await single(dataset, query) > 0


async def test_namespace_bits_say_what_the_identities_say(dataset: Dataset) -> None:
    bits = " + ".join(
        f"(bool_or(namespace = '{code}'))::BIGINT * {1 << bit}"
        for bit, code in enumerate(model.IDENTITY_NAMESPACE.values)
    )
    query = f"""SELECT count(*) FROM profiles LEFT JOIN
                    (SELECT profile_no, {bits} AS found FROM identities GROUP BY ALL) USING (profile_no)
                WHERE namespace_bits <> coalesce(found, 0)"""
    assert await single(dataset, query) == 0
    assert await single(dataset, "SELECT count(DISTINCT namespace_bits) FROM profiles") == 16


async def test_rows_are_stored_in_the_order_that_rules_read(dataset: Dataset) -> None:
    for table, order in (
        ("profiles", "profile_no"),
        ("events", "event_type, profile_no, occurred_at, event_no"),
        ("items", "event_type, profile_no, sku, occurred_at, event_no, item_no"),
    ):
        query = f"""SELECT count(*) FROM (SELECT rowid AS stored, row_number() OVER (ORDER BY {order}) - 1 AS wanted
                                          FROM {table}) WHERE stored <> wanted"""
        assert await single(dataset, query) == 0, table


async def test_a_range_of_profile_numbers_is_a_fair_sample(dataset: Dataset) -> None:
    # Customers who joined late have less history in the shop; their numbers must not cluster.
    query = """SELECT corr(profile_no, epoch(loyalty_joined_at)), corr(profile_no, loyalty_points) FROM profiles"""
    [(joined, points)] = await rows(dataset, query)
    assert abs(joined) < 0.06
    assert abs(points) < 0.06


def test_large_samples_are_stored_bucket_by_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(luma, "PROFILES_PER_BUCKET", 300)
    build(tmp_path / "bucketed", NAMESPACE, SPEC_OF_900)
    with duckdb.connect(str(tmp_path / "bucketed"), read_only=True) as connection:
        order = "profile_no // 300, event_type, profile_no, occurred_at, event_no"
        query = f"""SELECT count(*), max(abs(stored - wanted))
                    FROM (SELECT rowid AS stored, row_number() OVER (ORDER BY {order}) - 1 AS wanted FROM events)"""
        [(events, displaced)] = connection.execute(query).fetchall()
    assert displaced == 0
    assert events > 4_000


def test_buckets_change_the_order_of_rows_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "whole", NAMESPACE, SPEC_OF_900)
    monkeypatch.setattr(luma, "PROFILES_PER_BUCKET", 300)
    build(tmp_path / "bucketed", NAMESPACE, SPEC_OF_900)
    query = "SELECT * FROM items ORDER BY ALL"
    with duckdb.connect(str(tmp_path / "whole")) as whole, duckdb.connect(str(tmp_path / "bucketed")) as bucketed:
        assert whole.execute(query).fetchall() == bucketed.execute(query).fetchall()
