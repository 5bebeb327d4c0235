"""The fixed part of the Luma sample as statements: products, stores, places, and how a shopper picks a product."""
# ruff: noqa: S608 - these statements are made of constants and numbers; no text of a caller gets into them

from __future__ import annotations

from app.evaluation.catalog import KINDS, LINES, PLACES
from app.evaluation.draws import Draws
from app.evaluation.literals import list_of, table_of

CATEGORIES = ("Women", "Men", "Gear")
"""In the order of their product numbers."""

STORE_COUNT = sum(place.stores for place in PLACES)

_COUNTS = [sum(len(LINES[kind.category]) for kind in KINDS if kind.category == category) for category in CATEGORIES]
_WOMEN_OR_MEN = 0.72
"""Share of items that are clothes; the rest is gear."""


def products(draws: Draws) -> str:
    """Return the statement that makes ``made_products``; product numbers run by category, then at random."""
    rows = [
        (kind.category, kind.subcategory, f"{kind.prefix}{number:02}", f"{line} {kind.noun}", kind.price)
        for kind in KINDS
        for number, line in enumerate(LINES[kind.category], start=1)
    ]
    order = f"list_position({list_of(CATEGORIES)}, category)"
    return f"""
        CREATE TEMP TABLE made_products AS
        SELECT (row_number() OVER (ORDER BY {order}, {draws.bits("product order", "number")}) - 1)::SMALLINT
                   AS product_no,
               sku, name, category, subcategory,
               floor(middle * (0.7 + 0.8 * {draws.uniform("price", "number")})) + 0.95 AS price,
               round(0.15 + 0.5 * {draws.uniform("margin", "number")}, 2) AS margin,
               {draws.chance("in stock", "number", 0.92)} AS in_stock
        FROM (SELECT *, row_number() OVER (ORDER BY sku) AS number
              FROM {table_of(rows)} AS made(category, subcategory, sku, name, middle))"""


def stores() -> str:
    """Return the statement that makes ``made_stores``."""
    places = [place for place in PLACES for _ in range(place.stores)]
    rows = [
        (number, f"LS{number + 1:02}", f"Luma {place.city} {number + 1}", place.city, place.country)
        for number, place in enumerate(places)
    ]
    return f"""
        CREATE TEMP TABLE made_stores AS
        SELECT store_no::SMALLINT AS store_no, store, name, city, country
        FROM {table_of(rows)} AS made(store_no, store, name, city, country)"""


def places() -> str:
    """Return the places as a table expression of (index, country, city)."""
    return table_of((index, place.country, place.city) for index, place in enumerate(PLACES))


def product_no(purpose: str, row: str, draws: Draws) -> str:
    """Return an expression for the number of a product, given a column ``gender``.

    The category leans to the shopper's gender, and a few products of each category sell best.
    """
    ball = draws.uniform(f"{purpose} category", row)
    women = "CASE gender WHEN 'female' THEN 0.60 WHEN 'male' THEN 0.12 ELSE 0.36 END"
    of_women, of_men, of_gear = _COUNTS
    rank = f"pow({draws.uniform(f'{purpose} product', row)}, 2.0)"
    return f"""(CASE WHEN {ball} < {women} THEN floor({of_women} * {rank})
                      WHEN {ball} < {_WOMEN_OR_MEN} THEN {of_women} + floor({of_men} * {rank})
                      ELSE {of_women + of_men} + floor({of_gear} * {rank}) END)::SMALLINT"""
