"""The way into PostgreSQL: units of work, each bound to one tenant for its whole life.

There are three, and each shows no more than its name says:

* `ReadUnit`: one tenant's rows, in a read-only transaction;
* `WriteUnit`: one tenant's rows; commits when its block ends well, rolls back when it does not;
* `DirectoryUnit`: no tenant's rows. It finds out *which* tenant a caller belongs to, by an exact key, or lists the
  tenants for the sync worker.

Binding sets a transaction-local database variable that row-level security reads, so a query that forgets the tenant
finds nothing instead of everything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from app.errors import InternalError
from app.store.access_keys import AccessKeyRepository
from app.store.audiences import AudienceRepository
from app.store.audit_checkpoints import AuditCheckpointRepository
from app.store.audit_events import AuditEventRepository
from app.store.cached_objects import CachedObjectRepository
from app.store.idempotency_keys import IdempotencyKeyRepository
from app.store.identity_providers import IdentityProviderRepository
from app.store.notifications import Notice, Notices
from app.store.object_leases import ObjectLeaseRepository
from app.store.open_operations import OpenOperationRepository
from app.store.request_budgets import RequestBudgetRepository
from app.store.revisions import RevisionRepository
from app.store.rows import TABLES_WITHOUT_TENANT, Base
from app.store.sealed_values import SealedValueRepository
from app.store.segment_definitions import SegmentDefinitionRepository
from app.store.sessions import SessionRepository
from app.store.sync_states import SyncStateRepository
from app.store.tenants import DirectoryRepository, TenancyRepository
from app.store.upstream_circuits import UpstreamCircuitRepository
from app.store.upstream_tokens import UpstreamTokenRepository


class DatabaseUnavailable(InternalError):
    """PostgreSQL cannot be reached."""

    code = "DATABASE_UNAVAILABLE"
    title = "Database unavailable"
    retryable = True


class UnsafeRole(InternalError):
    """The database role could see every tenant's rows; the gateway will not start with it."""

    code = "UNSAFE_DATABASE_ROLE"
    title = "Unsafe database role"


class SchemaOutOfDate(InternalError):
    """The database is not at the revision that this release needs."""

    code = "SCHEMA_OUT_OF_DATE"
    title = "Database schema out of date"


def engine_url(url: str) -> URL:
    """Read any usual PostgreSQL address as one for the asynchronous driver."""
    parsed = make_url(url)
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise ValueError(f"DATABASE_URL must be a postgresql:// address, not {parsed.get_backend_name()}://")
    return parsed.set(drivername="postgresql+asyncpg")


class ReadUnit:
    """One tenant's rows, to read."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        self.tenant_id = tenant_id
        self.segment_definitions = SegmentDefinitionRepository(session, tenant_id)
        self.revisions = RevisionRepository(session, tenant_id)
        self.audiences = AudienceRepository(session, tenant_id)
        self.audit_events = AuditEventRepository(session, tenant_id)
        self.audit_checkpoints = AuditCheckpointRepository(session, tenant_id)
        self.idempotency_keys = IdempotencyKeyRepository(session, tenant_id)
        self.object_leases = ObjectLeaseRepository(session, tenant_id)
        self.open_operations = OpenOperationRepository(session, tenant_id)
        self.cached_objects = CachedObjectRepository(session, tenant_id)
        self.sync_states = SyncStateRepository(session, tenant_id)
        self.tenancy = TenancyRepository(session, tenant_id)
        self.identity_providers = IdentityProviderRepository(session, tenant_id)
        self.access_keys = AccessKeyRepository(session, tenant_id)
        self.sessions = SessionRepository(session, tenant_id)
        self.request_budgets = RequestBudgetRepository(session, tenant_id)
        self.upstream_circuits = UpstreamCircuitRepository(session, tenant_id)
        self.upstream_tokens = UpstreamTokenRepository(session, tenant_id)
        self.sealed_values = SealedValueRepository(session)


class WriteUnit(ReadUnit):
    """One tenant's rows, to read and write in one transaction."""

    def __init__(self, session: AsyncSession, tenant_id: UUID) -> None:
        super().__init__(session, tenant_id)
        self._session = session

    async def flush(self) -> None:
        """Send pending changes to the database, so that its constraints speak now and not at the end."""
        await self._session.flush()

    def notify(self, notice: Notice) -> None:
        """Tell of a change to all processes when this unit commits; repositories tell of theirs themselves."""
        Notices.add(self._session, notice)


