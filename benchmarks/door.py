"""What the write door adds to a change at AEP: a bare create, and the same one through the door, in turns.

The emulator and PostgreSQL run on this machine, so a change takes milliseconds; at AEP the same addition stands beside
some hundred. The door's part is permission, rule check, intent, outcome, row, revision, audit and notices.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from app.context import Actor, ActorKind, Entrance, RequestContext, Role
from app.context.permissions import Permission, with_implied
from app.main import build_gateway
from app.services.aep_calls import target_of
from app.services.door import WriteDoor
from app.settings import ServerSettings, Settings
from app.store.tenants import to_sandbox, to_tenant
from app.telemetry import configure_logging
from app.upstream import mutations
from app.upstream.segment_definitions import create_segment_definition
from benchmarks.measure import console
from benchmarks.soak import running

Work = Callable[[dict[str, Any]], Awaitable[object]]


def document() -> dict[str, Any]:
    rule = {"type": "PQL", "format": "pql/text", "value": 'person.gender = "female" and person.birthYear > 1990'}
    return {"name": f"Bench {uuid4().hex}", "expression": rule, "schema": {"name": "_xdm.context.profile"}}


async def measure(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), 1, gateways=0) as world, httpx.AsyncClient() as http:
            settings = Settings(server=ServerSettings(state_dir=Path(folder)))
            gateway = await build_gateway(settings, world.database_url, http=http)
            definitions = gateway.services.definitions
            ctx = await context(world)
            door: WriteDoor = definitions._door
            works: dict[str, Work] = {
                "bare create at AEP": lambda sent: mutations.send(
                    door._client, target_of(ctx), create_segment_definition(sent)
                ),
                "through the door": lambda sent: definitions.create(ctx, sent),
                "with an idempotency key": lambda sent: definitions.create(
                    replace(ctx, idempotency_key=str(uuid4())), sent
                ),
            }
            times: dict[str, list[float]] = {name: [] for name in works}
            for _ in range(rounds + 10):
                for name, work in works.items():
                    begin = time.perf_counter()
                    await work(document())
                    times[name].append((time.perf_counter() - begin) * 1000)
            await gateway.database.close()
    medians = {name: statistics.median(one[10:]) for name, one in times.items()}
    bare = medians["bare create at AEP"]
    for name, median in medians.items():
        console.print(f"{name:<28} {median:7.2f} ms   {median / bare:5.2f}x   {median - bare:+7.2f} ms")


async def context(world: Any) -> RequestContext:
    async with world.database.directory() as directory:
        row = (await directory.tenants())[0]
    async with world.database.read(row.id) as unit:
        sandbox = to_sandbox((await unit.tenancy.sandboxes())[0])
    return RequestContext(
        actor=Actor(ActorKind.PERSON, UUID(int=7), "author@bench.example", row.id),
        tenant=to_tenant(row),
        sandbox=sandbox,
        permissions=with_implied([Permission.MANAGE_SEGMENTS]),
        roles=frozenset({Role.DEVELOPER}),
        product_profiles=("Bench",),
        entrance=Entrance.GRAPHQL,
        request_id="bench",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="creates of each kind (default 200)")
    configure_logging("ERROR", json=False)
    asyncio.run(measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
