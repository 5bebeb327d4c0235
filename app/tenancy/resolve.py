"""Actor and headers in, `RequestContext` out.

An actor belongs to one tenant. The headers ``x-gw-ims-org-id`` and ``x-tenant`` may repeat which; naming another one
is refused with the same words whether that one exists or not. ``x-sandbox-name`` chooses a sandbox, the default one
stands in when it is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.aep import headers as aep_headers
from app.context import Actor, Entrance, RequestContext, Role
from app.context.permissions import Permission, with_implied
from app.errors import Forbidden, NotFound
from app.store.database import Database
from app.store.rows import SandboxRow, TenantRow
from app.store.tenants import Grant, to_sandbox, to_tenant

TENANT_HEADER = "x-tenant"
ALL_SANDBOXES = "*"


class WrongTenant(Forbidden):
    """The request names an organization in which its credential does not act."""

    code = "WRONG_TENANT"
    title = "Wrong organization"


class UnknownSandbox(NotFound):
    """The tenant has no sandbox of this name."""

    code = "UNKNOWN_SANDBOX"
    title = "Unknown sandbox"


class TenancyResolver:
    """Finds the tenant, the sandbox and the permissions of a request."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def resolve(
        self, actor: Actor, headers: Mapping[str, str], *, entrance: Entrance, request_id: str
    ) -> RequestContext:
        """Return the context of a request. Raises `WrongTenant` or `UnknownSandbox`."""
        async with self._database.read(actor.tenant_id) as unit:
            tenant = await unit.tenancy.tenant()
            sandboxes = await unit.tenancy.sandboxes()
            grants = await unit.tenancy.grants(actor.id)
        _require_same_tenant(tenant, headers)
        sandbox = _choose_sandbox(sandboxes, headers.get(aep_headers.SANDBOX))
        return _context(actor, tenant, sandbox, grants, entrance, request_id)


def named_organization(headers: Mapping[str, str]) -> str | None:
    """Return the organization that a request names: an IMS organization id or a slug."""
    return headers.get(aep_headers.IMS_ORG) or headers.get(TENANT_HEADER)


def _require_same_tenant(tenant: TenantRow, headers: Mapping[str, str]) -> None:
    for header, own in ((aep_headers.IMS_ORG, tenant.ims_org_id), (TENANT_HEADER, tenant.slug)):
        named = headers.get(header)
        if named is not None and named != own:
            raise WrongTenant(
                f"This credential does not act in the organization that {header} names.",
                hint=f"Leave {header} out, or use a credential of that organization.",
            )


def _choose_sandbox(sandboxes: Sequence[SandboxRow], name: str | None) -> SandboxRow:
    for sandbox in sandboxes:
        if sandbox.name == name or (name is None and sandbox.is_default):
            return sandbox
    wanted = "a default sandbox" if name is None else f"a sandbox named {name!r}"
    raise UnknownSandbox(
        f"This organization has no {wanted.removeprefix('a ')}.",
        hint=f"Send one of its sandboxes in {aep_headers.SANDBOX}; 'viewer {{ sandboxes {{ name }} }}' lists them.",
    )


def _context(
    actor: Actor,
    tenant: TenantRow,
    sandbox: SandboxRow,
    grants: Sequence[Grant],
    entrance: Entrance,
    request_id: str,
) -> RequestContext:
    here = [grant for grant in grants if {ALL_SANDBOXES, sandbox.name} & set(grant.profile.sandboxes)]
    return RequestContext(
        actor=actor,
        tenant=to_tenant(tenant),
        sandbox=to_sandbox(sandbox),
        permissions=with_implied(Permission(name) for grant in here for name in grant.profile.permissions),
        roles=frozenset(Role(grant.role) for grant in here),
        product_profiles=tuple(grant.profile.name for grant in here),
        entrance=entrance,
        request_id=request_id,
    )
