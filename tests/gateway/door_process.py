"""Gateway processes that die where they are told to.

A line in names a step of the write door, or ``none``. For each line a child is forked, which serves the gateway until it
kills itself at that step, or is killed; a line out is its process id, when it serves. Forking spares the imports.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from app.cli.serve import uvicorn_server
from app.main import build_gateway
from app.services.door import Step
from app.settings import ServerSettings, Settings, SyncSettings, UpstreamSettings, WriteSettings
from app.telemetry import configure_logging

WRITE = WriteSettings(write_lease_s=2.0, write_wait_s=8.0, reconcile_interval_s=0.1, reconcile_settle_s=0.3)


async def serve(database_url: str, state_dir: Path, port: int, die_at: str) -> None:
    def on_step(step: Step) -> None:
        if step.name == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    settings = Settings(
        server=ServerSettings(port=port, state_dir=state_dir),
        sync=SyncSettings(sync_interval_s=1.0, sync_retry_s=0.2),
        upstream=UpstreamSettings(upstream_attempts=1),
        write=WRITE,
    )
    gateway = await build_gateway(settings, database_url, on_step=on_step)
    server = uvicorn_server(gateway.app, settings.server)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(os.getpid(), flush=True)
    await serving


def main(database_url: str, state_dir: str, port: str) -> None:
    configure_logging("ERROR", json=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(serve(database_url, Path(state_dir), int(port), line.strip()))
            os._exit(0)
        os.waitpid(child, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
