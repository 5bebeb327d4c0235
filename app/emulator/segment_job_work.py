"""The life of a segment job, after its call was answered and across restarts.

    NEW -> QUEUED -> PROCESSING -> SUCCEEDED | FAILED          NEW | QUEUED | PROCESSING -> CANCELLING -> CANCELLED

Each state is stored before it is shown. After a restart an unfinished job begins again, and one that was being
cancelled is cancelled. The members of every segment are kept, so that the next job can tell who left.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from app.aep import models, paging, times
from app.emulator.answers import Refusal
from app.emulator.background import Background
from app.emulator.clock import Clock
from app.emulator.documents import PLATFORM_TYPE
from app.emulator.populations import Evaluation
from app.emulator.rules import Rule, RuleBook
from app.emulator.state import AudienceQuery, Store
from app.emulator.workplaces import Workplace
from app.errors import NotImplementedYet, PublicError

log = structlog.get_logger(__name__)

KIND: Final = "segment_job"
ALL_SEGMENTS: Final = "*"
MAX_LISTED_SEGMENTS: Final = 1500
UNFINISHED: Final = ("NEW", "QUEUED", "PROCESSING", "CANCELLING")
_CANCELLABLE: Final = ("NEW", "QUEUED", "PROCESSING")
_OLDEST_FIRST: Final = (paging.SortKey("creationTime", descending=False),)

Document = dict[str, Any]


class _Cancelled(Exception):
    """The job was asked to stop."""


@dataclass(frozen=True, slots=True)
class JobOrder:
    """What makes one job different from another.

    ``properties`` are those of scheduled jobs. ``breaks_off_at`` is an injected fault: the job fails after that share
    of its segments.
    """

    job_id: str
    now_ms: int
    request_id: str
    source: str = "api"
    properties: Mapping[str, str] | None = None
    breaks_off_at: float | None = None


def new_job_id() -> str:
    """Return a fresh id."""
    return str(uuid.uuid4())


class SegmentJobWork:
    """Begins, runs, cancels and resumes jobs."""

    def __init__(self, rules: RuleBook, background: Background, clock: Clock, *, step_s: float) -> None:
        self._rules = rules
        self._background = background
        self._clock = clock
        self._step_s = step_s
        self._progress: dict[Hashable, tuple[int, int]] = {}

    def progress(self, place: Workplace, job_id: str) -> tuple[int, int] | None:
        """Return how many steps of a job's evaluation are done, and how many there are; None when none is going on."""
        return self._progress.get(place.key(KIND, job_id))

    async def begin(self, place: Workplace, definitions: Sequence[Document], order: JobOrder) -> Document:
        """Store a new job and start it. Raises Conflict when there is one with its id."""
        document = _new_job(place, definitions, order)
        await place.store.add_work(KIND, order.job_id, "NEW", document, now_ms=order.now_ms)
        self._start(place, order.job_id)
        return document

    async def cancel(self, place: Workplace, job_id: str, now_ms: int) -> None:
        """Ask a job to stop; one that is over stays as it is. Raises NotFound."""

        def change(document: Document) -> Document:
            if document["status"] not in _CANCELLABLE or document.get("_isStoring"):
                return document
            return {**document, "status": "CANCELLING", **times.update_members(now_ms)}

        changed = await place.store.change_work(KIND, job_id, change, state_member="status", now_ms=now_ms)
        if changed["status"] == "CANCELLING":
            self._background.cancel(place.key(KIND, job_id))
            self._start(place, job_id)

    async def resume(self, place: Workplace) -> None:
        """Take up what a previous process left unfinished in a place."""
        for job_id, _ in await place.store.works_in_state(KIND, UNFINISHED):
            self._start(place, job_id)

    def _start(self, place: Workplace, job_id: str) -> None:
        self._background.start(place.key(KIND, job_id), self._run(place, job_id))

    async def _run(self, place: Workplace, job_id: str) -> None:
        try:
            await self._move(place, job_id, "QUEUED")
            await asyncio.sleep(self._step_s)
            async with self._background.turns:
                document = await self._move(place, job_id, "PROCESSING")
                await asyncio.sleep(self._step_s)
                if document.get("_breaksOffAt") is not None:
                    await self._break_off(place, job_id, document)
                    return
                since = place.population.memberships.version
                results = await self._evaluate(place, job_id, document)
            await self._finish(place, job_id, results, since=since)
        except _Cancelled:
            await self._set(place, job_id, lambda document: self._ended(document, "CANCELLED"))
        except NotImplementedYet as fault:
            await self._fail(place, job_id, "501", fault.detail)
        except (PublicError, Refusal) as fault:
            await self._fail(place, job_id, "400", str(fault))
        except Exception as fault:
            log.error("emulator.segment_job_broke", job_id=job_id, exc_info=fault)
            await self._fail(place, job_id, "500", "The evaluation met an internal error; see the emulator's log.")

    async def _fail(self, place: Workplace, job_id: str, code: str, message: str) -> None:
        log.warning("emulator.segment_job_failed", job_id=job_id, reason=message)
        errors = [{"code": code, "msg": message, "callStack": ""}]
        await self._set(place, job_id, lambda document: {**self._ended(document, "FAILED"), "errors": errors})

    async def _break_off(self, place: Workplace, job_id: str, document: Document) -> None:
        """Evaluate a share of the segments, as an injected fault wants it, and fail: nobody's membership changes."""
        every = list(document["_rules"].items())
        done = dict(every[: int(len(every) * document["_breaksOffAt"])])
        results = await self._evaluate(place, job_id, {**document, "_rules": done}) if done else {}
        statuses = {one: {"realized": result.count, "exited": 0} for one, result in results.items()}
        message = f"The evaluation broke off after {len(done)} of {len(every)} segments."
        errors = [{"code": "500", "msg": message, "callStack": ""}]

        def change(stored: Document) -> Document:
            ended = self._ended(stored, "FAILED")
            counters = _counters(document, results, statuses, place.population.total_profiles)
            return {**ended, "metrics": {**ended["metrics"], **counters}, "errors": errors}

        await self._set(place, job_id, change)

    async def _move(self, place: Workplace, job_id: str, status: str) -> Document:
        """Store the next state. Raises _Cancelled when the job was asked to stop."""

        def change(document: Document) -> Document:
            now_ms = self._now_ms()
            began = {"_processingMs": now_ms} if status == "PROCESSING" else {}
            return {**_not_cancelled(document), **began, "status": status, **times.update_members(now_ms)}

        return await self._set(place, job_id, change)

    async def _evaluate(self, place: Workplace, job_id: str, document: Mapping[str, Any]) -> dict[str, Evaluation]:
        key = place.key(KIND, job_id)

        def note(done: int, total: int) -> None:
            self._progress[key] = (done, total)

        # Thousands of rules take a while to read, which must not hold up the event loop.
        rules = await asyncio.to_thread(self._parse, place, document["_rules"])
        try:
            return await place.population.evaluate(
                rules, times.from_epoch_ms(document["creationTime"]), on_progress=note
            )
        finally:
            self._progress.pop(key, None)

    def _parse(self, place: Workplace, expressions: Mapping[str, Any]) -> dict[str, Rule]:
        return {one: self._rules.parse_expression(place.organization, text) for one, text in expressions.items()}

    async def _finish(self, place: Workplace, job_id: str, results: Mapping[str, Evaluation], *, since: int) -> None:
        """Keep the members, then end the job. A crash in between makes the job begin again, which keeps them once."""
        # From here on a call to cancel comes too late: the members of some segments are the new ones.
        await self._set(place, job_id, lambda document: {**_not_cancelled(document), "_isStoring": True})
        existing = await place.store.audiences_by_id(list(results))
        kept = {segment_id: result for segment_id, result in results.items() if segment_id in existing}
        replaced = await place.population.keep(kept, run_id=job_id, at_ms=self._now_ms(), since=since)
        statuses = {
            segment_id: {
                "realized": result.count,
                "exited": len(replaced[segment_id].left) if segment_id in replaced else 0,
            }
            for segment_id, result in results.items()
        }

        def change(document: Document) -> Document:
            ended = self._ended(document, "SUCCEEDED")
            counters = _counters(document, results, statuses, place.population.total_profiles)
            return {**ended, "metrics": {**ended["metrics"], **counters}}

        now_ms = self._now_ms()
        metrics = {
            segment_id: _metric(place, job_id, segment_id, result, statuses[segment_id], now_ms)
            for segment_id, result in results.items()
        }
        await place.store.finish_job(KIND, job_id, change, metrics, now_ms=now_ms)

    def _ended(self, document: Document, status: str) -> Document:
        now_ms = self._now_ms()
        began = document.get("_processingMs")
        metrics = {
            **document["metrics"],
            "totalTime": _span(document["creationTime"], now_ms),
            "profileSegmentationTime": {} if began is None else _span(began, now_ms),
        }
        return {**document, "status": status, "metrics": metrics, **times.update_members(now_ms)}

    async def _set(self, place: Workplace, job_id: str, change: Any) -> Document:
        return await place.store.change_work(KIND, job_id, change, state_member="status", now_ms=self._now_ms())

    def _now_ms(self) -> int:
        return times.epoch_ms(self._clock.now())


