"""Where and as whom a tenant's calls go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from app.aep import headers


@dataclass(frozen=True, slots=True)
class Connection:
    """One tenant's address and technical account at Adobe; the secret stays out of its printed form.

    ``fallback`` is the same with the credential that was in use before, while that one may still be used.
    """

    tenant_id: UUID
    platform_url: str
    ims_url: str
    ims_org_id: str
    credential_id: UUID
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...]
    fallback: Connection | None = None


def aep_headers_of(connection: Connection, token: str, request_id: str, sandbox: str | None) -> dict[str, str]:
    """Return the headers with which every call to AEP is made; without a sandbox it is about the organization."""
    found = {
        headers.AUTHORIZATION: f"Bearer {token}",
        headers.API_KEY: connection.client_id,
        headers.IMS_ORG: connection.ims_org_id,
        headers.REQUEST_ID: request_id,
        "accept": "application/json",
    }
    return found if sandbox is None else found | {headers.SANDBOX: sandbox}


class ConnectionSource(Protocol):
    """What the client needs from whoever keeps credentials."""

    async def connection(self, tenant_id: UUID) -> Connection:
        """Return how to reach AEP for a tenant; raises `UpstreamUnavailable` when nothing was configured."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """The tenant and sandbox that a call is about, and the request it belongs to.

    ``background`` calls are made for nobody who waits, and let others go first.
    """

    tenant_id: UUID
    sandbox_name: str
    request_id: str
    background: bool = False
