"""What external audiences do after their calls were answered: operations that make them, runs that fill them, expiry.

    operation    PROCESSING -> SUCCESS | FAILED        run    PROCESSING -> SUCCESS | FAILED

After a restart an unfinished one begins again; the audience's id is decided when the operation is, so it is made once.
The data of an audience ends ``ttlInDays`` after its latest run, by the emulator's clock: it stays visible, with nobody
in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from pyroaring import BitMap

from app.aep import ids, times
from app.emulator.background import Background
from app.emulator.clock import Clock, Jump
from app.emulator.documents import EXTERNAL_TYPE
from app.emulator.external_audience_files import read_uploads, uploads_folder
from app.emulator.workplaces import Workplace, Workplaces
from app.errors import Conflict, InvalidRequest, NotFound, PublicError

log = structlog.get_logger(__name__)

OPERATION: Final = "external_operation"
RECORD: Final = "external_audience"
RUN: Final = "external_run"
GOING_ON: Final = "PROCESSING"
_DAY_MS: Final = 86_400_000

Document = dict[str, Any]


class ExternalAudienceWork:
    """Makes, fills and empties external audiences."""

    def __init__(
        self, workplaces: Workplaces, background: Background, clock: Clock, *, state_dir: Path, step_s: float
    ) -> None:
        self._workplaces = workplaces
        self._background = background
        self._clock = clock
        self._state_dir = state_dir
        self._step_s = step_s

    async def begin_operation(self, place: Workplace, operation: Document, now_ms: int) -> None:
        """Store an operation and start it."""
        await place.store.add_work(OPERATION, operation["operationId"], GOING_ON, operation, now_ms=now_ms)
        self._start(place, OPERATION, operation["operationId"])

    async def begin_run(self, place: Workplace, run: Document, now_ms: int) -> None:
        """Store a run and start it."""
        await place.store.add_work(RUN, run["runId"], GOING_ON, run, now_ms=now_ms)
        self._start(place, RUN, run["runId"])

    async def resume(self, place: Workplace) -> None:
        """Take up what a previous process left unfinished in a place."""
        for kind in (OPERATION, RUN):
            for identifier, _ in await place.store.works_in_state(kind, [GOING_ON]):
                self._start(place, kind, identifier)

    async def expire(self, _jump: Jump | None = None) -> None:
        """Empty the audiences whose data has ended by now."""
        now_ms = self._now_ms()
        for place in self._workplaces.all():
            for identifier, record in await place.store.works_in_state(RECORD, ["ingested"]):
                if record["_expiresMs"] <= now_ms:
                    await self._empty(place, identifier, now_ms)

    def _start(self, place: Workplace, kind: str, identifier: str) -> None:
        work = self._make(place, identifier) if kind == OPERATION else self._fill(place, identifier)
        self._background.start(place.key(kind, identifier), work)

    async def _make(self, place: Workplace, operation_id: str) -> None:
        await asyncio.sleep(self._step_s)
        operation = await place.store.work(OPERATION, operation_id)
        if operation is None or operation["status"] != GOING_ON:
            return
        now_ms = self._now_ms()
        try:
            await place.store.add_audience(_audience(place, operation, now_ms))
        except Conflict:
            log.info("emulator.external_audience_known", operation_id=operation_id)
        record = {
            **operation["operationDetails"],
            "state": "empty",
            "audienceId": operation["_audienceId"],
            "audienceName": operation["operationDetails"]["name"],
            "createdAt": operation["createdAt"],
            "createdBy": operation["createdBy"],
            "updatedAt": operation["createdAt"],
            "updatedBy": operation["createdBy"],
        }
        try:
            await place.store.add_work(RECORD, operation["_audienceId"], "empty", record, now_ms=now_ms)
        except Conflict:
            log.info("emulator.external_audience_known", operation_id=operation_id)
        named = {"audienceName": record["audienceName"], "audienceId": record["audienceId"]}
        await self._set(place, OPERATION, operation_id, {**named, "status": "SUCCESS", "updatedAt": now_ms // 1000})

    async def _fill(self, place: Workplace, run_id: str) -> None:
        await asyncio.sleep(self._step_s)
        run = await place.store.work(RUN, run_id)
        record = None if run is None else await place.store.work(RECORD, run["audienceId"])
        if run is None or run["status"] != GOING_ON:
            return
        read = False
        try:
            if record is None:
                raise InvalidRequest("The audience was deleted")
            await self._ingest(place, run, record)
            read = True
        except PublicError as fault:
            log.warning("emulator.external_run_failed", run_id=run_id, reason=str(fault))
            reason = str(fault)
        except Exception as fault:
            log.error("emulator.external_run_broke", run_id=run_id, exc_info=fault)
            reason = "The run met an internal error; see the emulator's log."
        status = "SUCCESS" if read else "FAILED"
        stages = ("DATASET_INGEST", "PROFILE_STORE_INGEST") if read else ("DATASET_INGEST",)
        details: list[Document] = [
            {"stage": stage, "status": status, "flowRunId": run["_flowRunIds"][stage]} for stage in stages
        ]
        if not read:
            details[0]["message"] = reason
        await self._set(place, RUN, run_id, {"status": status, "details": details})

    async def _ingest(self, place: Workplace, run: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        folder = uploads_folder(self._state_dir, place.store.org_id, place.store.sandbox)
        source = record["sourceSpec"].get("params", record["sourceSpec"])
        upload = await asyncio.to_thread(read_uploads, folder, source["path"], source["type"], record["fields"])
        identifier, now_ms = record["audienceId"], self._now_ms()
        members = BitMap()
        if record["profileIngestion"]:
            members = await place.population.with_identities(upload.identities)
        if run["differentialIngestion"]:
            members |= (await asyncio.to_thread(place.population.memberships.members, identifier)).realized
        size = len(members)
        await place.population.put(identifier, members, run_id=run["runId"], at_ms=now_ms)
        await self._tell(place, identifier, run["runId"], size, upload.records, now_ms)
        expires_ms = now_ms + record["ttlInDays"] * _DAY_MS
        await self._set(place, RECORD, identifier, {"state": "ingested", "_expiresMs": expires_ms})

    async def _empty(self, place: Workplace, identifier: str, now_ms: int) -> None:
        await place.population.put(identifier, BitMap(), run_id=f"expired-{now_ms}", at_ms=now_ms)
        await self._tell(place, identifier, "", 0, 0, now_ms)
        await self._set(place, RECORD, identifier, {"state": "expired"})
        log.info("emulator.external_audience_expired", audience_id=identifier)

    async def _tell(
        self, place: Workplace, identifier: str, run_id: str, profiles: int, records: int, now_ms: int
    ) -> None:
        common = {
            **place.members(),
            "jobId": run_id,
            "type": "export",
            "id": identifier,
            "createEpoch": now_ms // 1000,
            "updateEpoch": now_ms // 1000,
        }
        await place.store.set_metrics("metrics", {identifier: {**common, "data": {"totalProfiles": profiles}}})
        await place.store.set_metrics("recordMetrics", {identifier: {**common, "data": {"recordCount": records}}})

    async def _set(self, place: Workplace, kind: str, identifier: str, members: Document) -> None:
        state_member = "state" if kind == RECORD else "status"
        try:
            await place.store.change_work(
                kind,
                identifier,
                lambda stored: {**stored, **members},
                state_member=state_member,
                now_ms=self._now_ms(),
            )
        except NotFound:
            log.info("emulator.external_audience_deleted_meanwhile", kind=kind, id=identifier)

    def _now_ms(self) -> int:
        return times.epoch_ms(self._clock.now())


def _audience(place: Workplace, operation: Mapping[str, Any], now_ms: int) -> Document:
    """Return the new audience as ``/audiences`` shows it."""
    details = operation["operationDetails"]
    document: Document = {
        "id": operation["_audienceId"],
        "audienceId": operation["_audienceId"],
        "name": details["name"],
        "namespace": details["namespace"],
        **place.members(),
        "isSystem": False,
        "type": EXTERNAL_TYPE,
        "originName": details["originName"],
        "lifecycleState": "published",
        "createdBy": operation["createdBy"],
        "datasetId": operation["_datasetId"],
        "_etag": ids.new_etag(now_ms // 1000),
        **times.creation_members(now_ms),
        "createEpoch": now_ms // 1000,
    }
    given = {name: details[name] for name in ("description", "labels", "tags") if details.get(name)}
    return {**document, **given, "ttlInDays": details["ttlInDays"]}