async def evaluable_definitions(store: Store, ids: Sequence[str]) -> list[Document]:
    """Return the definitions that a job shall evaluate; ``["*"]`` means all. Raises Refusal for ids that cannot be."""
    if list(ids) == [ALL_SEGMENTS]:
        every = AudienceQuery(_OLDEST_FIRST, 0, 1_000_000, platform_only=True, keep=_is_evaluated)
        return (await store.audiences(every))[0]
    found = await store.audiences_by_id(ids)
    unknown = [one for one in ids if one not in found or found[one]["type"] != PLATFORM_TYPE]
    if unknown:
        raise Refusal(400, f"These segment definitions are not found: {', '.join(unknown)}.")
    inactive = [one for one in ids if not _is_evaluated(found[one])]
    if inactive:
        raise Refusal(400, f"These segment definitions are inactive and not evaluated: {', '.join(inactive)}.")
    return [found[one] for one in ids]


def _new_job(place: Workplace, definitions: Sequence[Document], order: JobOrder) -> Document:
    href = f"/segment/jobs/{order.job_id}"
    properties = {} if order.properties is None else {"properties": dict(order.properties)}
    return {
        "id": order.job_id,
        **place.members(),
        "profileInstanceId": "ups",
        "source": order.source,
        "status": "NEW",
        "batchId": str(uuid.uuid4()),
        "computeJobId": secrets.randbelow(9_000) + 1_000,
        "computeGatewayJobId": str(uuid.uuid4()),
        "segments": _shown_segments(definitions),
        "metrics": {"totalTime": {"startTimeInMs": order.now_ms}, "profileSegmentationTime": {}},
        "requestId": order.request_id,
        "schema": {"name": models.PROFILE_CLASS},
        **properties,
        "_links": {
            "cancel": {"href": href, "method": "DELETE"},
            "checkStatus": {"href": href, "method": "GET"},
        },
        **times.creation_members(order.now_ms),
        # The rules as they were when the job was made: a later change of a definition does not reach a running job.
        "_rules": {definition["id"]: definition["expression"] for definition in definitions},
        "_breaksOffAt": order.breaks_off_at,
        "_mergePolicies": {definition["id"]: definition["mergePolicyId"] for definition in definitions},
    }


