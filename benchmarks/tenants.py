"""Whether many tenants slow the reads of one: the same reads, alone and beside a thousand others.

The other tenants' definitions are copies of one tenant's rows, written by the database itself. Reads go through the
repository as requests do, under the application role, with row-level security: a page by time, a search by name and
one definition by its id. Both databases are on one server and are read by turns, so that what else the machine does
falls on both.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from app.store import migrate
from app.store.database import Database
from app.store.embedded import EmbeddedPostgres
from app.store.paging import Window
from benchmarks.measure import Work, by_turns, console
from tests.factories import MadeTenant, definition, make_tenant

_WHERE = ("alone", "beside")
_COPY = """
INSERT INTO segment_definitions (id, tenant_id, sandbox_id, aep_id, name, name_lower, description, document, created_at,
    updated_at, version, synced_at)
SELECT gen_random_uuid(), t.id, t.id, d.aep_id, d.name, d.name_lower, d.description, d.document, d.created_at,
    d.updated_at, d.version, d.synced_at
FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $2)) AS t, segment_definitions AS d WHERE d.tenant_id = $1
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=1_000, help="other tenants (default 1,000)")
    parser.add_argument(
        "--definitions", type=int, default=400, help="definitions of each (default 400; AEP allows 4,000)"
    )
    parser.add_argument("--rounds", type=int, default=300, help="measured turns (default 300)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedPostgres(Path(folder))
        server.start()
        try:
            asyncio.run(_measure(server, given.tenants, given.definitions, given.rounds))
        finally:
            server.stop()


async def _measure(server: EmbeddedPostgres, tenants: int, definitions: int, rounds: int) -> None:
    async with _filled(server, "alone", definitions) as one, _filled(server, "beside", definitions) as other:
        begun = time.perf_counter()
        await _on(server.url("postgres", "beside"), _COPY, other[1].id, tenants)
        for name in ("alone", "beside"):
            await _on(server.url("postgres", name), "VACUUM ANALYZE")
        await _on(server.url("postgres"), "CHECKPOINT")
        console.print(
            f"{tenants:,} other tenants x {definitions:,} definitions, written in {time.perf_counter() - begun:.0f} s"
        )
        reads = _reads(*one, definitions), _reads(*other, definitions)
        works = {f"{name} {where}": read[name] for name in reads[0] for where, read in zip(_WHERE, reads, strict=True)}
        times = await by_turns(works, rounds)
    for name in reads[0]:
        alone, beside = (times[f"{name} {where}"] for where in _WHERE)
        console.print(
            f"{name:<12} alone {alone * 1000:6.2f} ms   beside {beside * 1000:6.2f} ms   {beside / alone:.2f}x"
        )


@asynccontextmanager
async def _filled(server: EmbeddedPostgres, name: str, definitions: int) -> AsyncIterator[tuple[Database, MadeTenant]]:
    """Make a database of this name with one tenant, so that both are read by turns on one server."""
    await _on(server.url("postgres"), f"CREATE DATABASE {name}")
    owner = server.url("postgres", name)
    await migrate.migrate(owner)
    database = Database(server.url(await migrate.create_login_role(owner), name), pool_size=2)
    try:
        luma = await make_tenant(database)
        await _fill(database, luma, definitions)
        yield database, luma
    finally:
        await database.close()


async def _fill(database: Database, luma: MadeTenant, definitions: int) -> None:
    for first in range(0, definitions, 500):
        numbers = range(first, min(first + 500, definitions))
        made = [
            definition(f"Segment {number}", aep_id=f"id-{number}", at_ms=1_764_547_200_000 + number)
            for number in numbers
        ]
        async with database.write(luma.id) as unit:
            await unit.segment_definitions.put_all(luma.sandbox.id, made, now=datetime.now(UTC), drift=False)


def _reads(database: Database, luma: MadeTenant, definitions: int) -> dict[str, Work]:
    sandbox = luma.sandbox.id

    async def page() -> None:
        async with database.read(luma.id) as unit:
            await unit.segment_definitions.window(sandbox, Window(50), order="updateTime", descending=True)

    async def search() -> None:
        async with database.read(luma.id) as unit:
            wanted = f"segment {definitions // 2}"
            await unit.segment_definitions.window(
                sandbox, Window(50), order="updateTime", descending=True, name_contains=wanted
            )

    async def one() -> None:
        async with database.read(luma.id) as unit:
            await unit.segment_definitions.by_aep_id(sandbox, f"id-{definitions // 2}")

    return {"page of 50": page, "search": search, "one by id": one}


async def _on(url: str, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
