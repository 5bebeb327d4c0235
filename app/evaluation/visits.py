"""What the customers of the Luma sample do, as statements: visits, baskets, and the events and items they leave.

A visit goes through stages: landing page, product, basket, checkout, purchase. Some end before; of most online
purchases only the purchase was recorded; a purchase at a store has no other stage.
"""
# ruff: noqa: S608 - these statements are made of constants and numbers; no text of a caller gets into them

from __future__ import annotations

from dataclasses import dataclass

from app.evaluation import shop
from app.evaluation.catalog import CURRENCIES
from app.evaluation.draws import Draws
from app.evaluation.sample import SampleSpec

HISTORY_DAYS = 730
IN_STORE_SHARE = 0.4
TRACKED_SHARE = 0.1
"""Share of online purchases whose earlier stages were recorded as well."""

_VISITS_PER_PROFILE = 2**20
_EVENTS_PER_VISIT = 8
_LINES_PER_VISIT = 8


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a visit, from the first page to the purchase. ``number`` is its place in that order."""

    number: int
    event_type: str
    counter: str
    page: str
    all_items: bool | None
    """Whether the event carries the whole basket, its first line only, or (None) no items."""


_PURCHASE = 4

STAGES = (
    Stage(3, "commerce.checkouts", "checkouts", "'checkout'", True),
    Stage(2, "commerce.productListAdds", "product_list_adds", "'cart'", False),
    Stage(1, "commerce.productViews", "product_views", "'product'", False),
    Stage(_PURCHASE, "commerce.purchases", "purchases", "'order confirmation'", True),
    Stage(0, "web.webpagedetails.pageViews", "page_views", "landing_page", None),
)
"""In the order in which their rows are stored, which is that of `model.EVENT_TYPE`."""


def visits(spec: SampleSpec, numbers: range, draws: Draws) -> str:
    """Return the statement that makes ``visits``: one row for each visit of a store or of the site.

    It says which stages were recorded, first to last, and when each was. ``numbers`` are the profiles to do.
    """
    currency = " ".join(f"WHEN '{country}' THEN '{code}'" for country, code in CURRENCIES.items())
    days = f"floor({HISTORY_DAYS} * pow({draws.uniform('day', 'v')}, 1.2))"
    day_s = f"{days} * 86400 + 3600 + floor(86400 * pow({draws.uniform('time of day', 'v')}, 0.8) * 0.95)"
    campaign = (("newsletter", 10), ("search", 12), ("social", 8), ("spring-sale", 4), (None, 66))
    landing = (("home", 50), ("women", 20), ("men", 18), ("gear", 12))
    abandoned = f"floor(4 * pow({draws.uniform('abandoned at', 'v')}, 1.5))::TINYINT"
    return f"""
        CREATE TEMP TABLE visits AS
        SELECT *,
               CASE WHEN in_store OR (buys AND NOT {draws.chance("tracked", "v", TRACKED_SHARE)})
                    THEN {_PURCHASE} ELSE 0 END AS first_stage,
               CASE WHEN buys THEN {_PURCHASE} ELSE {abandoned} END AS last_stage,
               at_0 + to_seconds({_gap_s("view", 300, draws)}) AS at_1,
               at_1 + to_seconds({_gap_s("add", 900, draws)}) AS at_2,
               at_2 + to_seconds({_gap_s("checkout", 600, draws)}) AS at_3,
               at_3 + to_seconds(CASE WHEN {draws.chance("instant purchase", "v", 0.03)} THEN 0
                                      ELSE {_gap_s("purchase", 300, draws)} END) AS at_4,
               CASE WHEN in_store THEN coalesce(favourite_store_no, {draws.below("store", "v", shop.STORE_COUNT)})
                    END AS store_no,
               CASE WHEN NOT in_store THEN {draws.choice("campaign", "v", campaign)} END AS tracking_code,
               {draws.choice("landing page", "v", landing)} AS landing_page
        FROM (SELECT profile_no, v, gender, favourite_product_no, favourite_store_no, buys,
                     buys AND {draws.chance("in store", "v", IN_STORE_SHARE)} AS in_store,
                     coalesce(CASE country {currency} END, 'USD') AS currency,
                     {spec.as_of_sql} - to_seconds(({day_s})::BIGINT) AS at_0
              FROM (SELECT profile_no, gender, favourite_product_no, favourite_store_no, country,
                           profile_no::BIGINT * {_VISITS_PER_PROFILE} + visit AS v, visit < purchases AS buys
                    FROM (SELECT *, unnest(range(purchases + browses)) AS visit
                          FROM customers
                          LEFT JOIN {shop.places()} AS home(place, country, city) ON home.place = home_place
                          WHERE profile_no >= {numbers.start} AND profile_no < {numbers.stop})))"""


def _gap_s(purpose: str, longest_s: int, draws: Draws) -> str:
    """Seconds from one stage to the next: mostly short, at most ``longest_s``."""
    return f"(5 + floor({longest_s - 5} * pow({draws.uniform(f'gap to {purpose}', 'v')}, 2)))::BIGINT"


def baskets(draws: Draws) -> str:
    """Return the statement that makes ``baskets``: one row for each line of a visit's basket."""
    lines = f"least({_LINES_PER_VISIT}, 1 + floor(0.9 * {draws.exponential('lines', 'v')}))::INTEGER"
    product_no = f"""CASE WHEN {draws.chance("favourite again", "i", 0.2)} THEN favourite_product_no
                          ELSE {shop.product_no("line", "i", draws)} END"""
    quantity = f"(1 + floor({draws.exponential('quantity', 'i')} * 0.55))::INTEGER"
    discount = f"CASE WHEN {draws.chance('discount', 'i', 0.15)} THEN 0.8 ELSE 1.0 END"
    return f"""
        CREATE TEMP TABLE baskets AS
        SELECT profile_no, v, item_no, last_stage, first_stage, at_1, at_2, at_3, at_4,
               sku, name AS product_name, quantity, round(quantity * price * {discount}, 2) AS price_total
        FROM (SELECT *, {product_no} AS product_no, {quantity} AS quantity
              FROM (SELECT *, v * {_LINES_PER_VISIT} + item_no AS i
                    FROM (SELECT *, unnest(range({lines})) AS item_no FROM visits WHERE last_stage > 0)))
        JOIN products USING (product_no)"""


