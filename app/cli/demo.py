"""``segment-gateway demo``: PostgreSQL, the emulator, the gateway and its sync worker on one machine.

The emulator is a process of its own and is reached by HTTP only, as AEP would be. The first start makes the tenants
that the emulator plays, with people and integrations to try things as; later starts find them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

from app.cli.demo_people import seed_tenants, write_private_json
from app.cli.lesson import walk
from app.cli.postgres import database_url
from app.cli.serve import uvicorn_server
from app.main import Gateway, build_gateway
from app.settings import DatabaseSettings, LogSettings, ServerSettings, Settings, SyncSettings
from app.telemetry import configure_logging

EMULATOR_START_S = 600.0

console = Console(stderr=True, highlight=False)


def demo(
    port: Annotated[int, typer.Option(help="Port of the gateway; 0 takes a free one.")] = 8080,
    state_dir: Annotated[Path, typer.Option(help="Folder for everything that is kept.")] = Path(".state"),
    ready_file: Annotated[Path | None, typer.Option(help="JSON file to write when all is ready.")] = None,
    profiles: Annotated[int, typer.Option(min=100, help="Profiles in each organization's sample.")] = 100_000,
    emulator_port: Annotated[int, typer.Option(help="Port of the emulator; 0 takes a free one.")] = 0,
    lesson: Annotated[
        Path | None, typer.Option(help="A lesson to walk through on the first start, such as docs/lesson.md.")
    ] = None,
) -> None:
    """Run everything on this machine, with sample data and people to try it as."""
    started = time.monotonic()
    configure_logging("WARNING", json=LogSettings().log_json)
    # An orderly stop, also when a supervisor says so: every block below ends what it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    state_dir = state_dir.resolve()
    state_dir.mkdir(parents=True, exist_ok=True)
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)
    with contextlib.suppress(KeyboardInterrupt), database_url(DatabaseSettings(), state_dir) as url:
        console.print(f"PostgreSQL is up ({time.monotonic() - started:.1f} s).")
        with _emulator(state_dir / "emulator", emulator_port or _free_port(), profiles) as emulator_url:
            console.print(f"The emulator is up at {emulator_url} ({time.monotonic() - started:.1f} s).")
            server = ServerSettings(port=port or _free_port(), state_dir=state_dir)
            settings = Settings(server=server, sync=SyncSettings(sync_interval_s=10.0))
            asyncio.run(_serve(settings, url, emulator_url, ready_file, lesson=lesson, started=started))
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)


async def _serve(
    settings: Settings, url: str, emulator_url: str, ready_file: Path | None, *, lesson: Path | None, started: float
) -> None:
    gateway = await build_gateway(settings, url)
    tenants = await seed_tenants(gateway.database, gateway.sealer, settings.server.state_dir, emulator_url)
    gateway_url = f"http://{settings.server.host}:{settings.server.port}"
    ready = {"gateway_url": gateway_url, "emulator_url": emulator_url, "tenants": tenants}
    server = uvicorn_server(gateway.app, settings.server)
    serving = asyncio.create_task(server.serve())
    announcing = asyncio.create_task(
        _announce(gateway, ready, ready_file, settings.server.state_dir, lesson=lesson, started=started)
    )
    try:
        await asyncio.wait({serving, announcing}, return_when=asyncio.FIRST_COMPLETED)
        if announcing.done():
            announcing.result()  # a lesson that fails ends the demo with its reason
        await serving
    finally:
        server.should_exit = True
        announcing.cancel()
        await asyncio.gather(serving, announcing, return_exceptions=True)


async def _announce(
    gateway: Gateway,
    ready: dict[str, Any],
    ready_file: Path | None,
    state_dir: Path,
    *,
    lesson: Path | None,
    started: float,
) -> None:
    await _until_synced(gateway)
    done = state_dir / "lesson.done"
    if lesson is not None and not done.exists():
        await walk(await asyncio.to_thread(lesson.read_text), ready, console)
        done.touch()
    if ready_file is not None:
        write_private_json(ready_file, ready)
    _summarise(ready, time.monotonic() - started)


async def _until_synced(gateway: Gateway) -> None:
    """Wait for the first complete read of every sandbox."""
    while not await gateway.sync.all_read_once():  # noqa: ASYNC110 - the state is in the database, not in this process
        await asyncio.sleep(0.05)


def _summarise(ready: dict[str, Any], seconds: float) -> None:
    console.rule(f"ready in {seconds:.1f} s")
    console.print(f"GraphQL and GraphiQL  {ready['gateway_url']}/graphql")
    console.print(f"AEP facade            {ready['gateway_url']}/data/core/ups/segment/definitions")
    console.print(f"Emulator of AEP       {ready['emulator_url']}")
    for tenant in ready["tenants"]:
        console.print(f"\n{tenant['slug']}  ({tenant['org_id']}, namespace {tenant['namespace']})")
        for person in tenant["people"]:
            console.print(
                f"  {person['product_profile']:<16} {person['email']:<28} {person['access_key']}", soft_wrap=True
            )
        for integration in tenant["integrations"]:
            client = f"client id {integration['client_id']}  secret {integration['client_secret']}"
            console.print(f"  {integration['product_profile']:<16} {integration['name']:<28} {client}", soft_wrap=True)
    console.print("\nCtrl-C stops everything. README.md and docs/lesson.md tell what to try.")


@contextmanager
def _emulator(state_dir: Path, port: int, profiles: int) -> Iterator[str]:
    """Run the emulator as a process of its own while the block lasts."""
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "app.cli", "emulate", "--port", str(port), "--state-dir", str(state_dir)]
    process = subprocess.Popen(  # noqa: S603 - our own program
        [*command, "--profiles", str(profiles)],
        start_new_session=True,
        env=os.environ | {"SEGMENT_GATEWAY_LOG_LEVEL": "WARNING"},
    )
    try:
        _wait_for(process, f"{url}/healthz")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + EMULATOR_START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise typer.Exit(1)
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=2).status_code == 200:
                return
        time.sleep(0.1)
    console.print(f"The emulator did not answer at {url} within {EMULATOR_START_S:.0f} s.")
    raise typer.Exit(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
