"""How fast rules are counted exactly, as ratios to a bare scan of the columns that each rule reads, and to Polars.

    python -m benchmarks.exact --profiles 1000000

The sample is made on the first run and kept in ``--folder``. All figures of a line are measured by turns within one
run, so that a busy machine slows all of them alike; compare the ratios, not the times. Polars holds the columns that
it needs in memory, which is not counted; ``--without-polars`` leaves it out, as memory demands for large samples.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from app.evaluation.dataset import Dataset
from app.evaluation.engine import Engine
from benchmarks.measure import AS_OF, Work, arguments, by_turns, checked, console, open_sample, say_memory
from benchmarks.shapes import SHAPES, Shape

_COLUMNS = {
    "profiles": "profile_no, loyalty_level::VARCHAR AS loyalty_level, home_country::VARCHAR AS home_country, email, "
    "email_consent::VARCHAR AS email_consent",
    "events": "profile_no, event_type::VARCHAR AS event_type, occurred_at, price_total, channel::VARCHAR AS channel",
    "items": "profile_no, event_no, event_type::VARCHAR AS event_type, sku::VARCHAR AS sku, occurred_at",
    "products": "sku::VARCHAR AS sku, category::VARCHAR AS category",
}


async def main(profiles: int, rounds: int, folder: Path, *, with_polars: bool) -> None:
    dataset = await open_sample(profiles, folder)
    if with_polars:
        # An open data set lets nothing out of its file.
        await dataset.close()
        tables = await asyncio.to_thread(frames, dataset.path)
        dataset = await open_sample(profiles, folder)
    else:
        tables = None
    try:
        heads = f"{'scan ms':>9}{'exact ms':>10}{'x scan':>8}" + (f"{'x Polars':>10}" if tables else "")
        console.print(f"\n{'rule':32}{'members':>11}{heads}")
        for shape in SHAPES:
            console.print(await line(dataset, tables, shape, rounds))
    finally:
        await dataset.close()
    say_memory()


def frames(path: Path) -> dict[str, Any]:
    """Read the tables into Polars, with texts of few kinds as categories."""
    made = {}
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(str(path), read_only=True) as connection:
        for table, columns in _COLUMNS.items():
            part = Path(folder) / f"{table}.parquet"
            connection.execute(f"COPY (SELECT {columns} FROM {table}) TO '{part}' (FORMAT parquet)")
            frame = pl.read_parquet(part)
            texts = [name for name, kind in frame.schema.items() if kind == pl.String and name != "email"]
            made[table] = frame.with_columns(pl.col(texts).cast(pl.Categorical))
    return made


async def line(dataset: Dataset, tables: dict[str, Any] | None, shape: Shape, rounds: int) -> str:
    engine, rule = Engine(dataset), checked(shape.rule)
    members = await engine.count(rule, AS_OF)
    works: dict[str, Work] = {
        "scan": lambda: dataset.run(lambda connection: connection.execute(shape.scan).fetchall()),
        "exact": lambda: engine.count(rule, AS_OF),
    }
    if tables is not None:
        found = shape.polars(tables)
        if found != members:
            raise SystemExit(f"{shape.name}: {members:,} members here, {found:,} by Polars")
        works["polars"] = lambda: asyncio.to_thread(shape.polars, tables)
    times = await by_turns(works, rounds)
    shown = f"{times['scan'] * 1000:>9.1f}{times['exact'] * 1000:>10.1f}{times['exact'] / times['scan']:>8.2f}"
    polars = f"{times['exact'] / times['polars']:>10.2f}" if "polars" in times else ""
    return f"{shape.name:32}{members:>11,}{shown}{polars}"


if __name__ == "__main__":
    parser = arguments(__doc__, profiles=200_000, rounds=5)
    parser.add_argument("--without-polars", action="store_true", help="do not compare with Polars")
    options = parser.parse_args()
    asyncio.run(main(options.profiles, options.rounds, options.folder, with_polars=not options.without_polars))
