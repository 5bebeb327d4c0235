"""Who the caller is and what he may do here."""

from __future__ import annotations

from dataclasses import dataclass

from app.context import Actor, RequestContext, Role, Sandbox, Tenant
from app.context.permissions import Permission
from app.services.permissions import require
from app.store.database import Database
from app.store.tenants import to_sandbox


@dataclass(frozen=True, slots=True)
class Viewer:
    """The caller, the tenant and sandbox that he acts in, and his rights there."""

    actor: Actor
    tenant: Tenant
    sandbox: Sandbox
    sandboxes: tuple[Sandbox, ...]
    permissions: tuple[Permission, ...]
    roles: tuple[Role, ...]
    product_profiles: tuple[str, ...]


class ViewerService:
    """Answers questions that a caller has about himself."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, ctx: RequestContext) -> Viewer:
        """Return the caller as the gateway sees him."""
        require(ctx, "viewer")
        return Viewer(
            actor=ctx.actor,
            tenant=ctx.tenant,
            sandbox=ctx.sandbox,
            sandboxes=await self.sandboxes(ctx),
            permissions=tuple(sorted(ctx.permissions)),
            roles=tuple(sorted(ctx.roles)),
            product_profiles=ctx.product_profiles,
        )

    def require_access_control(self, ctx: RequestContext) -> None:
        """Raise `Forbidden` unless the caller may ask what permissions there are and which he holds."""
        require(ctx, "get_access_control")

    async def sandboxes(self, ctx: RequestContext) -> tuple[Sandbox, ...]:
        """Return the tenant's sandboxes, the default one first."""
        require(ctx, "list_sandboxes")
        async with self._database.read(ctx.tenant.id) as unit:
            rows = await unit.tenancy.sandboxes()
        return tuple(to_sandbox(row) for row in rows)
