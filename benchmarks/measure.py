"""What the benchmarks share: the sample, turns, peak memory, and how a table is printed."""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from app.evaluation import schema
from app.evaluation.dataset import Dataset, Limits
from app.evaluation.dataset import Progress as BuildProgress
from app.evaluation.luma import SampleSpec
from app.pql import Checked, check, parse
from app.pql.schema import XDMSchema

NAMESPACE = "_wwfovlab011"
AS_OF = datetime(2025, 11, 24, tzinfo=UTC)
SEED = 11_000  # that of the emulator's sandbox luma/prod, which estimates are asked of
LIMITS = Limits(timeout_s=600, memory_mb=2048)

console = Console(highlight=False, width=130)
_FIELDS = XDMSchema.from_json_schema(
    schema.profile_union(NAMESPACE), schema.event_union(NAMESPACE), lookups=schema.lookups(NAMESPACE)
)

Work = Callable[[], Awaitable[object]]


def checked(rule: str) -> Checked:
    return check(parse(rule), _FIELDS)


def arguments(description: str | None, profiles: int, rounds: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profiles", type=int, default=profiles, help=f"size of the sample (default {profiles:,})")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"measured turns (default {rounds})")
    parser.add_argument("--folder", type=Path, default=Path(".state/benchmarks"), help="where samples are kept")
    return parser


def sample_path(folder: Path, profiles: int) -> Path:
    return folder / f"luma-{profiles}.duckdb"


async def open_sample(profiles: int, folder: Path) -> Dataset:
    begun = time.perf_counter()
    columns = (TextColumn("{task.description:40}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("making the sample", total=None)

        def tell(build: BuildProgress) -> None:
            progress.update(task, description=build.step, completed=build.done, total=build.total)

        spec = SampleSpec(profiles, SEED, AS_OF)
        dataset = await Dataset.open_or_create(
            sample_path(folder, profiles), NAMESPACE, spec, limits=LIMITS, on_progress=tell
        )
    [(events, items)] = await dataset.run(
        lambda c: c.execute("SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM items)").fetchall()
    )
    size_mb = dataset.path.stat().st_size / 1e6
    console.print(
        f"{profiles:,} profiles, {events:,} events, {items:,} items, {size_mb:,.0f} MB; "
        f"ready after {time.perf_counter() - begun:.1f} s"
    )
    return dataset


async def by_turns(works: Mapping[str, Work], rounds: int) -> dict[str, float]:
    """Return the median seconds of each work, measured in turns after one round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds + 1):
        for name, work in works.items():
            begun = time.perf_counter()
            await work()
            times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(measured[1:] or measured) for name, measured in times.items()}


def say_memory() -> None:
    gc.collect()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(f"peak memory of this process: {peak_mb:,.0f} MB")
