"""The caller."""

from __future__ import annotations

import strawberry

from app.graphql.types.audit_events import ActorKind
from app.services.viewer import Viewer as ViewerValue


@strawberry.type(description="One Adobe organization that this gateway serves.")
class Tenant:
    """The caller's organization."""

    slug: str = strawberry.field(description="Its short name here.")
    name: str = strawberry.field(description="Its name.")
    ims_org_id: str = strawberry.field(description="Adobe's id of the organization.")
    namespace: str = strawberry.field(description="Where its own fields live in XDM, such as _wwfovlab011.")


@strawberry.type(description="A part of an organization with data and segments of its own.")
class Sandbox:
    """A sandbox."""

    name: str = strawberry.field(description="AEP's key of the sandbox.")
    title: str = strawberry.field(description="What people call it.")
    type: str = strawberry.field(description="production or development.")
    is_default: bool = strawberry.field(description="Whether requests that name no sandbox act here.")


@strawberry.type(description="The caller, and what he may do in this sandbox.")
class Viewer:
    """Who calls."""

    name: str = strawberry.field(description="E-mail address of a person or name of an integration.")
    kind: ActorKind = strawberry.field(description="Person or integration.")
    tenant: Tenant = strawberry.field(description="The organization that the request acts in.")
    sandbox: Sandbox = strawberry.field(description="The sandbox that the request acts in.")
    sandboxes: list[Sandbox] = strawberry.field(description="All sandboxes of the organization.")
    permissions: list[str] = strawberry.field(description="Adobe's names of what the caller may do here.")
    roles: list[str] = strawberry.field(description="user or developer, or both.")
    product_profiles: list[str] = strawberry.field(description="The product profiles that grant it.")


def to_viewer(found: ViewerValue) -> Viewer:
    """Return the service's answer as the schema's type."""
    sandboxes = {
        one.name: Sandbox(name=one.name, title=one.title, type=one.type, is_default=one.is_default)
        for one in found.sandboxes
    }
    return Viewer(
        name=found.actor.name,
        kind=ActorKind(found.actor.kind.value),
        tenant=Tenant(
            slug=found.tenant.slug,
            name=found.tenant.name,
            ims_org_id=found.tenant.ims_org_id,
            namespace=found.tenant.namespace,
        ),
        sandbox=sandboxes[found.sandbox.name],
        sandboxes=list(sandboxes.values()),
        permissions=[permission.value for permission in found.permissions],
        roles=[role.value for role in found.roles],
        product_profiles=list(found.product_profiles),
    )
