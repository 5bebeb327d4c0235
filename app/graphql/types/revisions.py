"""Versions of segment definitions, what they changed, and who brought which clause."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry
from strawberry.scalars import JSON

from app.graphql.context import Info
from app.graphql.ids import to_global_id
from app.graphql.types.attributions import Attribution, to_attribution
from app.graphql.types.expressions import Expression, to_expression
from app.graphql.types.shared import MemberChange, Node, PageInfo, Span, page_info, to_member_change
from app.pql import Change
from app.pql.spans import position
from app.services.paging import Page, PageArgs
from app.services.revisions import Blame, Revision, changes_of


@strawberry.enum(description="Where a version comes from.")
class RevisionSource(Enum):
    """UPSTREAM was made behind the gateway, in Adobe's own pages for example."""

    GATEWAY = "gateway"
    RESTORE = "restore"
    UPSTREAM = "upstream"


@strawberry.enum(description="What happened to a clause.")
class ClauseChangeKind(Enum):
    """A changed clause has both texts."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@strawberry.type(description="A change of a clause of a rule.")
class ClauseChange:
    """Texts are as their authors wrote them."""

    kind: ClauseChangeKind = strawberry.field(description="What happened.")
    before: str | None = strawberry.field(description="The clause as it was; null when it was added.")
    after: str | None = strawberry.field(description="The clause as it is; null when it was removed.")
    among: str | None = strawberry.field(description="What joins it with its neighbours: and, or; null for a whole.")


@strawberry.type(description="What a version changed.")
class RevisionChanges:
    """Against the version before it."""

    same_meaning: bool | None = strawberry.field(
        description="Whether the rule means what it meant; null when it cannot be told."
    )
    clauses: list[ClauseChange] | None = strawberry.field(
        description="Changes of the rule; null when a rule cannot be read or there is no version before."
    )
    members: list[MemberChange] = strawberry.field(description="Changes of everything else that people edit.")


@strawberry.type(description="One version of a segment definition.")
class SegmentDefinitionRevision(Node):
    """A version, which never changes."""

    aep_id: str = strawberry.field(description="AEP's id of the definition.")
    version: int = strawberry.field(description="Number of the version, from 1.")
    at: datetime = strawberry.field(description="Since when it is in force, as far as is known.")
    seen_at: datetime = strawberry.field(description="When the gateway learned of it.")
    source: RevisionSource = strawberry.field(description="Where it comes from.")
    author: Attribution = strawberry.field(description="Who made it.")
    deleted: bool = strawberry.field(description="Whether it is the end of the definition.")
    restored_from: int | None = strawberry.field(description="The version that it brought back, if it did.")
    name: str = strawberry.field(description="The name in this version.")
    expression: Expression = strawberry.field(description="The rule in this version.")
    rule_hash: str | None = strawberry.field(description="Equal for rules that are only spelled differently.")
    document: JSON = strawberry.field(description="The definition exactly as AEP sent it.")
    revision: strawberry.Private[Revision]

    @strawberry.field(description="What it changed.")
    def changes(self) -> RevisionChanges:
        """Compare it with the version before."""
        found = changes_of(self.revision)
        return RevisionChanges(
            same_meaning=found.same_meaning,
            clauses=None if found.clauses is None else [_clause_change(one) for one in found.clauses],
            members=[to_member_change(one) for one in found.members],
        )


def _clause_change(found: Change) -> ClauseChange:
    return ClauseChange(
        kind=ClauseChangeKind(found.kind),
        before=found.before.text if found.before else None,
        after=found.after.text if found.after else None,
        among=found.among,
    )


def to_revision(found: Revision) -> SegmentDefinitionRevision:
    """Return a version as the schema's type."""
    row = found.row
    return SegmentDefinitionRevision(
        id=strawberry.ID(to_global_id("SegmentDefinitionRevision", row.id)),
        aep_id=row.aep_id,
        version=row.version,
        at=row.at,
        seen_at=row.seen_at,
        source=RevisionSource(row.source),
        author=to_attribution(found.author),
        deleted=row.deleted,
        restored_from=row.restored_from,
        name=str(row.document.get("name") or ""),
        expression=to_expression(row.document),
        rule_hash=row.rule_hash,
        document=JSON(row.document),
        revision=found,
    )


@strawberry.type(description="A version and its place in the list.")
class SegmentDefinitionRevisionEdge:
    """An edge of the connection."""

    cursor: str = strawberry.field(description="Place in the list.")
    node: SegmentDefinitionRevision = strawberry.field(description="The version.")


@strawberry.type(description="A page of versions, newest first.")
class SegmentDefinitionRevisionConnection:
    """Relay's connection."""

    edges: list[SegmentDefinitionRevisionEdge] = strawberry.field(description="Versions with their cursors.")
    page_info: PageInfo = strawberry.field(description="Where this page stands.")
    aep_id: strawberry.Private[str]

    @strawberry.field(description="The versions without cursors.")
    def nodes(self) -> list[SegmentDefinitionRevision]:
        """Return the versions alone."""
        return [edge.node for edge in self.edges]

    @strawberry.field(description="How many versions there are; counted only when asked for.")
    async def total_count(self, info: Info) -> int:
        """Count the versions."""
        ctx = info.context
        page = await ctx.services.revisions.page(ctx.request, self.aep_id, PageArgs(first=1), with_total=True)
        return page.total or 0


def to_revision_connection(page: Page[Revision], aep_id: str) -> SegmentDefinitionRevisionConnection:
    """Return a page as the schema's connection."""
    pairs = zip(page.cursors, page.items, strict=True)
    return SegmentDefinitionRevisionConnection(
        edges=[SegmentDefinitionRevisionEdge(cursor=cursor, node=to_revision(one)) for cursor, one in pairs],
        page_info=page_info(page),
        aep_id=aep_id,
    )


@strawberry.type(description="A clause of a rule, and the version that brought it.")
class BlamedClause:
    """A clause is what and and or join."""

    text: str = strawberry.field(description="The clause as its author wrote it.")
    span: Span = strawberry.field(description="Where it stands; for a rule in pql/json, in its canonical text.")
    version: int = strawberry.field(description="The version that brought it.")
    at: datetime = strawberry.field(description="When that was.")
    source: RevisionSource = strawberry.field(description="Where that version comes from.")
    author: Attribution = strawberry.field(description="Who brought it.")


def to_blamed_clause(text: str, found: Blame) -> BlamedClause:
    """Return a clause as the schema's type; ``text`` is the whole rule."""
    start, end = found.clause.span
    line, column = position(text, found.clause.span)
    return BlamedClause(
        text=found.clause.text,
        span=Span(start=start, end=end, line=line, column=column),
        version=found.revision.version,
        at=found.revision.at,
        source=RevisionSource(found.revision.source),
        author=to_attribution(found.author),
    )
