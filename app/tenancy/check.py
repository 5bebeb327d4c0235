"""Says step by step whether a tenant's way to AEP works, with the cure for what does not."""

from __future__ import annotations

from uuid import UUID

import httpx

from app.context.permissions import Permission
from app.errors import GatewayError
from app.store.database import Database
from app.tenancy.credentials import CredentialVault
from app.tenancy.sealing import Sealer
from app.upstream.probe import Finding, Probe, Verdict

# MANAGE_TENANTS is the gateway's own: Adobe knows nothing of it.
CHECKED = tuple(permission for permission in Permission if permission is not Permission.MANAGE_TENANTS)


async def check_tenant(database: Database, sealer: Sealer, http: httpx.AsyncClient, tenant_id: UUID) -> list[Finding]:
    """Return what each step found, in order. Permissions are those of the technical account in the default sandbox."""
    async with database.read(tenant_id) as unit:
        sandboxes = await unit.tenancy.sandboxes()
    try:
        connection = await CredentialVault(database, sealer).connection(tenant_id)
    except GatewayError as problem:
        return [Finding("credential", Verdict.FAILED, problem.detail, problem.hint or "")]
    probe = Probe(http, connection)
    found = Finding("credential", Verdict.OK, f"client id {connection.client_id}")
    await probe.reach()
    await probe.token()
    await probe.sandboxes([sandbox.name for sandbox in sandboxes])
    if sandboxes:
        await probe.permissions(sandboxes[0].name, CHECKED)
    return [found, *probe.findings]
