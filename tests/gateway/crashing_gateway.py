"""The gateway as a process, with one more route: it crashes with secrets in its hands."""

from __future__ import annotations

import asyncio
import sys

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.cli.serve import uvicorn_server
from app.main import build_gateway
from app.settings import ServerSettings, Settings
from app.telemetry import configure_logging


async def crash(request: Request) -> Response:
    authorization = request.headers["authorization"]
    token = request.query_params["access_token"]
    raise RuntimeError(f"planted, with {len(authorization) + len(token)} characters at hand")


async def main(port: int) -> None:
    settings = Settings(server=ServerSettings(port=port))
    configure_logging(settings.log.log_level, json=settings.log.log_json)
    gateway = await build_gateway(settings, settings.database.database_url.get_secret_value())
    gateway.app.router.routes.append(Route("/crash", crash))
    await uvicorn_server(gateway.app, settings.server).serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
