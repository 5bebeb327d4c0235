"""Adobe's access tokens as all processes share them: sealed, in PostgreSQL."""

from __future__ import annotations

from uuid import UUID

from app.store.database import Database
from app.store.upstream_tokens import StoredToken
from app.tenancy.sealing import Sealer
from app.upstream.connection import Connection
from app.upstream.tokens import SharedToken


class SharedTokens:
    """What `app.upstream` calls its token store."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def get(self, connection: Connection) -> SharedToken | None:
        """Return the token that was fetched last. Raises `SealError` when it cannot be opened."""
        async with self._database.read(connection.tenant_id) as unit:
            stored = await unit.upstream_tokens.get(connection.credential_id, _scopes(connection))
        if stored is None:
            return None
        token = self._sealer.open(stored.sealed_token, owner=_owner(connection))
        return SharedToken(token, stored.generation, stored.renew_in_s, stored.usable_for_s)

    async def lease(self, connection: Connection, lease_id: UUID, lease_s: float) -> bool:
        """Take the right to fetch a new token for ``lease_s`` seconds; false when another process has it."""
        async with self._database.write(connection.tenant_id) as unit:
            return await unit.upstream_tokens.lease(
                connection.credential_id, _scopes(connection), lease_id=lease_id, lease_s=lease_s
            )

    async def keep(self, connection: Connection, token: SharedToken) -> None:
        """Share a token that was fetched under the lease ``token.generation``."""
        sealed = self._sealer.seal(token.token, owner=_owner(connection))
        stored = StoredToken(sealed, token.generation, token.renew_in_s, token.usable_for_s)
        async with self._database.write(connection.tenant_id) as unit:
            await unit.upstream_tokens.keep(connection.credential_id, _scopes(connection), stored)

    async def release(self, connection: Connection, lease_id: UUID) -> None:
        """Give a lease back early."""
        async with self._database.write(connection.tenant_id) as unit:
            await unit.upstream_tokens.release(connection.credential_id, _scopes(connection), lease_id=lease_id)

    async def discard(self, connection: Connection, generation: UUID) -> None:
        """Forget a token that AEP refused."""
        async with self._database.write(connection.tenant_id) as unit:
            await unit.upstream_tokens.discard(connection.credential_id, _scopes(connection), generation=generation)


def token_owner(tenant_id: UUID, credential_id: UUID) -> str:
    """Return what the sealed tokens of a credential are bound to."""
    return f"tenant:{tenant_id}:upstream-token:{credential_id}"


def _owner(connection: Connection) -> str:
    return token_owner(connection.tenant_id, connection.credential_id)


def _scopes(connection: Connection) -> str:
    return ",".join(sorted(connection.scopes))
