"""On whose account something is administered: what the audit says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.aep.headers import new_request_id
from app.audit.actions import Action, Phase
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.context import Actor, ActorKind, Entrance, RequestContext
from app.store.database import WriteUnit

_SYSTEM_ACTOR_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Author:
    """Who administers, and through which entrance."""

    kind: ActorKind
    id: UUID
    name: str
    entrance: Entrance
    request_id: str

    @classmethod
    def of(cls, ctx: RequestContext) -> Author:
        """Return the author of a request."""
        return cls(ctx.actor.kind, ctx.actor.id, ctx.actor.name, ctx.entrance, ctx.request_id)

    @classmethod
    def command(cls, name: str) -> Author:
        """Return the author of what a command does: ``segment-gateway tenant retire-credential``."""
        return cls(ActorKind.SYSTEM, _SYSTEM_ACTOR_ID, name, Entrance.CLI, new_request_id())

    async def record(
        self, recorder: AuditRecorder, unit: WriteUnit, action: Action, about: Resource, **detail: Any
    ) -> None:
        """Write into the audit what was done, in the transaction that does it."""
        await unit.flush()
        actor = Actor(self.kind, self.id, self.name, unit.tenant_id)
        operation = Operation(action, about, actor, self.entrance, self.request_id)
        await recorder.record(unit, operation, Phase.RECORDED, detail=detail)
