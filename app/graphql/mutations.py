"""What can be changed. Every mutation goes through the write door; what the caller can mend comes as user errors."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any, TypeAlias
from uuid import UUID

import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from app.aep.models import PROFILE_CLASS
from app.context import RequestContext
from app.errors import NotFound, PublicError, Unauthenticated, UpstreamUnavailable
from app.graphql.context import Info
from app.graphql.ids import from_global_id
from app.graphql.types.audit_events import AuditEvent, to_audit_event
from app.graphql.types.dry_runs import DryRun, to_dry_run
from app.graphql.types.estimates import Estimate, to_estimate
from app.graphql.types.segment_definitions import SegmentDefinition, to_segment_definition
from app.graphql.types.shared import UserError, user_errors
from app.services.door import DryRunEnded, Written
from app.store.rows import SegmentDefinitionRow


@strawberry.input(description="A new segment definition.")
class CreateSegmentDefinitionInput:
    """What a definition is made of."""

    name: str = strawberry.field(description="Unique in the sandbox.")
    expression: str = strawberry.field(description="The rule, in PQL text.")
    description: str | None = strawberry.field(default=None, description="What the segment is for.")
    merge_policy_id: str | None = strawberry.field(default=None, description="AEP's default policy unless given.")
    ttl_in_days: int | None = strawberry.field(default=None, description="Life of its memberships.")
    evaluation: JSON | None = strawberry.field(default=None, description="AEP's evaluationInfo; batch unless given.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="Your own name for this change; the same key and input get the same answer."
    )
    dry_run: bool = strawberry.field(default=False, description="Whether to tell what would be done, and not do it.")

    def to_document(self) -> dict[str, Any]:
        """Return the body of AEP's create call."""
        document: dict[str, Any] = {
            "name": self.name,
            "expression": _rule(self.expression),
            "schema": {"name": PROFILE_CLASS},
        }
        return document | {member: value for member, value in _members(self).items() if value is not None}


@strawberry.input(description="A change of a segment definition; members that are left out stay, null clears.")
class UpdateSegmentDefinitionInput:
    """What to change."""

    id: strawberry.ID = strawberry.field(description="Global id of the definition.")
    name: str | None = strawberry.field(default=UNSET, description="A new name.")
    expression: str | None = strawberry.field(default=UNSET, description="A new rule, in PQL text.")
    description: str | None = strawberry.field(default=UNSET, description="A new description.")
    merge_policy_id: str | None = strawberry.field(default=UNSET, description="Another merge policy.")
    ttl_in_days: int | None = strawberry.field(default=UNSET, description="Another life of its memberships.")
    evaluation: JSON | None = strawberry.field(default=UNSET, description="AEP's evaluationInfo.")
    expected_version: int | None = strawberry.field(
        default=None, description="The version that you have seen; a newer one is not overwritten."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="Your own name for this change; the same key and input get the same answer."
    )
    dry_run: bool = strawberry.field(default=False, description="Whether to tell what would be done, and not do it.")

    def to_patch(self) -> dict[str, Any]:
        """Return the body of AEP's PATCH call: what was given, null included."""
        patch = {member: value for member, value in _members(self).items() if value is not UNSET}
        if self.name is not UNSET:
            patch["name"] = self.name
        if self.expression is not UNSET:
            patch["expression"] = None if self.expression is None else _rule(self.expression)
        return patch


@strawberry.input(description="Which segment definition to delete.")
class DeleteSegmentDefinitionInput:
    """What to delete."""

    id: strawberry.ID = strawberry.field(description="Global id of the definition.")
    expected_version: int | None = strawberry.field(
        default=None, description="The version that you have seen; a newer one is not overwritten."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="Your own name for this change; the same key and input get the same answer."
    )
    dry_run: bool = strawberry.field(default=False, description="Whether to tell what would be done, and not do it.")


@strawberry.input(description="Which version of a segment definition to bring back.")
class RestoreSegmentDefinitionInput:
    """What to restore."""

    id: strawberry.ID = strawberry.field(description="Global id of the definition.")
    version: int = strawberry.field(description="Number of the version, from its revisions.")
    expected_version: int | None = strawberry.field(
        default=None, description="The version that you have seen; a newer one is not overwritten."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="Your own name for this change; the same key and input get the same answer."
    )
    dry_run: bool = strawberry.field(default=False, description="Whether to tell what would be done, and not do it.")


@strawberry.input(description="A rule to estimate.")
class EstimateSegmentInput:
    """What to estimate."""

    expression: str = strawberry.field(description="The rule, in PQL text.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="Your own name for this change; the same key and input get the same answer."
    )
    dry_run: bool = strawberry.field(default=False, description="Whether to tell what would be done, and not do it.")


_Change: TypeAlias = (
    CreateSegmentDefinitionInput
    | UpdateSegmentDefinitionInput
    | DeleteSegmentDefinitionInput
    | RestoreSegmentDefinitionInput
    | EstimateSegmentInput
)


@strawberry.type(description="What became of a change of a segment definition.")
class SegmentDefinitionPayload:
    """The definition as it is now, or as it last was when it was deleted."""

    segment_definition: SegmentDefinition | None = strawberry.field(
        default=None, description="The definition; null when nothing was written."
    )
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why nothing was written; empty on success."
    )
    audit_event: AuditEvent | None = strawberry.field(default=None, description="What the audit says of it.")
    dry_run: DryRun | None = strawberry.field(default=None, description="What would be done; null without dryRun.")


