"""Sealing everything anew under the present master key, beside running processes.

Tenants are taken one after the other and rows in batches, each batch in a transaction of its own. Rows under the
present key are not looked at again, so a run that was broken off is gone on with by the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

from app.audit.actions import Action
from app.audit.recorder import AuditRecorder, Resource
from app.store.database import Database
from app.store.sealed_values import COLUMNS, SealedColumn, SealedValueRepository
from app.tenancy.author import Author
from app.tenancy.credentials import credential_owner
from app.tenancy.identity_providers import provider_owner
from app.tenancy.sealing import SIGNING_KEYS_OWNER, Sealer
from app.tenancy.upstream_tokens import token_owner

BATCH = 100

OWNERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "tenant_credentials.sealed_secret": lambda row: credential_owner(row["tenant_id"]),
    "upstream_tokens.sealed_token": lambda row: token_owner(row["tenant_id"], row["credential_id"]),
    "identity_providers.sealed_client_secret": lambda row: provider_owner(row["tenant_id"]),
    "signing_keys.sealed_private_key": lambda _row: SIGNING_KEYS_OWNER,
}
"""What the values of each column are bound to, by the row."""


class KeyRotation:
    """Counts and re-seals sealed values."""

    def __init__(self, database: Database, sealer: Sealer, recorder: AuditRecorder, *, batch: int = BATCH) -> None:
        self._database = database
        self._sealer = sealer
        self._recorder = recorder
        self._batch = batch

    async def numbers(self) -> dict[bytes, int]:
        """Return how many values are sealed under each key id, over all tenants."""
        numbers: Counter[bytes] = Counter()
        for tenant_id in await self._database.tenant_ids():
            async with self._database.read(tenant_id) as unit:
                for column in COLUMNS:
                    if column.of_tenant:
                        numbers.update(await unit.sealed_values.numbers(column))
        async with self._database.directory() as directory:
            for column in COLUMNS:
                if not column.of_tenant:
                    numbers.update(await directory.sealed_values.numbers(column))
        return dict(numbers)

    async def reseal(self, author: Author) -> int:
        """Seal under the present key whatever is under another one, and return how many values that were.

        Raises `SealError` for a value whose key is not known; everything before it stays done.
        """
        total = 0
        for column in COLUMNS:
            if not column.of_tenant:
                while done := await self._reseal_own(column):
                    total += done
        for tenant_id in await self._database.tenant_ids():
            for column in COLUMNS:
                if column.of_tenant:
                    while done := await self._reseal_tenants(tenant_id, column, author):
                        total += done
        return total

    async def _reseal_own(self, column: SealedColumn) -> int:
        async with self._database.directory() as directory:
            return await self._reseal_batch(directory.sealed_values, column)

    async def _reseal_tenants(self, tenant_id: UUID, column: SealedColumn, author: Author) -> int:
        async with self._database.write(tenant_id) as unit:
            done = await self._reseal_batch(unit.sealed_values, column)
            if done:
                about = Resource("secrets", name=column.name)
                key_id = self._sealer.current_id.hex()
                await author.record(self._recorder, unit, Action.SECRETS_RESEAL, about, keyId=key_id, values=done)
            return done

    async def _reseal_batch(self, values: SealedValueRepository, column: SealedColumn) -> int:
        rows = await values.under_other_keys(column, self._sealer.current_id, self._batch)
        for row in rows:
            owner = OWNERS[column.name](row)
            opened = self._sealer.open(bytes(row[column.column.name]), owner=owner)
            await values.replace(column, row, self._sealer.seal(opened, owner=owner))
        return len(rows)
