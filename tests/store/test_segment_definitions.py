"""Definitions in the cache: who made them, and what survives a sync that sees things out of order."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from app.store.database import Database
from app.store.revisions import Origin
from tests.factories import definition, make_tenant

AUTHOR = {"kind": "person", "id": "7", "name": "someone@luma.example"}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def test_a_definition_that_comes_back_goes_on_from_its_last_revision(database: Database) -> None:
    luma = await make_tenant(database)
    document = definition("Gold", aep_id="a")
    async with database.write(luma.id) as unit:
        row = await unit.segment_definitions.put(
            luma.sandbox.id, document, origin=Origin(AUTHOR), now=NOW, created=True
        )
        await unit.segment_definitions.remove(row, now=NOW)
    async with database.write(luma.id) as unit:
        row = await unit.segment_definitions.put(luma.sandbox.id, document, now=NOW)
        assert (row.version, row.created_by) == (3, AUTHOR)


async def test_the_author_is_known_also_when_the_sync_was_faster(database: Database) -> None:
    luma = await make_tenant(database)
    document = definition("Gold", aep_id="a")
    async with database.write(luma.id) as unit:
        await unit.segment_definitions.put(luma.sandbox.id, document, now=NOW)
    async with database.write(luma.id) as unit:
        row = await unit.segment_definitions.put(
            luma.sandbox.id, document, origin=Origin(AUTHOR), now=NOW, created=True
        )
        assert (row.version, row.created_by) == (1, AUTHOR)


async def test_a_reading_that_is_older_changes_nothing(database: Database) -> None:
    luma = await make_tenant(database)
    old, new = definition("Old", aep_id="a"), definition("New", aep_id="a")
    earlier = NOW - timedelta(seconds=1)
    async with database.write(luma.id) as unit:
        await unit.segment_definitions.put(luma.sandbox.id, new, now=NOW)
        await unit.audiences.put(luma.sandbox.id, new, now=NOW)
    async with database.write(luma.id) as unit:
        row = await unit.segment_definitions.put(luma.sandbox.id, old, now=earlier)
        audience = await unit.audiences.put(luma.sandbox.id, old, now=earlier)
        assert (row.name, row.version, audience.name) == ("New", 1, "New")


async def test_two_writers_of_one_new_definition_make_one_row(database: Database) -> None:
    luma = await make_tenant(database)

    async def write(author: dict[str, str] | None) -> int:
        async with database.write(luma.id) as unit:
            document = definition("Gold", aep_id="a")
            row = await unit.segment_definitions.put(
                luma.sandbox.id, document, now=NOW, origin=Origin(author), created=author is not None
            )
            await unit.audiences.put(luma.sandbox.id, document, now=NOW)
            return row.version

    assert await asyncio.gather(*(write(author) for author in (AUTHOR, None, None))) == [1, 1, 1]
    async with database.read(luma.id) as unit:
        (row,) = await unit.segment_definitions.by_aep_ids(luma.sandbox.id, ["a"])
        assert row.created_by == AUTHOR
