"""What can be asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import strawberry

from app.errors import InvalidRequest, NotFound
from app.graphql.context import Info
from app.graphql.ids import from_global_id
from app.graphql.types.audiences import Audience, AudienceConnection, AudienceFilterInput, to_audience
from app.graphql.types.audiences import to_audience_connection as audience_connection
from app.graphql.types.audit_events import AuditEventConnection, AuditEventFilterInput, to_audit_event, to_connection
from app.graphql.types.estimates import Estimate, to_estimate
from app.graphql.types.revisions import SegmentDefinitionRevision, to_revision
from app.graphql.types.rules import ConvertedPql, ConvertPqlInput, RuleReport, to_rule_report
from app.graphql.types.segment_definitions import (
    SegmentDefinition,
    SegmentDefinitionConnection,
    SegmentDefinitionFilterInput,
    SegmentDefinitionOrderInput,
    to_definition_connection,
    to_segment_definition,
)
from app.graphql.types.shared import ExpressionFormat, Node, to_diagnostic, to_instant
from app.graphql.types.sync import MaxAge, SyncStatus, to_sync_status, with_max_age
from app.graphql.types.viewer import Viewer, to_viewer
from app.services.paging import PageArgs
from app.services.segment_definitions import DefinitionFilter, DefinitionOrder
from app.store.audit_events import AuditEventFilter

MAX_NODES = 100

Row = TypeVar("Row")


@strawberry.type(description="Everything that can be asked, in one organization and sandbox.")
class Query:
    """Reads come from the cache, except estimates, which AEP is asked for."""

    @strawberry.field(description="The caller, and what he may do here.")
    async def viewer(self, info: Info) -> Viewer:
        """Tell who calls."""
        return to_viewer(await info.context.services.viewer.get(info.context.request))

    @strawberry.field(description="An object by its global id; null when there is none in this sandbox.")
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        """Find one object."""
        return await _node(info, id)

    @strawberry.field(description="Objects by their global ids, in that order; null for each that is not here.")
    async def nodes(self, info: Info, ids: list[strawberry.ID]) -> list[Node | None]:
        """Find several objects."""
        if len(ids) > MAX_NODES:
            raise InvalidRequest(f"At most {MAX_NODES} ids can be asked for at once, not {len(ids)}.", path=("ids",))
        return [await _node(info, one) for one in ids]

    @strawberry.field(description="A segment definition by global id or by AEP's id; null when it is not here.")
    async def segment_definition(
        self,
        info: Info,
        id: strawberry.ID | None = None,
        aep_id: str | None = None,
        max_age_seconds: MaxAge = None,
    ) -> SegmentDefinition | None:
        """Find a definition."""
        row_id = _one_of(id, aep_id, "SegmentDefinition")
        try:
            row = await info.context.services.definitions.get(
                with_max_age(info, max_age_seconds), row_id, aep_id=aep_id
            )
        except NotFound:
            return None
        return to_segment_definition(row)

    @strawberry.field(
        description="A version of a segment definition by its number or by a time at which it was in force, also of "
        "one that was deleted; null when there is none."
    )
    async def segment_definition_revision(
        self, info: Info, aep_id: str, version: int | None = None, as_of: datetime | None = None
    ) -> SegmentDefinitionRevision | None:
        """Find a version."""
        revisions, request = info.context.services.revisions, info.context.request
        try:
            if as_of is not None and version is None:
                return to_revision(await revisions.as_of(request, aep_id, to_instant(as_of, "asOf")))
            if version is not None and as_of is None:
                return to_revision(await revisions.get(request, aep_id, version))
        except NotFound:
            return None
        raise InvalidRequest("Give exactly one of version and asOf.", path=("version",))

    @strawberry.field(description="The sandbox's segment definitions; newest change first unless ordered otherwise.")
    async def segment_definitions(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: SegmentDefinitionFilterInput | None = None,
        order_by: SegmentDefinitionOrderInput | None = None,
        max_age_seconds: MaxAge = None,
    ) -> SegmentDefinitionConnection:
        """List definitions."""
        wanted = DefinitionFilter(name_contains=filter.name if filter else None)
        page = await info.context.services.definitions.page(
            with_max_age(info, max_age_seconds),
            filter=wanted,
            order=order_by.to_order() if order_by else DefinitionOrder(),
            page=PageArgs(first, after, last, before),
        )
        return to_definition_connection(page, wanted)

    @strawberry.field(description="An audience by global id or by AEP's id; null when it is not here.")
    async def audience(
        self,
        info: Info,
        id: strawberry.ID | None = None,
        aep_id: str | None = None,
        max_age_seconds: MaxAge = None,
    ) -> Audience | None:
        """Find an audience."""
        row_id = _one_of(id, aep_id, "Audience")
        try:
            row = await info.context.services.audiences.get(with_max_age(info, max_age_seconds), row_id, aep_id=aep_id)
        except NotFound:
            return None
        return to_audience(row)

    @strawberry.field(description="The sandbox's audiences, by name.")
    async def audiences(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: AudienceFilterInput | None = None,
        max_age_seconds: MaxAge = None,
    ) -> AudienceConnection:
        """List audiences."""
        name_contains = filter.name if filter else None
        page = await info.context.services.audiences.page(
            with_max_age(info, max_age_seconds), name_contains=name_contains, page=PageArgs(first, after, last, before)
        )
        return audience_connection(page, name_contains)

    @strawberry.field(description="How fresh the cache of this sandbox is, and how far reads from AEP are.")
    async def sync_status(self, info: Info) -> list[SyncStatus]:
        """Tell the state of the cache."""
        return [to_sync_status(one) for one in await info.context.services.freshness.status(info.context.request)]

    @strawberry.field(description="How an estimate stands; null when AEP does not know it in this sandbox.")
    async def estimate(self, info: Info, preview_id: str) -> Estimate | None:
        """Read an estimate from AEP."""
        try:
            return to_estimate(await info.context.services.estimates.get(info.context.request, preview_id))
        except NotFound:
            return None

    @strawberry.field(description="Who did what in this organization, newest operation first, over all sandboxes.")
    async def audit_events(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: AuditEventFilterInput | None = None,
    ) -> AuditEventConnection:
        """List the audit."""
        wanted = filter.to_filter() if filter else AuditEventFilter()
        page = await info.context.services.audit.page(
            info.context.request, filter=wanted, page=PageArgs(first, after, last, before)
        )
        return to_connection(page, wanted)

    @strawberry.field(description="Checks a rule against this sandbox's own fields; nothing is sent.")
    async def validate_pql(
        self, info: Info, expression: str, format: ExpressionFormat = ExpressionFormat.PQL_TEXT
    ) -> RuleReport:
        """Check a rule."""
        report = await info.context.services.rules.check(info.context.request, expression, format.value)
        return to_rule_report(report)

    @strawberry.field(description="Converts a rule between pql/text and pql/json; nothing is sent.")
    async def convert_pql(self, info: Info, input: ConvertPqlInput) -> ConvertedPql:
        """Convert a rule."""
        converted = info.context.services.rules.convert(info.context.request, input.value, input.format.value)
        return ConvertedPql(
            format=ExpressionFormat(converted.format),
            value=converted.value,
            diagnostics=[to_diagnostic(one) for one in converted.diagnostics],
        )


def _one_of(global_id: str | None, aep_id: str | None, type_name: str) -> UUID | None:
    """Return the row id that a global id names; an id of another type names nothing."""
    if (global_id is None) == (aep_id is None):
        raise InvalidRequest("Give exactly one of id and aepId.", path=("id",))
    if global_id is None:
        return None
    found = from_global_id(global_id)
    return found[1] if found is not None and found[0] == type_name else UUID(int=0)


async def _node(info: Info, global_id: str) -> Node | None:
    services, request = info.context.services, info.context.request
    match from_global_id(global_id):
        case ("SegmentDefinition", row_id):
            find = services.definitions.get(request, row_id)
            return await _or_none(find, to_segment_definition)
        case ("Audience", row_id):
            return await _or_none(services.audiences.get(request, row_id), to_audience)
        case ("SegmentDefinitionRevision", row_id):
            return await _or_none(services.revisions.by_id(request, row_id), to_revision)
        case ("AuditEvent", row_id):
            return await _or_none(services.audit.get(request, row_id), to_audit_event)
    return None


async def _or_none(answer: Awaitable[Row], to_type: Callable[[Row], Node]) -> Node | None:
    try:
        return to_type(await answer)
    except NotFound:
        return None
