"""The fast form of a statement selects the profiles of the compiled one, and is what it should be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from app.evaluation import statements
from app.evaluation.dataset import Connection, Dataset
from app.evaluation.layout import SampleLayout
from app.pql import to_sql
from tests.evaluation.conftest import AS_OF, NAMESPACE
from tests.evaluation.test_selection import checked
from tests.pql.rules import rules as generated_rules

PURCHASE = 'eventType = "commerce.purchases"'
RECENT = f"xEvent[{PURCHASE} and timestamp occurs <= 90 days before now]"
TWICE = (
    f"select E from xEvent where E.{PURCHASE}, I from E.productListItems, F from xEvent where F.{PURCHASE} and F != E "
    "and F.timestamp occurs <= 30 days after E.timestamp, J from F.productListItems where J.SKU = I.SKU"
)
AGGREGATES = [
    f"{RECENT}.count() {sign} {bound}" for sign in (">", ">=", "<", "<=", "=", "!=") for bound in (-1, 0, 1, 3)
]
AGGREGATES += [
    f"{RECENT}.sum(commerce.order.priceTotal) {sign} {bound}" for sign in (">", "<") for bound in (0, 90.5, -2)
]
AGGREGATES += [
    f"{RECENT}.{name}(commerce.order.priceTotal) {sign} 80" for name in ("min", "max", "average") for sign in "<>"
]
AGGREGATES += [f"not ({RECENT}.count() < 2)", f"{RECENT}.count() < 2 and {RECENT}.count() > 0"]
AGGREGATES += [f"{RECENT}.count() > {NAMESPACE}.loyalty.points", f"3 > {RECENT}.count()", f"{RECENT}.count() + 1 > 3"]
SHAPES = [
    *AGGREGATES,
    TWICE,
    TWICE.replace("F != E and", ""),
    TWICE.replace("J.SKU = I.SKU", "J.SKU = I.SKU and E.channel.typeAtSource = F.channel.typeAtSource"),
    f"exists E from xEvent where E.{PURCHASE} and not (exists I from E.productListItems where I.quantity > 1)",
    f'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "commerce.productViews"), GAP(<= 7 days), B: WHAT({PURCHASE})])',
    f"not (exists E from xEvent where E.{PURCHASE} and E.commerce.order.priceTotal > 100)",
    f"exists E from xEvent where E.{PURCHASE} and not (E.commerce.order.priceTotal > 100)",
    "homeAddress.city = shippingAddress.city",
    "xEvent.productListItems.map(SKU).distinct().count() > 3",
    "not (homeAddress.countryCode != shippingAddress.countryCode)",
]


def members(connection: Connection, sql: str, parameters: tuple[object, ...]) -> set[int]:
    return {number for (number,) in connection.execute(sql, parameters).fetchall()}


async def agree(dataset: Dataset, rule: str) -> None:
    query = to_sql(checked(rule), SampleLayout(NAMESPACE), AS_OF)
    fast = statements.plan(query)
    found = await dataset.run(lambda connection: members(connection, fast.sql, fast.parameters))
    assert found == await dataset.run(lambda connection: members(connection, query.sql(), query.parameters)), fast.sql


@pytest.mark.parametrize("rule", SHAPES)
async def test_the_fast_form_of_a_shape_selects_the_same(dataset: Dataset, rule: str) -> None:
    await agree(dataset, rule)


@pytest.fixture(scope="module")
def runner() -> Any:
    with asyncio.Runner() as one:
        yield one


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(rule=generated_rules)
def test_the_fast_form_of_a_generated_rule_selects_the_same(
    dataset: Dataset, runner: asyncio.Runner, rule: str
) -> None:
    runner.run(agree(dataset, rule))


def fast(rule: str) -> str:
    return statements.plan(to_sql(checked(rule), SampleLayout(NAMESPACE), AS_OF)).sql


def test_tests_that_let_rows_through_are_bare_and_others_keep_their_wrapping() -> None:
    sql = fast(f'exists E from xEvent where E.{PURCHASE} and E.channel.typeAtSource = "web"')
    assert sql.translate(str.maketrans("", "", "()")) == (
        'SELECT "t1"."profile_no" FROM "events" AS "t1" WHERE "t1"."event_type" = $1 AND "t1"."channel" = $2'
    )
    assert "COALESCE" in fast(f"exists E from xEvent where not (E.{PURCHASE})")


def test_an_aggregate_is_computed_once_for_all() -> None:
    sql = fast(f"{RECENT}.count() >= 2")
    assert sql.startswith('SELECT "t1"."profile_no" FROM "events"')
    assert sql.endswith('GROUP BY "t1"."profile_no" HAVING COUNT(*) >= $4') or "HAVING COUNT(*) >= $" in sql
    assert "NOT (" in fast(f"{RECENT}.count() < 2")


def test_items_that_repeat_their_event_are_read_alone() -> None:
    sql = fast(TWICE)
    assert '"events"' not in sql
    assert "TEXT" not in sql
    assert "CASE" not in sql
    assert "event_id" not in sql
