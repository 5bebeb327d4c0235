"""Estimates."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry

from app.services.estimates import Estimate as EstimateValue


@strawberry.enum(description="How far an estimate has come.")
class EstimateState(Enum):
    """NEW and RUNNING go on; RESULT_READY and FAILED are the end."""

    NEW = "NEW"
    RUNNING = "RUNNING"
    RESULT_READY = "RESULT_READY"
    FAILED = "FAILED"


@strawberry.type(description="How many profiles a rule would have, as far as AEP knows by now.")
class Estimate:
    """An estimate; AEP computes it, so it is read from there each time."""

    preview_id: str = strawberry.field(description="AEP's id of the preview and of its estimate.")
    state: EstimateState = strawberry.field(description="How far it has come.")
    estimated_size: int | None = strawberry.field(description="Profiles that qualify.")
    standard_error: float | None = strawberry.field(description="Standard error of the size, in profiles.")
    confidence_interval: str | None = strawberry.field(description="Confidence of the interval, such as 95%.")
    rows_read: int | None = strawberry.field(description="Profiles that were looked at.")
    rows_total: int | None = strawberry.field(description="Profiles that there are.")
    as_of: datetime = strawberry.field(description="When AEP was asked.")


def to_estimate(found: EstimateValue) -> Estimate:
    """Return an estimate of the service as the schema's type. An unknown state counts as running."""
    known = found.state in EstimateState.__members__
    return Estimate(
        preview_id=found.preview_id,
        state=EstimateState(found.state) if known else EstimateState.RUNNING,
        estimated_size=found.estimated_size,
        standard_error=found.standard_error,
        confidence_interval=found.confidence_interval,
        rows_read=found.rows_read,
        rows_total=found.rows_total,
        as_of=found.as_of,
    )
