"""Evaluates rules over a data set: exact counts, estimates from a sample, members, and batches for segment jobs.

A rule comes as a checked tree of `app.pql`; the compiler turns it into a statement over the tables that `layout` names,
and `selection` runs it. ``now`` (aware) is always an argument: the engine has no clock.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, TypeVar

from pyroaring import BitMap

from app.evaluation import batch, documents, sampling, selection
from app.evaluation.batch import Job, Outcome
from app.evaluation.batch.job import OnProgress, SegmentMembers
from app.evaluation.dataset import Connection, Dataset
from app.evaluation.layout import SampleLayout
from app.evaluation.namespaces import IdentityNamespace
from app.evaluation.sampling import Interval
from app.evaluation.selection import Counts, Member, NamespaceCount, Result
from app.pql import Checked

_REMEMBERED = 8

T = TypeVar("T")

Evaluate = Callable[[Checked, datetime, range | None], Result]
"""Evaluates a rule at an instant over a range of profile numbers; None is all."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The size of an audience as a sample tells it. All numbers count profiles.

    ``rows_read`` of ``rows_total`` were looked at and ``matched`` of those qualify; ``by_namespace`` splits the
    matches (not scaled). ``standard_error`` is 0 and ``interval`` one number when all profiles were read.
    """

    estimated_size: int
    standard_error: int
    interval: Interval
    confidence_percent: int
    rows_to_read: int
    rows_read: int
    rows_total: int
    matched: int
    by_namespace: tuple[NamespaceCount, ...]

    @property
    def is_exact(self) -> bool:
        """Whether all profiles were read."""
        return self.rows_read == self.rows_total


class Engine:
    """Answers questions about one data set. Every method leaves the event loop free and stops when cancelled.

    ``stored`` gives the members of a segment for ``inSegment``; it is called in worker threads. All methods raise
    `EvaluationTimedOut` and `EvaluationTooLarge`, and `PQLError` for a rule that this data set cannot evaluate.
    """

    def __init__(self, dataset: Dataset, *, stored: SegmentMembers | None = None, zone: tzinfo = UTC) -> None:
        self._dataset = dataset
        self._layout = SampleLayout(dataset.namespace)
        self._stored = stored or nobody
        self._zone = zone
        self._pages: OrderedDict[tuple[str, datetime], BitMap] = OrderedDict()

    @property
    def profiles(self) -> int:
        """How many profiles the data set has."""
        return self._dataset.profiles

    async def count(self, rule: Checked, now: datetime) -> int:
        """Count the profiles that qualify, exactly."""
        return len((await self._run(lambda evaluate: evaluate(rule, now, None), is_split=False)).members)

    async def result(self, rule: Checked, now: datetime) -> Result:
        """Evaluate one rule over all profiles: exact counts, and who the members are."""
        return await self._run(lambda evaluate: evaluate(rule, now, None))

    async def estimate(self, rule: Checked, now: datetime, *, rows: int | None = None) -> Estimate:
        """Estimate how many profiles qualify, from as many as `sampling.rows_to_read` says, or ``rows`` if fewer.

        A smaller ``rows``, as from `sampling.rows_of_steps`, gives the rough answer that a running estimate shows
        before it is ready. The profiles are read as one range of numbers, which is a random sample of those that the
        data set was made with. What arrived later has numbers in order of arrival, so all of that is read.
        """
        total, made = self.profiles, min(self._dataset.spec.profiles, self.profiles)
        to_read = sampling.rows_to_read(total)
        read = to_read if rows is None else max(0, min(rows, to_read))
        sample, later = (range(read), range(made, total)) if read < made else (range(total), range(total, total))

        def count(evaluate: Evaluate) -> tuple[Counts, Counts]:
            return evaluate(rule, now, sample).counts, evaluate(rule, now, later).counts

        return _estimate(*await self._run(count), to_read, sample, later)

    async def members(self, rule: Checked, now: datetime, *, offset: int = 0, limit: int = 100) -> tuple[Member, ...]:
        """Return a page of the profiles that qualify, in a stable order.

        The members of the latest few rules are remembered, so that the pages of one answer are cut from one set.
        """
        key = (rule.query.text, now)
        found = self._pages.get(key)
        if found is None:
            found = self._pages[key] = (await self.result(rule, now)).members
        self._pages.move_to_end(key)
        while len(self._pages) > _REMEMBERED:
            self._pages.popitem(last=False)
        numbers = list(found[offset : offset + limit])
        return await self._dataset.run(lambda connection: selection.members(connection, numbers))

    async def evaluate(
        self, rules: Mapping[str, Checked], now: datetime, *, on_progress: OnProgress | None = None
    ) -> Outcome:
        """Evaluate many rules together, exactly: members, and counts in total and by namespace.

        A rule may ask for another of them by its key with ``inSegment``; members of other segments are the stored ones.
        ``on_progress`` gets steps done and steps in all, on the event loop. Raises `InvalidRequest` for rules that use
        each other in a circle. The time limit is that of a batch.
        """
        loop, stop = asyncio.get_running_loop(), threading.Event()

        def report(done: int, total: int) -> None:
            if on_progress is not None:
                loop.call_soon_threadsafe(on_progress, done, total)

        job = Job(rules, now, self._stored, self._zone, None, report, stop)
        return await self._dataset.run(
            lambda connection: batch.evaluate(connection, self._layout, job),
            timeout_s=self._dataset.limits.batch_timeout_s,
            on_interrupt=stop.set,
        )

    async def profile(self, profile_id: str) -> dict[str, Any] | None:
        """Return a profile as an XDM document with its events under ``xEvent``; None when there is none."""
        namespace = self._dataset.namespace
        return await self._dataset.run(lambda connection: documents.profile_by_id(connection, namespace, profile_id))

    async def _run(self, work: Callable[[Evaluate], T], *, is_split: bool = True) -> T:
        """Run work that evaluates single rules over ranges of profiles, all on one state of the data."""
        stop = threading.Event()

        def in_thread(connection: Connection) -> T:
            def evaluate(rule: Checked, now: datetime, window: range | None) -> Result:
                if window is not None and not window:
                    return Result(Counts(0, ()), BitMap())
                job = Job({"": rule}, now, self._stored, self._zone, window, None, stop, is_split)
                outcome = batch.evaluate(connection, self._layout, job)
                return Result(outcome.counts[""], outcome.members[""])

            return work(evaluate)

        return await self._dataset.run(in_thread, on_interrupt=stop.set)


def nobody(_segment_id: str) -> BitMap:
    """Return the members of a segment that nobody evaluated."""
    return BitMap()


def _estimate(sampled: Counts, arrived: Counts, to_read: int, sample: range, later: range) -> Estimate:
    """Return what the counts tell: of ``sample``, drawn from all before ``later``, and of ``later`` as a whole."""
    read, drawn_from = len(sample), later.start
    interval = sampling.wilson_interval(sampled.matched, read, drawn_from)
    return Estimate(
        estimated_size=sampling.estimated_size(sampled.matched, read, drawn_from) + arrived.matched,
        standard_error=sampling.standard_error(sampled.matched, read, drawn_from),
        interval=Interval(interval.low + arrived.matched, interval.high + arrived.matched),
        confidence_percent=sampling.CONFIDENCE_PERCENT,
        rows_to_read=max(to_read, read) + len(later),
        rows_read=read + len(later),
        rows_total=later.stop,
        matched=sampled.matched + arrived.matched,
        by_namespace=_added(sampled.by_namespace, arrived.by_namespace),
    )


def _added(left: Iterable[NamespaceCount], right: Iterable[NamespaceCount]) -> tuple[NamespaceCount, ...]:
    profiles: Counter[IdentityNamespace] = Counter()
    for one in (*left, *right):
        profiles[one.namespace] += one.profiles
    return tuple(NamespaceCount(namespace, count) for namespace, count in profiles.items())
