"""How fast events are appended to a chain in PostgreSQL, and how fast an export is verified.

Appending is measured as the door does it, one transaction an event, by one writer and by eight that write to one chain
(who wait for each other) or to a chain each. Verifying is measured on one core, over lines as an export writes them.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from app.audit.actions import Action, Phase
from app.audit.export import document_of, line_of
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.audit.verifier import verify_chain
from app.context import Actor, ActorKind, Entrance
from app.store import migrate
from app.store.database import Database
from app.store.embedded import EmbeddedPostgres

APPENDED = 1_000
VERIFIED = 50_000
WRITERS = 8


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder))
        server.start()
        try:
            asyncio.run(_measure(server))
        finally:
            server.stop()


async def _measure(server: EmbeddedPostgres) -> None:
    owner = server.url("postgres")
    await migrate.migrate(owner)
    database = Database(server.url(await migrate.create_login_role(owner)), pool_size=WRITERS)
    try:
        chain = uuid4()
        _print("appended by 1 writer", APPENDED, await _append(database, [chain]))
        _print(f"appended by {WRITERS} writers to one chain", APPENDED, await _append(database, [chain] * WRITERS))
        chains = [uuid4() for _ in range(WRITERS)]
        _print(f"appended by {WRITERS} writers to a chain each", APPENDED, await _append(database, chains))
        async with database.write(chain) as unit:
            for number in range(VERIFIED):
                await AuditRecorder().record(unit, _operation(chain, number), Phase.INTENT, detail=_detail(number))
        async with database.read(chain) as unit:
            rows = await unit.audit_events.chain(limit=VERIFIED)
    finally:
        await database.close()
    lines, documents = [line_of(row) for row in rows], [document_of(row) for row in rows]
    for name, events in (("lines of an export", lines), ("events from the database", documents)):
        begin = time.perf_counter()
        report = verify_chain(events)
        _print(f"verified, {name}", report.events, time.perf_counter() - begin)
        if report.broken is not None:
            raise SystemExit(f"the chain is broken: {report.broken}")


async def _append(database: Database, chains: list) -> float:
    numbers = iter(range(APPENDED))

    async def write(chain) -> None:
        for number in numbers:
            async with database.write(chain) as unit:
                await AuditRecorder().record(unit, _operation(chain, number), Phase.INTENT, detail=_detail(number))

    begin = time.perf_counter()
    await asyncio.gather(*(write(chain) for chain in chains))
    return time.perf_counter() - begin


def _operation(tenant_id, number: int) -> Operation:
    actor = Actor(ActorKind.PERSON, uuid4(), "author@luma.example", tenant_id)
    about = Resource("segment_definition", str(uuid4()), f"Gold members {number}")
    return Operation(Action.SEGMENT_DEFINITION_UPDATE, about, actor, Entrance.GRAPHQL, uuid4().hex, sandbox_name="prod")


def _detail(number: int) -> dict:
    return {"sent": {"name": f"Gold members {number}", "expression": {"value": '_luma.loyalty.level = "gold"'}}}


def _print(what: str, count: int, seconds: float) -> None:
    print(f"{what}: {count} events in {seconds:.2f} s, {count / seconds:,.0f} events/s")


if __name__ == "__main__":
    main()
