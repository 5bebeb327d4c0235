"""The frozen values that walk with every request: who calls, on whose behalf, with which rights.

They are made once at the entrance (`auth` makes the actor, `tenancy` the tenant, sandbox and permissions) and are
handed down as arguments. Nothing reads them from a global.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.context.permissions import Permission


class ActorKind(StrEnum):
    """What kind of caller an actor is."""

    PERSON = "person"
    INTEGRATION = "integration"
    SYSTEM = "system"
    UPSTREAM = "upstream"  # somebody at AEP, past the gateway, by the name that AEP's own log gives him


class Role(StrEnum):
    """The part a member plays in a product profile, as in Adobe's Admin Console.

    A user works through GraphQL and the console. A developer may also create integrations and use the REST facade.
    """

    USER = "user"
    DEVELOPER = "developer"


class Entrance(StrEnum):
    """The door through which a request came in."""

    GRAPHQL = "graphql"
    FACADE = "facade"
    REST = "rest"
    CLI = "cli"
    SYNC = "sync"
    SIGN_IN = "sign-in"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who calls. ``name`` is what people read in the audit: an e-mail address or the name of an integration.

    ``issuer`` and ``subject`` are set for a person whom an identity provider vouches for.
    """

    kind: ActorKind
    id: UUID
    name: str
    tenant_id: UUID
    issuer: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """One Adobe organization that this gateway serves. Pages of ``allowed_origins`` may read its answers."""

    id: UUID
    slug: str
    name: str
    ims_org_id: str
    namespace: str
    allowed_origins: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Sandbox:
    """One sandbox of a tenant. ``name`` is AEP's key, ``id`` is ours, ``aep_id`` is AEP's UUID as text."""

    id: UUID
    aep_id: str
    name: str
    title: str
    type: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Everything that a service needs to know about a request besides its arguments.

    ``permissions`` are those that the actor holds in *this* sandbox, with implied ones written out; ``roles`` are
    the actor's parts in the product profiles that grant them. ``idempotency_key`` is the caller's own name for a
    change, under which he may repeat it. ``if_match`` (entity tags, as in the header) and ``expected_version`` say
    which version of an object the caller has seen. ``max_age_s`` is how old a cached answer may be for him, in seconds.
    ``dry_run`` asks what a change would do, without making it.
    """

    actor: Actor
    tenant: Tenant
    sandbox: Sandbox
    permissions: frozenset[Permission]
    roles: frozenset[Role]
    product_profiles: tuple[str, ...]
    entrance: Entrance
    request_id: str
    idempotency_key: str | None = None
    if_match: str | None = None
    expected_version: int | None = None
    max_age_s: float | None = None
    dry_run: bool = False
