"""Segment definitions."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any

import strawberry
from strawberry.scalars import JSON

from app.errors import NotFound
from app.graphql.context import Info
from app.graphql.ids import to_global_id
from app.graphql.types.attributions import Attribution, to_attribution
from app.graphql.types.audit_events import AuditEventConnection, to_connection
from app.graphql.types.expressions import Expression, to_expression
from app.graphql.types.revisions import (
    BlamedClause,
    SegmentDefinitionRevision,
    SegmentDefinitionRevisionConnection,
    to_blamed_clause,
    to_revision,
    to_revision_connection,
)
from app.graphql.types.shared import CacheState, Node, OrderDirection, PageInfo, page_info, to_cache_state, to_instant
from app.services.attribution import created_by, updated_by
from app.services.paging import Page, PageArgs
from app.services.segment_definitions import DefinitionFilter, DefinitionOrder, DefinitionOrderField
from app.store.audit_events import AuditEventFilter
from app.store.rows import SegmentDefinitionRow


@strawberry.type(description="A rule that says which profiles belong to an audience.")
class SegmentDefinition(Node):
    """A segment definition from the cache."""

    aep_id: str = strawberry.field(description="AEP's own id.")
    name: str = strawberry.field(description="Unique in the sandbox.")
    description: str | None = strawberry.field(description="What the segment is for.")
    expression: Expression = strawberry.field(description="The rule.")
    evaluation: JSON = strawberry.field(description="AEP's evaluationInfo: batch, continuous, synchronous.")
    merge_policy_id: str | None = strawberry.field(description="The merge policy that it is evaluated with.")
    ttl_in_days: int | None = strawberry.field(description="Life of its memberships.")
    created_at: datetime = strawberry.field(description="When it was made.")
    updated_at: datetime = strawberry.field(description="When it was last changed.")
    created_by: Attribution = strawberry.field(description="Who made it.")
    updated_by: Attribution = strawberry.field(description="Who changed it last.")
    version: int = strawberry.field(description="Counts the changes that the gateway has seen, from 1.")
    synced_at: datetime = strawberry.field(description="When AEP last confirmed it.")
    document: JSON = strawberry.field(description="The definition exactly as AEP sent it.")

    @strawberry.field(description="What was done to this definition, newest first.")
    async def audit_events(self, info: Info, first: int | None = 10, after: str | None = None) -> AuditEventConnection:
        """List the audit of this definition."""
        ctx = info.context
        wanted = AuditEventFilter(resource_id=self.aep_id)
        page = await ctx.services.audit.page(ctx.request, filter=wanted, page=PageArgs(first=first, after=after))
        return to_connection(page, wanted)

    @strawberry.field(description="Every version of this definition, newest first.")
    async def revisions(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> SegmentDefinitionRevisionConnection:
        """List the versions."""
        ctx = info.context
        page = await ctx.services.revisions.page(ctx.request, self.aep_id, PageArgs(first, after, last, before))
        return to_revision_connection(page, self.aep_id)

    @strawberry.field(description="The definition as it was at a time; null when nothing is known of it then.")
    async def as_of(self, info: Info, at: datetime) -> SegmentDefinitionRevision | None:
        """Look back."""
        ctx = info.context
        try:
            return to_revision(await ctx.services.revisions.as_of(ctx.request, self.aep_id, to_instant(at, "at")))
        except NotFound:
            return None

    @strawberry.field(description="The clauses of the rule, each with the version that brought it, and its author.")
    async def blame(self, info: Info) -> list[BlamedClause]:
        """Tell who brought what."""
        ctx = info.context
        found = await ctx.services.revisions.blame(ctx.request, self.aep_id)
        return [to_blamed_clause(self.expression.text, one) for one in found]

    @strawberry.field(description="Whether AEP may have moved on since the cache was last read.")
    async def stale(self, info: Info) -> bool:
        """Tell the freshness."""
        return (await info.context.services.definitions.freshness(info.context.request)).stale


def to_segment_definition(row: SegmentDefinitionRow) -> SegmentDefinition:
    """Return a row as the schema's type."""
    document: dict[str, Any] = row.document
    return SegmentDefinition(
        id=strawberry.ID(to_global_id("SegmentDefinition", row.id)),
        aep_id=row.aep_id,
        name=row.name,
        description=row.description,
        expression=to_expression(document),
        evaluation=JSON(document.get("evaluationInfo") or {}),
        merge_policy_id=document.get("mergePolicyId"),
        ttl_in_days=document.get("ttlInDays"),
        created_at=row.created_at,
        updated_at=row.updated_at,
        created_by=to_attribution(created_by(row)),
        updated_by=to_attribution(updated_by(row)),
        version=row.version,
        synced_at=row.synced_at,
        document=JSON(document),
    )


@strawberry.type(description="A segment definition and its place in the list.")
class SegmentDefinitionEdge:
    """An edge of the connection."""

    cursor: str = strawberry.field(description="Place in the list; stays good when others come and go.")
    node: SegmentDefinition = strawberry.field(description="The definition.")


@strawberry.type(description="A page of segment definitions.")
class SegmentDefinitionConnection:
    """Relay's connection."""

    edges: list[SegmentDefinitionEdge] = strawberry.field(description="Definitions with their cursors.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")
    filter: strawberry.Private[DefinitionFilter]

    @strawberry.field(description="The definitions without cursors.")
    def nodes(self) -> list[SegmentDefinition]:
        """Return the definitions alone."""
        return [edge.node for edge in self.edges]

    @strawberry.field(description="How many definitions the filter leaves; counted only when asked for.")
    async def total_count(self, info: Info) -> int:
        """Count the definitions."""
        ctx = info.context
        page = await ctx.services.definitions.page(
            ctx.request, filter=self.filter, page=PageArgs(first=1), with_total=True
        )
        return page.total or 0

    @strawberry.field(description="How old this answer is.")
    async def cache(self, info: Info) -> CacheState:
        """Tell the freshness of the list."""
        return to_cache_state(await info.context.services.definitions.freshness(info.context.request))


def to_definition_connection(page: Page[SegmentDefinitionRow], wanted: DefinitionFilter) -> SegmentDefinitionConnection:
    """Return a page as the schema's connection."""
    pairs = zip(page.cursors, page.items, strict=True)
    return SegmentDefinitionConnection(
        edges=[SegmentDefinitionEdge(cursor=cursor, node=to_segment_definition(row)) for cursor, row in pairs],
        page_info=page_info(page),
        filter=wanted,
    )


@strawberry.input(description="Which definitions to list; members that are left out do not restrict.")
class SegmentDefinitionFilterInput:
    """Filter of the list."""

    name: str | None = strawberry.field(default=None, description="A part of the name, in any letter case.")


@strawberry.enum(description="What a list of definitions can be ordered by.")
class SegmentDefinitionOrderField(Enum):
    """Ties are broken by id."""

    NAME = "name"
    CREATED_AT = "creationTime"
    UPDATED_AT = "updateTime"


@strawberry.input(description="Order of a list of definitions.")
class SegmentDefinitionOrderInput:
    """Order of the list."""

    field: SegmentDefinitionOrderField = strawberry.field(description="What to order by.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")

    def to_order(self) -> DefinitionOrder:
        """Return the order as the service takes it."""
        return DefinitionOrder(DefinitionOrderField(self.field.value), self.direction is OrderDirection.DESC)
