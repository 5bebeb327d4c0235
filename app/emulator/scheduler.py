"""Carries schedules out, by the emulator's clock.

A schedule that is active runs at the times of its Quartz expression, in UTC. Each has a stored time for its next run;
when that time has passed, the run begins and the next time is stored. The id of a run follows from the schedule and the
time, so a crash between the two makes no second run, neither of a job nor of an export; after a longer stop a missed
run is made once.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, Final

import structlog

from app.aep import headers, models, times
from app.aep.quartz import parse_quartz
from app.emulator.clock import Clock, Jump
from app.emulator.documents import PLATFORM_TYPE
from app.emulator.export_job_work import ExportJobWork, ExportOrder
from app.emulator.merge_policies import merge_policies
from app.emulator.segment_job_work import ALL_SEGMENTS, JobOrder, SegmentJobWork, evaluable_definitions
from app.emulator.workplaces import Workplace, Workplaces
from app.errors import Conflict, NotFound

log = structlog.get_logger(__name__)

KIND: Final = "schedule"

Document = dict[str, Any]


class Scheduler:
    """Begins the runs of schedules that are due by the emulator's clock. `look` is called every now and then, and
    after each jump of the clock. A jump over several runs makes one, as a stop of the process does.
    """

    def __init__(self, workplaces: Workplaces, jobs: SegmentJobWork, exports: ExportJobWork, clock: Clock) -> None:
        self._workplaces = workplaces
        self._jobs = jobs
        self._exports = exports
        self._clock = clock
        self._looking = asyncio.Lock()

    async def look(self, _jump: Jump | None = None) -> None:
        """Begin what is due now. A fault in one schedule holds up no other."""
        async with self._looking:
            for place in self._workplaces.all():
                await self._look(place)

    async def trigger(self, place: Workplace, schedule: Document, now_ms: int) -> None:
        """Begin a run of a schedule now, whatever its state; its next run stays where it was."""
        await self._begin_run(place, schedule, str(uuid.uuid4()), now_ms)

    async def _look(self, place: Workplace) -> None:
        now_ms = times.epoch_ms(self._clock.now())
        for schedule_id, document in await place.store.works_in_state(KIND, ["active"]):
            due_ms = document["_nextMs"]
            if due_ms is None or due_ms > now_ms:
                continue
            try:
                await self._begin(place, document, due_ms, now_ms)
            except Exception as fault:
                log.error("emulator.schedule_failed", schedule_id=schedule_id, exc_info=fault)

    async def _begin(self, place: Workplace, document: Document, due_ms: int, now_ms: int) -> None:
        await self._begin_run(place, document, str(uuid.uuid5(uuid.UUID(document["id"]), str(due_ms))), now_ms)
        try:
            await place.store.change_work(
                KIND, document["id"], lambda stored: planned(stored, now_ms), state_member="state", now_ms=now_ms
            )
        except NotFound:
            log.info("emulator.schedule_deleted_while_beginning", schedule_id=document["id"])

    async def _begin_run(self, place: Workplace, document: Document, run_id: str, now_ms: int) -> None:
        segments = await _known(place, document["properties"]["segments"])
        if document["type"] != "export":
            await self._evaluate(place, document, run_id, segments, now_ms)
        elif await self._exports.has_run(place, run_id):
            # The process ended after this run was stored and before its successor was planned.
            log.info("emulator.schedule_run_known", schedule_id=document["id"], run_id=run_id)
        else:
            await self._exports.begin(place, await _export_order(place, document, segments, run_id, now_ms))

    async def _evaluate(
        self, place: Workplace, document: Document, run_id: str, segments: list[str], now_ms: int
    ) -> None:
        definitions = await evaluable_definitions(place.store, await _with_dependencies(place, segments))
        properties = {"scheduleId": document["id"], "runId": run_id}
        order = JobOrder(run_id, now_ms, headers.new_request_id(), source="scheduler", properties=properties)
        try:
            await self._jobs.begin(place, definitions, order)
            log.info("emulator.schedule_run_begun", schedule_id=document["id"], job_id=run_id)
        except Conflict:
            # The process ended after this run was stored and before its successor was planned.
            log.info("emulator.schedule_run_known", schedule_id=document["id"], job_id=run_id)


async def _known(place: Workplace, segments: list[str]) -> list[str]:
    """Return the segments of a schedule that can be evaluated now: others may have been deleted since."""
    if segments == [ALL_SEGMENTS]:
        return segments
    found = await place.store.audiences_by_id(segments)
    return [one for one in segments if one in found and found[one]["lifecycleState"] != "inactive"]


async def _with_dependencies(place: Workplace, segments: list[str]) -> list[str]:
    """Return the segments with those that their rules ask for: these are evaluated together with them."""
    if segments == [ALL_SEGMENTS]:
        return segments
    wanted, level = list(segments), list(segments)
    while level:
        found = await place.store.audiences_by_id(level)
        used = {one for document in found.values() for one in document["dependencies"]} - set(wanted)
        known = await place.store.audiences_by_id(sorted(used))
        level = [
            one
            for one, document in known.items()
            if document["type"] == PLATFORM_TYPE and document["lifecycleState"] != "inactive"
        ]
        wanted += level
    return wanted


async def _export_order(
    place: Workplace, document: Document, segments: list[str], run_id: str, now_ms: int
) -> ExportOrder:
    """Return the export of a schedule: everybody, or the members of its segments, into the data set of its properties.

    The documents do not say where a scheduled export goes; without ``properties.datasetId`` it is a data set that
    stands for the sandbox's own snapshot.
    """
    known = await merge_policies(place.store, place.organization, place.sandbox)
    policy = next(one for one in known if one["default"] and one["schema"]["name"] == models.PROFILE_CLASS)
    snapshot = uuid.uuid5(uuid.UUID(place.sandbox.id), "profile snapshot").hex[:24]
    request: Document = {
        "destination": {"datasetId": str(document["properties"].get("datasetId") or snapshot)},
        "schema": {"name": models.PROFILE_CLASS},
        "mergePolicy": {"id": policy["id"], "version": policy["version"]},
    }
    if segments != [ALL_SEGMENTS]:
        wanted = [{"segmentId": one, "segmentNs": "ups", "status": ["realized", "existing"]} for one in segments]
        request["filter"] = {"segments": wanted}
    return ExportOrder(request, {}, now_ms, headers.new_request_id(), run_id=run_id)


def planned(document: Document, now_ms: int) -> Document:
    """Return a schedule with what follows from its expression: how often it runs, and when next."""
    cron = parse_quartz(document["schedule"])
    following = cron.next_after(times.from_epoch_ms(now_ms)) if document["state"] == "active" else None
    next_ms = None if following is None else times.epoch_ms(following)
    return {**document, "frequency": cron.frequency, "_nextMs": next_ms}
