"""The life of an export job: NEW -> PROCESSING -> SUCCEEDED | FAILED, or CANCELLED.

Which profiles qualify is what the stored memberships say; with ``evaluationInfo.segmentation`` the segments are
evaluated first, as by a segment job. After a restart an unfinished export begins again and writes its files anew.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from pyroaring import BitMap

from app.aep import paging, times
from app.emulator.answers import Refusal
from app.emulator.background import Background
from app.emulator.clock import Clock
from app.emulator.export_files import ExportFile, batch_path
from app.emulator.export_rows import (
    SegmentStandings,
    export_row,
    ingested_since,
    is_empty,
    membership_of,
    standings_of,
    top_columns,
)
from app.emulator.rules import RuleBook
from app.emulator.state import WorkQuery
from app.emulator.workplaces import Workplace
from app.errors import NotFound, PublicError

log = structlog.get_logger(__name__)

KIND: Final = "export_job"
UNFINISHED: Final = ("NEW", "PROCESSING")
_CHUNK_PROFILES: Final = 2_000
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Document = dict[str, Any]


class _Cancelled(Exception):
    """The job was asked to stop."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """Profiles that are written into one file. ``members`` of None means everybody."""

    file: ExportFile
    members: BitMap | None
    standings: tuple[SegmentStandings, ...]

    def holds(self, number: int) -> bool:
        return self.members is None or number in self.members

    def row(self, number: int, profile: Mapping[str, Any], job: Mapping[str, Any]) -> Document | None:
        """Return a profile's line; None for one that has events only, when such empty profiles are not wanted."""
        if is_empty(profile) and not job.get("filter", {}).get("emptyProfiles"):
            return None
        if self.standings:
            profile = {**profile, "segmentMembership": membership_of(self.standings, number)}
        return export_row(profile, job)


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """What makes one export different from another. ``request`` holds the checked members of a create body.

    ``rules`` are the expressions, by segment id, of the segments that are evaluated before the export. ``breaks_off``
    is an injected fault: the export fails and leaves no file. ``run_id`` is that of a schedule's run.
    """

    request: Document
    rules: Mapping[str, Any]
    now_ms: int
    request_id: str
    breaks_off: bool = False
    run_id: str | None = None


