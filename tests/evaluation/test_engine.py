"""Rules in text, counted by the engine, against statements written by hand over the same tables."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from app.evaluation import documents, sampling, schema
from app.evaluation.dataset import Dataset, Limits
from app.evaluation.engine import Engine
from app.evaluation.errors import EvaluationTimedOut
from app.evaluation.sampling import Interval
from app.pql import Checked, check, parse
from app.pql.reference import matches
from app.pql.schema import XDMSchema
from tests.evaluation.conftest import AS_OF, NAMESPACE, SPEC

LEVEL = f"{NAMESPACE}.loyalty.level"
POINTS = f"{NAMESPACE}.loyalty.points"
PURCHASE = 'eventType = "commerce.purchases"'

CASES = {
    f'{LEVEL} = "gold" or {LEVEL} = "platinum"': "SELECT profile_no FROM profiles WHERE loyalty_level IN ('gold', 'platinum')",
    f'{LEVEL} in ["gold", "platinum"]': "SELECT profile_no FROM profiles WHERE loyalty_level IN ('gold', 'platinum')",
    f'{LEVEL} notIn ["gold", "platinum"]': "SELECT profile_no FROM profiles WHERE loyalty_level IN ('bronze', 'silver')",
    f'{LEVEL} != "gold"': "SELECT profile_no FROM profiles WHERE loyalty_level <> 'gold'",
    f'not ({LEVEL} = "gold")': "SELECT profile_no FROM profiles WHERE loyalty_level IS DISTINCT FROM 'gold'",
    f'{LEVEL}.equals("GOLD", false)': "SELECT profile_no FROM profiles WHERE loyalty_level = 'gold'",
    f"{LEVEL}.isNull()": "SELECT profile_no FROM profiles WHERE loyalty_level IS NULL",
    f"{LEVEL}.isNotNull()": "SELECT profile_no FROM profiles WHERE loyalty_level IS NOT NULL",
    f'{LEVEL} = "titanium"': "SELECT profile_no FROM profiles WHERE false",
    f'{POINTS} >= 900 and homeAddress.countryCode in ["DE", "AT"]': """
        SELECT profile_no FROM profiles WHERE loyalty_points >= 900 AND home_country IN ('DE', 'AT')""",
    f"{POINTS} < 250.5": "SELECT profile_no FROM profiles WHERE loyalty_points <= 250",
    "homeAddress.countryCode = shippingAddress.countryCode": """
        SELECT profile_no FROM profiles WHERE home_country::VARCHAR = shipping_country::VARCHAR""",
    'personalEmail.address.endsWith("example.org")': "SELECT profile_no FROM profiles WHERE email LIKE '%example.org'",
    'personalEmail.address.doesNotContain("example.org")': """
        SELECT profile_no FROM profiles WHERE email NOT LIKE '%example.org%'""",
    'person.name.lastName.startsWith("O\'B")': "SELECT profile_no FROM profiles WHERE last_name LIKE 'O''B%'",
    'person.name.lastName = "Müller"': "SELECT profile_no FROM profiles WHERE last_name = 'Müller'",
    f"exists E from xEvent where E.{PURCHASE}": """
        SELECT DISTINCT profile_no FROM events WHERE event_type = 'commerce.purchases'""",
    f"not (exists E from xEvent where E.{PURCHASE})": """
        SELECT profile_no FROM profiles ANTI JOIN
            (FROM events WHERE event_type = 'commerce.purchases') AS bought USING (profile_no)""",
    f'exists E from xEvent where E.{PURCHASE} and E.channel.typeAtSource = "point of sale"': """
        SELECT DISTINCT profile_no FROM events WHERE event_type = 'commerce.purchases' AND channel = 'point of sale'""",
    "select E from xEvent where E.commerce.order.priceTotal > 300": """
        SELECT DISTINCT profile_no FROM events WHERE price_total > 300""",
    f'select E from xEvent where E.{PURCHASE}, I from E.productListItems where I.SKU = "GB12"': """
        SELECT DISTINCT profile_no FROM items WHERE event_type = 'commerce.purchases' AND sku = 'GB12'""",
    f"{POINTS} > 2000 and not (select E from xEvent where E.{PURCHASE}, I from E.productListItems where I.quantity > 2)": """
        SELECT profile_no FROM profiles WHERE loyalty_points > 2000 AND profile_no NOT IN
            (SELECT profile_no FROM items WHERE event_type = 'commerce.purchases' AND quantity > 2)""",
    f"CHAIN(xEvent, timestamp, [C0: WHAT({PURCHASE}) WHEN(<= 30 days before now)])": """
        SELECT DISTINCT profile_no FROM events WHERE event_type = 'commerce.purchases'
            AND occurred_at BETWEEN TIMESTAMP '2025-11-24' - INTERVAL 30 DAY AND TIMESTAMP '2025-11-24'""",
    'CHAIN(xEvent, timestamp, [C0: WHAT(productListItems.name.contains("Watch"))])': """
        SELECT DISTINCT profile_no FROM items WHERE product_name LIKE '%Watch%'""",
}


@pytest.fixture(scope="module")
def fields() -> XDMSchema:
    unions = schema.profile_union(NAMESPACE), schema.event_union(NAMESPACE)
    return XDMSchema.from_json_schema(*unions, lookups=schema.lookups(NAMESPACE))


@pytest.fixture(scope="module")
def engine(dataset: Dataset) -> Engine:
    return Engine(dataset)


@pytest.fixture(scope="module")
def gold(fields: XDMSchema) -> Checked:
    return check(parse(f'{LEVEL} in ["gold", "platinum"]'), fields)


async def numbers(dataset: Dataset, sql: str) -> set[int]:
    return {number for (number,) in await dataset.run(lambda connection: connection.execute(sql).fetchall())}


@pytest.mark.parametrize("rule", CASES)
async def test_a_count_is_that_of_the_statement_written_by_hand(
    dataset: Dataset, engine: Engine, fields: XDMSchema, rule: str
) -> None:
    expected = await numbers(dataset, CASES[rule])
    result = await engine.result(check(parse(rule), fields), AS_OF)
    assert {number for number in range(SPEC.profiles) if number in result.members} == expected
    assert await engine.count(check(parse(rule), fields), AS_OF) == len(expected)


def in_batches(size: int) -> Iterator[range]:
    for low in range(0, SPEC.profiles, size):
        yield range(low, min(low + size, SPEC.profiles))


@pytest.mark.parametrize("rule", CASES)
async def test_members_are_those_of_the_plain_evaluation(
    dataset: Dataset, engine: Engine, fields: XDMSchema, rule: str
) -> None:
    checked = check(parse(rule), fields)
    profiles = await dataset.run(lambda connection: documents.profiles(connection, NAMESPACE, range(600)))
    expected = {number for number, profile in profiles.items() if matches(checked, profile, AS_OF)}
    members = (await engine.result(checked, AS_OF)).members
    assert {number for number in range(600) if number in members} == expected


async def test_an_estimate_of_a_small_set_reads_all_and_is_exact(
    dataset: Dataset, engine: Engine, gold: Checked
) -> None:
    size = len(await numbers(dataset, "SELECT profile_no FROM profiles WHERE loyalty_level IN ('gold', 'platinum')"))
    estimate = await engine.estimate(gold, AS_OF)
    assert (estimate.estimated_size, estimate.matched, estimate.standard_error) == (size, size, 0)
    assert (estimate.rows_to_read, estimate.rows_read, estimate.rows_total) == (SPEC.profiles,) * 3
    assert (estimate.interval, estimate.confidence_percent, estimate.is_exact) == (Interval(size, size), 95, True)
    assert {found.namespace.code for found in estimate.by_namespace} == {"ECID", "Email", "Phone", "lumaLoyaltyId"}
    assert max(found.profiles for found in estimate.by_namespace) == size  # members have a loyalty id


async def test_an_estimate_of_a_large_set_reads_a_sample(
    dataset: Dataset, engine: Engine, gold: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "rows_to_read", lambda total: 1_000)
    matched = len(
        await numbers(
            dataset, "SELECT profile_no FROM profiles WHERE loyalty_level IN ('gold', 'platinum') AND profile_no < 1000"
        )
    )
    size = await engine.count(gold, AS_OF)
    estimate = await engine.estimate(gold, AS_OF)
    assert (estimate.matched, estimate.rows_read, estimate.rows_total) == (matched, 1_000, SPEC.profiles)
    assert estimate.estimated_size == matched * SPEC.profiles // 1_000
    assert estimate.interval.low <= size <= estimate.interval.high
    assert not estimate.is_exact
    assert estimate.standard_error > 0


async def test_a_rough_estimate_reads_what_it_was_told_to(engine: Engine, gold: Checked) -> None:
    rough = [await engine.estimate(gold, AS_OF, rows=rows) for rows in (0, 400, SPEC.profiles + 1)]
    assert [estimate.rows_read for estimate in rough] == [0, 400, SPEC.profiles]
    assert [estimate.rows_to_read for estimate in rough] == [SPEC.profiles] * 3
    assert rough[0].matched <= rough[1].matched <= rough[2].matched


async def test_members_lead_to_their_profiles(engine: Engine, gold: Checked) -> None:
    for member in await engine.members(gold, AS_OF, limit=20):
        profile = await engine.profile(member.profile_id)
        assert profile is not None
        assert profile[NAMESPACE]["loyalty"]["level"] in {"gold", "platinum"}
        assert {(code, one["id"]) for code, of_code in profile["identityMap"].items() for one in of_code} == set(
            member.identities
        )


async def test_an_unknown_profile_is_none(engine: Engine) -> None:
    assert await engine.profile("nobody") is None


async def test_now_is_what_the_caller_says(engine: Engine, fields: XDMSchema) -> None:
    recent = check(parse("CHAIN(xEvent, timestamp, [C0: WHAT(true) WHEN(<= 1 days before now)])"), fields)
    assert await engine.count(recent, AS_OF) > 0
    assert await engine.count(recent, AS_OF + timedelta(days=365)) == 0


async def test_a_cancelled_batch_stops(engine: Engine, fields: XDMSchema) -> None:
    rules = {str(number): check(parse(rule), fields) for number, rule in enumerate(CASES)}
    begun = asyncio.Event()
    batch = asyncio.create_task(engine.evaluate(rules, AS_OF, on_progress=lambda *_: begun.set()))
    await begun.wait()
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch


async def test_a_rule_over_its_time_is_an_error_that_says_so(dataset: Dataset, gold: Checked) -> None:
    hasty = await Dataset.open(dataset.path, limits=Limits(timeout_s=0))
    with pytest.raises(EvaluationTimedOut):
        await Engine(hasty).count(gold, AS_OF)
    await hasty.close()


HOSTILE: list[Any] = ["'; DROP TABLE profiles; --", '\\"', "%", "_", "\u0000", "🦆", "x" * 10_000, "${now}", "?", "$1"]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_texts_in_rules_stay_texts(engine: Engine, fields: XDMSchema, text: str) -> None:
    spelled = text.replace("\\", "\\\\").replace('"', '\\"')
    rule = check(parse(f'person.name.lastName.contains("{spelled}") or person.name.lastName = "{spelled}"'), fields)
    assert await engine.count(rule, AS_OF) == 0
