"""Thousands of segment definitions as a marketing team writes them: the same few questions in ever new combinations.

Attributes, events in windows, products and categories bought, sums and counts, events in order, and segments of
segments; one to four of them joined by and, or, not. Popular values come up more often than others. Equal inputs give
equal definitions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from app.evaluation.catalog import KINDS, PLACES

NAMESPACE = "_wwfovlab011"

_WINDOWS = (1, 3, 7, 14, 30, 60, 90, 180, 365)
_EVENTS = (
    *("commerce.purchases", "commerce.productViews", "commerce.productListAdds"),
    *("commerce.checkouts", "web.webpagedetails.pageViews"),
)
_CAMPAIGNS = ("newsletter", "search", "social", "spring-sale")
_SKUS = tuple(f"{kind.prefix}{number:02}" for kind in KINDS for number in range(1, 5))
_PURCHASE = 'E.eventType = "commerce.purchases"'

Draw = random.Random


def definitions(count: int, seed: int = 7) -> dict[str, str]:
    """Return rules in text by segment id."""
    draw = Draw(seed)
    made: dict[str, str] = {}
    for number in range(count):
        parts = [_part(draw, number) for _ in range(draw.choices((1, 2, 3, 4), (25, 40, 25, 10))[0])]
        made[f"s{number}"] = _joined(draw, parts)
    return made


def _joined(draw: Draw, parts: list[str]) -> str:
    parts = [f"not ({part})" if draw.random() < 0.12 else f"({part})" for part in parts]
    if len(parts) > 2 and draw.random() < 0.4:
        return f"({' or '.join(parts[:2])}) and {' and '.join(parts[2:])}"
    return (" or " if draw.random() < 0.2 else " and ").join(parts)


def _part(draw: Draw, number: int) -> str:
    kinds: Sequence[Callable[[Draw], str]] = (_attribute, _event, _product, _aggregate, _sequence)
    if number > 50 and draw.random() < 0.02:
        return f'inSegment("s{draw.randrange(50)}")'
    return draw.choices(kinds, (52, 24, 13, 8, 3))[0](draw)


def _popular(draw: Draw, values: Sequence[object]) -> object:
    """Pick a value; the first ones come up most."""
    return values[int(len(values) * draw.random() ** 2)]


def _attribute(draw: Draw) -> str:
    loyalty = f"{NAMESPACE}.loyalty"
    countries = sorted({place.country for place in PLACES})
    levels = ("gold", "platinum", "silver", "bronze")
    return draw.choice(
        (
            lambda: f'{loyalty}.level = "{_popular(draw, levels)}"',
            lambda: f'{loyalty}.level in ["{draw.choice(levels[:2])}", "{draw.choice(levels[2:])}"]',
            lambda: f"{loyalty}.points > {_popular(draw, range(250, 8_250, 250))}",
            lambda: f"{loyalty}.joinDate occurs <= {_popular(draw, _WINDOWS)} days before now",
            lambda: f'homeAddress.countryCode = "{_popular(draw, countries)}"',
            lambda: f'homeAddress.countryCode in ["{_popular(draw, countries)}", "{draw.choice(countries)}"]',
            lambda: f'homeAddress.city = "{_popular(draw, [place.city for place in PLACES])}"',
            lambda: f'person.gender = "{_popular(draw, ("female", "male", "non_specific"))}"',
            lambda: f"person.birthYear >= {_popular(draw, range(1960, 2008))}",
            lambda: f'person.name.lastName.startsWith("{_popular(draw, "SMBHKLGWTCDEFPR")}")',
            lambda: f'consents.marketing.{draw.choice(("email", "sms"))}.val = "y"',
            lambda: "personalEmail.address.isNotNull()",
            lambda: f'{NAMESPACE}.favouriteStoreId = "LS{_popular(draw, range(1, 31)):02}"',
        )
    )()


def _event(draw: Draw) -> str:
    kind, days = _popular(draw, _EVENTS), _popular(draw, _WINDOWS)
    tests = [f'E.eventType = "{kind}"', f"E.timestamp occurs <= {days} days before now"]
    match draw.randrange(4):
        case 0:
            tests.append(f'E.marketing.trackingCode = "{_popular(draw, _CAMPAIGNS)}"')
        case 1:
            tests.append(f'E.channel.typeAtSource = "{draw.choice(("web", "point of sale"))}"')
    return f"exists E from xEvent where {' and '.join(tests)}"


def _product(draw: Draw) -> str:
    window = f"E.timestamp occurs <= {_popular(draw, _WINDOWS[4:])} days before now"
    related = f"I.SKU@{{_xdm.context.product}}.{NAMESPACE}"
    test = draw.choice(
        (
            f'I.SKU = "{_popular(draw, _SKUS)}"',
            f'{related}.category = "{draw.choice(("Women", "Men", "Gear"))}"',
            f'{related}.subcategory = "{_popular(draw, sorted({kind.subcategory for kind in KINDS}))}"',
        )
    )
    return f"exists E from xEvent where {_PURCHASE} and {window}, I from E.productListItems where {test}"


def _aggregate(draw: Draw) -> str:
    days = _popular(draw, _WINDOWS[4:])
    events = f'xEvent[eventType = "commerce.purchases" and timestamp occurs <= {days} days before now]'
    if draw.random() < 0.6:
        return f"{events}.sum(commerce.order.priceTotal) > {_popular(draw, range(100, 900, 100))}"
    return f"{events}.count() >= {_popular(draw, (2, 3, 5, 10))}"


def _sequence(draw: Draw) -> str:
    if draw.random() < 0.3:
        return (
            f"exists E from xEvent where {_PURCHASE}, I from E.productListItems, "
            f'F from xEvent where F.eventType = "commerce.purchases" and F != E '
            f"and F.timestamp occurs <= {draw.choice((14, 30))} days after E.timestamp, "
            "J from F.productListItems where J.SKU = I.SKU"
        )
    first, second = draw.choice(
        (
            ("commerce.productViews", "commerce.purchases"),
            ("commerce.productListAdds", "commerce.purchases"),
            ("web.webpagedetails.pageViews", "commerce.productViews"),
        )
    )
    return (
        f'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "{first}"), GAP(<= {draw.choice((1, 7, 30))} days), '
        f'B: WHAT(eventType = "{second}")])'
    )