class Database:
    """One pool of connections and the units of work on it."""

    def __init__(self, url: str, *, pool_size: int = 10, timeout_s: float = 10.0) -> None:
        self._engine: AsyncEngine = create_async_engine(
            engine_url(url),
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            connect_args={
                "timeout": timeout_s,
                "server_settings": {
                    "statement_timeout": str(int(timeout_s * 1000)),
                    "application_name": "segment-gateway",
                },
            },
        )
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def ping(self) -> None:
        """Raise `DatabaseUnavailable` unless the database answers."""
        try:
            async with self._engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except (TimeoutError, OSError, DBAPIError) as problem:
            raise DatabaseUnavailable("PostgreSQL does not answer.") from problem

    async def verify(self, revision: str) -> None:
        """Refuse a role that can bypass row-level security, tables without it, and an old schema.

        Raises `UnsafeRole`, `SchemaOutOfDate` or `DatabaseUnavailable`.
        """
        await self.ping()
        async with self._engine.connect() as connection:
            role = (
                await connection.execute(
                    text("SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
                )
            ).one()
            if role.rolsuper or role.rolbypassrls:
                raise UnsafeRole(
                    f"The database role {role.rolname} can bypass row-level security: it would see all tenants' rows.",
                    hint="Let DATABASE_URL name a plain log-in role that is a member of segment_gateway_app "
                    "(README, 'Your own PostgreSQL').",
                )
            present = await connection.scalar(text("SELECT to_regclass('alembic_version') IS NOT NULL"))
            found = await connection.scalar(text("SELECT version_num FROM alembic_version")) if present else None
            if found != revision:
                raise SchemaOutOfDate(
                    f"The database is at revision {found or 'none'}, this release needs {revision}.",
                    hint="Run 'segment-gateway migrate' with MIGRATION_DATABASE_URL set to the owner's address.",
                )
            open_tables = (
                await connection.scalars(
                    text(
                        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
                        "AND relkind IN ('r', 'p') AND NOT (relrowsecurity AND relforcerowsecurity)"
                    )
                )
            ).all()
        unprotected = sorted(set(open_tables) - set(TABLES_WITHOUT_TENANT))
        if unprotected:
            raise UnsafeRole(f"Row-level security is not forced on: {', '.join(unprotected)}.")

    @asynccontextmanager
    async def read(self, tenant_id: UUID) -> AsyncIterator[ReadUnit]:
        """Open a read-only unit of work on one tenant's rows."""
        async with self._transaction({"app.tenant_id": str(tenant_id)}, read_only=True) as session:
            yield ReadUnit(session, tenant_id)

    @asynccontextmanager
    async def write(self, tenant_id: UUID) -> AsyncIterator[WriteUnit]:
        """Open a unit of work on one tenant's rows; it commits when the block ends without an exception."""
        async with self._transaction({"app.tenant_id": str(tenant_id)}) as session:
            yield WriteUnit(session, tenant_id)
            await Notices.send(session)

    async def tables_with_foreign_rows(self, tenant_id: UUID) -> list[str]:
        """Ask, bound to a tenant, for rows of others, and return the tables that show any: none, if policies hold."""
        found = []
        async with self._transaction({"app.tenant_id": str(tenant_id)}, read_only=True) as session:
            for table in Base.metadata.sorted_tables:
                if "tenant_id" in table.columns:
                    foreign = select(table.c.tenant_id).where(table.c.tenant_id != tenant_id).limit(1)
                    if (await session.execute(foreign)).first() is not None:
                        found.append(table.name)
        return found

    @asynccontextmanager
    async def lookup(self, key: str) -> AsyncIterator[DirectoryRepository]:
        """Open a unit that sees the one row which ``key`` names exactly (see the first migration)."""
        async with self._transaction({"app.lookup": key}, read_only=True) as session:
            yield DirectoryRepository(session)

    @asynccontextmanager
    async def directory(self) -> AsyncIterator[DirectoryRepository]:
        """Open a unit that sees the list of tenants and nothing of theirs."""
        async with self._transaction({"app.directory": "on"}) as session:
            yield DirectoryRepository(session)

    async def tenant_ids(self) -> list[UUID]:
        """Return the id of every tenant, for what goes over all of them one by one."""
        async with self.directory() as directory:
            return [row.id for row in await directory.tenants()]

    @asynccontextmanager
    async def _transaction(
        self, variables: Mapping[str, str], *, read_only: bool = False
    ) -> AsyncIterator[AsyncSession]:
        calls = [f"set_config(:name{i}, :value{i}, true)" for i in range(len(variables))]
        if read_only:
            calls.append("set_config('transaction_read_only', 'on', true)")
        values: dict[str, Any] = {}
        for index, (name, value) in enumerate(variables.items()):
            values |= {f"name{index}": name, f"value{index}": value}
        try:
            async with self._sessions.begin() as session:
                await session.execute(text(f"SELECT {', '.join(calls)}"), values)
                yield session
        except (ConnectionError, InterfaceError) as problem:
            raise DatabaseUnavailable("PostgreSQL does not answer.") from problem
