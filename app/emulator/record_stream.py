"""Records of one sandbox on their way: into the tables that jobs and estimates read, and through streaming evaluation.

Records wait in a bounded line. One batch after the other gets the numbers of its profiles, is written to the journal of
streaming evaluation with one sync to disk, then evaluated, and its changes of membership are stored and told; only then
are its callers answered. The tables get the records of a second together, and before anything reads them. A process
that is killed in between finds in the journal what the tables lack (`recover`); one that is killed earlier has
acknowledged nothing, and what it did write is recognized by identity and ``_id`` when it comes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram

from app.aep.paging import SortKey
from app.emulator import record_journal
from app.emulator.clock import Clock, Jump
from app.emulator.membership_feed import MembershipFeed
from app.emulator.rules import Rule, RuleBook
from app.emulator.state.audiences import AudienceQuery
from app.emulator.workplaces import Workplace
from app.errors import GatewayError, QuotaExceeded
from app.evaluation import arrivals
from app.evaluation.arrivals import Record
from app.evaluation.memberships import MembershipChange
from app.evaluation.streaming.conditions import NotStreamable, take_apart
from app.evaluation.streaming.engine import Change
from app.evaluation.streaming.fields import to_us
from app.evaluation.streaming.journal import Input, Kind
from app.evaluation.streaming.rules import Rules
from app.evaluation.streaming.stream import Batch, Stream
from app.evaluation.write_behind import Place

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 2_000
_BATCH: Final = 256
_BEHIND_S: Final = 1.0
_MAX_BEHIND: Final = 20_000
_SEEDED: Final = timedelta(days=2)
_ALL: Final = 100_000

RECORDS: Final = Counter("emulator_stream_records", "Records that were taken in.", ("sandbox",))
WAITING: Final = Gauge("emulator_stream_waiting", "Records that wait to be taken in.", ("sandbox",))
LAG: Final = Histogram(
    "emulator_stream_lag_seconds",
    "From the arrival of a record until its changes of membership are stored.",
    ("sandbox",),
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)


@dataclass(frozen=True, slots=True)
class _Waiting:
    record: Record
    done: asyncio.Future[int]
    since: float


@dataclass(slots=True)
class _Definitions:
    """The streaming definitions as they were read last, by segment id."""

    rules: dict[str, Rule] = field(default_factory=dict)
    stale: bool = True


class RecordStream:
    """The records of one sandbox. `run` works until cancelled, and closes the journal then."""

    def __init__(
        self, place: Workplace, path: Path, rule_book: RuleBook, clock: Clock, feed: MembershipFeed, *, tick_s: float
    ) -> None:
        self.place = place
        self._path = path
        self._rule_book = rule_book
        self._clock = clock
        self._feed = feed
        self._tick_s = tick_s
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(MAX_WAITING)
        self._lock = asyncio.Lock()
        self._definitions = _Definitions()
        self._stream: Stream | None = None
        self._closed = False
        self._in_tables = 0
        self._label = f"{place.organization.slug}/{place.sandbox.name}"

    # Records

    async def put(self, record: Record) -> int:
        """Take in a record and return its profile's number, when everything that follows from it is on disk.

        Raises QuotaExceeded while too many records wait, InvalidRequest for a value that its field cannot hold.
        """
        if self._closed:
            raise QuotaExceeded("The emulator is shutting down", retry_after_s=1)
        arrivals.check(self.place.organization.namespace, record)
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        try:
            self._waiting.put_nowait(_Waiting(record, done, time.monotonic()))
        except asyncio.QueueFull:
            raise QuotaExceeded("Too many records are waiting", retry_after_s=1) from None
        WAITING.labels(self._label).set(self._waiting.qsize())
        return await done

    async def run(self) -> None:
        """Take in records, batch by batch, and let the time pass in between."""
        behind = asyncio.ensure_future(self._write_behind())
        try:
            while True:
                batch = await self._next_batch()
                async with self._lock:
                    await _to_the_end(self._work(batch))
        finally:
            behind.cancel()
            await self._close()

    async def _next_batch(self) -> list[_Waiting]:
        """Return the records that wait, up to a number; none when none has come for a moment."""
        batch: list[_Waiting] = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._tick_s):
                batch.append(await self._waiting.get())
        while len(batch) < _BATCH and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
        return batch

    async def _work(self, batch: Sequence[_Waiting]) -> None:
        try:
            stream = await self._ready()
            if batch:
                await self._take(stream, batch)
            elif self.place.population.arriving.written_seq > self._in_tables:
                await self._write(stream, ())
        except Exception as fault:
            if not isinstance(fault, GatewayError):
                log.error("emulator.records_failed", place=self._label, exc_info=fault)
            for one in batch:
                if not one.done.done():
                    one.done.set_exception(fault)

    async def _take(self, stream: Stream, batch: Sequence[_Waiting]) -> None:
        arriving = self.place.population.arriving
        if len(arriving) > _MAX_BEHIND:
            await arriving.flush()
        records = [one.record for one in batch]
        places = await arriving.place(records)
        try:
            inputs = await self._inputs(stream, records, places)
            written = await self._write(stream, inputs)
        except BaseException:
            # The numbers of new profiles are given to others now.
            await arriving.forget()
            raise
        numbered = (record_journal.for_tables(seq, one) for seq, one in enumerate(inputs, start=written.first))
        arriving.add([one for one in numbered if one is not None])
        await self._tell(stream.apply(written))
        for one, where in zip(batch, places, strict=True):
            LAG.labels(self._label).observe(time.monotonic() - one.since)
            if not one.done.done():
                one.done.set_result(where.profile_no)
        RECORDS.labels(self._label).inc(len(batch))
        WAITING.labels(self._label).set(self._waiting.qsize())

    async def _inputs(self, stream: Stream, records: Sequence[Record], places: Sequence[Place]) -> list[Input]:
        """Return what records say to streaming evaluation, after what it must know of their profiles."""
        now, namespace = to_us(self._clock.now()), self.place.organization.namespace
        new = {where.profile_no for where in places if where.is_new}
        inputs = await self._unknown([where.profile_no for where in places if where.profile_no not in new])
        attributes = {int(one.profile): one.document for one in inputs if one.kind is Kind.ATTRIBUTES}
        for record, where in zip(records, places, strict=True):
            number = where.profile_no
            if where.is_new:
                attributes[number] = arrivals.new_document(record)
                inputs.append(record_journal.of_attributes(number, attributes[number], now))
            if record.attributes is not None:
                before = attributes.get(number) or msgspec.json.decode(stream.attributes(str(number)) or b"{}")
                attributes[number] = arrivals.with_attributes(namespace, before, record.attributes)
                inputs.append(record_journal.of_attributes(number, attributes[number], now, record))
            inputs += [record_journal.of_event(number, dict(event), now, record) for event in record.events]
        return inputs

    async def _write(self, stream: Stream, inputs: Sequence[Input]) -> Batch:
        """Put inputs on disk, to be applied then, and note with them how far the tables have come."""
        in_tables = self.place.population.arriving.written_seq
        batch = stream.prepare(inputs, {record_journal.IN_TABLES: in_tables} if in_tables > self._in_tables else None)
        await asyncio.to_thread(batch.write)
        self._in_tables = max(in_tables, self._in_tables)
        return batch

    async def _evaluate(self, stream: Stream, inputs: Sequence[Input]) -> None:
        await self._tell(stream.apply(await self._write(stream, inputs)))

    async def _write_behind(self) -> None:
        """Write to the tables, once a second, what has arrived."""
        while True:
            await asyncio.sleep(_BEHIND_S)
            try:
                await self.place.population.arriving.flush()
            except Exception as fault:
                log.error("emulator.tables_not_written", place=self._label, exc_info=fault)

    async def _tell(self, changes: Iterable[Change]) -> None:
        """Store changes of membership, and tell those that changed something."""
        found = [
            MembershipChange(segment_id, int(one.profile), "realized" if is_member else "exited", one.at // 1000)
            for one in changes
            for segment_id, is_member in one.segments()
        ]
        if found:
            effective = await asyncio.to_thread(self.place.population.memberships.apply, found)
            self._feed.publish(self.place.store.org_id, self.place.store.sandbox, effective)

    # Profiles

    async def _unknown(self, numbers: Iterable[int]) -> list[Input]:
        """Return the inputs that make profiles known that streaming evaluation has not met: attributes, late events."""
        stream = self._stream
        wanted = [number for number in dict.fromkeys(numbers) if stream is not None and str(number) not in stream]
        if not wanted:
            return []
        inputs: list[Input] = []
        now, since = to_us(self._clock.now()), to_us(self._clock.now() - _SEEDED)
        # Whoever has a record that waits for the tables is known already.
        for number, document in (await self.place.population.documents(wanted, as_written=True)).items():
            events = document.pop("xEvent", [])
            inputs.append(record_journal.of_attributes(number, document, now))
            found = (record_journal.of_event(number, event, now) for event in events)
            inputs += [one for one in found if one.at >= since]
        return inputs

    # Definitions and time

    def definitions_changed(self) -> None:
        """Read the definitions anew before anything else is evaluated."""
        self._definitions.stale = True

    async def settle(self) -> None:
        """Return when the definitions and the time are taken in as they are now."""
        async with self._lock:
            await _to_the_end(self._work(()))

    async def jumped(self, jump: Jump) -> None:
        """Take in a change of the clock."""
        if self._stream is not None and jump.after < jump.before:
            async with self._lock:
                await self._tell(self._stream.rebuild(self._stream.rules, to_us(jump.after)))
        await self.settle()

    async def _ready(self) -> Stream:
        """Return the stream with the present definitions, at the present time."""
        now = to_us(self._clock.now())
        if self._stream is None or self._definitions.stale:
            await self._read_definitions(now)
        stream = self._stream
        assert stream is not None  # noqa: S101 - reading the definitions opens it
        if now < stream.now - 1_000_000:
            await self._tell(stream.rebuild(stream.rules, now))
        await self._tell(stream.advance(now))
        return stream

    async def _read_definitions(self, now: int) -> None:
        self._definitions.stale = False
        wanted = await self._wanted()
        before, self._definitions.rules = self._definitions.rules, wanted
        new = [one for one, rule in wanted.items() if one not in before or before[one].text != rule.text]
        rules = await asyncio.to_thread(Rules, {segment_id: rule.checked for segment_id, rule in wanted.items()})
        if self._stream is None:
            self._stream = await asyncio.to_thread(Stream.open, self._path, rules, now)
            await self._tell(self._stream.changes_since_kill())
        elif new or before.keys() != wanted.keys():
            await self._tell(self._stream.rebuild(rules, now))
        stored = self.place.population.memberships.segment_ids()
        await self._find_members([one for one in new if before or one not in stored])
        if wanted:
            # Events of the sample leave windows as well.
            recent = await self.place.population.with_events_since(self._clock.now() - _SEEDED)
            await self._evaluate(self._stream, await self._unknown(recent))

    async def _wanted(self) -> dict[str, Rule]:
        """Return the rules of the definitions that are evaluated as records arrive."""
        query = AudienceQuery((SortKey("id", descending=False),), 0, _ALL, platform_only=True, methods=("continuous",))
        found: dict[str, Rule] = {}
        for document in (await self.place.store.audiences(query))[0]:
            if document.get("lifecycleState", "published") == "published":
                rule = self._definitions.rules.get(document["id"])
                if rule is None or rule.text != document["expression"]["value"]:
                    rule = self._rule_book.parse_expression(self.place.organization, document["expression"])
                try:
                    take_apart(rule.checked)
                except NotStreamable as fault:
                    # A job finds its members: those of all segments do not look at the method.
                    log.warning(
                        "emulator.evaluated_by_jobs_only",
                        segment_id=document["id"],
                        reason=fault.detail,
                        hint=fault.hint,
                    )
                else:
                    found[document["id"]] = rule
        return found

    async def _find_members(self, segment_ids: Sequence[str]) -> None:
        """Evaluate new definitions over every profile once; from then on records and time change that."""
        population = self.place.population
        since = population.memberships.version
        rules = {segment_id: self._definitions.rules[segment_id] for segment_id in segment_ids}
        if rules:
            now = self._clock.now()
            results = await population.evaluate(rules, now)
            run = f"streaming-{segment_ids[0]}-{to_us(now)}"
            await population.keep(results, run_id=run, at_ms=to_us(now) // 1000, since=since)

    async def _close(self) -> None:
        """Refuse what comes, finish what waits, and save everything."""
        self._closed = True
        async with self._lock:
            while not self._waiting.empty():
                await self._work([self._waiting.get_nowait() for _ in range(min(_BATCH, self._waiting.qsize()))])
            if self._stream is not None:
                with contextlib.suppress(GatewayError):  # the next process finds them in the journal
                    await self.place.population.arriving.flush()
                    await self._write(self._stream, ())
                await asyncio.to_thread(self._stream.close)
                self._stream = None


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do work that must not stop half way, whoever is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
