"""Reads one sandbox of AEP into the cache, completely.

Everything is fetched before anything is written, so a read that breaks off leaves the cache as it was. What was
written through the gateway while the listing ran is newer than the listing and stays, and what was deleted stays away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog

from app.aep.headers import new_request_id
from app.context import Sandbox, Tenant
from app.errors import GatewayError
from app.store.database import Database
from app.store.rows import TenantSchemaRow
from app.store.sync_states import Cached
from app.telemetry import Metrics
from app.upstream import audiences, schemas, segment_definitions
from app.upstream.client import AEPClient
from app.upstream.connection import Target

log = structlog.get_logger(__name__)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PullResult:
    """How the read of one sandbox went: objects read by resource, and the causes of what failed."""

    objects: dict[Cached, int]
    failures: dict[Cached, str]

    @property
    def complete(self) -> bool:
        """Whether everything could be read."""
        return not self.failures


class SandboxPuller:
    """Reads sandboxes, one resource after the other; a resource that fails does not stop the others."""

    def __init__(
        self,
        database: Database,
        client: AEPClient,
        metrics: Metrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._client = client
        self._metrics = metrics
        self._clock = clock

    async def pull(self, tenant: Tenant, sandbox: Sandbox) -> PullResult:
        """Read a sandbox into the cache and record how that went."""
        target = Target(tenant.id, sandbox.name, new_request_id())
        steps: dict[Cached, Callable[[Target, UUID], Awaitable[int]]] = {
            Cached.SCHEMAS: self._pull_schemas,
            Cached.SEGMENT_DEFINITIONS: self._pull_segment_definitions,
            Cached.AUDIENCES: self._pull_audiences,
        }
        result = PullResult({}, {})
        for resource, step in steps.items():
            try:
                result.objects[resource] = await step(target, sandbox.id)
                self._metrics.sync_runs.labels(resource.value, "ok").inc()
            except GatewayError as problem:
                result.failures[resource] = problem.detail
                self._metrics.sync_runs.labels(resource.value, "failed").inc()
                await self._record_failure(tenant.id, sandbox.id, resource, problem)
        return result

    async def _record_failure(self, tenant_id: UUID, sandbox_id: UUID, resource: Cached, problem: GatewayError) -> None:
        log.warning("sync.failed", tenant_id=str(tenant_id), resource=resource.value, reason=problem.detail)
        async with self._database.write(tenant_id) as unit:
            await unit.sync_states.failed(sandbox_id, resource, at=self._clock(), failure=problem.detail)

    async def _pull_schemas(self, target: Target, sandbox_id: UUID) -> int:
        unions = await schemas.get_unions(self._client, target)
        now = self._clock()
        async with self._database.write(target.tenant_id) as unit:
            known = await unit.tenancy.schema_unions(sandbox_id)
            if known is None or known.unions != unions:
                row = TenantSchemaRow(tenant_id=target.tenant_id, sandbox_id=sandbox_id, unions=unions, synced_at=now)
                await unit.tenancy.put_schema_unions(row)
            await unit.sync_states.succeeded(sandbox_id, Cached.SCHEMAS, at=now, objects=len(unions))
        return len(unions)

    async def _pull_segment_definitions(self, target: Target, sandbox_id: UUID) -> int:
        began = self._clock()
        found = await _collect(segment_definitions.list_segment_definitions(self._client, target))
        async with self._database.write(target.tenant_id) as unit:
            for aep_id in await unit.audit_events.deleted(list(found), since=began):
                del found[aep_id]
            state = await unit.sync_states.get(sandbox_id, Cached.SEGMENT_DEFINITIONS)
            drift = state is not None and state.succeeded_at is not None
            await unit.segment_definitions.put_all(sandbox_id, list(found.values()), now=began, drift=drift)
            absent = await unit.segment_definitions.absent(sandbox_id, list(found), seen_before=began)
            ids = [row.aep_id for row in absent]
            gone = await unit.segment_definitions.remove_all(
                sandbox_id, ids, seen_before=began, now=self._clock(), drift=drift
            )
            await unit.sync_states.succeeded(sandbox_id, Cached.SEGMENT_DEFINITIONS, at=began, objects=len(found))
        await self._sweep(target.tenant_id, sandbox_id, list(found), began)
        if gone:
            log.info("sync.definitions_gone", count=len(gone))
        return len(found)

    async def _pull_audiences(self, target: Target, sandbox_id: UUID) -> int:
        began = self._clock()
        found = await _collect(audiences.list_audiences(self._client, target))
        async with self._database.write(target.tenant_id) as unit:
            for aep_id in await unit.audit_events.deleted(list(found), since=began):
                del found[aep_id]
            await unit.audiences.put_all(sandbox_id, list(found.values()), now=began)
            absent = await unit.audiences.absent(sandbox_id, list(found), seen_before=began)
            await unit.audiences.remove_all(sandbox_id, absent, seen_before=began)
            await unit.sync_states.succeeded(sandbox_id, Cached.AUDIENCES, at=began, objects=len(found))
        await self._sweep(target.tenant_id, sandbox_id, list(found), began)
        return len(found)

    async def _sweep(self, tenant_id: UUID, sandbox_id: UUID, listed: list[str], began: datetime) -> None:
        """Remove what was deleted through the gateway while a listing that still had it was being written."""
        async with self._database.write(tenant_id) as unit:
            for aep_id in await unit.audit_events.deleted(listed, since=began):
                await unit.audiences.remove(sandbox_id, aep_id)
                definition = await unit.segment_definitions.by_aep_id(sandbox_id, aep_id)
                if definition is not None:
                    await unit.segment_definitions.remove(definition, now=self._clock())


async def _collect(pages: AsyncIterator[list[Document]]) -> dict[str, Document]:
    """Return every object by id. Pages may overlap when something is created or deleted while they are read."""
    found: dict[str, Document] = {}
    async for page in pages:
        found.update({item["id"]: item for item in page if isinstance(item, dict) and "id" in item})
    return found