def _shown_segments(definitions: Sequence[Document]) -> list[Document]:
    if len(definitions) > MAX_LISTED_SEGMENTS:
        return [{"segmentId": ALL_SEGMENTS}]
    return [
        {
            "segmentId": definition["id"],
            "segment": {
                "id": definition["id"],
                "version": 1,
                "expression": definition["expression"],
                "mergePolicyId": definition["mergePolicyId"],
                "mergePolicy": {"id": definition["mergePolicyId"], "version": 1},
            },
        }
        for definition in definitions
    ]


def _counters(
    document: Mapping[str, Any],
    results: Mapping[str, Evaluation],
    statuses: Mapping[str, Any],
    total_profiles: int,
) -> Document:
    policies = set(document["_mergePolicies"].values())
    return {
        "totalProfiles": total_profiles,
        "segmentedProfileCounter": {one: result.count for one, result in results.items()},
        "segmentedProfileByNamespaceCounter": {one: dict(result.by_namespace) for one, result in results.items()},
        "segmentedProfileByStatusCounter": dict(statuses),
        "totalProfilesByMergePolicy": dict.fromkeys(sorted(policies), total_profiles),
    }


def _metric(
    place: Workplace, job_id: str, segment_id: str, result: Evaluation, statuses: Mapping[str, int], now_ms: int
) -> Document:
    """Return what the audience list shows of a job's result when it is asked for metrics."""
    return {
        **place.members(),
        "jobId": job_id,
        "type": "batch_segmentation",
        "id": segment_id,
        "data": {
            "totalProfiles": result.count,
            "totalProfilesByNamespace": dict(result.by_namespace),
            "totalProfilesByStatus": dict(statuses),
        },
        "createEpoch": now_ms // 1000,
        "updateEpoch": now_ms // 1000,
    }


def job_view(document: Mapping[str, Any]) -> Document:
    """Return a stored job without what is only ours to know."""
    return {name: value for name, value in document.items() if name != "_links" and not name.startswith("_")} | {
        "_links": document["_links"]
    }


def _not_cancelled(document: Document) -> Document:
    """Return a job's document. Raises _Cancelled when the job was asked to stop."""
    if document["status"] == "CANCELLING":
        raise _Cancelled
    return document


def _span(start_ms: int, end_ms: int) -> dict[str, int]:
    return {"startTimeInMs": start_ms, "endTimeInMs": end_ms, "totalTimeInMs": max(0, end_ms - start_ms)}


def _is_evaluated(document: Mapping[str, Any]) -> bool:
    return bool(document["lifecycleState"] != "inactive")
