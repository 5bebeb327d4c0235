"""Row-level security, looked at from inside the database."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from app.store import migrate
from app.store.database import Database, SchemaOutOfDate, UnsafeRole, engine_url
from app.store.rows import TABLES_WITHOUT_TENANT, Base
from tests.factories import make_tenant


async def test_every_table_forces_row_level_security(owner_url: str) -> None:
    connection = await asyncpg.connect(owner_url)
    try:
        rows = await connection.fetch(
            "SELECT relname, relrowsecurity AND relforcerowsecurity AS forced FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        )
    finally:
        await connection.close()
    found = {row["relname"]: row["forced"] for row in rows}
    assert set(found) == {table.name for table in Base.metadata.sorted_tables} | {"alembic_version"}
    assert [name for name, forced in found.items() if not forced] == ["alembic_version"]


def test_every_table_has_a_tenant_column_or_a_reason() -> None:
    without = {table.name for table in Base.metadata.sorted_tables if "tenant_id" not in table.columns}
    assert without | {"alembic_version"} == set(TABLES_WITHOUT_TENANT)


async def test_a_session_without_tenant_sees_nothing(database: Database, database_url: str) -> None:
    await make_tenant(database)
    connection = await asyncpg.connect(database_url)
    try:
        for table in Base.metadata.sorted_tables:
            if table.name != "signing_keys":
                assert await connection.fetchval(f"SELECT count(*) FROM {table.name}") == 0, table.name
    finally:
        await connection.close()


async def test_a_tenant_sees_only_its_own_rows_whatever_it_asks(database: Database, database_url: str) -> None:
    luma, other = await make_tenant(database, "luma"), await make_tenant(database, "other")
    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('app.tenant_id', $1, true)", str(luma.id))
            assert await connection.fetchval("SELECT count(*) FROM sandboxes") == 2
            found = await connection.fetch("SELECT slug FROM tenants")
            assert [row["slug"] for row in found] == ["luma"]
            assert await connection.execute("DELETE FROM sandboxes WHERE tenant_id = $1", other.id) == "DELETE 0"
        async with connection.transaction():
            await connection.execute("SELECT set_config('app.tenant_id', $1, true)", str(luma.id))
            insert = "INSERT INTO product_profiles VALUES (gen_random_uuid(), $1, 'Stolen', '{}', '{}')"
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(insert, other.id)
    finally:
        await connection.close()
    async with database.read(other.id) as unit:
        assert len(await unit.tenancy.sandboxes()) == 2


async def test_a_lookup_shows_one_row_and_no_other(database: Database) -> None:
    await make_tenant(database, "luma")
    await make_tenant(database, "other")
    async with database.lookup("luma") as directory:
        assert [row.slug for row in await directory.tenants()] == ["luma"]
    async with database.lookup("nobody") as directory:
        assert await directory.tenants() == []


async def test_the_gateway_refuses_a_role_that_bypasses_security(owner_url: str) -> None:
    database = Database(owner_url)
    try:
        with pytest.raises(UnsafeRole, match="postgres can bypass row-level security"):
            await database.verify(migrate.head_revision())
    finally:
        await database.close()


async def test_the_gateway_refuses_a_table_without_forced_security(database: Database, owner_url: str) -> None:
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute("ALTER TABLE audiences NO FORCE ROW LEVEL SECURITY")
    finally:
        await connection.close()
    with pytest.raises(UnsafeRole, match="not forced on: audiences"):
        await database.verify(migrate.head_revision())


async def test_the_gateway_refuses_an_old_schema(database: Database) -> None:
    with pytest.raises(SchemaOutOfDate, match="this release needs 9999"):
        await database.verify("9999")


async def test_migrations_run_down_and_up_again(database: Database, owner_url: str) -> None:
    await make_tenant(database)
    await migrate.migrate(owner_url, "base", down=True)
    connection = await asyncpg.connect(owner_url)
    try:
        left = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        )
    finally:
        await connection.close()
    assert [row["relname"] for row in left] == ["alembic_version"]
    await migrate.migrate(owner_url)
    await database.verify(migrate.head_revision())


async def test_a_read_unit_cannot_write(database: Database) -> None:
    luma = await make_tenant(database)
    with pytest.raises(DBAPIError, match="read-only transaction"):
        async with database.read(luma.id) as unit:
            await unit.audiences.remove(luma.sandbox.id, "x")


@pytest.mark.parametrize("url", ["mysql://localhost/x", "sqlite:///x"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be a postgresql"):
        engine_url(url)
