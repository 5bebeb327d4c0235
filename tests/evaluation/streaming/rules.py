"""Rules and records that Hypothesis makes: what streaming definitions say, over few values so that much meets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from app import pql
from app.evaluation import schema
from app.pql.schema import XDMSchema

NAMESPACE = "_wwfovlab011"
SCHEMA = XDMSchema.from_json_schema(
    schema.profile_union(NAMESPACE), schema.event_union(NAMESPACE), lookups=schema.lookups(NAMESPACE)
)
START = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)

_types = st.sampled_from(["commerce.checkouts", "commerce.purchases", "web.webpagedetails.pageViews"])
_type = _types.map('eventType = "{}"'.format)
_type_choice = st.lists(_types, min_size=1, max_size=2).map(
    lambda names: "eventType in [" + ", ".join(f'"{name}"' for name in names) + "]"
)
_comparator = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
_price = st.builds("commerce.order.priceTotal {} {}".format, _comparator, st.sampled_from([0, 10, 10.5, 20]))
_page = st.sampled_from(
    [
        'web.webPageDetails.name = "cart"',
        'web.webPageDetails.name.contains("AR", false)',
        'web.webPageDetails.name.doesNotContain("h")',
        'web.webPageDetails.name in ["cart", "home"]',
        'web.webPageDetails.name notIn ["cart"]',
        'web.webPageDetails.name.matches("^c")',
        "web.webPageDetails.name.isNull()",
        "web.webPageDetails.name.isNotNull()",
        'not (web.webPageDetails.name = "home")',
        'web.webPageDetails.name like "%om%"',
        "true",
        "commerce.order.priceTotal > commerce.purchases.value",
    ]
)
_items = st.sampled_from(
    [
        'productListItems.SKU = "A"',
        'productListItems[SKU = "A" and quantity > 1]',
        "productListItems.exists(quantity >= 2)",
        'productListItems.SKU = "A" and productListItems.SKU = "B"',
        "productListItems.quantity < 2",
        "productListItems.quantity.sum() > 3",
    ]
)
_plain = _type | _type_choice | _price | _page | _items
_what = st.one_of(
    _plain,
    st.builds("{} and {}".format, _type, _plain),
    st.builds("({} or {})".format, _plain, _plain),
    st.builds("not ({})".format, _plain),
)
_window = st.sampled_from(
    [
        "<= 24 hours before now",
        "<= 1 hour before now",
        "< 90 minutes before now",
        "<= 1 day before now",
        "<= 3 hours before today",
        "today",
        "yesterday",
        "between yesterday and now",
        "<= 5 minutes after now",
        "<= 1 hour from now",
        "> 2 hours before now",
        "after date(2026, 3, 2)",
        "before now",
        "= 2 hours before now",
        "this week",
    ]
)
_gap = st.sampled_from(["", "GAP(<= 2 hours), ", "GAP(> 30 minutes), ", "GAP(< 1 day), "])
_count = st.sampled_from(
    ["", "", "", " COUNT(2)", " COUNT(= 1)", " COUNT(<= 1)", " COUNT(between 1 and 2)", " COUNT(all)"]
)
_when = _window.map(" WHEN({})".format) | st.just("")


@st.composite
def _chain(draw: st.DrawFn) -> str:
    links = []
    for number in range(draw(st.integers(1, 3))):
        gap = draw(_gap) if number else ""
        negated = draw(st.sampled_from(["", "", "not "]))
        count = "" if negated else draw(_count)
        links.append(f"{gap}E{number}: {negated}WHAT({draw(_what)}){draw(_when)}{count}")
    return f"CHAIN(xEvent, timestamp, [{', '.join(links)}])"


_event = st.one_of(
    st.builds("xEvent[{} and timestamp occurs {}]".format, _what, _window),
    st.builds("xEvent[{}][timestamp occurs {}].exists()".format, _what, _window),
    st.builds("xEvent.exists({} and timestamp occurs {})".format, _what, _window),
    st.builds(
        "(select E from xEvent where E.{} and E.timestamp occurs {}, I from E.productListItems where I.quantity >= {})".format,
        _type,
        _window,
        st.integers(1, 2),
    ),
    st.builds(
        "xEvent[{} and timestamp occurs {}].count() {} {}".format, _what, _window, _comparator, st.integers(0, 3)
    ),
    st.builds(
        "xEvent[{} and timestamp occurs {}].sum(commerce.order.priceTotal) {} {}".format,
        _what,
        _window,
        _comparator,
        st.sampled_from([-1, 0, 10, 15.5, 20, 30]),
    ),
    st.builds("xEvent.eventType = {}".format, st.just('"commerce.checkouts"')),
    _chain(),
    _chain(),
)
_profile = st.sampled_from(
    [
        'person.gender = "female"',
        'not (person.gender = "female")',
        f'{NAMESPACE}.loyalty.level in ["gold", "platinum"]',
        f"{NAMESPACE}.loyalty.points >= 100",
        f"{NAMESPACE}.loyalty.points < 50 or person.gender.isNull()",
        f'{NAMESPACE}.loyalty.perks.includes("lounge")',
        "homeAddress.countryCode = shippingAddress.countryCode",
        "person.birthDate occurs today",
        "currentDayOfMonth() = person.birthMonth",
        "true",
    ]
)
rules = st.recursive(
    _event | _event | _profile,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=5,
)


def checked(rule: str) -> pql.Checked:
    return pql.check(pql.parse(rule), SCHEMA)


_minutes = st.sampled_from([0, 0, 0, 1, 30, 59, 60, 61, 89, 90, 120, 180, 600, 1439, 1440, 1441, 3000])
_seconds = st.sampled_from([0, 0, 1, 59])
_offset = st.builds(lambda minutes, seconds: timedelta(minutes=minutes, seconds=seconds), _minutes, _seconds)

_item = st.fixed_dictionaries({"SKU": st.sampled_from(["A", "B", 3]), "quantity": st.integers(0, 3)})
_event_members = st.fixed_dictionaries(
    {"eventType": _types | st.just("other")},
    optional={
        "web": st.sampled_from([{"webPageDetails": {"name": name}} for name in ("cart", "home", "Chart", 7, None)]),
        "commerce": st.sampled_from(
            [{"order": {"priceTotal": price}, "purchases": {"value": 1}} for price in (5, 10, 10.5, 25, True, "10")]
        ),
        "productListItems": st.lists(_item, max_size=3) | st.just({"SKU": "A"}),
    },
)
_attributes = st.fixed_dictionaries(
    {},
    optional={
        "person": st.fixed_dictionaries(
            {},
            optional={
                "gender": st.sampled_from(["female", "male", 1]),
                "birthDate": st.sampled_from(["2026-03-02", "1990-01-01"]),
                "birthMonth": st.integers(1, 3),
            },
        ),
        NAMESPACE: st.fixed_dictionaries(
            {
                "loyalty": st.fixed_dictionaries(
                    {},
                    optional={
                        "level": st.sampled_from(["gold", "bronze"]),
                        "points": st.integers(0, 200),
                        "perks": st.lists(st.sampled_from(["lounge", "freeShipping"]), max_size=2),
                    },
                )
            }
        ),
        "homeAddress": st.sampled_from([{"countryCode": "DE"}, {"countryCode": "US"}]),
        "shippingAddress": st.sampled_from([{"countryCode": "DE"}, {}]),
    },
)
_key = st.sampled_from(["ann", "bob"])
_id = st.integers(0, 12).map("event-{}".format)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("event"), _key, _id, _event_members, st.sampled_from([-1, -1, -1, 1]), _offset),
        st.tuples(st.just("event"), _key, _id, _event_members, st.just(-1), st.just(timedelta())),
        st.tuples(st.just("profile"), _key, _attributes),
        st.tuples(st.just("advance"), _offset),
    ),
    max_size=14,
)
Step = tuple[Any, ...]
