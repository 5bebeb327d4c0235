"""Writes audit events in the transaction of the unit of work that it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from app.audit.actions import Action, Phase
from app.audit.chain import GENESIS, hash_of, keepable
from app.context import Actor, Entrance, RequestContext
from app.store.database import WriteUnit
from app.store.rows import AuditEventRow


@dataclass(frozen=True, slots=True)
class Resource:
    """What an event is about. ``id`` is AEP's where AEP has one; it is unknown before a create."""

    type: str
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One attempt of one actor to do one thing; all its events share ``id``."""

    action: Action
    resource: Resource
    actor: Actor
    entrance: Entrance
    request_id: str
    sandbox_name: str | None = None
    id: UUID = field(default_factory=uuid4)

    @classmethod
    def of(cls, ctx: RequestContext, action: Action, resource: Resource) -> Operation:
        """Return an operation of the actor who made the request."""
        return cls(action, resource, ctx.actor, ctx.entrance, ctx.request_id, ctx.sandbox.name)


class AuditRecorder:
    """Appends events to the chain of the unit's tenant.

    Writers of one tenant wait for each other from the first event until their transaction ends, so a unit of work
    records last, right before it commits.
    """

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock

    async def record(
        self,
        unit: WriteUnit,
        operation: Operation,
        phase: Phase,
        *,
        detail: dict[str, Any] | None = None,
        resource: Resource | None = None,
        upstream_request_id: str | None = None,
    ) -> AuditEventRow:
        """Append one event and return it. ``resource`` replaces the operation's when more is known by now.

        ``detail`` must be plain JSON, without secrets and without profile data. Numbers that canonical JSON cannot
        write are kept as text.
        """
        head = await unit.audit_events.lock_head()
        about = resource or operation.resource
        event = AuditEventRow(
            id=uuid4(),
            tenant_id=unit.tenant_id,
            sequence=head.sequence + 1 if head else 1,
            operation_id=operation.id,
            at=self._clock(),
            phase=phase.value,
            action=operation.action.value,
            actor_kind=operation.actor.kind.value,
            actor_id=operation.actor.id,
            actor_name=operation.actor.name,
            entrance=operation.entrance.value,
            sandbox_name=operation.sandbox_name,
            resource_type=about.type,
            resource_id=about.id,
            resource_name=about.name,
            request_id=operation.request_id,
            upstream_request_id=upstream_request_id,
            detail=keepable(detail or {}),
            previous_hash=head.hash if head else GENESIS,
        )
        event.hash = hash_of(event)
        await unit.audit_events.append(event)
        return event