def _event_no(stage: Stage) -> str:
    return f"v * {_EVENTS_PER_VISIT} + {stage.number}"


def events(stage: Stage) -> str:
    """Return the statement that adds the events of one stage of ``visits``."""
    order, totals = "", ""
    if stage.number == _PURCHASE:
        order = "'P' || lpad(v::VARCHAR, 12, '0') AS purchase_id, price_total, currency, store, "
        totals = f"""
            JOIN (SELECT v, round(sum(price_total), 2) AS price_total FROM baskets
                  WHERE last_stage = {_PURCHASE} GROUP BY v) USING (v)
            LEFT JOIN made_stores USING (store_no)"""
    return f"""
        INSERT INTO events BY NAME
        SELECT profile_no, {_event_no(stage)} AS event_no, format('{{:x}}', {_event_no(stage)}) AS event_id,
               '{stage.event_type}' AS event_type, at_{stage.number} AS occurred_at,
               CASE WHEN in_store THEN 'point of sale' ELSE 'web' END AS channel,
               CASE WHEN NOT in_store THEN {stage.page} END AS page_name, tracking_code, {order}
               1.0 AS {stage.counter}
        FROM visits {totals}
        WHERE first_stage <= {stage.number} AND last_stage >= {stage.number}
        ORDER BY profile_no, occurred_at, event_no"""


def items(stage: Stage) -> str:
    """Return the statement that adds the items of one stage of ``baskets``."""
    lines = "" if stage.all_items else "AND item_no = 0"
    return f"""
        INSERT INTO items BY NAME
        SELECT profile_no, {_event_no(stage)} AS event_no, item_no, '{stage.event_type}' AS event_type,
               at_{stage.number} AS occurred_at, sku, product_name, quantity, price_total
        FROM baskets
        WHERE first_stage <= {stage.number} AND last_stage >= {stage.number} {lines}
        ORDER BY profile_no, sku, occurred_at, event_no, item_no"""
