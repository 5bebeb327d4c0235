"""What a change would do."""

from __future__ import annotations

import strawberry
from strawberry.scalars import JSON

from app.graphql.types.estimates import Estimate, to_estimate
from app.graphql.types.rules import Eligibility, to_eligibility
from app.graphql.types.shared import Diagnostic, to_diagnostic
from app.services.dry_run import DryRun as DryRunValue


@strawberry.type(description="What a change would do; nothing was changed.")
class DryRun:
    """The answer to a mutation with dryRun: true."""

    operation: str = strawberry.field(description="AEP's operation, such as create_segment_definition.")
    method: str = strawberry.field(description="The HTTP method that would be sent to AEP.")
    path: str = strawberry.field(description="The path that would be sent to AEP.")
    body: JSON | None = strawberry.field(description="The body that would be sent to AEP.")
    diagnostics: list[Diagnostic] = strawberry.field(description="Remarks about the rule as it would be.")
    estimate_before: Estimate | None = strawberry.field(description="The size of the rule as it is.")
    estimate_after: Estimate | None = strawberry.field(description="The size of the rule as it would be.")
    estimate_problem: str | None = strawberry.field(description="Why an estimate is missing.")
    eligibility_before: Eligibility | None = strawberry.field(description="How the rule may be evaluated as it is.")
    eligibility_after: Eligibility | None = strawberry.field(description="How it could be evaluated then.")
    eligibility_changed: bool = strawberry.field(description="Whether these differ.")
    dependents: list[str] = strawberry.field(description="AEP's ids of what uses the segment.")


def to_dry_run(found: DryRunValue) -> DryRun:
    """Return a dry run of the service as the schema's type."""
    return DryRun(
        operation=found.operation,
        method=found.method,
        path=found.path,
        body=None if found.body is None else JSON(found.body),
        diagnostics=[to_diagnostic(one) for one in found.diagnostics],
        estimate_before=to_estimate(found.estimate_before) if found.estimate_before else None,
        estimate_after=to_estimate(found.estimate_after) if found.estimate_after else None,
        estimate_problem=found.estimate_problem,
        eligibility_before=to_eligibility(found.eligibility_before) if found.eligibility_before else None,
        eligibility_after=to_eligibility(found.eligibility_after) if found.eligibility_after else None,
        eligibility_changed=found.eligibility_changed,
        dependents=list(found.dependents),
    )
