"""Definitions and records for the streaming benchmark: made from a seed, over the fields of the Luma sample."""

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
PAGES = ("cart", "checkout", "gear", "home", "men", "order confirmation", "product", "women")
CAMPAIGNS = ("newsletter", "search", "social", "spring-sale")
CHANNELS = ("point of sale", "web")
SKUS = tuple(f"{prefix}{number:02d}" for prefix in ("WJ", "WH", "MJ", "MH", "GB", "GF") for number in range(1, 31))
LEVELS = ("bronze", "silver", "gold", "platinum")
COUNTRIES = ("AT", "AU", "CA", "DE", "FR", "GB", "IN", "JP", "US")
WINDOWS = (
    "<= 1 hours before now",
    "<= 6 hours before now",
    "<= 12 hours before now",
    "<= 24 hours before now",
    "today",
)


def definitions(count: int, seed: int = 7) -> dict[str, str]:
    """Return rules in text by id: seven in ten ask for one event, with or without attributes; the rest is mixed."""
    dice = random.Random(seed)
    return {f"segment-{number:05d}": _rule(dice) for number in range(count)}


def _rule(dice: random.Random) -> str:
    shape = dice.random()
    if shape < 0.35:
        return _one_event(dice)
    if shape < 0.70:
        return f"{_attributes(dice)} and {_one_event(dice)}"
    if shape < 0.75:
        return _attributes(dice)
    if shape < 0.80:
        return f"{_attributes(dice)} and not ({_one_event(dice)})"
    if shape < 0.86:
        return f"({_one_event(dice)} or {_one_event(dice)}) and {_attributes(dice)}"
    if shape < 0.93:
        return f"CHAIN(xEvent, timestamp, [A: {_element(dice)}, B: {_element(dice)}])"
    if shape < 0.97:
        return f"CHAIN(xEvent, timestamp, [A: {_element(dice)} COUNT({dice.randint(2, 4)})])"
    return f"CHAIN(xEvent, timestamp, [A: {_element(dice)}, B: not {_element(dice)}])"


def _one_event(dice: random.Random) -> str:
    return f"xEvent[{_event_test(dice)} and timestamp occurs {dice.choice(WINDOWS)}]"


def _element(dice: random.Random) -> str:
    return f"WHAT({_event_test(dice)}) WHEN({dice.choice(WINDOWS[:4])})"


def _event_test(dice: random.Random) -> str:
    kind = dice.choice(EVENT_TYPES)
    tests = {f'eventType = "{kind}"': None}
    for _ in range(dice.randint(1, 3)):
        tests[_event_attribute(dice, kind)] = None
    return " and ".join(tests)


def _event_attribute(dice: random.Random, kind: str) -> str:
    choices = [
        f'marketing.trackingCode = "{dice.choice(CAMPAIGNS)}"',
        f'channel.typeAtSource = "{dice.choice(CHANNELS)}"',
    ]
    if kind.startswith("web"):
        choices += [f'web.webPageDetails.name = "{dice.choice(PAGES)}"'] * 3
        choices += [f'web.webPageDetails.name.contains("{dice.choice(("o", "en", "ar"))}", false)']
    else:
        choices += [f'productListItems.SKU = "{dice.choice(SKUS)}"'] * 4
        choices += [f"commerce.order.priceTotal >= {dice.randint(1, 60) * 5}"] * 2
    return dice.choice(choices)


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
        "marketing": {"trackingCode": dice.choice(CAMPAIGNS)},
    }
    if kind.startswith("web"):
        found["web"] = {"webPageDetails": {"name": dice.choice(PAGES), "pageViews": {"value": 1.0}}}
        return found
    items = [
        {"SKU": dice.choice(SKUS), "name": "Luma product", "quantity": dice.randint(1, 3), "priceTotal": 25.5}
        for _ in range(dice.randint(1, 3))
    ]
    found["productListItems"] = items
    found["commerce"] = {kind.removeprefix("commerce."): {"value": 1.0}}
    if kind in {"commerce.checkouts", "commerce.purchases"}:
        found["commerce"]["order"] = {"priceTotal": float(dice.randint(5, 320)), "currencyCode": "EUR"}
    return found
