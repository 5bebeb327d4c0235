"""Kinds of rules, each with a bare scan of the columns that it reads, and the same question to Polars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl

from benchmarks.measure import AS_OF, NAMESPACE

_ORDERED_DAYS = 7

Frames = Any
"""The tables as Polars data frames, by name."""


@dataclass(frozen=True, slots=True)
class Shape:
    """``scan`` reads all columns of ``rule`` without deciding anything; ``polars`` counts the profiles of the rule."""

    name: str
    rule: str
    scan: str
    polars: Callable[[Frames], int]


def _days_ago(days: int) -> Any:
    return pl.lit(AS_OF.replace(tzinfo=None)).dt.offset_by(f"-{days}d")


def _purchases(frame: Any) -> Any:
    return frame.filter(pl.col("event_type") == "commerce.purchases")


def _in_list(tables: Frames) -> int:
    return int(tables["profiles"].filter(pl.col("loyalty_level").is_in(["gold", "platinum"])).height)


def _string(tables: Frames) -> int:
    test = pl.col("email").str.ends_with("example.org") & (pl.col("email_consent") == "y")
    return int(tables["profiles"].filter(test).height)


def _recent(tables: Frames) -> int:
    return int(_purchases(tables["events"]).filter(pl.col("occurred_at") >= _days_ago(30))["profile_no"].n_unique())


def _twice(tables: Frames) -> int:
    lines = _purchases(tables["items"]).select("profile_no", "sku", "event_no", "occurred_at")
    many = lines.filter(pl.col("event_no").n_unique().over("profile_no", "sku") > 1)
    pairs = many.join(many, on=["profile_no", "sku"], suffix="_2").filter(
        (pl.col("event_no") != pl.col("event_no_2"))
        & (pl.col("occurred_at_2") >= pl.col("occurred_at"))
        & (pl.col("occurred_at_2") <= pl.col("occurred_at").dt.offset_by("30d"))
    )
    return int(pairs["profile_no"].n_unique())


def _category(tables: Frames) -> int:
    gear = tables["products"].filter(pl.col("category") == "Gear").select("sku")
    return int(_purchases(tables["items"]).join(gear, on="sku", how="semi")["profile_no"].n_unique())


def _ordered(tables: Frames) -> int:
    events = tables["events"].select("profile_no", "event_type", "occurred_at")
    first = events.filter(pl.col("event_type") == "commerce.productListAdds")
    pairs = first.join(_purchases(events), on="profile_no", suffix="_2").filter(
        (pl.col("occurred_at_2") > pl.col("occurred_at"))
        & (pl.col("occurred_at_2") <= pl.col("occurred_at").dt.offset_by(f"{_ORDERED_DAYS}d"))
    )
    return int(pairs["profile_no"].n_unique())


def _sum(tables: Frames) -> int:
    recent = _purchases(tables["events"]).filter(pl.col("occurred_at") >= _days_ago(90))
    totals = recent.group_by("profile_no").agg(pl.col("price_total").sum())
    return int(totals.filter(pl.col("price_total") > 400).height)


def _nested(tables: Frames) -> int:
    events = tables["events"]
    some = tables["profiles"].filter((pl.col("loyalty_level") == "gold") | (pl.col("home_country") == "DE"))
    viewed = events.filter(pl.col("event_type") == "commerce.productViews")
    bought = _purchases(events).filter(pl.col("channel") == "web")
    return int(some.join(viewed, on="profile_no", how="semi").join(bought, on="profile_no", how="anti").height)


SHAPES = (
    Shape(
        "attribute in a list",
        f'{NAMESPACE}.loyalty.level in ["gold", "platinum"]',
        "SELECT bit_xor(profile_no), bit_xor(enum_code(loyalty_level)) FROM profiles",
        _in_list,
    ),
    Shape(
        "string and consent",
        'personalEmail.address.endsWith("example.org") and consents.marketing.email.val = "y"',
        "SELECT bit_xor(profile_no), max(strlen(email)), bit_xor(enum_code(email_consent)) FROM profiles",
        _string,
    ),
    Shape(
        "an event of a kind in 30 days",
        'select E from xEvent where E.eventType = "commerce.purchases" and E.timestamp occurs <= 30 days before now',
        "SELECT bit_xor(profile_no), bit_xor(enum_code(event_type)), bit_xor(epoch_us(occurred_at)) FROM events",
        _recent,
    ),
    Shape(
        "same product twice in 30 days",
        'select E1 from xEvent where E1.eventType = "commerce.purchases", I1 from E1.productListItems, '
        'E2 from xEvent where E2.eventType = "commerce.purchases" and E2 != E1 '
        "and E2.timestamp occurs <= 30 days after E1.timestamp, "
        "I2 from E2.productListItems where I2.SKU = I1.SKU",
        "SELECT bit_xor(profile_no), bit_xor(event_no), bit_xor(enum_code(event_type)), bit_xor(enum_code(sku)), "
        "bit_xor(epoch_us(occurred_at)) FROM items",
        _twice,
    ),
    Shape(
        "product category by relation",
        'select E from xEvent where E.eventType = "commerce.purchases", I from E.productListItems '
        f'where I.SKU@{{_xdm.context.product}}.{NAMESPACE}.category = "Gear"',
        "SELECT bit_xor(profile_no), bit_xor(enum_code(event_type)), bit_xor(enum_code(sku)) FROM items",
        _category,
    ),
    Shape(
        "A then B in 7 days",
        'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "commerce.productListAdds"), GAP(<= 7 days), '
        'B: WHAT(eventType = "commerce.purchases")])',
        "SELECT bit_xor(profile_no), bit_xor(enum_code(event_type)), bit_xor(epoch_us(occurred_at)) FROM events",
        _ordered,
    ),
    Shape(
        "sum of orders in 90 days",
        'xEvent[eventType = "commerce.purchases" and timestamp occurs <= 90 days before now]'
        ".sum(commerce.order.priceTotal) > 400",
        "SELECT bit_xor(profile_no), bit_xor(enum_code(event_type)), bit_xor(epoch_us(occurred_at)), "
        "sum(price_total) FROM events",
        _sum,
    ),
    Shape(
        "nested and, or, not",
        f'({NAMESPACE}.loyalty.level = "gold" or homeAddress.countryCode = "DE") '
        'and (select E from xEvent where E.eventType = "commerce.productViews") '
        'and not (select E from xEvent where E.eventType = "commerce.purchases" and E.channel.typeAtSource = "web")',
        "SELECT bit_xor(profile_no), bit_xor(enum_code(event_type)), bit_xor(enum_code(channel)) FROM events",
        _nested,
    ),
)
