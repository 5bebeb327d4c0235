"""The fixed part of the Luma sample: where its customers live, its stores, its products and people's names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A city with customers. ``weight`` is in thousandths of all customers, ``stores`` the number of Luma stores."""

    country: str
    city: str
    weight: int
    stores: int


PLACES: tuple[Place, ...] = (
    Place("US", "New York", 130, 3),
    Place("US", "Los Angeles", 95, 2),
    Place("US", "Chicago", 70, 2),
    Place("US", "Houston", 50, 1),
    Place("US", "Portland", 45, 1),
    Place("US", "Denver", 35, 1),
    Place("US", "Boise", 15, 0),
    Place("DE", "Berlin", 55, 2),
    Place("DE", "Hamburg", 35, 1),
    Place("DE", "München", 30, 1),
    Place("DE", "Köln", 20, 0),
    Place("GB", "London", 80, 2),
    Place("GB", "Manchester", 25, 1),
    Place("GB", "Leeds", 15, 0),
    Place("FR", "Paris", 60, 1),
    Place("FR", "Lyon", 20, 0),
    Place("CA", "Toronto", 45, 1),
    Place("CA", "Montréal", 25, 1),
    Place("AU", "Sydney", 35, 1),
    Place("AU", "Perth", 15, 0),
    Place("IN", "Mumbai", 25, 1),
    Place("IN", "Pune", 15, 0),
    Place("JP", "Osaka", 30, 1),
    Place("AT", "Wien", 20, 1),
    Place("AT", "Graz", 10, 0),
)

CURRENCIES = {
    "AT": "EUR",
    "AU": "AUD",
    "CA": "CAD",
    "DE": "EUR",
    "FR": "EUR",
    "GB": "GBP",
    "IN": "INR",
    "JP": "JPY",
    "US": "USD",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of product: ``prefix`` begins its SKUs, ``noun`` ends its names, ``price`` is the middle of its prices."""

    category: str
    subcategory: str
    prefix: str
    noun: str
    price: float


KINDS: tuple[Kind, ...] = (
    Kind("Women", "Jackets", "WJ", "Jacket", 72),
    Kind("Women", "Hoodies", "WH", "Hoodie", 54),
    Kind("Women", "Tees", "WT", "Tee", 29),
    Kind("Women", "Tanks", "WK", "Tank", 34),
    Kind("Women", "Pants", "WP", "Pant", 61),
    Kind("Women", "Shorts", "WS", "Short", 38),
    Kind("Men", "Jackets", "MJ", "Jacket", 78),
    Kind("Men", "Hoodies", "MH", "Hoodie", 57),
    Kind("Men", "Tees", "MT", "Tee", 27),
    Kind("Men", "Tanks", "MK", "Tank", 30),
    Kind("Men", "Pants", "MP", "Pant", 59),
    Kind("Men", "Shorts", "MS", "Short", 36),
    Kind("Gear", "Bags", "GB", "Bag", 48),
    Kind("Gear", "Fitness Equipment", "GF", "Yoga Set", 33),
    Kind("Gear", "Watches", "GW", "Watch", 92),
)

LINES: dict[str, tuple[str, ...]] = {
    "Women": (
        *("Alder", "Briar", "Clover", "Dahlia", "Elm", "Fern"),
        *("Hazel", "Ivy", "Linden", "Maple", "Rowan", "Willow"),
    ),
    "Men": (
        *("Basalt", "Canyon", "Cobalt", "Dune", "Flint", "Granite"),
        *("Harbor", "Mesa", "Onyx", "Ridge", "Slate", "Tundra"),
    ),
    "Gear": (
        *("Arc", "Beacon", "Circuit", "Drift", "Echo", "Flux"),
        *("Orbit", "Pulse", "Quartz", "Signal", "Tempo", "Vector"),
    ),
}
"""Twelve lines for each category; a line and a kind make a product."""

FEMALE_NAMES = (
    *("Aisha", "Amelie", "Anna", "Beatriz", "Camille", "Chloé", "Elena", "Emma", "Fatima", "Grace", "Hana", "Ingrid"),
    *("Jane", "Keiko", "Laura", "Lucía", "Maria", "Mei", "Nora", "Olivia", "Priya", "Sofia", "Yuki", "Zoë"),
)
MALE_NAMES = (
    *("Adam", "Ahmed", "Ben", "Carlos", "Daniel", "Emil", "Felix", "George", "Hiro", "Ivan", "Jack", "José"),
    *("Kenji", "Liam", "Lukas", "Marc", "Noah", "Omar", "Paul", "Raj", "Samuel", "Thomas", "Viktor", "Wei"),
)
LAST_NAMES = (
    *("Adams", "Anderson", "Bauer", "Becker", "Brown", "Chen", "Clark", "Davis", "Dubois", "Evans", "Fischer"),
    *("Fontaine", "Garcia", "Gruber", "Haddad", "Hall", "Hoffmann", "Ito", "Jackson", "Johnson", "Jones", "Kapoor"),
    *("Kim", "Klein", "Lambert", "Lee", "Lopez", "Martin", "Meyer", "Miller", "Moreau", "Müller", "Nakamura"),
    *("Nguyen", "O'Brien", "Patel", "Roberts", "Sato", "Schmidt", "Singh", "Smith", "Tanaka", "Taylor", "Thompson"),
    *("Wagner", "Walker", "Weber", "Williams", "Wright", "Yamamoto"),
)
