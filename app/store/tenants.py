"""Tenants, their sandboxes, credentials, people, integrations and product profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.context import Sandbox, Tenant
from app.store.rows import (
    AccessKeyRow,
    GroupGrantRow,
    IdentityProviderRow,
    IntegrationRow,
    MembershipRow,
    PersonRow,
    ProductProfileRow,
    RevokedTokenRow,
    SandboxRow,
    SessionRow,
    SigningKeyRow,
    TenantCredentialRow,
    TenantRow,
    TenantSchemaRow,
)
from app.store.sealed_values import SealedValueRepository


class DirectoryRepository:
    """Finds the tenant that a caller belongs to. What it sees is decided by the unit of work that made it."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self.sealed_values = SealedValueRepository(session)

    async def tenant(self, slug_or_org: str) -> TenantRow | None:
        """Return the tenant with this slug or IMS organization id."""
        statement = select(TenantRow).where((TenantRow.slug == slug_or_org) | (TenantRow.ims_org_id == slug_or_org))
        return (await self._session.scalars(statement)).one_or_none()

    async def tenants(self) -> Sequence[TenantRow]:
        """Return all tenants by slug."""
        return (await self._session.scalars(select(TenantRow).order_by(TenantRow.slug))).all()

    async def integration(self, client_id: str) -> IntegrationRow | None:
        """Return the integration that was issued this client id."""
        statement = select(IntegrationRow).where(IntegrationRow.client_id == client_id)
        return (await self._session.scalars(statement)).one_or_none()

    async def access_key(self, key_hash: bytes) -> AccessKeyRow | None:
        """Return the access key with this hash."""
        statement = select(AccessKeyRow).where(AccessKeyRow.key_hash == key_hash)
        return (await self._session.scalars(statement)).one_or_none()

    async def lists_origin(self, origin: str) -> bool:
        """Tell whether any tenant lets pages of this origin call."""
        statement = select(TenantRow.id).where(literal(origin) == func.any(TenantRow.allowed_origins)).limit(1)
        return (await self._session.scalar(statement)) is not None

    async def session(self, token_hash: bytes) -> SessionRow | None:
        """Return the session whose token has this hash."""
        statement = select(SessionRow).where(SessionRow.token_hash == token_hash)
        return (await self._session.scalars(statement)).one_or_none()

    async def identity_providers(self, issuer: str) -> Sequence[IdentityProviderRow]:
        """Return the tenants' providers with this issuer that are trusted."""
        statement = select(IdentityProviderRow).where(
            IdentityProviderRow.issuer == issuer, IdentityProviderRow.disabled_at.is_(None)
        )
        return (await self._session.scalars(statement)).all()

    async def signing_keys(self) -> Sequence[SigningKeyRow]:
        """Return the token-signing keys, newest first."""
        statement = select(SigningKeyRow).order_by(SigningKeyRow.created_at.desc(), SigningKeyRow.id)
        return (await self._session.scalars(statement)).all()

    async def lock_signing_keys(self) -> None:
        """Let one process at a time make the first signing key; the lock ends with the transaction."""
        await self._session.execute(select(func.pg_advisory_xact_lock(func.hashtext(SigningKeyRow.__tablename__))))

    async def add_signing_key(self, row: SigningKeyRow) -> None:
        """Keep a new token-signing key."""
        values = {"id": row.id, "sealed_private_key": row.sealed_private_key}
        await self._session.execute(insert(SigningKeyRow).values(values).on_conflict_do_nothing())

    async def remove_signing_keys(self, key_ids: Sequence[str]) -> None:
        """Forget token-signing keys."""
        await self._session.execute(delete(SigningKeyRow).where(SigningKeyRow.id.in_(key_ids)))


@dataclass(frozen=True, slots=True)
class Grant:
    """One product profile that an actor belongs to, and the part he has in it."""

    profile: ProductProfileRow
    role: str


