"""Evaluates rules over a data set: exact counts, estimates from a sample, members, and batches for segment jobs.

A rule comes as a checked tree of `app.pql`; the compiler turns it into a statement over the tables that `layout` names,
and `selection` runs it. ``now`` (aware) is always an argument: the engine has no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.evaluation import documents, sampling, selection
from app.evaluation.dataset import Connection, Dataset
from app.evaluation.layout import SampleLayout
from app.evaluation.sampling import Interval
from app.evaluation.selection import Counts, Member, NamespaceCount, Result, Selection
from app.pql import Checked, to_sql

UTC_ZONE = "UTC"


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


@dataclass(frozen=True, slots=True)
class Batch:
    """The result of a segment job: exact counts by the caller's keys, out of ``profiles`` evaluated."""

    profiles: int
    counts: Mapping[str, Counts]


class Engine:
    """Answers questions about one data set. Every method leaves the event loop free and stops when cancelled.

    All of them raise `EvaluationTimedOut` and `EvaluationTooLarge`, and `PQLError` for a rule that this data set
    cannot evaluate.
    """

    def __init__(self, dataset: Dataset, *, zone: str = UTC_ZONE) -> None:
        self._dataset = dataset
        self._layout = SampleLayout(dataset.namespace)
        self._zone = zone

    @property
    def profiles(self) -> int:
        """How many profiles the data set has."""
        return self._dataset.profiles

    async def count(self, rule: Checked, now: datetime) -> int:
        """Count the profiles that qualify, exactly."""
        selected = self._compile(rule, now)
        return await self._dataset.run(lambda connection: selection.count(connection, selected))

    async def estimate(self, rule: Checked, now: datetime, *, rows: int | None = None) -> Estimate:
        """Estimate how many profiles qualify, from as many as `sampling.rows_to_read` says, or ``rows`` if fewer.

        A smaller ``rows`` gives the rough answer that a running estimate shows before it is ready.
        """
        to_read = sampling.rows_to_read(self.profiles)
        read = to_read if rows is None else max(0, min(rows, to_read))
        selected = self._compile(rule, now)
        window = None if read == self.profiles else range(read)
        counts = await self._dataset.run(lambda connection: selection.count_by_namespace(connection, selected, window))
        return _estimate(counts, to_read, read, self.profiles)

    async def members(self, rule: Checked, now: datetime, *, offset: int = 0, limit: int = 100) -> tuple[Member, ...]:
        """Return a page of the profiles that qualify, in a stable order."""
        selected = self._compile(rule, now)
        return await self._dataset.run(lambda connection: selection.members(connection, selected, offset, limit))

    async def evaluate(
        self,
        rules: Mapping[str, Checked],
        now: datetime,
        *,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Batch:
        """Count the members of many rules exactly, in total and by namespace.

        ``on_progress`` gets how many rules are done and how many there are. The time limit holds for each rule.
        """
        counts: dict[str, Counts] = {}
        for key, rule in rules.items():
            selected = self._compile(rule, now)
            counts[key] = await self._dataset.run(_counter(selected))
            if on_progress is not None:
                on_progress(len(counts), len(rules))
        return Batch(self.profiles, counts)

    async def result(self, rule: Checked, now: datetime) -> Result:
        """Evaluate one rule over all profiles: exact counts, and who the members are, to compare with another run."""
        selected = self._compile(rule, now)
        return await self._dataset.run(lambda connection: selection.evaluate(connection, selected, self.profiles))

    async def profile(self, profile_id: str) -> dict[str, Any] | None:
        """Return a profile as an XDM document with its events under ``xEvent``; None when there is none."""
        namespace = self._dataset.namespace
        return await self._dataset.run(lambda connection: documents.profile_by_id(connection, namespace, profile_id))

    def _compile(self, rule: Checked, now: datetime) -> Selection:
        query = to_sql(rule, self._layout, now, ZoneInfo(self._zone))
        return Selection(query.sql(), query.parameters)


def _counter(selected: Selection) -> Callable[[Connection], Counts]:
    return lambda connection: selection.count_by_namespace(connection, selected)


def _estimate(counts: Counts, to_read: int, read: int, total: int) -> Estimate:
    return Estimate(
        estimated_size=sampling.estimated_size(counts.matched, read, total),
        standard_error=sampling.standard_error(counts.matched, read, total),
        interval=sampling.wilson_interval(counts.matched, read, total),
        confidence_percent=sampling.CONFIDENCE_PERCENT,
        rows_to_read=to_read,
        rows_read=read,
        rows_total=total,
        matched=counts.matched,
        by_namespace=counts.by_namespace,
    )
