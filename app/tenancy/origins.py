"""Which web pages may call the gateway for an organization."""

from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import UUID

from app.audit.actions import Action
from app.audit.recorder import AuditRecorder, Resource
from app.errors import InvalidRequest
from app.store.database import Database
from app.tenancy.author import Author

# As browsers write an origin: lower case, no path, no default port needed.
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")


async def allow_origins(
    database: Database, recorder: AuditRecorder, tenant_id: UUID, origins: Iterable[str], author: Author
) -> list[str]:
    """Set the origins whose pages may read a tenant's answers, and return them. Raises `InvalidRequest`."""
    wanted = sorted({origin.rstrip("/").lower() for origin in origins})
    for origin in wanted:
        if not _ORIGIN.fullmatch(origin):
            raise InvalidRequest(
                f"{origin!r} is not an origin.", hint="Write scheme and host, such as https://tools.luma.example."
            )
    async with database.write(tenant_id) as unit:
        tenant = await unit.tenancy.tenant()
        tenant.allowed_origins = wanted
        about = Resource("tenant", str(tenant_id), tenant.slug)
        await author.record(recorder, unit, Action.TENANT_ALLOW_ORIGINS, about, origins=wanted)
    return wanted
