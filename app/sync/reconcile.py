"""Finds out what became of changes without an outcome, and writes it down.

Such a change was not answered by AEP, or its process died. It stands in ``open_operations`` from its intent on. A
change whose process should be done by now is looked up (`app.sync.evidence`), by one process at a time, at growing
pauses, until it is decided: then its outcome, its row and its revision, its audit event and the answer of its
idempotency key are written in one transaction, exactly as the write door would have done it. Nothing is ever sent
again. What stays undecided for a day is not looked up any more; it stays ``unknown`` in the audit.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog

from app.aep import headers as aep_headers
from app.aep import paths
from app.aep.models import DEFINITION_MEMBERS
from app.audit.actions import Action, Phase
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.context import Actor, ActorKind, Entrance
from app.errors import UpstreamRefused, UpstreamUnavailable
from app.settings import WriteSettings
from app.store.database import Database, WriteUnit
from app.store.idempotency_keys import KeptAnswer
from app.store.open_operations import OPEN
from app.store.revisions import Origin
from app.store.rows import OpenOperationRow
from app.store.snapshots import snapshot
from app.sync.evidence import Case, Finding, Judge, Verdict
from app.telemetry import Metrics
from app.upstream.client import AEPClient
from app.upstream.connection import Target

log = structlog.get_logger(__name__)

GIVE_UP_AFTER_S: Final = 86_400.0
LONGEST_PAUSE_S: Final = 3_600.0
_AT_ONCE: Final = 20

# What AEP answers these calls with.
_STATUS: Final = {"update_audience": 201, "delete_audience": 204}


@dataclass(frozen=True, slots=True)
class Settled:
    """A change that was looked up, and what was found."""

    action: str
    resource_name: str | None
    actor_name: str
    finding: Finding
    evidence: str


class Reconciler:
    """Looks changes up that are due, over all tenants."""

    def __init__(
        self,
        database: Database,
        client: AEPClient,
        recorder: AuditRecorder,
        metrics: Metrics,
        settings: WriteSettings,
    ) -> None:
        self._database = database
        self._judge = Judge(database, client)
        self._recorder = recorder
        self._metrics = metrics
        self._interval_s = settings.reconcile_interval_s
        self._lease_s = settings.write_lease_s
        self._settle_s = settings.reconcile_settle_s

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.run_once()
            except Exception:
                # A fault in one round must not end the worker: it is logged whole and tried again.
                log.exception("reconcile.crashed")
            await asyncio.sleep(self._interval_s)

    async def run_once(self) -> list[Settled]:
        """Look up every change that is due, and return what was found."""
        found: list[Settled] = []
        for tenant_id in await self._database.tenant_ids():
            async with self._database.write(tenant_id) as unit:
                due = list(await unit.open_operations.take_due(limit=_AT_ONCE, lease_s=self._lease_s))
            found += [await self._look(operation) for operation in due]
        return found

    async def _look(self, operation: OpenOperationRow) -> Settled:
        async with self._database.read(operation.tenant_id) as unit:
            quiet_s = await unit.open_operations.quiet_for_s(operation.operation_id)
        target = Target(operation.tenant_id, operation.sandbox_name, aep_headers.new_request_id())
        try:
            verdict = await self._judge.judge(Case(operation, target, settled=quiet_s >= self._settle_s))
        except (UpstreamUnavailable, UpstreamRefused) as problem:
            verdict = Verdict(Finding.UNDECIDED, f"AEP could not be asked: {problem.detail}")
        async with self._database.write(operation.tenant_id) as unit:
            # The door may have been slow, and not dead.
            row = await unit.open_operations.locked(operation.operation_id)
            if row is not None:
                await self._write(unit, row, verdict, quiet_s)
        log.info("reconcile.looked", action=operation.action, finding=verdict.finding.value)
        self._metrics.reconciled.labels(operation.action, verdict.finding.value).inc()
        return Settled(
            operation.action, operation.resource_name, str(operation.actor["name"]), verdict.finding, verdict.evidence
        )

    async def _write(self, unit: WriteUnit, row: OpenOperationRow, verdict: Verdict, quiet_s: float) -> None:
        detail = {"evidence": verdict.evidence, "foundBy": "reconciler"}
        await unit.object_leases.release(row.operation_id)
        match verdict.finding:
            case Finding.DONE:
                resource = await self._store(unit, row, verdict.document)
                await unit.open_operations.close(row.operation_id)
                await self._recorder.record(
                    unit, _operation(row), Phase.SUCCEEDED, detail=detail | _sent(row), resource=resource
                )
            case Finding.NOT_DONE:
                await unit.idempotency_keys.release(row.operation_id)
                await unit.open_operations.close(row.operation_id)
                await self._recorder.record(unit, _operation(row), Phase.FAILED, detail=detail | _sent(row))
            case _:
                await self._leave(unit, row, verdict, quiet_s, detail)

    async def _leave(
        self, unit: WriteUnit, row: OpenOperationRow, verdict: Verdict, quiet_s: float, detail: dict[str, Any]
    ) -> None:
        """Leave a change unknown, and visible as such; come back later unless that is in vain."""
        crashed = row.state == OPEN
        if crashed:
            await unit.open_operations.doubt(row.operation_id)
            await unit.idempotency_keys.doubt(row.operation_id)
        in_vain = verdict.finding is Finding.UNDECIDABLE or quiet_s > GIVE_UP_AFTER_S
        pause_s = min(self._interval_s * 2.0 ** min(row.looks - 1, 20), LONGEST_PAUSE_S)
        await unit.open_operations.look_again(row.operation_id, after_s=None if in_vain else pause_s)
        if crashed:
            await self._recorder.record(unit, _operation(row), Phase.UNKNOWN, detail=detail | _sent(row))

    async def _store(self, unit: WriteUnit, row: OpenOperationRow, document: dict[str, Any] | None) -> Resource:
        """Keep what a change left behind, with its author, and what its key is to be answered with."""
        now, origin = datetime.now(UTC), Origin(row.actor)
        if document is None:
            return await self._store_deletion(unit, row, now, origin)
        created = row.call.startswith("create_")
        value: Any = None
        if row.resource_type == "audience":
            await unit.audiences.put(row.sandbox_id, document, now=now)
        if row.resource_type == "segment_definition" or document.get("type") == "SegmentDefinition":
            definition: dict[str, Any] = {name: document[name] for name in DEFINITION_MEMBERS if name in document}
            kept = await unit.segment_definitions.put(
                row.sandbox_id, definition, now=now, origin=origin, created=created
            )
            value = snapshot(kept) if row.resource_type == "segment_definition" else None
        await unit.idempotency_keys.settle(row.operation_id, _answer(row, document, value))
        return Resource(row.resource_type, document["id"], document.get("name"))

    async def _store_deletion(self, unit: WriteUnit, row: OpenOperationRow, now: datetime, origin: Origin) -> Resource:
        aep_id = row.resource_id or ""
        definition = await unit.segment_definitions.by_aep_id(row.sandbox_id, aep_id)
        if definition is not None:
            await unit.segment_definitions.remove(definition, now=now, origin=origin)
        await unit.audiences.remove(row.sandbox_id, aep_id)
        is_definition = row.resource_type == "segment_definition"
        value = msgspec.json.decode(row.before) if is_definition and row.before is not None else None
        body = {"message": f"Segment with id '{aep_id}' has been marked for deletion"} if is_definition else None
        await unit.idempotency_keys.settle(row.operation_id, _answer(row, body, value))
        return Resource(row.resource_type, row.resource_id, row.resource_name)


def _answer(row: OpenOperationRow, body: Any, value: Any) -> str:
    """Return what a key remembers, as AEP would have answered."""
    headers = {}
    if isinstance(body, dict) and "id" in body:
        headers[aep_headers.LOCATION] = paths.resource(paths.SEGMENT_DEFINITIONS, body["id"])
    return KeptAnswer(_STATUS.get(row.call, 200), headers, body, value).encode()


def _operation(row: OpenOperationRow) -> Operation:
    actor = Actor(ActorKind(row.actor["kind"]), UUID(row.actor["id"]), row.actor["name"], row.tenant_id)
    resource = Resource(row.resource_type, row.resource_id, row.resource_name)
    return Operation(
        Action(row.action),
        resource,
        actor,
        Entrance(row.entrance),
        row.request_id,
        row.sandbox_name,
        row.operation_id,
    )


def _sent(row: OpenOperationRow) -> dict[str, Any]:
    sent = msgspec.json.decode(row.sent)
    return {} if sent is None else {"sent": sent}


async def open_operations(database: Database) -> list[tuple[str, OpenOperationRow]]:
    """Return every change without an outcome, with its tenant's slug."""
    async with database.directory() as directory:
        tenants = [(row.slug, row.id) for row in await directory.tenants()]
    found: list[tuple[str, OpenOperationRow]] = []
    for slug, tenant_id in tenants:
        async with database.read(tenant_id) as unit:
            found += [(slug, row) for row in await unit.open_operations.all()]
    return found
