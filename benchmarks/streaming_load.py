"""Definitions and records for the streaming benchmarks: made from a seed, over the fields of the Luma sample.

A shop with 2,000 products, 2,000 pages and 500 campaigns, and a sandbox full of definitions. Most definitions name a
product, a page or a campaign and the people whom it is meant for, as those of marketing teams do; one in
forty is broad (any checkout, any product view). People look at popular things, and definitions name popular things, so
a definition matches more often than an even draw would let it. With 4,000 of them an event changes about ten
memberships.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

NAMESPACE = "_wwfovlab011"
EVENT_TYPES = (
    *["web.webpagedetails.pageViews"] * 8,
    *["commerce.productViews"] * 6,
    *["commerce.productListAdds"] * 3,
    "commerce.checkouts",
    "commerce.purchases",
)
PAGES = ("home", "cart", "checkout", "order confirmation", *(f"page {number}" for number in range(1_996)))
CAMPAIGNS = tuple(f"campaign-{number}" for number in range(500))
CHANNELS = ("point of sale", "web")
SKUS = tuple(f"{prefix}{number:03d}" for number in range(500) for prefix in ("WJ", "MJ", "GB", "GF"))
LEVELS = ("bronze", "silver", "gold", "platinum")
COUNTRIES = ("AT", "AU", "CA", "DE", "FR", "GB", "IN", "JP", "US")
WINDOWS = (
    "<= 1 hours before now",
    "<= 6 hours before now",
    "<= 12 hours before now",
    "<= 24 hours before now",
    "today",
)


def definitions(count: int, seed: int = 7, *, sums: bool = True) -> dict[str, str]:
    """Return rules in text by id, of every shape that is evaluated as records arrive.

    ``sums`` adds sums over a day's orders, which the engine evaluates and AEP leaves to batches.
    """
    dice = random.Random(seed)
    return {f"segment-{number:05d}": _rule(dice, sums=sums) for number in range(count)}


def _rule(dice: random.Random, *, sums: bool) -> str:
    shape = dice.random()
    if shape < 0.20:
        return _one_event(dice)
    if shape < 0.58:
        return f"{_attributes(dice)} and {_one_event(dice)}"
    if shape < 0.63:
        return _attributes(dice)
    if shape < 0.68:
        return f"{_attributes(dice)} and not ({_one_event(dice)})"
    if shape < 0.76:
        return f"({_one_event(dice)} or {_one_event(dice)}) and {_attributes(dice)}"
    if shape < 0.84:
        return f"CHAIN(xEvent, timestamp, [A: {_element(dice)}, B: {_element(dice)}])"
    if shape < 0.88:
        return f"CHAIN(xEvent, timestamp, [A: {_element(dice)} COUNT({dice.randint(2, 4)})])"
    if shape < 0.92:
        return f"CHAIN(xEvent, timestamp, [A: {_element(dice)}, B: not {_element(dice)}])"
    if shape < 0.97 or not sums:
        return f"{_attributes(dice)} and {_one_event(dice)}.count() >= {dice.randint(2, 4)}"
    return f"{_orders(dice)}.sum(commerce.order.priceTotal) > {dice.randint(10, 60) * 10}"


def _one_event(dice: random.Random) -> str:
    return f"xEvent[{_event_test(dice)} and timestamp occurs {dice.choice(WINDOWS)}]"


def _orders(dice: random.Random) -> str:
    campaign = f'marketing.trackingCode = "{popular(dice, CAMPAIGNS)}"'
    return f'xEvent[eventType = "commerce.purchases" and {campaign} and timestamp occurs {dice.choice(WINDOWS)}]'


def _element(dice: random.Random) -> str:
    return f"WHAT({_event_test(dice)}) WHEN({dice.choice(WINDOWS[:4])})"


def _event_test(dice: random.Random) -> str:
    """Return a condition on one event: its type, nearly always what it is about, and sometimes more."""
    kind = dice.choice(EVENT_TYPES)
    tests = [f'eventType = "{kind}"']
    if dice.random() >= 1 / 40:
        tests.append(_subject(dice, kind))
    if dice.random() < 0.4:
        tests.append(_detail(dice, kind))
    return " and ".join(dict.fromkeys(tests))


def _subject(dice: random.Random, kind: str) -> str:
    if dice.random() < 0.25:
        return f'marketing.trackingCode = "{popular(dice, CAMPAIGNS)}"'
    if kind.startswith("web"):
        return f'web.webPageDetails.name = "{popular(dice, PAGES)}"'
    return f'productListItems.SKU = "{popular(dice, SKUS)}"'


def _detail(dice: random.Random, kind: str) -> str:
    choices = [f'channel.typeAtSource = "{dice.choice(CHANNELS)}"']
    if kind.startswith("web"):
        choices.append(f'web.webPageDetails.name.contains("{dice.choice(("page 1", "page 2", "check"))}", false)')
    else:
        choices.append(f"commerce.order.priceTotal >= {dice.randint(1, 60) * 5}")
    return dice.choice(choices)


def popular(dice: random.Random, things: tuple[str, ...]) -> str:
    """Return one of some things; the first ones far more often."""
    return things[int(len(things) * dice.random() ** 2)]


def _attributes(dice: random.Random) -> str:
    tests = [
        f'{NAMESPACE}.loyalty.level = "{dice.choice(LEVELS)}"',
        f"{NAMESPACE}.loyalty.points >= {dice.randint(1, 80) * 100}",
        f'homeAddress.countryCode in ["{dice.choice(COUNTRIES)}", "{dice.choice(COUNTRIES)}"]',
        f'person.gender = "{dice.choice(("female", "male"))}"',
        'consents.marketing.email.val = "y"',
    ]
    return " and ".join(dice.sample(tests, dice.randint(1, 2)))


@dataclass(frozen=True, slots=True)
class Sent:
    """An event, whose it is, and when it arrives."""

    profile: str
    arrived: datetime
    document: dict[str, Any]


def profiles(count: int, seed: int = 8) -> dict[str, dict[str, Any]]:
    """Return attributes by profile."""
    dice = random.Random(seed)
    return {f"profile-{number}": _profile(dice) for number in range(count)}


def _profile(dice: random.Random) -> dict[str, Any]:
    return {
        "person": {"gender": dice.choice(("female", "male", "non_specific"))},
        "homeAddress": {"countryCode": dice.choice(COUNTRIES)},
        "consents": {"marketing": {"email": {"val": dice.choice("yn")}}},
        NAMESPACE: {"loyalty": {"level": dice.choice(LEVELS), "points": dice.randint(0, 8000)}},
    }


def events(count: int, people: int, begin: datetime, hours: float, seed: int = 9) -> Iterator[Sent]:
    """Yield events of ``hours`` hours, most of few people; one in fifty comes late, one in two hundred twice."""
    dice = random.Random(seed)
    before: Sent | None = None
    for number in range(count):
        now = begin + timedelta(hours=hours * number / count)
        if before is not None and dice.random() < 0.005:
            yield Sent(before.profile, now, before.document)
        profile = f"profile-{int(people * dice.random() ** 3)}"
        late = timedelta(minutes=dice.randint(1, 1600)) if dice.random() < 0.02 else timedelta()
        before = Sent(profile, now, event(dice, f"event-{seed}-{number}", now - late))
        yield before


def event(dice: random.Random, event_id: str, at: datetime) -> dict[str, Any]:
    """Return one event, as a shop would send it."""
    kind = dice.choice(EVENT_TYPES)
    found: dict[str, Any] = {
        "_id": event_id,
        "eventType": kind,
        "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "channel": {"typeAtSource": dice.choice(CHANNELS)},
        "marketing": {"trackingCode": popular(dice, CAMPAIGNS)},
    }
    if kind.startswith("web"):
        found["web"] = {"webPageDetails": {"name": popular(dice, PAGES), "pageViews": {"value": 1.0}}}
        return found
    items = [
        {"SKU": popular(dice, SKUS), "name": "Luma product", "quantity": dice.randint(1, 3), "priceTotal": 25.5}
        for _ in range(dice.randint(1, 3))
    ]
    found["productListItems"] = items
    found["commerce"] = {kind.removeprefix("commerce."): {"value": 1.0}}
    if kind in {"commerce.checkouts", "commerce.purchases"}:
        found["commerce"]["order"] = {"priceTotal": float(dice.randint(5, 320)), "currencyCode": "EUR"}
    return found
