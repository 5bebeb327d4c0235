"""Drift: what was changed behind the gateway, told in the audit.

A version of a definition that was first seen upstream waits as *pending* (`app.store.revisions`) until there is an
audit event of phase ``observed`` about it, with what changed clause by clause, and with the user whom AEP's own audit
log names where the gateway may read it. The version and its event are tied in one transaction, so none is told twice
and none is lost when the process dies.

What is just being written through the gateway can be seen at AEP before the write door has stored it. Versions of
objects with an open change therefore wait until the door has claimed them or has found out what became of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid5

import structlog

from app.audit.actions import Action, Phase
from app.audit.differences import changes_between
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.context import Actor, ActorKind, Entrance, Sandbox, Tenant
from app.errors import GatewayError
from app.store.database import Database, WriteUnit
from app.store.rows import SegmentDefinitionRevisionRow
from app.upstream import audit_log
from app.upstream.client import AEPClient
from app.upstream.connection import Target

log = structlog.get_logger(__name__)

RESOURCE: Final = "segment_definition"
UNKNOWN_USER: Final = "unknown to the gateway"
_BATCH: Final = 50
_OPEN_FOR: Final = timedelta(minutes=10)
"""How long a change without a known outcome keeps what is seen of its object from being called drift."""
_VERBS: Final = {
    Action.SEGMENT_DEFINITION_CREATE: {"create", "add"},
    Action.SEGMENT_DEFINITION_UPDATE: {"update", "patch", "replace"},
    Action.SEGMENT_DEFINITION_DELETE: {"delete", "remove"},
}

Row = SegmentDefinitionRevisionRow
Event = dict[str, Any]


class DriftRecorder:
    """Writes audit events of what was seen upstream."""

    def __init__(
        self,
        database: Database,
        client: AEPClient,
        recorder: AuditRecorder,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._client = client
        self._recorder = recorder
        self._clock = clock

    async def record(self, tenant: Tenant, sandbox: Sandbox, target: Target) -> int:
        """Tell of everything in the sandbox that the audit has not told of yet; return how many versions that were."""
        told = 0
        while waiting := await self._waiting(tenant, sandbox):
            events = await self._upstream_events(target, {aep_id for aep_id, _ in waiting})
            async with self._database.write(tenant.id) as unit:
                rows = [
                    row
                    for row in await unit.revisions.pending(sandbox.id, limit=10 * _BATCH)
                    if (row.aep_id, row.version) in waiting
                ]
                before = await unit.revisions.several(
                    sandbox.id, [(row.aep_id, row.version - 1) for row in rows if row.version > 1]
                )
                for row in rows:
                    last = before.get((row.aep_id, row.version - 1))
                    await self._tell(unit, tenant, sandbox, target, row, last, events)
            told += len(rows)
            if not rows:
                break  # another process is at it
        if told:
            log.info("sync.drift", tenant=tenant.slug, sandbox=sandbox.name, versions=told)
        return told

    async def _waiting(self, tenant: Tenant, sandbox: Sandbox) -> set[tuple[str, int]]:
        async with self._database.write(tenant.id) as unit:
            rows = await unit.revisions.pending(sandbox.id, limit=10 * _BATCH)
            if not rows:
                return set()
            open_changes = await unit.audit_events.open_changes(sandbox.name, since=self._clock() - _OPEN_FOR)
        ids = {aep_id for aep_id, _ in open_changes if aep_id is not None}
        # What is being created has no id yet; its name is unique in the sandbox.
        names = {name for aep_id, name in open_changes if aep_id is None and name is not None}
        free = [row for row in rows if row.aep_id not in ids and row.document.get("name") not in names]
        return {(row.aep_id, row.version) for row in free[:_BATCH]}

    async def _upstream_events(self, target: Target, aep_ids: Iterable[str]) -> list[Event]:
        """Return what AEP's log has about objects; nothing when it cannot be read."""
        try:
            return await audit_log.changes_of(self._client, target, sorted(aep_ids))
        except GatewayError as problem:
            log.info("sync.audit_log_unreadable", reason=problem.detail)
            return []

    async def _tell(
        self,
        unit: WriteUnit,
        tenant: Tenant,
        sandbox: Sandbox,
        target: Target,
        row: Row,
        before: Row | None,
        events: Sequence[Event],
    ) -> None:
        action = _action(row, before)
        event = _event_of(row, action, events)
        user = str(event["userEmail"]) if event is not None else None
        name = user or UNKNOWN_USER
        actor = Actor(ActorKind.UPSTREAM, uuid5(tenant.id, f"upstream:{name}"), name, tenant.id)
        operation = Operation(
            action,
            Resource(RESOURCE, row.aep_id, row.document.get("name")),
            actor,
            Entrance.SYNC,
            target.request_id,
            sandbox.name,
        )
        detail = {
            "seenUpstream": True,
            "version": row.version,
            "since": row.at.isoformat(),
            "changes": [
                {"member": one.member, "kind": one.kind, "before": one.before, "after": one.after}
                for one in _changes(row, before)
            ],
        }
        upstream_request_id = str(event["requestId"]) if event is not None and event.get("requestId") else None
        await self._recorder.record(
            unit, operation, Phase.OBSERVED, detail=detail, upstream_request_id=upstream_request_id
        )
        author = None if user is None else {"kind": ActorKind.UPSTREAM.value, "id": str(actor.id), "name": user}
        await unit.revisions.recorded(row, author)
        await unit.segment_definitions.credit(sandbox.id, row.aep_id, row.version, author, created=before is None)


def _action(row: Row, before: Row | None) -> Action:
    if row.deleted:
        return Action.SEGMENT_DEFINITION_DELETE
    if before is None or before.deleted:
        return Action.SEGMENT_DEFINITION_CREATE
    return Action.SEGMENT_DEFINITION_UPDATE


def _changes(row: Row, before: Row | None) -> Sequence[Any]:
    if before is None or before.deleted or row.deleted:
        return ()
    return changes_between(before.document, row.document)


def _event_of(row: Row, action: Action, events: Sequence[Event]) -> Event | None:
    """Return the newest event about a version: of its object and its kind, and not from after we saw it."""
    for event in events:
        at = _moment(event.get("timestamp"))
        if (
            event.get("assetId") == row.aep_id
            and event.get("userEmail")
            and event.get("status") in {"Allow", "Success"}
            and str(event.get("action", "")).lower() in _VERBS[action]
            and at is not None
            and (action is Action.SEGMENT_DEFINITION_DELETE or abs(at - row.at) < timedelta(seconds=5))
        ):
            return event
    return None


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
