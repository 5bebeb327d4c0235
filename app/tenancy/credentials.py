"""The address and credential with which a tenant's calls to AEP are made, opened only when they are needed."""

from __future__ import annotations

from uuid import UUID

from app.errors import UpstreamUnavailable
from app.store.database import Database
from app.store.rows import TenantCredentialRow, TenantRow
from app.tenancy.sealing import Sealer
from app.upstream.connection import Connection


def credential_owner(tenant_id: UUID) -> str:
    """Return what a tenant's sealed secrets are bound to."""
    return f"tenant:{tenant_id}"


class CredentialVault:
    """Opens tenants' credentials; what `app.upstream` calls its connection source."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def connection(self, tenant_id: UUID) -> Connection:
        """Return how to reach AEP for a tenant.

        Raises `UpstreamUnavailable` when no credential was entered, `SealError` when it cannot be opened.
        """
        async with self._database.read(tenant_id) as unit:
            tenant = await unit.tenancy.tenant()
            credentials = await unit.tenancy.usable_credentials()
        if not credentials:
            raise UpstreamUnavailable(
                f"No Adobe I/O credential is set for tenant {tenant.slug}.",
                hint="An administrator enters it with 'segment-gateway tenant rotate-credential'.",
            )
        connection: Connection | None = None
        for credential in reversed(credentials[:2]):
            connection = connection_of(tenant, credential, self._opened(credential), fallback=connection)
        if connection is None:
            raise AssertionError("unreachable: there is a credential")
        return connection

    def _opened(self, credential: TenantCredentialRow) -> str:
        return self._sealer.open(credential.sealed_secret, owner=credential_owner(credential.tenant_id))


def connection_of(
    tenant: TenantRow, credential: TenantCredentialRow, secret: str, *, fallback: Connection | None = None
) -> Connection:
    """Return the way to AEP of a tenant with one of its credentials."""
    return Connection(
        tenant_id=tenant.id,
        platform_url=tenant.platform_url,
        ims_url=tenant.ims_url,
        ims_org_id=tenant.ims_org_id,
        credential_id=credential.id,
        client_id=credential.client_id,
        client_secret=secret,
        scopes=tuple(credential.scopes),
        fallback=fallback,
    )
