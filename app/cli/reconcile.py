"""``segment-gateway reconcile``: find out now what became of changes without an outcome.

A gateway that serves does this by itself; the command is for when none does, and to see what is left.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import httpx
import typer

from app.cli.postgres import database_url
from app.main import build_gateway
from app.settings import ServerSettings, Settings
from app.sync.reconcile import open_operations
from app.telemetry import configure_logging


def reconcile(
    state_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded database and keys.")] = None,
) -> None:
    """Look up every change that is due, once, and print what was found and what stays unknown."""
    server = ServerSettings()
    settings = Settings(server=server if state_dir is None else server.model_copy(update={"state_dir": state_dir}))
    configure_logging("WARNING", json=settings.log.log_json)
    with database_url(settings.database, settings.server.state_dir) as url:
        asyncio.run(_reconcile(settings, url))


async def _reconcile(settings: Settings, url: str) -> None:
    async with httpx.AsyncClient(follow_redirects=False) as http:
        gateway = await build_gateway(settings, url, http=http)
        try:
            for one in await gateway.reconciler.run_once():
                print(
                    f"{one.finding.value}: {one.action} {one.resource_name or ''} by {one.actor_name}. {one.evidence}"
                )
            left = await open_operations(gateway.database)
        finally:
            await gateway.database.close()
    for slug, row in left:
        print(
            f"open: {slug}/{row.sandbox_name} {row.action} {row.resource_name or ''} since {row.started_at:%F %T} UTC"
        )
    print(f"{len(left)} changes without an outcome.")
