"""How long a job over thousands of definitions takes, against the same definitions one at a time.

    python -m benchmarks.batch --profiles 1000000 --definitions 4000

``job`` reads the rules, evaluates them together, counts by namespace and keeps the members in a file, as a segment job
of the emulator does. One at a time is measured for ``--alone`` of the definitions, spread evenly, and scaled; the
members of each of those must equal the job's. ``bare scans`` reads the columns of events, items and profiles once.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from pyroaring import BitMap

from app.evaluation.engine import Engine
from app.evaluation.memberships import Memberships
from benchmarks.definitions import definitions
from benchmarks.measure import AS_OF, arguments, checked, console, open_sample, say_memory

_SCANS = (
    """SELECT bit_xor(profile_no), bit_xor(enum_code(loyalty_level)), bit_xor(enum_code(home_city)), max(strlen(email)),
              bit_xor(loyalty_points), max(strlen(last_name)) FROM profiles""",
    """SELECT bit_xor(profile_no), bit_xor(enum_code(event_type)), bit_xor(epoch_us(occurred_at)), sum(price_total)
       FROM events""",
    "SELECT bit_xor(profile_no), bit_xor(enum_code(sku)), bit_xor(epoch_us(occurred_at)) FROM items",
)


async def main(profiles: int, rounds: int, folder: Path, count: int, alone: int) -> None:
    dataset = await open_sample(profiles, folder)
    engine = Engine(dataset)
    texts = definitions(count)
    job_s, scan_s = [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        for scan in _SCANS:
            await dataset.run(lambda connection, scan=scan: connection.execute(scan).fetchall())
        scan_s.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        rules = {key: checked(text) for key, text in texts.items()}
        outcome = await engine.evaluate(rules, AS_OF)
        evaluated_s = time.perf_counter() - begun
        with tempfile.TemporaryDirectory(dir=folder) as place:
            kept = Memberships(Path(place) / "memberships.sqlite3")
            await asyncio.to_thread(kept.replace, dict(outcome.members), run_id="job", at_ms=0)
            kept.close()
        job_s.append(time.perf_counter() - begun)
        console.print(
            f"{count:,} definitions, {outcome.atoms:,} distinct atoms: job {job_s[-1]:.2f} s "
            f"(evaluated after {evaluated_s:.2f} s), bare scans {scan_s[-1] * 1000:.0f} ms, "
            f"ratio {job_s[-1] / scan_s[-1]:.1f}"
        )
    sizes = sum(len(bitmap.serialize()) for bitmap in outcome.members.values()) / 2**20
    console.print(f"members of all definitions: {sizes:.0f} MiB as bitmaps")
    chosen = list(rules)[:: max(1, count // alone)]
    single = Engine(dataset, stored=lambda segment_id: BitMap(outcome.members[segment_id]))
    spent = 0.0
    for key in chosen:
        begun = time.perf_counter()
        result = await single.result(rules[key], AS_OF)
        spent += time.perf_counter() - begun
        if (result.members, result.counts) != (outcome.members[key], outcome.counts[key]):
            raise SystemExit(f"{key} differs: {texts[key]}")
    each_s = spent / len(chosen)
    console.print(
        f"one at a time: {each_s * 1000:.1f} ms each, {each_s * count:.1f} s for all (from {len(chosen)}, all equal); "
        f"the job takes {min(job_s) / (each_s * count):.3f} of that, {each_s * count / min(job_s):.1f}x less"
    )
    await dataset.close()
    say_memory()


if __name__ == "__main__":
    parser = arguments(__doc__, profiles=100_000, rounds=1)
    parser.add_argument("--definitions", type=int, default=4_000)
    parser.add_argument("--alone", type=int, default=400, help="definitions to evaluate one at a time")
    options = parser.parse_args()
    asyncio.run(main(options.profiles, options.rounds, options.folder, options.definitions, options.alone))