class ExportJobWork:
    """Runs, cancels and resumes exports."""

    def __init__(
        self, rules: RuleBook, background: Background, clock: Clock, *, state_dir: Path, step_s: float
    ) -> None:
        self._rules = rules
        self._background = background
        self._clock = clock
        self._state_dir = state_dir
        self._step_s = step_s
        self._progress: dict[Hashable, tuple[int, int]] = {}

    def progress(self, place: Workplace, job_id: str) -> tuple[int, int] | None:
        """Return how many profiles a job has been through, and how many there are; None when it is not writing."""
        return self._progress.get(place.key(KIND, job_id))

    async def begin(self, place: Workplace, order: ExportOrder) -> Document:
        """Store a new job and start it."""
        document = await place.store.add_numbered_work(
            KIND, lambda number: _new_job(place, number, order), state_member="status"
        )
        self._start(place, str(document["id"]))
        return document

    async def has_run(self, place: Workplace, run_id: str) -> bool:
        """Tell whether a run of a schedule has its job already."""
        newest = (paging.SortKey("creationTime", descending=True),)
        found = WorkQuery(newest, 0, 1, keep=lambda document: document.get("_runId") == run_id)
        return (await place.store.works(KIND, found))[1] > 0

    def _start(self, place: Workplace, job_id: str) -> None:
        self._background.start(place.key(KIND, job_id), self._run(place, job_id))

    async def cancel(self, place: Workplace, job_id: str, now_ms: int) -> None:
        """Stop a job; one that is over stays as it is. Raises NotFound."""

        def change(document: Document) -> Document:
            return self._ended(document, "CANCELLED") if document["status"] in UNFINISHED else document

        await place.store.change_work(KIND, job_id, change, state_member="status", now_ms=now_ms)
        self._background.cancel(place.key(KIND, job_id))

    async def resume(self, place: Workplace) -> None:
        """Take up what a previous process left unfinished in a place."""
        for job_id, _ in await place.store.works_in_state(KIND, UNFINISHED):
            self._start(place, job_id)

    async def _run(self, place: Workplace, job_id: str) -> None:
        try:
            await asyncio.sleep(self._step_s)
            async with self._background.turns:
                document = await self._set(place, job_id, self._begun)
                batches = await self._batches(place, document)
                if document.get("_breaksOff"):
                    await self._fail(place, job_id, "500", "The export broke off before its files were complete.")
                    return
                counters = await self._write(place, document, batches)
            await self._set(place, job_id, lambda stored: self._succeeded(stored, counters))
        except _Cancelled:
            log.info("emulator.export_cancelled", job_id=job_id)
        except (PublicError, Refusal) as fault:
            await self._fail(place, job_id, "400", str(fault))
        except Exception as fault:
            log.error("emulator.export_broke", job_id=job_id, exc_info=fault)
            await self._fail(place, job_id, "500", "The export met an internal error; see the emulator's log.")

    async def _batches(self, place: Workplace, document: Mapping[str, Any]) -> list[_Batch]:
        destination = document["destination"]
        wanted = document.get("filter", {}).get("segments")
        await self._evaluate(place, document)
        memberships, limits = place.population.memberships, document.get("filter", {})
        found = [await asyncio.to_thread(standings_of, memberships, one, limits) for one in wanted or []]
        late = ingested_since(place, limits)
        if "batches" in destination:
            return [
                _Batch(self._file(place, destination, batch["batchId"]), _both(one.members, late), (one,))
                for batch, one in zip(destination["batches"], found, strict=True)
            ]
        # No filter means everybody; a filter of which nothing is left (a schedule's segments may be gone) nobody.
        union = None if wanted is None else BitMap.union(BitMap(), *(one.members for one in found))
        return [_Batch(self._file(place, destination, destination["batchId"]), _both(union, late), tuple(found))]

    async def _evaluate(self, place: Workplace, job: Mapping[str, Any]) -> None:
        """Evaluate the segments that are to be evaluated before the export, and keep who is in them."""
        if not job["_rules"]:
            return
        rules = {one: self._rules.parse_expression(place.organization, text) for one, text in job["_rules"].items()}
        since = place.population.memberships.version
        results = await place.population.evaluate(rules, times.from_epoch_ms(job["creationTime"]))
        await place.population.keep(results, run_id=f"export-{job['id']}", at_ms=job["creationTime"], since=since)

    def _file(self, place: Workplace, destination: Mapping[str, Any], batch_id: str) -> ExportFile:
        owner = (place.store.org_id, place.store.sandbox)
        return ExportFile(batch_path(self._state_dir, *owner, destination["datasetId"], batch_id))

    async def _write(self, place: Workplace, document: Mapping[str, Any], batches: list[_Batch]) -> Document:
        exported, key = 0, place.key(KIND, str(document["id"]))
        by_namespace: Counter[str] = Counter()
        try:
            total = place.population.total_profiles
            for begin in range(0, total, _CHUNK_PROFILES):
                self._progress[key] = (begin, total)
                numbers = range(begin, min(begin + _CHUNK_PROFILES, total))
                if not any(batch.holds(number) for batch in batches for number in numbers):
                    continue
                profiles = await place.population.documents(numbers)
                written = await asyncio.to_thread(_append, batches, profiles, document)
                exported += len(written)
                for number in written:
                    by_namespace.update(code.lower() for code in profiles[number].get("identityMap", {}))
            columns = top_columns(document)
            for batch in batches:
                await asyncio.to_thread(batch.file.finish, columns)
        except BaseException:
            for batch in batches:
                batch.file.discard()
            raise
        finally:
            self._progress.pop(key, None)
        counts = dict(sorted(by_namespace.items()))
        return {"totalExportedProfileCounter": exported, "exportedProfileByNamespaceCounter": counts}

    def _begun(self, document: Document) -> Document:
        if document["status"] not in UNFINISHED:
            raise _Cancelled
        now_ms = self._now_ms()
        gateway = {"exportJob": document["computeGatewayJobId"]["exportJob"] or str(uuid.uuid4())}
        begun = {"status": "PROCESSING", "_processingMs": now_ms, "updateTime": now_ms, "computeGatewayJobId": gateway}
        return {**document, **begun}

    def _succeeded(self, document: Document, counters: Document) -> Document:
        if document["status"] not in UNFINISHED:
            raise _Cancelled
        ended = self._ended(document, "SUCCEEDED")
        gateway = {**ended["computeGatewayJobId"], "pushJob": str(uuid.uuid4())}
        return {**ended, "metrics": {**ended["metrics"], **counters}, "computeGatewayJobId": gateway}

    async def _fail(self, place: Workplace, job_id: str, code: str, message: str) -> None:
        log.warning("emulator.export_failed", job_id=job_id, reason=message)
        errors = [{"code": code, "msg": message, "callStack": ""}]
        await self._set(place, job_id, lambda stored: {**self._ended(stored, "FAILED"), "errors": errors})

    def _ended(self, document: Document, status: str) -> Document:
        now_ms = self._now_ms()
        metrics = {**document["metrics"], "totalTime": _span(document["creationTime"], now_ms)}
        if "_processingMs" in document:
            span = _span(document["_processingMs"], now_ms)
            metrics |= {"profileExportTime": span, "aCPDatasetWriteTime": span}
        return {**document, "status": status, "metrics": metrics, "updateTime": now_ms}

    async def _set(self, place: Workplace, job_id: str, change: Any) -> Document:
        try:
            return await place.store.change_work(KIND, job_id, change, state_member="status", now_ms=self._now_ms())
        except NotFound:
            raise _Cancelled from None

    def _now_ms(self) -> int:
        return times.epoch_ms(self._clock.now())


