"""The schema, put together."""

from __future__ import annotations

from typing import Any, NoReturn

import strawberry
from graphql import GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from app.graphql.mutations import Mutation
from app.graphql.queries import Query
from app.graphql.types.audiences import Audience
from app.graphql.types.audit_events import AuditEvent
from app.graphql.types.revisions import SegmentDefinitionRevision
from app.graphql.types.segment_definitions import SegmentDefinition
from app.services.permissions import is_listed, not_listed

schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    types=[SegmentDefinition, SegmentDefinitionRevision, Audience, AuditEvent],
    config=StrawberryConfig(auto_camel_case=True),
)


def refuse_unlisted(built: GraphQLSchema) -> None:
    """Let every root field that has no entry in the table of permissions refuse everybody."""
    roots = (built.query_type, built.mutation_type, built.subscription_type)
    for root in (one for one in roots if one is not None):
        for name, field in root.fields.items():
            if not is_listed(call := f"{root.name}.{name}"):
                field.resolve = field.subscribe = _refusal(call)


def _refusal(call: str) -> Any:
    def refuse(*_args: object, **_kwargs: object) -> NoReturn:
        raise not_listed(call)

    return refuse


refuse_unlisted(schema._schema)


def sdl() -> str:
    """Return the schema in GraphQL's own language, as it is published in ``openapi/schema.graphql``."""
    return schema.as_str() + "\n"
