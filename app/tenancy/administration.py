"""Making tenants and their members. Every step leaves an event in the tenant's audit.

Secrets are returned once, by the call that makes them, and never again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from app.aep.headers import new_request_id
from app.audit.actions import Action, Phase
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.context import Actor, ActorKind, Entrance, Role
from app.context.permissions import Permission
from app.store.database import Database, WriteUnit
from app.store.rows import (
    AccessKeyRow,
    IntegrationRow,
    MembershipRow,
    PersonRow,
    ProductProfileRow,
    SandboxRow,
    TenantCredentialRow,
    TenantRow,
)
from app.tenancy.access_keys import hash_of, new_access_key, new_client_secret
from app.tenancy.credentials import credential_owner
from app.tenancy.sealing import Sealer

SYSTEM_ACTOR_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class SandboxDescription:
    """A sandbox as AEP names it."""

    aep_id: str
    name: str
    title: str
    type: str
    is_default: bool


@dataclass(frozen=True, slots=True)
class TenantDescription:
    """A tenant to be made: where its AEP is, its sandboxes and its credential at Adobe I/O."""

    slug: str
    name: str
    ims_org_id: str
    namespace: str
    platform_url: str
    ims_url: str
    sandboxes: Sequence[SandboxDescription]
    client_id: str
    client_secret: str = field(repr=False)
    scopes: Sequence[str]


@dataclass(frozen=True, slots=True)
class IssuedIntegration:
    """An integration's credential, shown this once."""

    integration_id: UUID
    client_id: str
    client_secret: str = field(repr=False)


class Administration:
    """Makes tenants, product profiles, people and integrations. ``actor_name`` goes into the audit as the author."""

    def __init__(self, database: Database, sealer: Sealer, recorder: AuditRecorder, *, actor_name: str) -> None:
        self._database = database
        self._sealer = sealer
        self._recorder = recorder
        self._actor_name = actor_name

    async def create_tenant(self, wanted: TenantDescription) -> UUID:
        """Make a tenant with its sandboxes and its sealed credential, and return its id."""
        tenant_id = uuid4()
        async with self._database.write(tenant_id) as unit:
            unit.tenancy.add(
                TenantRow(
                    id=tenant_id,
                    slug=wanted.slug,
                    name=wanted.name,
                    ims_org_id=wanted.ims_org_id,
                    namespace=wanted.namespace,
                    platform_url=wanted.platform_url,
                    ims_url=wanted.ims_url,
                )
            )
            for sandbox in wanted.sandboxes:
                unit.tenancy.add(
                    SandboxRow(
                        tenant_id=tenant_id,
                        aep_id=sandbox.aep_id,
                        name=sandbox.name,
                        title=sandbox.title,
                        type=sandbox.type,
                        is_default=sandbox.is_default,
                    )
                )
            unit.tenancy.add(
                TenantCredentialRow(
                    tenant_id=tenant_id,
                    client_id=wanted.client_id,
                    sealed_secret=self._sealer.seal(wanted.client_secret, owner=credential_owner(tenant_id)),
                    scopes=list(wanted.scopes),
                )
            )
            await self._record(unit, Action.TENANT_CREATE, Resource("tenant", str(tenant_id), wanted.slug))
            about = Resource("credential", wanted.client_id)
            await self._record(unit, Action.CREDENTIAL_SET, about, scopes=list(wanted.scopes))
        return tenant_id

    async def move_tenant(self, tenant_id: UUID, *, platform_url: str, ims_url: str) -> None:
        """Point a tenant at another address of AEP and IMS."""
        async with self._database.write(tenant_id) as unit:
            tenant = await unit.tenancy.tenant()
            if (tenant.platform_url, tenant.ims_url) == (platform_url, ims_url):
                return
            tenant.platform_url, tenant.ims_url = platform_url, ims_url
            about = Resource("tenant", str(tenant_id), tenant.slug)
            await self._record(unit, Action.TENANT_MOVE, about, platformUrl=platform_url, imsUrl=ims_url)

    async def create_product_profile(
        self, tenant_id: UUID, name: str, permissions: Iterable[Permission], sandboxes: Sequence[str] = ("*",)
    ) -> UUID:
        """Make a product profile: permissions on named sandboxes, ``*`` for all. Returns its id."""
        granted = sorted(permission.value for permission in permissions)
        row = ProductProfileRow(
            id=uuid4(), tenant_id=tenant_id, name=name, permissions=granted, sandboxes=list(sandboxes)
        )
        async with self._database.write(tenant_id) as unit:
            unit.tenancy.add(row)
            about = Resource("product_profile", str(row.id), name)
            await self._record(
                unit, Action.PRODUCT_PROFILE_CREATE, about, permissions=granted, sandboxes=list(sandboxes)
            )
        return row.id

    async def add_person(self, tenant_id: UUID, email: str, product_profile_id: UUID, role: Role) -> str:
        """Add a person to a product profile and return a new access key of his."""
        person = PersonRow(id=uuid4(), tenant_id=tenant_id, email=email)
        access_key = new_access_key()
        async with self._database.write(tenant_id) as unit:
            unit.tenancy.add(person)
            await unit.flush()
            unit.tenancy.add(_membership(tenant_id, product_profile_id, ActorKind.PERSON, person.id, role))
            unit.tenancy.add(
                AccessKeyRow(tenant_id=tenant_id, person_id=person.id, key_hash=hash_of(access_key), label="first key")
            )
            about = Resource("person", str(person.id), email)
            await self._record(unit, Action.PERSON_ADD, about, role=role.value)
            await self._record(unit, Action.ACCESS_KEY_ISSUE, about, label="first key")
        return access_key

    async def issue_integration(
        self, tenant_id: UUID, name: str, product_profile_id: UUID, scopes: Sequence[str]
    ) -> IssuedIntegration:
        """Make an integration in the developer role and return its credential."""
        client_secret = new_client_secret()
        row = IntegrationRow(
            id=uuid4(),
            tenant_id=tenant_id,
            name=name,
            client_id=secrets.token_hex(16),
            secret_hash=hash_of(client_secret),
            scopes=list(scopes),
        )
        async with self._database.write(tenant_id) as unit:
            unit.tenancy.add(row)
            member = _membership(tenant_id, product_profile_id, ActorKind.INTEGRATION, row.id, Role.DEVELOPER)
            unit.tenancy.add(member)
            about = Resource("integration", str(row.id), name)
            await self._record(unit, Action.INTEGRATION_ISSUE, about, clientId=row.client_id, scopes=list(scopes))
        return IssuedIntegration(row.id, row.client_id, client_secret)

    async def _record(self, unit: WriteUnit, action: Action, about: Resource, **detail: Any) -> None:
        await unit.flush()
        actor = Actor(ActorKind.SYSTEM, SYSTEM_ACTOR_ID, self._actor_name, unit.tenant_id)
        operation = Operation(action, about, actor, Entrance.CLI, new_request_id())
        await self._recorder.record(unit, operation, Phase.RECORDED, detail=detail)


def _membership(
    tenant_id: UUID, product_profile_id: UUID, kind: ActorKind, actor_id: UUID, role: Role
) -> MembershipRow:
    return MembershipRow(
        tenant_id=tenant_id,
        product_profile_id=product_profile_id,
        actor_kind=kind.value,
        actor_id=actor_id,
        role=role.value,
    )
