"""Migrations, run by Alembic as the owner of the database, never by the application role."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.store.database import engine_url

APPLICATION_ROLE = "segment_gateway_app"
LOGIN_ROLE = "segment_gateway"

# Two processes that start at once must not migrate at once.
_MIGRATION_LOCK = 5_711_240_031


def _config() -> Config:
    package = Path(__file__).parent.parent
    folder = package / "migrations" if (package / "migrations").is_dir() else package.parent / "migrations"
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


def head_revision() -> str:
    """Return the newest revision that this release knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise RuntimeError("the package holds no migrations")
    return revision


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at ``url`` (as its owner) to ``revision``."""
    asyncio.run(migrate(url, revision))


async def migrate(url: str, revision: str = "head", *, down: bool = False) -> None:
    """Run the migrations up, or ``down``, to ``revision``; the same as `upgrade` for callers with an event loop."""

    def run(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
        connection.commit()
        try:
            config = _config()
            config.attributes["connection"] = connection
            (command.downgrade if down else command.upgrade)(config, revision)
            connection.commit()
            if not down:
                connection.execute(text(f"GRANT SELECT ON alembic_version TO {APPLICATION_ROLE}"))
                connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _MIGRATION_LOCK})
            connection.commit()

    engine = create_async_engine(engine_url(url))
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


async def create_login_role(url: str) -> str:
    """Make sure that the embedded server has a log-in role for the application, and return its name.

    It is a member of the application's group role and nothing else. The embedded server trusts its socket folder, so
    the role needs no password; on a real server an administrator makes the role (README, "Your own PostgreSQL").
    """
    engine = create_async_engine(engine_url(url), isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            exists = await connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": LOGIN_ROLE})
            if not exists:
                await connection.execute(text(f"CREATE ROLE {LOGIN_ROLE} LOGIN NOSUPERUSER NOBYPASSRLS"))
            await connection.execute(text(f"GRANT {APPLICATION_ROLE} TO {LOGIN_ROLE}"))
    finally:
        await engine.dispose()
    return LOGIN_ROLE
