"""``segment-gateway migrate``: bring a database to the revision that this release needs."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from app.settings import DatabaseSettings
from app.store import migrate as migrations


def migrate(
    revision: Annotated[str, typer.Option(help="The revision to go to.")] = "head",
    down: Annotated[bool, typer.Option("--down", help="Go back to the revision instead of forward.")] = False,
) -> None:
    """Migrate the database named by SEGMENT_GATEWAY_MIGRATION_DATABASE_URL, or else by DATABASE_URL."""
    settings = DatabaseSettings()
    url = settings.migration_database_url or settings.database_url
    if url is None:
        raise typer.BadParameter("Set DATABASE_URL. The embedded server is migrated by itself when it starts.")
    asyncio.run(migrations.migrate(url.get_secret_value(), revision, down=down))
    typer.echo(f"The database is at revision {revision}.")
