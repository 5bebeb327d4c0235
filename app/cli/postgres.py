"""Which PostgreSQL a command uses: the one that DATABASE_URL names, or an embedded one in the state folder."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.settings import DatabaseSettings
from app.store import migrate as migrations
from app.store.embedded import EmbeddedPostgres


@contextmanager
def database_url(settings: DatabaseSettings, state_dir: Path) -> Iterator[str]:
    """Yield the application role's address of a database.

    A named server is left as it is: migrating it is an administrator's step. An embedded one is started, migrated
    and given its log-in role, and is stopped when the block ends.
    """
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
        return
    server = EmbeddedPostgres(state_dir)
    server.start()
    try:
        yield server.url(asyncio.run(_prepare(server)))
    finally:
        server.stop()


async def _prepare(server: EmbeddedPostgres) -> str:
    owner = server.url("postgres")
    await migrations.migrate(owner)
    return await migrations.create_login_role(owner)
