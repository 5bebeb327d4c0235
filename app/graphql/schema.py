"""The schema, put together."""

from __future__ import annotations

import strawberry
from strawberry.schema.config import StrawberryConfig

from app.graphql.mutations import Mutation
from app.graphql.queries import Query
from app.graphql.types.audiences import Audience
from app.graphql.types.audit_events import AuditEvent
from app.graphql.types.revisions import SegmentDefinitionRevision
from app.graphql.types.segment_definitions import SegmentDefinition

schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    types=[SegmentDefinition, SegmentDefinitionRevision, Audience, AuditEvent],
    config=StrawberryConfig(auto_camel_case=True),
)


def sdl() -> str:
    """Return the schema in GraphQL's own language, as it is published in ``openapi/schema.graphql``."""
    return schema.as_str() + "\n"