def _new_job(place: Workplace, number: int, order: ExportOrder) -> Document:
    return {
        "id": number,
        "jobType": "BATCH",
        **order.request,
        "destination": _destination(order.request),
        **place.members(),
        "status": "NEW",
        "profileInstanceId": "ups",
        "metrics": {"totalTime": {"startTimeInMs": order.now_ms}},
        "computeGatewayJobId": {"exportJob": ""},
        "creationTime": order.now_ms,
        "updateTime": order.now_ms,
        "requestId": order.request_id,
        "_rules": dict(order.rules),
        "_breaksOff": order.breaks_off,
        "_runId": order.run_id,
    }


def _destination(request: Mapping[str, Any]) -> Document:
    given = request["destination"]
    destination = {"datasetId": given["datasetId"], "segmentPerBatch": given.get("segmentPerBatch", False)}
    if not destination["segmentPerBatch"]:
        return {**destination, "batchId": _new_batch_id()}
    batches = [{**one, "batchId": _new_batch_id()} for one in request["filter"]["segments"]]
    return {**destination, "batches": batches}


def _new_batch_id() -> str:
    return "01" + "".join(secrets.choice(_CROCKFORD) for _ in range(24))


def _append(batches: Sequence[_Batch], profiles: Mapping[int, Mapping[str, Any]], job: Mapping[str, Any]) -> set[int]:
    """Write profiles into the batches that hold them, and return the numbers of those that were written."""
    written: set[int] = set()
    for batch in batches:
        rows = {number: batch.row(number, profile, job) for number, profile in profiles.items() if batch.holds(number)}
        batch.file.append(row for row in rows.values() if row is not None)
        written.update(number for number, row in rows.items() if row is not None)
    return written


def _both(members: BitMap | None, late: BitMap | None) -> BitMap | None:
    """Return who is in both; None stands for everybody."""
    if members is None or late is None:
        return late if members is None else members
    return members & late


def _span(start_ms: int, end_ms: int) -> dict[str, int]:
    return {"startTimeInMs": start_ms, "endTimeInMs": end_ms, "totalTimeInMs": max(0, end_ms - start_ms)}
