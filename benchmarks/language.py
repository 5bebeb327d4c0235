"""How long a rule takes from text to a checked tree and its canonical hash, in time of the processor.

    python -m benchmarks.language

The rules are those of a marketing team (`benchmarks.definitions`), no two alike, against the sample's schema. ``1 KB``
joins a few of them to a rule of about a thousand characters: the median over all such rules, each the best of several
runs, stage by stage. ``4,000 rules`` reads as many of them one after another, once. ``by length`` joins ever more, up
to the longest text that is accepted: the time of a kilobyte, as a ratio to that of the shortest, stays about 1 as long
as the whole takes linear time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

from app import pql
from app.evaluation import schema
from app.pql.schema import XDMSchema
from benchmarks.definitions import NAMESPACE, definitions

KILOBYTE_TARGET_MS = 1.0
RULES_TARGET_S = 5.0
LENGTHS_KB = (2, 8, 32, 60)

SCHEMA = XDMSchema.from_json_schema(
    schema.profile_union(NAMESPACE), schema.event_union(NAMESPACE), schema.lookups(NAMESPACE)
)


def distinct_rules(count: int) -> list[str]:
    """Return ``count`` rules of which no two have the same text."""
    found = list(dict.fromkeys(definitions(2 * count).values()))
    if len(found) < count:
        raise ValueError(f"only {len(found)} different rules for {count}")
    return found[:count]


def joined(rules: list[str], length: int) -> Iterator[str]:
    """Yield rules of about ``length`` characters, each a conjunction of the next of ``rules``."""
    parts: list[str] = []
    size = 0
    for rule in rules:
        part = f"({rule})"
        if parts and size + len(part) / 2 > length:
            yield " and ".join(parts)
            parts, size = [], 0
        parts.append(part)
        size += len(part) + len(" and ")


def read(text: str) -> str:
    """Return the canonical hash of a rule that was parsed and checked."""
    query = pql.parse(text)
    pql.check(query, SCHEMA)
    return pql.canonical(query).hash


def best(work: Callable[[], object], runs: int) -> float:
    """Return the shortest of several runs, in seconds of this process alone."""
    found = []
    for _ in range(runs):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def median_ms(work: list[Callable[[], object]], runs: int) -> float:
    return statistics.median(best(one, runs) for one in work) * 1000


def kilobyte(rules: list[str], runs: int) -> None:
    texts = list(joined(rules, 1000))
    size = statistics.mean(len(text.encode()) for text in texts)
    queries = [pql.parse(text) for text in texts]
    parse = median_ms([partial(pql.parse, text) for text in texts], runs)
    check = median_ms([partial(pql.check, query, SCHEMA) for query in queries], runs)
    hashed = median_ms([lambda query=query: pql.canonical(query).hash for query in queries], runs)  # type: ignore[misc]
    whole = median_ms([partial(read, text) for text in texts], runs)
    print(f"1 KB          {len(texts)} rules of {size:,.0f} bytes on average, median of each the best of {runs}")
    print(f"              parse {parse:.2f} ms, check {check:.2f} ms, canonical hash {hashed:.2f} ms")
    print(f"              all of it {whole:.2f} ms, {whole / KILOBYTE_TARGET_MS:.2f} of the target of 1 ms")


def many(rules: list[str]) -> None:
    begun = time.process_time()
    hashes = {read(rule) for rule in rules}
    took = time.process_time() - begun
    print(f"{len(rules):,} rules   {sum(map(len, rules)) / len(rules):,.0f} characters on average, ", end="")
    print(f"{len(hashes):,} different hashes")
    print(f"              {took:.2f} s, {took / RULES_TARGET_S:.2f} of the target of 5 s")


def by_length(rules: list[str], runs: int) -> None:
    """Print the time of a kilobyte in ever longer rules; several rules of a length, which differ in what they say."""
    first = None
    for length in LENGTHS_KB:
        texts = list(joined(rules, length * 1000))[:8]
        sizes = sum(len(text.encode()) for text in texts) / 1000
        each = sum(best(partial(read, text), runs) for text in texts) / sizes
        first = first or each
        print(f"by length     {sizes / len(texts):4.0f} KB: {each * 1000:.2f} ms for each, ratio {each / first:.2f}")


def main() -> None:
    """Measure."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--rules", type=int, default=4000, help="how many rules are read")
    options.add_argument("--runs", type=int, default=5, help="of how many runs the best one counts")
    chosen = options.parse_args()
    rules = distinct_rules(chosen.rules)
    kilobyte(rules, chosen.runs)
    many(rules)
    by_length(rules, chosen.runs)


if __name__ == "__main__":
    main()
