"""How many events a second streaming evaluation takes, with a baseline in the same run.

    python -m benchmarks.streaming --definitions 4000 --events 60000

``engine`` decodes each event, puts it on disk in batches, evaluates all definitions, lets windows pass and saves
profiles, on one thread. ``every rule`` is the baseline: the same conditions as plain closures, each of them asked about
each event, without an index, without windows and without a disk. The events span more hours than any window, so about
as many memberships end as begin. Afterwards the memberships of some profiles are compared with what the reference says.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from app.evaluation import schema
from app.evaluation.streaming.conditions import EventCondition, conditions_of, take_apart
from app.evaluation.streaming.engine import Change
from app.evaluation.streaming.fields import instant_us, to_datetime, to_us
from app.evaluation.streaming.journal import Input, Kind
from app.evaluation.streaming.predicates import Test, document_test
from app.evaluation.streaming.rules import Rules
from app.evaluation.streaming.stream import Stream, attributes_input
from app.pql import Checked, check, ir, parse
from app.pql.reference import matches
from app.pql.schema import XDMSchema
from benchmarks import streaming_load as load

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
BATCH = 250
HOURS = 40.0


def checked(texts: dict[str, str]) -> dict[str, Checked]:
    documents = schema.profile_union(load.NAMESPACE), schema.event_union(load.NAMESPACE)
    fields = XDMSchema.from_json_schema(*documents, lookups=schema.lookups(load.NAMESPACE))
    return {segment_id: check(parse(text), fields) for segment_id, text in texts.items()}


def engine_alone(rules: dict[str, Checked], events: int, people: int) -> None:
    begun = time.perf_counter()
    compiled = Rules(rules)
    print(f"{len(rules):,} definitions compiled in {time.perf_counter() - begun:.2f} s")
    attributes = load.profiles(people)
    sent = list(load.events(events, people, BEGIN, HOURS))
    raw = [msgspec.json.encode(one.document) for one in sent]
    with tempfile.TemporaryDirectory() as folder:
        stream = Stream.open(Path(folder) / "journal.sqlite3", compiled, to_us(BEGIN))
        for batch in chunks(list(attributes.items()), 1000):
            stream.take([attributes_input(key, one, msgspec.json.encode(one), to_us(BEGIN)) for key, one in batch])
        # What was compiled stays for good, and most of what comes next stays for a day: looking for garbage less often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        changes: list[Change] = []
        latencies: list[float] = []
        begun, begun_cpu = time.perf_counter(), time.process_time()
        for batch in chunks(list(zip(sent, raw, strict=True)), BATCH):
            started = time.perf_counter()
            changes += stream.take([event_input(one, text) for one, text in batch])
            latencies.append(time.perf_counter() - started)
        elapsed = time.perf_counter() - begun
        entered = sum(change.entered.bit_count() for change in changes)
        left = sum(change.left.bit_count() for change in changes)
        rate, rate_cpu = len(sent) / elapsed, len(sent) / (time.process_time() - begun_cpu)
        print(
            f"engine: {rate:,.0f} events/s, {rate_cpu:,.0f} a second of CPU "
            f"({len(sent):,} events, {people:,} profiles, {HOURS:g} hours), "
            f"{entered:,} memberships began and {left:,} ended; "
            f"a batch of {BATCH}: median {statistics.median(latencies) * 1e3:.1f} ms, "
            f"worst {max(latencies) * 1e3:.1f} ms"
        )
        plain = every_rule(rules, raw)
        print(f"every rule: {plain:,.0f} events a second of CPU; the engine is {rate_cpu / plain:.0f} times as fast")
        compare(stream, rules, attributes, sent)
        begun = time.perf_counter()
        stream.close()
        again = Stream.open(Path(folder) / "journal.sqlite3", compiled, stream.now)
        print(f"closed and opened again in {time.perf_counter() - begun:.2f} s")
        assert all(stream.standings(key) == again.standings(key) for key in islice(attributes, 500))
        again.close()


def event_input(one: load.Sent, raw: bytes) -> Input:
    return Input(
        one.profile,
        Kind.EVENT,
        to_us(one.arrived),
        instant_us(one.document["timestamp"]) or 0,
        raw,
        msgspec.json.decode(raw),
    )


def every_rule(rules: dict[str, Checked], raw: list[bytes]) -> float:
    tests: list[Test] = []
    for rule in rules.values():
        for condition in conditions_of(take_apart(rule)):
            if isinstance(condition, EventCondition):
                tests += [document_test(replace_and(condition), condition.rule, condition.event)]
    some = raw[:: max(1, len(raw) // 300)][:300]
    begun = time.process_time()
    for text in some:
        document = msgspec.json.decode(text)
        for test in tests:
            test(document)
    return len(some) / (time.process_time() - begun)


def replace_and(condition: EventCondition) -> ir.Expr:
    return ir.And(operands=condition.tests)


def compare(stream: Stream, rules: dict[str, Checked], attributes: dict[str, Any], sent: Sequence[load.Sent]) -> None:
    busiest = [f"profile-{number}" for number in range(5)]
    others = [one.profile for one in sent[:: max(1, len(sent) // 20)]]
    now = to_datetime(stream.now)
    compared = 0
    for key in dict.fromkeys(busiest + others):
        by_id = {}
        for one in sent:
            if one.profile == key:
                by_id.setdefault(one.document["_id"], one.document)
        document = {**attributes[key], "xEvent": list(by_id.values())}
        standings = stream.standings(key)
        for segment_id, rule in islice(rules.items(), 0, None, 7):
            found = segment_id in standings and standings[segment_id].is_member
            if found != matches(rule, document, now):
                raise SystemExit(f"{key} and {segment_id} differ: streaming says {found}")
            compared += 1
    print(f"memberships equal to the reference: {compared:,} of {compared:,}")


def chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--definitions", type=int, default=4_000)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--people", type=int, default=10_000)
    options = parser.parse_args()
    engine_alone(checked(load.definitions(options.definitions)), options.events, options.people)
