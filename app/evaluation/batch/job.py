"""One job: all rules over all profiles, a range of them at a time, so that memory does not grow with their number."""
# ruff: noqa: S608 - statements are made of names of the model

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from typing import Final

import duckdb
from pyroaring import BitMap

from app.evaluation import bitmaps, model
from app.evaluation.batch import formulas
from app.evaluation.batch.atoms import AtomScan
from app.evaluation.batch.columns import columns_of
from app.evaluation.batch.formulas import Atoms, Formula
from app.evaluation.batch.ordering import ordered
from app.evaluation.dataset import Connection
from app.evaluation.layout import SampleLayout
from app.evaluation.namespaces import NAMESPACES
from app.evaluation.selection import Counts, NamespaceCount
from app.pql import Checked, by_segment

PROFILES_PER_RANGE = 16 * bitmaps.CONTAINER

_FEW: Final = 8
"""So few atoms may be held for all profiles at once."""

OnProgress = Callable[[int, int], None]
SegmentMembers = Callable[[str], BitMap]


@dataclass(frozen=True, slots=True)
class Job:
    """What to evaluate. ``stored`` gives the members of a segment that is not among ``rules``.

    ``window`` are the numbers of the profiles to look at, default all. ``on_progress`` gets how many steps are done and
    how many there are; it is called in the thread that evaluates. ``stop`` ends the job between two steps.
    Counts are split by namespace unless ``is_split`` is false.
    """

    rules: Mapping[str, Checked]
    now: datetime
    stored: SegmentMembers
    zone: tzinfo = UTC
    window: range | None = None
    on_progress: OnProgress | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    is_split: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """Exact results by the caller's keys, out of ``profiles`` evaluated. ``atoms`` were distinct among all rules."""

    profiles: int
    counts: Mapping[str, Counts]
    members: Mapping[str, BitMap]
    atoms: int


def evaluate(connection: Connection, layout: SampleLayout, job: Job) -> Outcome:
    """Evaluate a job on a connection that shows one state of the data. Blocks.

    Raises `PQLError` for a rule that the data set cannot evaluate, `InvalidRequest` for segments that use each other in
    a circle, `duckdb.InterruptException` when stopped.
    """
    # A single rule shares nothing: what it asks of the profile's own columns is one statement.
    atoms = Atoms((lambda part: bool(columns_of(part, layout))) if len(job.rules) == 1 else (lambda _: False))
    rules = {key: atoms.formula(by_segment(rule)) for key, rule in job.rules.items()}
    order = ordered(rules)
    scan = AtomScan(dict(enumerate(atoms.rules)), layout, job.now, job.zone)
    [(total,)] = connection.execute(f"SELECT count(*) FROM {model.PROFILES.table}").fetchall()
    window = range(total) if job.window is None else job.window
    ranges = [window] if scan.is_simple and len(atoms.rules) <= _FEW else _ranges(window)
    steps = _Steps(job, len(ranges) * (len(atoms.rules) + len(order)))
    members: dict[str, BitMap] = {key: BitMap() for key in order}
    namespaces: dict[str, BitMap] = {code: BitMap() for code in NAMESPACES}
    for numbers in ranges:
        found: dict[int, BitMap] = {}
        for portion in scan.run(connection, numbers, total):
            found |= portion
            steps.did(len(portion))
        for key, part in _members(order, rules, numbers, found, job, steps):
            members[key] |= part
        if job.is_split:
            _add_namespaces(connection, numbers, namespaces)
    counts = {key: _counts(one, namespaces) for key, one in members.items()}
    return Outcome(len(window), counts, members, len(atoms.rules))


class _Steps:
    """Counts what is done, and ends the job when it shall stop."""

    def __init__(self, job: Job, total: int) -> None:
        self._job, self._total, self._done = job, total, 0

    def did(self, steps: int) -> None:
        self._done += steps
        if self._job.on_progress is not None:
            self._job.on_progress(self._done, self._total)
        if self._job.stop.is_set():
            raise duckdb.InterruptException("the job was stopped")


def _ranges(window: range) -> list[range]:
    """Cut a range of profile numbers where whole containers end."""
    bounds = [window.start, *range(0, window.stop, PROFILES_PER_RANGE), window.stop]
    bounds = [bound for bound in bounds if window.start <= bound]
    return [range(low, high) for low, high in pairwise(sorted(set(bounds)))]


def _members(
    order: list[str],
    rules: Mapping[str, Formula],
    numbers: range,
    atoms: Mapping[int, BitMap],
    job: Job,
    steps: _Steps,
) -> Iterator[tuple[str, BitMap]]:
    """Yield each rule's members among the profiles of a range, in an order in which rules find what they ask for."""
    everybody = BitMap(numbers)
    done: dict[str, BitMap] = {}

    def of_segment(segment_id: str) -> BitMap:
        return done[segment_id] if segment_id in done else job.stored(segment_id)

    for key in order:
        done[key] = formulas.members(rules[key], everybody, atoms, of_segment)
        yield key, done[key]
        steps.did(1)


def _add_namespaces(connection: Connection, numbers: range, namespaces: dict[str, BitMap]) -> None:
    """Add the profiles of a range that have an identity in each namespace."""
    window = bitmaps.whole_containers(numbers)
    sql = f"""SELECT {model.NAMESPACE_BITS}, {bitmaps.bitstring_sql(model.PROFILE_KEY, window)}
              FROM {model.PROFILES.table}
              WHERE {model.PROFILE_KEY} >= {numbers.start} AND {model.PROFILE_KEY} < {numbers.stop} GROUP BY ALL"""
    for bits, found in connection.execute(sql).fetchall():
        bitmap = bitmaps.from_bitstring(found, window)
        for position, code in enumerate(namespaces):
            if bits >> position & 1:
                namespaces[code] |= bitmap


def _counts(members: BitMap, namespaces: Mapping[str, BitMap]) -> Counts:
    split = (
        NamespaceCount(NAMESPACES[code], members.intersection_cardinality(one)) for code, one in namespaces.items()
    )
    return Counts(len(members), tuple(one for one in split if one.profiles))