@strawberry.type(description="What became of the start of an estimate.")
class EstimateSegmentPayload:
    """The estimate as it begins; ask for it again until its state is final."""

    estimate: Estimate | None = strawberry.field(default=None, description="The estimate; null when none was started.")
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why none was started; empty on success."
    )
    audit_event: AuditEvent | None = strawberry.field(default=None, description="What the audit says of it.")
    dry_run: DryRun | None = strawberry.field(default=None, description="What would be done; null without dryRun.")


@strawberry.type(description="Everything that can be changed, in one organization and sandbox.")
class Mutation:
    """Changes go to AEP at once and are in the cache when the answer comes."""

    @strawberry.mutation(description="Makes a segment definition. Needs “Manage Segments”.")
    async def create_segment_definition(
        self, info: Info, input: CreateSegmentDefinitionInput
    ) -> SegmentDefinitionPayload:
        """Create a definition."""
        ctx = _with_terms(info, input)
        return await _definition_payload(info, ctx, info.context.services.definitions.create(ctx, input.to_document()))

    @strawberry.mutation(description="Changes a segment definition. Needs “Manage Segments”.")
    async def update_segment_definition(
        self, info: Info, input: UpdateSegmentDefinitionInput
    ) -> SegmentDefinitionPayload:
        """Update a definition."""
        definitions, ctx = info.context.services.definitions, _with_terms(info, input)

        async def write() -> Written[SegmentDefinitionRow]:
            aep_id = await definitions.aep_id_for(ctx, _row_id(input.id), "update_segment_definition")
            return await definitions.update(ctx, aep_id, input.to_patch())

        return await _definition_payload(info, ctx, write())

    @strawberry.mutation(
        description="Brings an earlier version of a segment definition back, as a new one. Needs “Manage Segments”."
    )
    async def restore_segment_definition(
        self, info: Info, input: RestoreSegmentDefinitionInput
    ) -> SegmentDefinitionPayload:
        """Restore a definition."""
        services, ctx = info.context.services, _with_terms(info, input)

        async def write() -> Written[SegmentDefinitionRow]:
            aep_id = await services.definitions.aep_id_for(ctx, _row_id(input.id), "update_segment_definition")
            return await services.revisions.restore(ctx, aep_id, input.version)

        return await _definition_payload(info, ctx, write())

    @strawberry.mutation(description="Deletes a segment definition. Needs “Manage Segments”.")
    async def delete_segment_definition(
        self, info: Info, input: DeleteSegmentDefinitionInput
    ) -> SegmentDefinitionPayload:
        """Delete a definition."""
        definitions, ctx = info.context.services.definitions, _with_terms(info, input)

        async def write() -> Written[SegmentDefinitionRow]:
            aep_id = await definitions.aep_id_for(ctx, _row_id(input.id), "delete_segment_definition")
            return await definitions.delete(ctx, aep_id)

        return await _definition_payload(info, ctx, write())

    @strawberry.mutation(description="Starts an estimate of a rule that need not be saved. Needs “View Segments”.")
    async def estimate_segment(self, info: Info, input: EstimateSegmentInput) -> EstimateSegmentPayload:
        """Start an estimate."""
        services, ctx = info.context.services, _with_terms(info, input)
        try:
            written = await services.estimates.start(ctx, input.expression)
        except PublicError as problem:
            return EstimateSegmentPayload(user_errors=_mendable(problem))
        except DryRunEnded as ended:
            return EstimateSegmentPayload(dry_run=to_dry_run(await services.dry_runs.complete(ctx, ended)))
        return EstimateSegmentPayload(
            estimate=to_estimate(written.value), audit_event=to_audit_event(written.audit_event)
        )


async def _definition_payload(
    info: Info, ctx: RequestContext, writing: Awaitable[Written[SegmentDefinitionRow]]
) -> SegmentDefinitionPayload:
    """Carry a change of a definition out and tell what became of it."""
    try:
        written = await writing
    except PublicError as problem:
        return SegmentDefinitionPayload(user_errors=_mendable(problem))
    except DryRunEnded as ended:
        return SegmentDefinitionPayload(dry_run=to_dry_run(await info.context.services.dry_runs.complete(ctx, ended)))
    return SegmentDefinitionPayload(
        segment_definition=to_segment_definition(written.value), audit_event=to_audit_event(written.audit_event)
    )


def _mendable(problem: PublicError) -> list[UserError]:
    """Return an error as data when the caller can mend it; raise it otherwise."""
    if isinstance(problem, Unauthenticated | UpstreamUnavailable):
        raise problem
    return user_errors(problem)


def _with_terms(info: Info, given: _Change) -> RequestContext:
    """Return the request's context with what an input says about how a change is to be made."""
    expected = getattr(given, "expected_version", None)
    return replace(
        info.context.request,
        idempotency_key=given.idempotency_key,
        expected_version=expected,
        dry_run=given.dry_run,
    )


def _row_id(global_id: str) -> UUID:
    """Return the row that a global id names. Raises `NotFound`."""
    found = from_global_id(global_id)
    if found is None or found[0] != "SegmentDefinition":
        raise NotFound(f"{global_id} is not the id of a segment definition.", hint="Take the id from a query.")
    return found[1]


def _rule(expression: str) -> dict[str, str]:
    return {"type": "PQL", "format": "pql/text", "value": expression}


def _members(given: CreateSegmentDefinitionInput | UpdateSegmentDefinitionInput) -> dict[str, Any]:
    """Return the members that a definition can be without, by AEP's names."""
    return {
        "description": given.description,
        "mergePolicyId": given.merge_policy_id,
        "ttlInDays": given.ttl_in_days,
        "evaluationInfo": given.evaluation,
    }
