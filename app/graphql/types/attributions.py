"""Who made or changed an object."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

import strawberry

from app.services.attribution import UPSTREAM_USER
from app.services.attribution import Attribution as AttributionValue


@strawberry.enum(description="Who knows the author of a change.")
class AttributionSource(Enum):
    """The gateway knows people; AEP knows technical accounts only."""

    GATEWAY = "gateway"
    UPSTREAM = "upstream"


@strawberry.type(description="Who made or changed an object, and when.")
class Attribution:
    """An author."""

    source: AttributionSource = strawberry.field(description="Who knows the author.")
    person: str | None = strawberry.field(description="E-mail address, when a person did it through the gateway.")
    integration: str | None = strawberry.field(description="Name, when an integration did it through the gateway.")
    upstream_user: str | None = strawberry.field(
        description="Adobe's name of the user, when it was done in Adobe's own pages and AEP's audit log told."
    )
    technical_account: str | None = strawberry.field(description="The account that AEP saw.")
    at: datetime = strawberry.field(description="When, by AEP's clock.")


def to_attribution(found: AttributionValue) -> Attribution:
    """Return an attribution as the schema's type."""
    return Attribution(
        source=AttributionSource(found.source),
        person=found.name if found.kind == "person" else None,
        integration=found.name if found.kind == "integration" else None,
        upstream_user=found.name if found.kind == UPSTREAM_USER else None,
        technical_account=found.technical_account,
        at=found.at,
    )
