"""Audit events."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry
from strawberry.scalars import JSON

from app.graphql.context import Info
from app.graphql.ids import to_global_id
from app.graphql.types.shared import Node, PageInfo, page_info, to_instant
from app.services.audit import read_actor_id
from app.services.paging import Page, PageArgs
from app.store.audit_events import AuditEventFilter
from app.store.rows import AuditEventRow


@strawberry.enum(description="What kind of caller an actor is.")
class ActorKind(Enum):
    """A person, an integration, the gateway itself, or somebody at AEP past the gateway."""

    PERSON = "person"
    INTEGRATION = "integration"
    SYSTEM = "system"
    UPSTREAM = "upstream"


@strawberry.enum(description="Where an operation stands.")
class AuditPhase(Enum):
    """UNKNOWN means that AEP did not answer and may have acted all the same; OBSERVED that it was seen at AEP."""

    INTENT = "intent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    DENIED = "denied"
    RECORDED = "recorded"
    OBSERVED = "observed"


@strawberry.type(description="What an audit event is about.")
class AuditResource:
    """The object of an operation."""

    type: str = strawberry.field(description="Kind of object, such as segment_definition.")
    id: str | None = strawberry.field(description="AEP's id; null while it has none.")
    name: str | None = strawberry.field(description="Its name at that time.")


@strawberry.type(description="One operation of one actor, with its newest phase.")
class AuditEvent(Node):
    """A link of the organization's audit chain."""

    sequence: int = strawberry.field(description="Number in the organization's chain.")
    operation_id: str = strawberry.field(description="The same for all events of one operation.")
    at: datetime = strawberry.field(description="When it was written.")
    phase: AuditPhase = strawberry.field(description="Where the operation stands.")
    action: str = strawberry.field(description="What was done, such as sandbox:segment_definition:create.")
    actor_kind: ActorKind = strawberry.field(description="What kind of caller it was.")
    actor_id: str | None = strawberry.field(description="The gateway's id of the caller; null for its own doing.")
    actor_name: str = strawberry.field(description="A person's e-mail address or an integration's name.")
    entrance: str = strawberry.field(description="graphql, facade, rest or cli.")
    sandbox: str | None = strawberry.field(description="The sandbox, for operations in one.")
    resource: AuditResource = strawberry.field(description="What it was done to.")
    request_id: str = strawberry.field(description="The request that it belonged to.")
    upstream_request_id: str | None = strawberry.field(description="AEP's own id of the call.")
    detail: JSON = strawberry.field(description="More about it; never a secret and never profile data.")
    hash: str = strawberry.field(description="SHA-256 over the event and the hash before it, in hex.")


def to_audit_event(row: AuditEventRow) -> AuditEvent:
    """Return a row as the schema's type."""
    return AuditEvent(
        id=strawberry.ID(to_global_id("AuditEvent", row.id)),
        sequence=row.sequence,
        operation_id=str(row.operation_id),
        at=row.at,
        phase=AuditPhase(row.phase),
        action=row.action,
        actor_kind=ActorKind(row.actor_kind),
        actor_id=None if row.actor_id is None else str(row.actor_id),
        actor_name=row.actor_name,
        entrance=row.entrance,
        sandbox=row.sandbox_name,
        resource=AuditResource(type=row.resource_type, id=row.resource_id, name=row.resource_name),
        request_id=row.request_id,
        upstream_request_id=row.upstream_request_id,
        detail=JSON(row.detail),
        hash=row.hash,
    )


@strawberry.type(description="An audit event and its place in the list.")
class AuditEventEdge:
    """An edge of the connection."""

    cursor: str = strawberry.field(description="Place in the list.")
    node: AuditEvent = strawberry.field(description="The event.")


@strawberry.type(description="A page of the audit, newest operation first.")
class AuditEventConnection:
    """Relay's connection."""

    edges: list[AuditEventEdge] = strawberry.field(description="Events with their cursors.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")
    filter: strawberry.Private[AuditEventFilter]

    @strawberry.field(description="The events without cursors.")
    def nodes(self) -> list[AuditEvent]:
        """Return the events alone."""
        return [edge.node for edge in self.edges]

    @strawberry.field(description="How many operations the filter leaves; counted only when asked for.")
    async def total_count(self, info: Info) -> int:
        """Count the operations."""
        ctx = info.context
        page = await ctx.services.audit.page(ctx.request, filter=self.filter, page=PageArgs(first=1), with_total=True)
        return page.total or 0


def to_connection(page: Page[AuditEventRow], wanted: AuditEventFilter) -> AuditEventConnection:
    """Return a page as the schema's connection."""
    pairs = zip(page.cursors, page.items, strict=True)
    return AuditEventConnection(
        edges=[AuditEventEdge(cursor=cursor, node=to_audit_event(row)) for cursor, row in pairs],
        page_info=page_info(page),
        filter=wanted,
    )


@strawberry.input(description="Which operations to list; members that are left out do not restrict.")
class AuditEventFilterInput:
    """Filter of the audit."""

    actor_kind: ActorKind | None = strawberry.field(default=None, description="Callers of this kind.")
    actor_id: str | None = strawberry.field(default=None, description="The gateway's id of the person or integration.")
    actor_name: str | None = strawberry.field(default=None, description="Exactly this person or integration.")
    action: str | None = strawberry.field(default=None, description="Exactly this action.")
    phase: AuditPhase | None = strawberry.field(default=None, description="Operations that stand here.")
    entrance: str | None = strawberry.field(default=None, description="graphql, facade, rest, cli or sync.")
    sandbox: str | None = strawberry.field(default=None, description="The name of the sandbox.")
    resource_type: str | None = strawberry.field(
        default=None, description="Kind of object, such as segment_definition."
    )
    resource_id: str | None = strawberry.field(default=None, description="AEP's id of the object.")
    request_id: str | None = strawberry.field(default=None, description="The request that they belonged to.")
    since: datetime | None = strawberry.field(default=None, description="At this instant or later.")
    until: datetime | None = strawberry.field(default=None, description="Before this instant.")

    def to_filter(self) -> AuditEventFilter:
        """Return the filter as the service takes it."""
        return AuditEventFilter(
            actor_kind=self.actor_kind.value if self.actor_kind else None,
            actor_id=read_actor_id(self.actor_id, "filter", "actorId"),
            actor_name=self.actor_name,
            action=self.action,
            phase=self.phase.value if self.phase else None,
            entrance=self.entrance,
            sandbox_name=self.sandbox,
            resource_type=self.resource_type,
            resource_id=self.resource_id,
            request_id=self.request_id,
            since=to_instant(self.since, "filter", "since") if self.since else None,
            until=to_instant(self.until, "filter", "until") if self.until else None,
        )
