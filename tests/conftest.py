"""What all tests share: a real PostgreSQL, migrated once, and a database of its own for each test that wants one."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from app.store import migrate
from app.store.database import Database
from app.store.embedded import EmbeddedPostgres

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server whose database ``template`` is at the newest revision."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("server"))
    server.start()
    try:
        asyncio.run(_make_template(server))
        yield server
    finally:
        server.stop()
        # As root the data may lie outside the test's own folder.
        shutil.rmtree(server.data_dir.parent, ignore_errors=True)


async def _make_template(server: EmbeddedPostgres) -> None:
    await _as_owner(server, "CREATE DATABASE template")
    await migrate.migrate(server.url("postgres", "template"))
    await migrate.create_login_role(server.url("postgres"))


async def _as_owner(server: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def database_name(postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A fresh migrated database."""
    name = f"test_{next(_numbers)}"
    await _as_owner(postgres, f"CREATE DATABASE {name} TEMPLATE template")
    yield name
    await _as_owner(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def owner_url(postgres: EmbeddedPostgres, database_name: str) -> str:
    """The owner's address of the test's database."""
    return postgres.url("postgres", database_name)


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, database_name: str) -> str:
    """The application role's address of the test's database."""
    return postgres.url(migrate.LOGIN_ROLE, database_name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's database, as the application sees it."""
    database = Database(database_url, pool_size=5)
    yield database
    await database.close()


@pytest.fixture
def repository_root() -> Path:
    """The folder of the checkout."""
    return Path(__file__).parent.parent
