"""``segment-gateway serve``: the gateway alone, for tenants that are already there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from app.cli.postgres import database_url
from app.main import build_gateway
from app.settings import ServerSettings, Settings, unknown_names
from app.telemetry import configure_logging


def serve(
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    state_dir: Annotated[Path | None, typer.Option(help="Folder for the embedded database and keys.")] = None,
) -> None:
    """Serve the gateway until it is told to stop."""
    if unknown := unknown_names():
        raise typer.BadParameter(f"Unknown settings in the environment: {', '.join(unknown)}.")
    given = {"port": port, "host": host, "state_dir": state_dir}
    server = ServerSettings().model_copy(update={name: value for name, value in given.items() if value is not None})
    settings = Settings(server=server)
    configure_logging(settings.log.log_level, json=settings.log.log_json)
    with database_url(settings.database, settings.server.state_dir) as url:
        asyncio.run(_serve(settings, url))


async def _serve(settings: Settings, url: str) -> None:
    gateway = await build_gateway(settings, url)
    await uvicorn_server(gateway.app, settings.server).serve()


def uvicorn_server(app: object, settings: ServerSettings) -> uvicorn.Server:
    """Return a server that leaves logging to us and lets requests under way finish."""
    return uvicorn.Server(
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=10,
        )
    )
