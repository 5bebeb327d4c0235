"""What resolvers reach through ``info.context``."""

from __future__ import annotations

from dataclasses import dataclass

import strawberry

from app.context import RequestContext
from app.services import Services


@dataclass(frozen=True, slots=True)
class GraphQLContext:
    """The request, and the services that answer it."""

    request: RequestContext
    services: Services


Info = strawberry.Info[GraphQLContext, None]
