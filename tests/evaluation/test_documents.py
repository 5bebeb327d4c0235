"""Profiles put back together hold exactly what the tables hold."""

from __future__ import annotations

from typing import Any

import pytest

from app.evaluation import documents, model
from app.evaluation.dataset import Dataset
from tests.evaluation.conftest import NAMESPACE, SPEC


@pytest.fixture(scope="module")
async def profiles(dataset: Dataset) -> dict[int, dict[str, Any]]:
    return await dataset.run(lambda connection: documents.profiles(connection, NAMESPACE, range(SPEC.profiles)))


async def total(dataset: Dataset, sql: str) -> Any:
    return (await dataset.run(lambda connection: connection.execute(sql).fetchall()))[0][0]


def scalars(value: Any) -> int:
    """Count the scalars of a document."""
    match value:
        case dict():
            return sum(scalars(member) for member in value.values())
        case list():
            return sum(scalars(member) for member in value)
        case _:
            assert value is not None
            return 1


async def test_no_value_is_lost_or_invented(dataset: Dataset, profiles: dict[int, dict[str, Any]]) -> None:
    expected = await total(dataset, "SELECT count(*) FROM profile_perks")
    for entity in (model.PROFILES, model.IDENTITIES, model.EVENTS, model.ITEMS):
        values = " + ".join(f"count({field.column})" for field in entity.fields)
        expected += await total(dataset, f"SELECT {values} FROM {entity.table}")
    assert sum(scalars(profile) for profile in profiles.values()) == expected


async def test_sums_over_documents_are_sums_over_tables(dataset: Dataset, profiles: dict[int, dict[str, Any]]) -> None:
    events = [event for profile in profiles.values() for event in profile.get("xEvent", [])]
    assert len(events) == await total(dataset, "SELECT count(*) FROM events")
    revenue = sum(event.get("commerce", {}).get("order", {}).get("priceTotal", 0) for event in events)
    assert revenue == pytest.approx(await total(dataset, "SELECT sum(price_total) FROM events"))
    pieces = sum(item["quantity"] for event in events for item in event.get("productListItems", []))
    assert pieces == await total(dataset, "SELECT sum(quantity) FROM items")


def test_events_come_in_the_order_of_time(profiles: dict[int, dict[str, Any]]) -> None:
    for profile in profiles.values():
        times = [event["timestamp"] for event in profile.get("xEvent", [])]
        assert times == sorted(times)


def test_perks_follow_the_level(profiles: dict[int, dict[str, Any]]) -> None:
    perks = {
        profile[NAMESPACE]["loyalty"]["level"]: tuple(profile[NAMESPACE]["loyalty"].get("perks", ()))
        for profile in profiles.values()
        if "level" in profile.get(NAMESPACE, {}).get("loyalty", {})
    }
    assert perks == {
        "bronze": (),
        "silver": ("freeShipping",),
        "gold": ("freeShipping", "earlyAccess"),
        "platinum": ("freeShipping", "earlyAccess", "lounge", "birthdayGift"),
    }


def test_the_identity_map_repeats_the_attributes(profiles: dict[int, dict[str, Any]]) -> None:
    for profile in profiles.values():
        address = profile.get("personalEmail", {}).get("address")
        expected = [] if address is None else [{"id": address, "primary": False}]
        assert profile.get("identityMap", {}).get("Email", []) == expected


async def test_one_profile_is_found_by_its_id(dataset: Dataset, profiles: dict[int, dict[str, Any]]) -> None:
    for number in (0, 1234, SPEC.profiles - 1):
        profile_id = await total(dataset, f"SELECT profile_id FROM profiles WHERE profile_no = {number}")
        found = await dataset.run(
            lambda connection: documents.profile_by_id(connection, NAMESPACE, profile_id)  # noqa: B023
        )
        assert found == profiles[number]


@pytest.mark.parametrize("profile_id", ["", "nobody", "' OR true --"])
async def test_an_unknown_id_finds_nothing(dataset: Dataset, profile_id: str) -> None:
    assert await dataset.run(lambda connection: documents.profile_by_id(connection, NAMESPACE, profile_id)) is None


async def test_lookup_records_are_found_by_class_and_key(dataset: Dataset) -> None:
    records = await dataset.run(lambda connection: documents.lookup_records(connection, NAMESPACE))
    assert {name: len(of_class) for name, of_class in records.items()} == {
        "_xdm.context.product": 180,
        f"{NAMESPACE}.xdm.classes.store": 24,
    }
    product = records["_xdm.context.product"]["GB12"][NAMESPACE]
    assert {key: product[key] for key in ("sku", "name", "category", "subcategory")} == {
        "sku": "GB12",
        "name": "Vector Bag",
        "category": "Gear",
        "subcategory": "Bags",
    }