class TenancyRepository:
    """One tenant's own administration."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def tenant(self) -> TenantRow:
        """Return the tenant itself; it must exist."""
        return (await self._session.scalars(select(TenantRow).where(TenantRow.id == self._tenant_id))).one()

    async def sandboxes(self) -> Sequence[SandboxRow]:
        """Return the tenant's sandboxes, the default one first."""
        statement = (
            select(SandboxRow)
            .where(SandboxRow.tenant_id == self._tenant_id)
            .order_by(SandboxRow.is_default.desc(), SandboxRow.name)
        )
        return (await self._session.scalars(statement)).all()

    async def usable_credentials(self) -> Sequence[TenantCredentialRow]:
        """Return the Adobe I/O credentials that may be used now, the newest, which is the current one, first."""
        row = TenantCredentialRow
        usable = row.retired_at.is_(None) | (row.retired_at > func.clock_timestamp())
        return await self.credentials(usable)

    async def credentials(self, *conditions: ColumnElement[bool]) -> Sequence[TenantCredentialRow]:
        """Return all Adobe I/O credentials there ever were, newest first."""
        statement = (
            select(TenantCredentialRow)
            .where(TenantCredentialRow.tenant_id == self._tenant_id, *conditions)
            .order_by(TenantCredentialRow.created_at.desc(), TenantCredentialRow.id)
        )
        return (await self._session.scalars(statement)).all()

    async def lock(self) -> None:
        """Let one administrator at a time change what must stay consistent; ends with the transaction."""
        await self._session.execute(select(TenantRow.id).where(TenantRow.id == self._tenant_id).with_for_update())

    async def person(self, person_id: UUID) -> PersonRow | None:
        """Return a person by id."""
        return await self._session.get(PersonRow, person_id)

    async def integration(self, integration_id: UUID) -> IntegrationRow | None:
        """Return an integration by id."""
        return await self._session.get(IntegrationRow, integration_id)

    async def integration_of_token(self, integration_id: UUID, token_id: str) -> IntegrationRow | None:
        """Return an integration by id, unless the token with which it calls was withdrawn."""
        withdrawn = select(RevokedTokenRow.token_id).where(
            RevokedTokenRow.tenant_id == self._tenant_id, RevokedTokenRow.token_id == token_id
        )
        statement = select(IntegrationRow).where(IntegrationRow.id == integration_id, ~withdrawn.exists())
        return (await self._session.scalars(statement)).one_or_none()

    async def revoked_tokens(self) -> list[str]:
        """Return the ids of the tokens that are refused."""
        statement = select(RevokedTokenRow.token_id).where(RevokedTokenRow.tenant_id == self._tenant_id)
        return list((await self._session.scalars(statement)).all())

    async def revoke_token(self, token_id: str, *, expires_at: datetime, now: datetime) -> None:
        """Refuse a token until ``expires_at``, and forget those that have ended by themselves."""
        ended = delete(RevokedTokenRow).where(
            RevokedTokenRow.tenant_id == self._tenant_id, RevokedTokenRow.expires_at < now
        )
        await self._session.execute(ended)
        values = {"tenant_id": self._tenant_id, "token_id": token_id, "expires_at": expires_at}
        await self._session.execute(insert(RevokedTokenRow).values(values).on_conflict_do_nothing())

    async def grants(self, actor_id: UUID) -> list[Grant]:
        """Return the product profiles that the actor belongs to, himself or by his provider's groups, by name."""
        member = select(MembershipRow.product_profile_id, MembershipRow.role).where(
            MembershipRow.tenant_id == self._tenant_id, MembershipRow.actor_id == actor_id
        )
        by_group = (
            select(GroupGrantRow.product_profile_id, GroupGrantRow.role)
            .join(IdentityProviderRow, IdentityProviderRow.id == GroupGrantRow.identity_provider_id)
            .join(PersonRow, PersonRow.issuer == IdentityProviderRow.issuer)
            .where(
                GroupGrantRow.tenant_id == self._tenant_id,
                IdentityProviderRow.disabled_at.is_(None),
                PersonRow.id == actor_id,
                GroupGrantRow.group_name == func.any(PersonRow.groups),
            )
        )
        parts = member.union(by_group).subquery()
        statement = (
            select(ProductProfileRow, parts.c.role)
            .join(parts, parts.c.product_profile_id == ProductProfileRow.id)
            .order_by(ProductProfileRow.name, parts.c.role)
        )
        return [Grant(profile, role) for profile, role in (await self._session.execute(statement)).all()]

    async def plant_sandbox(self, row: SandboxRow) -> None:
        """Add a sandbox, unless there is one of its name; several processes may do so at once."""
        values = {name: getattr(row, name) for name in ("aep_id", "name", "title", "type", "is_default")}
        values |= {"id": uuid4(), "tenant_id": self._tenant_id}
        await self._session.execute(insert(SandboxRow).values(values).on_conflict_do_nothing())

    async def schema_unions(self, sandbox_id: UUID) -> TenantSchemaRow | None:
        """Return the sandbox's XDM union schemas, if they were ever read."""
        return await self._session.get(TenantSchemaRow, (self._tenant_id, sandbox_id))

    async def put_schema_unions(self, row: TenantSchemaRow) -> None:
        """Keep the sandbox's XDM union schemas."""
        await self._session.merge(row)

    def add(
        self,
        row: TenantRow
        | SandboxRow
        | TenantCredentialRow
        | ProductProfileRow
        | PersonRow
        | IntegrationRow
        | MembershipRow
        | AccessKeyRow,
    ) -> None:
        """Add a new row of this tenant."""
        self._session.add(row)


def to_tenant(row: TenantRow) -> Tenant:
    """Return a row as the frozen value that walks with requests."""
    return Tenant(
        id=row.id,
        slug=row.slug,
        name=row.name,
        ims_org_id=row.ims_org_id,
        namespace=row.namespace,
        allowed_origins=frozenset(row.allowed_origins),
    )


def to_sandbox(row: SandboxRow) -> Sandbox:
    """Return a row as the frozen value that walks with requests."""
    return Sandbox(
        id=row.id,
        aep_id=row.aep_id,
        name=row.name,
        title=row.title,
        type=row.type,
        is_default=row.is_default,
    )
