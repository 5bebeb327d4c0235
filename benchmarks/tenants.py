"""Whether many tenants slow the reads of one: the same reads, alone and beside a thousand others.

The other tenants' definitions are copies of one tenant's rows, written by the database itself. Reads go through the
repository as requests do, under the application role, with row-level security: a page by time, a search by name and
one definition by its id.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from app.store import migrate
from app.store.database import Database
from app.store.embedded import EmbeddedPostgres
from app.store.paging import Window
from benchmarks.measure import by_turns, console
from tests.factories import MadeTenant, definition, make_tenant

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
    owner = server.url("postgres")
    await migrate.migrate(owner)
    database = Database(server.url(await migrate.create_login_role(owner)), pool_size=2)
    try:
        luma = await make_tenant(database)
        await _fill(database, luma, definitions)
        await _on(owner, "ANALYZE")
        alone = await _reads(database, luma, definitions, rounds)
        begun = time.perf_counter()
        await _on(owner, _COPY, luma.id, tenants)
        await _on(owner, "VACUUM ANALYZE")
        console.print(
            f"{tenants:,} other tenants x {definitions:,} definitions, written in {time.perf_counter() - begun:.0f} s"
        )
        beside = await _reads(database, luma, definitions, rounds)
    finally:
        await database.close()
    for name, before in alone.items():
        after = beside[name]
        console.print(
            f"{name:<12} alone {before * 1000:6.2f} ms   beside {after * 1000:6.2f} ms   {after / before:.2f}x"
        )


async def _fill(database: Database, luma: MadeTenant, definitions: int) -> None:
    for first in range(0, definitions, 500):
        numbers = range(first, min(first + 500, definitions))
        made = [
            definition(f"Segment {number}", aep_id=f"id-{number}", at_ms=1_764_547_200_000 + number)
            for number in numbers
        ]
        async with database.write(luma.id) as unit:
            await unit.segment_definitions.put_all(luma.sandbox.id, made, now=datetime.now(UTC), drift=False)


async def _reads(database: Database, luma: MadeTenant, definitions: int, rounds: int) -> dict[str, float]:
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

    return await by_turns({"page of 50": page, "search": search, "one by id": one}, rounds)


async def _on(url: str, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


if __name__ == "__main__":
    main()
