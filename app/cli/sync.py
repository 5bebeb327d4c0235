"""``segment-gateway sync``: read sandboxes into the cache now, and show how far it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from app.cli.postgres import database_url
from app.main import open_sync
from app.settings import ServerSettings, Settings
from app.sync.pull import Progress
from app.sync.worker import SandboxRead
from app.telemetry import configure_logging


def sync(
    tenant: Annotated[str | None, typer.Option(help="Only the organization of this slug.")] = None,
    sandbox: Annotated[str | None, typer.Option(help="Only sandboxes of this name.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Read everything, and find what is gone.")] = False,
    state_dir: Annotated[Path | None, typer.Option(help="Folder for the embedded database and keys.")] = None,
) -> None:
    """Read sandboxes into the cache now; those that another process reads at this moment are left to it."""
    server = ServerSettings() if state_dir is None else ServerSettings(state_dir=state_dir)
    settings = Settings(server=server)
    configure_logging("WARNING", json=settings.log.log_json)
    with database_url(settings.database, settings.server.state_dir) as url:
        reads = asyncio.run(_sync(settings, url, tenant, sandbox, full))
    for read in reads:
        typer.echo(_summary(read))
    if not reads:
        typer.echo("There is no such sandbox.", err=True)
    if not reads or any(read.result is not None and not read.result.complete for read in reads):
        raise typer.Exit(1)


async def _sync(settings: Settings, url: str, tenant: str | None, sandbox: str | None, full: bool) -> list[SandboxRead]:
    async with open_sync(settings, url, _show) as worker:
        return await worker.read_once(tenant=tenant, sandbox=sandbox, full=full)


def _show(progress: Progress) -> None:
    share = f"{progress.read}/{progress.total}" if progress.total is not None else str(progress.read)
    end = "done" if progress.done else "..."
    typer.echo(f"{progress.tenant}/{progress.sandbox} {progress.resource} {progress.mode} {share} {end}", err=True)


def _summary(read: SandboxRead) -> str:
    where = f"{read.tenant.slug}/{read.sandbox.name}"
    if read.result is None:
        return f"{where}: being read by another process"
    parts = [f"{resource} {count}" for resource, count in read.result.objects.items()]
    parts += [f"{resource} FAILED: {cause}" for resource, cause in read.result.failures.items()]
    return f"{where}: {', '.join(parts)}"
