"""Identity providers of a tenant, what their groups grant, and the people whom they vouch for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.store.rows import GroupGrantRow, IdentityProviderRow, PersonRow, ProductProfileRow


class IdentityProviderRepository:
    """One tenant's providers and the people that they vouch for."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def all(self) -> Sequence[IdentityProviderRow]:
        """Return the providers that are trusted, by label."""
        statement = (
            select(IdentityProviderRow)
            .where(IdentityProviderRow.tenant_id == self._tenant_id, IdentityProviderRow.disabled_at.is_(None))
            .order_by(IdentityProviderRow.label, IdentityProviderRow.id)
        )
        return (await self._session.scalars(statement)).all()

    async def by_issuer(self, issuer: str) -> IdentityProviderRow | None:
        """Return the provider of this issuer, one that is no longer trusted as well."""
        statement = select(IdentityProviderRow).where(
            IdentityProviderRow.tenant_id == self._tenant_id, IdentityProviderRow.issuer == issuer
        )
        return (await self._session.scalars(statement)).one_or_none()

    def add(self, row: IdentityProviderRow) -> None:
        """Add a new provider."""
        self._session.add(row)

    async def replace_grants(self, provider_id: UUID, grants: Sequence[tuple[str, str, str]]) -> list[str]:
        """Set what groups grant: ``(group, product profile's name, role)``. Returns the names that are no profile."""
        named = {profile for _, profile, _ in grants}
        statement = select(ProductProfileRow.name, ProductProfileRow.id).where(
            ProductProfileRow.tenant_id == self._tenant_id, ProductProfileRow.name.in_(named)
        )
        ids = {row.name: row.id for row in await self._session.execute(statement)}
        if unknown := sorted(named - set(ids)):
            return unknown
        await self._session.execute(
            delete(GroupGrantRow).where(
                GroupGrantRow.tenant_id == self._tenant_id, GroupGrantRow.identity_provider_id == provider_id
            )
        )
        for group, profile, role in grants:
            self._session.add(
                GroupGrantRow(
                    tenant_id=self._tenant_id,
                    identity_provider_id=provider_id,
                    group_name=group,
                    product_profile_id=ids[profile],
                    role=role,
                )
            )
        return []

    async def person(self, issuer: str, subject: str) -> PersonRow | None:
        """Return the person whom an issuer knows as ``subject``."""
        statement = select(PersonRow).where(
            PersonRow.tenant_id == self._tenant_id, PersonRow.issuer == issuer, PersonRow.subject == subject
        )
        return (await self._session.scalars(statement)).one_or_none()

    async def is_name_taken(self, name: str) -> bool:
        """Tell whether a person of the tenant goes by this name."""
        statement = select(PersonRow.id).where(PersonRow.tenant_id == self._tenant_id, PersonRow.email == name)
        return (await self._session.scalar(statement)) is not None

    async def add_person(self, name: str, issuer: str, subject: str) -> bool:
        """Make a person known; false when he, or another of this name, was known already."""
        values = {"id": uuid4(), "tenant_id": self._tenant_id, "email": name, "issuer": issuer, "subject": subject}
        statement = insert(PersonRow).values(values).on_conflict_do_nothing().returning(PersonRow.id)
        return (await self._session.scalar(statement)) is not None

    async def claim_person(self, email: str, issuer: str, subject: str) -> bool:
        """Give a person who was added by e-mail address, and never signed in, to the subject who proved the address."""
        wanted = (
            select(PersonRow.id)
            .where(
                PersonRow.tenant_id == self._tenant_id,
                func.lower(PersonRow.email) == email.lower(),
                PersonRow.issuer.is_(None),
            )
            .order_by(PersonRow.created_at)
            .limit(1)
            .scalar_subquery()
        )
        statement = (
            update(PersonRow)
            .where(PersonRow.id == wanted, PersonRow.issuer.is_(None))
            .values(issuer=issuer, subject=subject)
            .returning(PersonRow.id)
        )
        return (await self._session.scalar(statement)) is not None

    async def set_groups(self, person_id: UUID, groups: Sequence[str], *, at: datetime) -> None:
        """Keep the groups that a token issued at ``at`` names, unless a newer one has been seen."""
        statement = (
            update(PersonRow)
            .where(
                PersonRow.tenant_id == self._tenant_id,
                PersonRow.id == person_id,
                (PersonRow.groups_at.is_(None)) | (PersonRow.groups_at < at),
            )
            .values(groups=list(groups), groups_at=at)
        )
        await self._session.execute(statement)
