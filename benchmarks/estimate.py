"""How fast rules are counted and estimated, as ratios to a bare scan of the columns that each rule reads.

    python -m benchmarks.estimate --profiles 1000000

The sample is made on the first run and kept in ``--folder``. All figures of a line are measured by turns within one
run, so that a busy machine slows all of them alike; compare the ratios, not the times. ``exact`` counts all profiles,
``estimate`` is what a preview asks for (a sample, with the split by namespace), ``1%`` the same from a hundredth.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from app.errors import NotImplementedYet, PQLError
from app.evaluation import schema
from app.evaluation.dataset import Dataset, Limits, Progress
from app.evaluation.engine import Engine
from app.evaluation.luma import SampleSpec
from app.pql import Checked, check, parse
from app.pql.schema import XDMSchema

NAMESPACE = "_wwfovlab011"
AS_OF = datetime(2025, 11, 24, tzinfo=UTC)
SEED = 11
LIMITS = Limits(timeout_s=120)


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of rule, and the statement that reads all of its columns without deciding anything."""

    name: str
    rule: str
    scan: str


SHAPES = (
    Shape(
        "attribute in a list",
        f'{NAMESPACE}.loyalty.level in ["gold", "platinum"]',
        "SELECT bit_xor(profile_no), bit_xor(enum_code(loyalty_level)) FROM profiles",
    ),
    Shape(
        "string and consent",
        'personalEmail.address.endsWith("example.org") and consents.marketing.email.val = "y"',
        "SELECT bit_xor(profile_no), max(strlen(email)), bit_xor(enum_code(email_consent)) FROM profiles",
    ),
    Shape(
        "an event of a kind in 30 days",
        'select E from xEvent where E.eventType = "commerce.purchases" and E.timestamp occurs <= 30 days before now',
        "SELECT bit_xor(profile_no), bit_xor(enum_code(event_type)), bit_xor(epoch_us(occurred_at)) FROM events",
    ),
    Shape(
        "same product twice in 30 days",
        'select E1 from xEvent where E1.eventType = "commerce.purchases", I1 from E1.productListItems, '
        'E2 from xEvent where E2.eventType = "commerce.purchases" and E2 != E1 '
        "and E2.timestamp occurs <= 30 days after E1.timestamp, "
        "I2 from E2.productListItems where I2.SKU = I1.SKU",
        "SELECT bit_xor(profile_no), bit_xor(event_no), bit_xor(enum_code(event_type)), bit_xor(enum_code(sku)), "
        "bit_xor(epoch_us(occurred_at)) FROM items",
    ),
    Shape(
        "product category by relation",
        'select E from xEvent where E.eventType = "commerce.purchases", I from E.productListItems '
        f'where I.SKU@{{_xdm.context.product}}.{NAMESPACE}.category = "Gear"',
        "SELECT bit_xor(profile_no), bit_xor(enum_code(event_type)), bit_xor(enum_code(sku)) FROM items",
    ),
    Shape(
        "A then B in 7 days",
        'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "commerce.productListAdds"), GAP(<= 7 days), '
        'B: WHAT(eventType = "commerce.purchases")])',
        "SELECT bit_xor(profile_no), bit_xor(enum_code(event_type)), bit_xor(epoch_us(occurred_at)) FROM events",
    ),
    Shape(
        "sum of orders in 90 days",
        'xEvent[eventType = "commerce.purchases" and timestamp occurs <= 90 days before now]'
        ".sum(commerce.order.priceTotal) > 400",
        "SELECT bit_xor(profile_no), bit_xor(enum_code(event_type)), bit_xor(epoch_us(occurred_at)), "
        "sum(price_total) FROM events",
    ),
    Shape(
        "nested and, or, not",
        f'({NAMESPACE}.loyalty.level = "gold" or homeAddress.countryCode = "DE") '
        'and (select E from xEvent where E.eventType = "commerce.productViews") '
        'and not (select E from xEvent where E.eventType = "commerce.purchases" and E.channel.typeAtSource = "web")',
        "SELECT bit_xor(profile_no), bit_xor(enum_code(event_type)), bit_xor(enum_code(channel)) FROM events",
    ),
)

Work = Callable[[], Awaitable[object]]


async def main(profiles: int, rounds: int, folder: Path) -> None:
    dataset = await open_sample(profiles, folder)
    try:
        print(
            f"\n{'rule':32}{'members':>11}{'scan ms':>10}{'exact':>8}{'estimate':>10}{'1%':>8}   (ratios to the scan)"
        )
        for shape in SHAPES:
            print(await line(dataset, shape, rounds), flush=True)
    finally:
        await dataset.close()


async def open_sample(profiles: int, folder: Path) -> Dataset:
    begun = time.perf_counter()
    dataset = await Dataset.open_or_create(
        folder / f"luma-{profiles}.duckdb",
        NAMESPACE,
        SampleSpec(profiles, SEED, AS_OF),
        limits=LIMITS,
        on_progress=tell,
    )
    size_mb = dataset.path.stat().st_size / 1e6
    print(f"{profiles:,} profiles, {size_mb:,.0f} MB, ready after {time.perf_counter() - begun:.2f} s")
    return dataset


def tell(progress: Progress) -> None:
    print(f"\rmaking the sample: {progress.done} of {progress.total}, {progress.step:50}", end="", flush=True)


async def line(dataset: Dataset, shape: Shape, rounds: int) -> str:
    engine = Engine(dataset)
    try:
        rule = checked(shape.rule)
        members = await engine.count(rule, AS_OF)
    except (PQLError, NotImplementedYet) as refused:
        return f"{shape.name:32}{'-':>11}   {refused.detail}"
    works: dict[str, Work] = {
        "scan": lambda: dataset.run(lambda connection: connection.execute(shape.scan).fetchall()),
        "exact": lambda: engine.count(rule, AS_OF),
        "estimate": lambda: engine.estimate(rule, AS_OF),
        "1%": lambda: engine.estimate(rule, AS_OF, rows=max(1, dataset.profiles // 100)),
    }
    times = await by_turns(works, rounds)
    scan = times["scan"]
    ratios = "".join(f"{times[name] / scan:>{width}.2f}" for name, width in (("exact", 8), ("estimate", 10), ("1%", 8)))
    return f"{shape.name:32}{members:>11,}{scan * 1000:>10.1f}{ratios}"


def checked(rule: str) -> Checked:
    documents = schema.profile_union(NAMESPACE), schema.event_union(NAMESPACE)
    return check(parse(rule), XDMSchema.from_json_schema(*documents, lookups=schema.lookups(NAMESPACE)))


async def by_turns(works: dict[str, Work], rounds: int) -> dict[str, float]:
    """Return the median seconds of each work, measured in turns after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            begun = time.perf_counter()
            await work()
            times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(measured[1:]) for name, measured in times.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path(".state/benchmarks"))
    options = parser.parse_args()
    asyncio.run(main(options.profiles, options.rounds, options.folder))
