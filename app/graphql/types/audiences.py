"""Audiences."""

from __future__ import annotations

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from app.graphql.context import Info
from app.graphql.ids import to_global_id
from app.graphql.types.shared import CacheState, Node, PageInfo, page_info, to_cache_state
from app.services.paging import Page, PageArgs
from app.store.rows import AudienceRow


@strawberry.type(description="A group of profiles: the population of a segment definition, or one made elsewhere.")
class Audience(Node):
    """An audience from the cache."""

    aep_id: str = strawberry.field(description="AEP's own id of the object.")
    audience_id: str = strawberry.field(description="Id in the audience's namespace; not always the same.")
    name: str = strawberry.field(description="Its name.")
    namespace: str = strawberry.field(description="Where it comes from, such as AEPSegments.")
    type: str = strawberry.field(description="SegmentDefinition or ExternalSegment.")
    origin_name: str = strawberry.field(description="What made it, such as REAL_TIME_CUSTOMER_PROFILE.")
    lifecycle_state: str = strawberry.field(description="draft, published or inactive.")
    updated_at: datetime = strawberry.field(description="When it was last changed.")
    synced_at: datetime = strawberry.field(description="When AEP last confirmed it.")
    document: JSON = strawberry.field(description="The audience exactly as AEP sent it.")

    @strawberry.field(description="Whether AEP may have moved on since the cache was last read.")
    async def stale(self, info: Info) -> bool:
        """Tell the freshness."""
        return (await info.context.services.audiences.freshness(info.context.request)).stale


def to_audience(row: AudienceRow) -> Audience:
    """Return a row as the schema's type."""
    return Audience(
        id=strawberry.ID(to_global_id("Audience", row.id)),
        aep_id=row.aep_id,
        audience_id=row.audience_id,
        name=row.name,
        namespace=row.namespace,
        type=row.type,
        origin_name=row.origin_name,
        lifecycle_state=row.lifecycle_state,
        updated_at=row.updated_at,
        synced_at=row.synced_at,
        document=JSON(row.document),
    )


@strawberry.type(description="An audience and its place in the list.")
class AudienceEdge:
    """An edge of the connection."""

    cursor: str = strawberry.field(description="Place in the list.")
    node: Audience = strawberry.field(description="The audience.")


@strawberry.type(description="A page of audiences, by name.")
class AudienceConnection:
    """Relay's connection."""

    edges: list[AudienceEdge] = strawberry.field(description="Audiences with their cursors.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")
    name_contains: strawberry.Private[str | None]

    @strawberry.field(description="The audiences without cursors.")
    def nodes(self) -> list[Audience]:
        """Return the audiences alone."""
        return [edge.node for edge in self.edges]

    @strawberry.field(description="How many audiences the filter leaves; counted only when asked for.")
    async def total_count(self, info: Info) -> int:
        """Count the audiences."""
        ctx = info.context
        page = await ctx.services.audiences.page(
            ctx.request, name_contains=self.name_contains, page=PageArgs(first=1), with_total=True
        )
        return page.total or 0

    @strawberry.field(description="How old this answer is.")
    async def cache(self, info: Info) -> CacheState:
        """Tell the freshness of the list."""
        return to_cache_state(await info.context.services.audiences.freshness(info.context.request))


def to_audience_connection(page: Page[AudienceRow], name_contains: str | None) -> AudienceConnection:
    """Return a page as the schema's connection."""
    pairs = zip(page.cursors, page.items, strict=True)
    return AudienceConnection(
        edges=[AudienceEdge(cursor=cursor, node=to_audience(row)) for cursor, row in pairs],
        page_info=page_info(page),
        name_contains=name_contains,
    )


@strawberry.input(description="Which audiences to list; members that are left out do not restrict.")
class AudienceFilterInput:
    """Filter of the list."""

    name: str | None = strawberry.field(default=None, description="A part of the name, in any letter case.")
