"""Reading a sandbox of 4,000 definitions into the cache: the first time, again, and when little or nothing changed.

The emulator and PostgreSQL run on this machine, so a call takes milliseconds; at AEP it takes some hundred, and the
number of calls is what counts. The processor's time is the gateway's own.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from app.main import build_gateway
from app.services.aep_calls import target_of
from app.settings import ServerSettings, Settings
from app.store.sync_states import Cached, SyncMode
from app.sync.pull import SandboxPuller
from app.telemetry import configure_logging
from app.upstream import mutations
from app.upstream.client import AEPClient
from app.upstream.segment_definitions import create_segment_definition, update_segment_definition
from benchmarks.door import context, document
from benchmarks.measure import console
from benchmarks.soak import running

CHANGED = 10


class CountingTransport(httpx.AsyncHTTPTransport):
    """The network, with the calls counted."""

    calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        return await super().handle_async_request(request)


async def measure(definitions: int) -> None:
    network = CountingTransport()
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), 1, gateways=0) as world, httpx.AsyncClient(transport=network) as http:
            settings = Settings(server=ServerSettings(state_dir=Path(folder)))
            gateway = await build_gateway(settings, world.database_url, http=http)
            puller: SandboxPuller = gateway.sync._puller
            client: AEPClient = puller._client
            ctx = await context(world)

            async def pull(mode: SyncMode) -> int:
                result = await puller.pull(ctx.tenant, ctx.sandbox, mode=mode)
                if not result.complete:
                    raise SystemExit(f"the sync failed: {result.failures}")
                return result.objects[Cached.SEGMENT_DEFINITIONS]

            # What was changed within the last minute is read again each time; let these be older.
            clock = f"{world.emulator.url}/emulator/clock"
            await http.put(clock, json={"set": (datetime.now(UTC) - timedelta(hours=1)).isoformat()})
            made = await _make(client, ctx, definitions)
            await http.put(clock, json={"reset": True})
            for name, mode, before in (
                ("initial", SyncMode.RECONCILING, None),
                ("reconciling, nothing changed", SyncMode.RECONCILING, None),
                ("incremental, nothing changed", SyncMode.INCREMENTAL, None),
                (f"incremental, {CHANGED} changed", SyncMode.INCREMENTAL, lambda: _change(client, ctx, made[:CHANGED])),
            ):
                if before is not None:
                    await before()
                await _print(network, name, mode, pull)
            await gateway.database.close()


async def _print(
    network: CountingTransport, name: str, mode: SyncMode, pull: Callable[[SyncMode], Awaitable[int]]
) -> None:
    network.calls, begin, processor = 0, time.perf_counter(), time.process_time()
    found = await pull(mode)
    took, cpu = time.perf_counter() - begin, time.process_time() - processor
    console.print(f"{name:<30} {found:>6,} definitions {network.calls:>5} calls {took:7.2f} s {cpu:7.2f} s processor")


async def _make(client: AEPClient, ctx: Any, number: int) -> list[str]:
    """Make definitions at AEP, behind the gateway."""
    made: list[str] = []

    async def make(numbers: Any) -> None:
        for _ in numbers:
            reply = await mutations.send(client, target_of(ctx), create_segment_definition(document()))
            made.append(reply.body["id"])

    numbers = iter(range(number))
    await asyncio.gather(*(make(numbers) for _ in range(8)))
    return made


async def _change(client: AEPClient, ctx: Any, aep_ids: list[str]) -> None:
    for aep_id in aep_ids:
        await mutations.send(client, target_of(ctx), update_segment_definition(aep_id, {"description": "changed"}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--definitions", type=int, default=4_000, help="size of the sandbox (default 4,000)")
    configure_logging("ERROR")
    asyncio.run(measure(parser.parse_args().definitions))


if __name__ == "__main__":
    main()
