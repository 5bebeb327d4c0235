"""The Luma sample: customers of a sports-wear brand with what they looked at and bought, made inside DuckDB.

Nothing here runs; the module yields SQL statements in order, and `dataset` runs them. Equal inputs (seed, number of
profiles, ``as_of``) give equal rows. Numbers are shaped like a shop's: a few customers buy much, most buy little, some
never; products differ in popularity; values are missing; online purchases leave a trail of earlier events.

Rows are written in the order that rules read them. Profile numbers follow a hash of the customer number, so a
contiguous range of them is a random sample. Events stand by bucket of a million profiles, event type, profile and
time; items by bucket, event type, profile, SKU and time.
"""
# ruff: noqa: S608 - these statements are made of constants and numbers; no text of a caller gets into them

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.evaluation import model, people, shop, visits
from app.evaluation.draws import Draws
from app.evaluation.literals import quoted
from app.evaluation.sample import SampleSpec

__all__ = ["PROFILES_PER_BUCKET", "SampleSpec", "Step", "count_steps", "steps"]

PROFILES_PER_BUCKET = 1_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """One SQL statement and what it does, in words for a progress display."""

    title: str
    sql: str


def steps(spec: SampleSpec) -> Iterator[Step]:
    """Yield the statements that fill the empty tables of `model.TABLES`, in order."""
    draws = Draws(spec.seed)
    yield Step("product catalogue", shop.products(draws))
    yield Step("stores", shop.stores())
    yield Step("enumerations", _create_enumerations())
    yield from (Step("tables", _create_table(entity)) for entity in model.TABLES)
    yield Step("product catalogue", "INSERT INTO products BY NAME SELECT * FROM made_products ORDER BY product_no")
    yield Step("stores", "INSERT INTO stores BY NAME SELECT * FROM made_stores ORDER BY store_no")
    yield Step("customers", people.customers(spec, draws))
    yield Step("profiles", people.profiles())
    yield Step("identities", people.identities())
    yield Step("perks", people.perks())
    for bucket in range(_buckets(spec)):
        yield from _bucket_steps(spec, draws, bucket)
    yield from (Step("clean-up", f"DROP TABLE {table}") for table in ("made_products", "made_stores", "customers"))


def count_steps(spec: SampleSpec) -> int:
    """Return how many steps `steps` yields."""
    return sum(1 for _ in steps(spec))


def _buckets(spec: SampleSpec) -> int:
    return -(-spec.profiles // PROFILES_PER_BUCKET)


def _bucket_steps(spec: SampleSpec, draws: Draws, bucket: int) -> Iterator[Step]:
    suffix = f" ({bucket + 1} of {_buckets(spec)})" if _buckets(spec) > 1 else ""
    numbers = range(bucket * PROFILES_PER_BUCKET, (bucket + 1) * PROFILES_PER_BUCKET)
    yield Step(f"visits{suffix}", visits.visits(spec, numbers, draws))
    yield Step(f"baskets{suffix}", visits.baskets(draws))
    for stage in visits.STAGES:
        yield Step(f"{stage.event_type}{suffix}", visits.events(stage))
        if stage.all_items is not None:
            yield Step(f"{stage.event_type}, items{suffix}", visits.items(stage))
    yield from (Step(f"clean-up{suffix}", f"DROP TABLE {table}") for table in ("visits", "baskets"))


def _create_enumerations() -> str:
    from_catalogue = {
        model.SKU.name: "SELECT DISTINCT sku AS value FROM made_products",
        model.PRODUCT_NAME.name: "SELECT DISTINCT name AS value FROM made_products",
        model.SUBCATEGORY.name: "SELECT DISTINCT subcategory AS value FROM made_products",
        model.STORE.name: "SELECT store AS value FROM made_stores",
        model.CITY.name: f"SELECT city AS value FROM {shop.places()} AS made(place, country, city)",
    }
    return ";\n".join(_create_enumeration(codes, from_catalogue) for codes in model.ENUMERATIONS)


def _create_enumeration(codes: model.Codes, from_catalogue: dict[str, str]) -> str:
    if codes.values:
        return f"CREATE TYPE {codes.name} AS ENUM ({', '.join(quoted(value) for value in codes.values)})"
    return f"CREATE TYPE {codes.name} AS ENUM (SELECT value FROM ({from_catalogue[codes.name]}) ORDER BY value)"


def _create_table(entity: model.Entity) -> str:
    columns = ", ".join(f"{name} {sql_type}" for name, sql_type in entity.columns)
    return f"CREATE TABLE {entity.table} ({columns})"
