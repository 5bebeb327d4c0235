"""Makes tenants for tests."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from app.audit.recorder import AuditRecorder
from app.context import Actor, ActorKind, Entrance, RequestContext, Role, Sandbox, Tenant
from app.context.permissions import Permission, with_implied
from app.store.database import Database
from app.store.tenants import to_sandbox, to_tenant
from app.tenancy.administration import Administration, SandboxDescription, TenantDescription
from app.tenancy.sealing import Sealer

SEALER = Sealer(bytes(range(32)))


@dataclass(frozen=True, slots=True)
class MadeTenant:
    """A tenant with its first sandbox, and the administration that made it."""

    tenant: Tenant
    sandbox: Sandbox
    administration: Administration

    @property
    def id(self) -> UUID:
        return self.tenant.id

    def context(self, *permissions: Permission, name: str = "someone@luma.example") -> RequestContext:
        """A request of a person with exactly these permissions and what they imply."""
        return RequestContext(
            actor=Actor(ActorKind.PERSON, UUID(int=7), name, self.tenant.id),
            tenant=self.tenant,
            sandbox=self.sandbox,
            permissions=with_implied(permissions),
            roles=frozenset({Role.DEVELOPER}),
            product_profiles=("Test",),
            entrance=Entrance.GRAPHQL,
            request_id="test-request",
        )


async def make_tenant(database: Database, slug: str = "luma", *, url: str = "http://aep.test") -> MadeTenant:
    """Make a tenant with a production and a development sandbox."""
    administration = Administration(database, SEALER, AuditRecorder(), actor_name="test")
    tenant_id = await administration.create_tenant(
        TenantDescription(
            slug=slug,
            name=slug.capitalize(),
            ims_org_id=f"{slug.upper()}@AdobeOrg",
            namespace=f"_{slug}",
            platform_url=url,
            ims_url=url,
            sandboxes=[
                SandboxDescription(f"{slug}-prod-id", "prod", "Production", "production", is_default=True),
                SandboxDescription(f"{slug}-dev-id", "dev", "Development", "development", is_default=False),
            ],
            client_id=f"{slug}-client",
            client_secret=f"{slug}-secret",
            scopes=["openid"],
        )
    )
    async with database.read(tenant_id) as unit:
        tenant = to_tenant(await unit.tenancy.tenant())
        sandbox = to_sandbox((await unit.tenancy.sandboxes())[0])
    return MadeTenant(tenant, sandbox, administration)


def definition(name: str, *, aep_id: str, at_ms: int = 1_764_547_200_000) -> dict[str, object]:
    """A segment definition as AEP sends it."""
    return {
        "id": aep_id,
        "name": name,
        "description": f"about {name}",
        "expression": {"type": "PQL", "format": "pql/text", "value": 'person.gender = "female"'},
        "schema": {"name": "_xdm.context.profile"},
        "evaluationInfo": {
            "batch": {"enabled": True},
            "continuous": {"enabled": False},
            "synchronous": {"enabled": False},
        },
        "createdBy": "technical@techacct.adobe.com",
        "creationTime": at_ms,
        "updateTime": at_ms,
        "memberOfTomorrow": {"kept": True},
    }
