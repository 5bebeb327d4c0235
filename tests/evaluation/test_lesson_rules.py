"""The rules of the lesson, counted on the sample and judged by SQL that a person wrote."""

from __future__ import annotations

import pytest

from app import pql
from app.evaluation.dataset import Dataset
from app.evaluation.engine import Engine
from app.evaluation.schema import event_union, lookups, profile_union
from app.pql.schema import XDMSchema
from tests.evaluation.conftest import AS_OF, NAMESPACE

SCHEMA = XDMSchema.from_json_schema(profile_union(NAMESPACE), event_union(NAMESPACE), lookups(NAMESPACE))

TWICE = """
    SELECT count(DISTINCT a.profile_no)
    FROM items AS a JOIN events AS e ON e.profile_no = a.profile_no AND e.event_no = a.event_no
    JOIN items AS b ON b.profile_no = a.profile_no AND b.sku = a.sku
    JOIN events AS f ON f.profile_no = b.profile_no AND f.event_no = b.event_no
    WHERE e.purchases > 0 AND f.purchases > 0 AND e.event_no <> f.event_no
    AND f.occurred_at {later} e.occurred_at AND f.occurred_at <= e.occurred_at + INTERVAL 30 DAY"""
MEN = """
    SELECT count(DISTINCT profile_no) FROM items JOIN products USING (sku)
    JOIN events USING (profile_no, event_no) WHERE products.category = 'Men' AND events.purchases > 0"""
NESTED = """
    SELECT count(*) FROM profiles AS p
    WHERE (loyalty_level IN ('gold', 'platinum') OR loyalty_points > 3000)
    AND NOT coalesce(home_country = 'US', false)
    AND (EXISTS (SELECT 1 FROM events AS e WHERE e.profile_no = p.profile_no AND e.store IS NOT NULL)
         OR email_consent = 'y')"""

RULES = {
    "the same product twice, as a self join": (
        """select E1 from xEvent where E1.commerce.purchases.value > 0, I1 from E1.productListItems,
           E2 from xEvent where E2.commerce.purchases.value > 0 and E2 != E1
                  and E2.timestamp occurs <= 30 days after E1.timestamp,
           I2 from E2.productListItems where I2.SKU = I1.SKU""",
        TWICE.format(later=">="),
    ),
    "the same product twice, as a chain": (
        """CHAIN(xEvent, timestamp, [A: WHAT(commerce.purchases.value > 0), GAP(<= 30 days),
           B: WHAT(commerce.purchases.value > 0 and productListItems.SKU.intersects(A.productListItems.SKU))])""",
        TWICE.format(later=">"),
    ),
    "products for men": (
        f"""select E from xEvent where E.commerce.purchases.value > 0,
            I from E.productListItems where I.SKU@{{_xdm.context.product}}.{NAMESPACE}.category = "Men\"""",
        MEN,
    ),
    "nested": (
        f"""({NAMESPACE}.loyalty.level in ["gold", "platinum"] or {NAMESPACE}.loyalty.points > 3000)
            and not (homeAddress.countryCode = "US")
            and (xEvent[{NAMESPACE}.storeId.isNotNull()].count() > 0 or consents.marketing.email.val = "y")""",
        NESTED,
    ),
}


@pytest.mark.parametrize("name", RULES)
async def test_a_rule_of_the_lesson_counts_what_plain_sql_counts(dataset: Dataset, name: str) -> None:
    rule, plain = RULES[name]
    checked = pql.check(pql.parse(rule), SCHEMA)
    expected = await dataset.run(lambda connection: connection.execute(plain).fetchone())
    assert await Engine(dataset).count(checked, AS_OF) == expected[0] > 0
