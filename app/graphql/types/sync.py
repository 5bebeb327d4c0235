"""How old cached answers are, and may be."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Annotated, TypeAlias

import strawberry

from app.context import RequestContext
from app.errors import InvalidRequest
from app.graphql.context import Info
from app.services.freshness import SyncStatus as SyncStatusValue

MaxAge: TypeAlias = Annotated[
    int | None,
    strawberry.argument(
        description="Read through to AEP when the cached answer is older than this; 0 always does. With AEP away the "
        "answer comes from the cache all the same and says that it is stale."
    ),
]


def with_max_age(info: Info, max_age_seconds: int | None) -> RequestContext:
    """Return the request with how old its answer may be. Raises `InvalidRequest`."""
    if max_age_seconds is not None and max_age_seconds < 0:
        raise InvalidRequest("maxAgeSeconds must not be negative.", path=("maxAgeSeconds",))
    return replace(info.context.request, max_age_s=max_age_seconds)


@strawberry.enum(description="How a resource is read.")
class SyncMode(Enum):
    """What changed since the last time, or everything, with what is gone."""

    INCREMENTAL = "incremental"
    RECONCILING = "reconciling"


@strawberry.type(description="A read of a resource that is under way.")
class SyncProgress:
    """How far it is."""

    started_at: datetime = strawberry.field(description="When it began.")
    objects_read: int = strawberry.field(description="Objects read by now.")
    objects_total: int | None = strawberry.field(description="Objects in all, by AEP's count.")


@strawberry.type(description="How fresh the cache of one resource of the sandbox is.")
class SyncStatus:
    """One for each resource that is kept."""

    resource: str = strawberry.field(description="segment_definitions, audiences, schedules, segment_jobs or schemas.")
    synced_at: datetime | None = strawberry.field(description="Start of the last read that succeeded.")
    stale: bool = strawberry.field(description="Whether the cache may be behind AEP.")
    reason: str | None = strawberry.field(description="Why, when it may.")
    mode: SyncMode | None = strawberry.field(description="How it was or is read.")
    objects: int = strawberry.field(description="Objects at the last complete read.")
    reconciled_at: datetime | None = strawberry.field(description="Start of the last complete read.")
    failed_at: datetime | None = strawberry.field(description="When a read last failed.")
    running: SyncProgress | None = strawberry.field(description="The read that is under way; null between two.")


def to_sync_status(found: SyncStatusValue) -> SyncStatus:
    """Return a status as the schema's type."""
    state = found.state
    running = None
    if state is not None and state.started_at is not None:
        running = SyncProgress(
            started_at=state.started_at, objects_read=state.objects_read, objects_total=state.objects_total
        )
    return SyncStatus(
        resource=found.resource.value,
        synced_at=found.freshness.synced_at,
        stale=found.freshness.stale,
        reason=found.freshness.reason,
        mode=SyncMode(state.mode) if state is not None and state.mode is not None else None,
        objects=state.objects if state is not None else 0,
        reconciled_at=state.reconciled_at if state is not None else None,
        failed_at=state.failed_at if state is not None else None,
        running=running,
    )
