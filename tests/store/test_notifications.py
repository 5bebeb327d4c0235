"""Changes that are told from process to process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.store.database import Database
from app.store.notifications import MOST_NAMED, QUEUE_SIZE, RESYNC, Kind, Notice, NotificationListener, Verb
from app.store.revisions import Origin
from tests.factories import MadeTenant, definition, make_tenant

AUTHOR = {"kind": "person", "id": "7", "name": "someone@luma.example"}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def listener(database_url: str) -> AsyncIterator[NotificationListener]:
    listener = NotificationListener(database_url, retry_s=0.01)
    running = asyncio.create_task(listener.run())
    async with asyncio.timeout(10):
        await listener.wait_live()
    yield listener
    running.cancel()
    await asyncio.wait({running})


@pytest.fixture
async def luma(database: Database) -> MadeTenant:
    return await make_tenant(database)


async def _take(feed: AsyncIterator[Notice], count: int) -> list[Notice]:
    async with asyncio.timeout(10):
        return [await anext(feed) for _ in range(count)]


async def _put(database: Database, luma: MadeTenant, *names: str) -> None:
    async with database.write(luma.id) as unit:
        documents = [definition(name, aep_id=name) for name in names]
        await unit.segment_definitions.put_all(luma.sandbox.id, documents, now=datetime.now(UTC), drift=False)


async def test_a_definitions_life_is_told_in_order(
    database: Database, luma: MadeTenant, listener: NotificationListener
) -> None:
    async with listener.subscribe(luma.id, kinds=[Kind.SEGMENT_DEFINITION]) as feed:
        for name in ("One", "Two"):
            async with database.write(luma.id) as unit:
                origin = Origin(AUTHOR)
                row = await unit.segment_definitions.put(
                    luma.sandbox.id, definition(name, aep_id="a"), now=datetime.now(UTC), origin=origin
                )
                await unit.audiences.put(luma.sandbox.id, definition(name, aep_id="a"), now=datetime.now(UTC))
        async with database.write(luma.id) as unit:
            await unit.segment_definitions.remove(row, now=datetime.now(UTC))
        told = await _take(feed, 3)
    assert [(one.verb, one.id, one.version) for one in told] == [
        (Verb.CREATED, "a", 1),
        (Verb.UPDATED, "a", 2),
        (Verb.DELETED, "a", 3),
    ]
    assert {(one.tenant_id, one.sandbox_id) for one in told} == {(luma.id, luma.sandbox.id)}


async def test_what_is_as_it_was_and_what_is_rolled_back_is_not_told(
    database: Database, luma: MadeTenant, listener: NotificationListener
) -> None:
    async with listener.subscribe(luma.id) as feed:
        await _put(database, luma, "Gold")
        assert [one.id for one in await _take(feed, 1)] == ["Gold"]
        await _put(database, luma, "Gold")
        with contextlib.suppress(RuntimeError):
            async with database.write(luma.id) as unit:
                await unit.audiences.put(luma.sandbox.id, definition("Lost", aep_id="lost"), now=NOW)
                raise RuntimeError
        await _put(database, luma, "Silver")
        assert [one.id for one in await _take(feed, 1)] == ["Silver"]


async def test_a_subscriber_hears_of_one_tenant_and_sandbox_only(
    database: Database, luma: MadeTenant, listener: NotificationListener
) -> None:
    other = await make_tenant(database, "other")
    heard: list[Notice] = []
    listener.add_handler(heard.append)
    async with listener.subscribe(luma.id, sandbox_id=luma.sandbox.id) as feed:
        await _put(database, other, "Theirs")
        async with database.write(luma.id) as unit:
            unit.notify(Notice(luma.id, Kind.SYNC, sandbox_id=uuid4()))
        await _put(database, luma, "Ours")
        assert [one.id for one in await _take(feed, 1)] == ["Ours"]
    assert [one.id for one in heard] == ["Theirs", None, "Ours"]


async def test_very_many_changes_are_told_as_one(
    database: Database, luma: MadeTenant, listener: NotificationListener
) -> None:
    async with listener.subscribe(luma.id) as feed:
        await _put(database, luma, *(f"Segment {number}" for number in range(MOST_NAMED + 1)))
        await _put(database, luma, "Last")
        told = await _take(feed, 2)
    assert [one.id for one in told] == [None, "Last"]
    assert told[0].kind is Kind.SEGMENT_DEFINITION


async def test_a_reader_that_lost_the_connection_or_its_place_is_told_to_look_again(
    database: Database, luma: MadeTenant, listener: NotificationListener, owner_url: str
) -> None:
    async with listener.subscribe(luma.id) as feed:
        owner = await asyncpg.connect(owner_url)
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'gateway-notices' AND datname = current_database()"
        )
        await owner.close()
        assert await _take(feed, 1) == [RESYNC]
        assert listener.live
        async with database.write(luma.id) as unit:
            for number in range(QUEUE_SIZE + 1):
                unit.notify(Notice(luma.id, Kind.SYNC, sandbox_id=UUID(int=number)))
        await _put(database, luma, "Gold")
        told = await _take(feed, 2)
        assert (told[0], told[-1].id) == (RESYNC, "Gold")


def test_a_payload_of_another_release_is_passed_over() -> None:
    assert Notice.decode('{"tenant": "x"}') is None
    assert Notice.decode("[]") is None
    notice = Notice(UUID(int=1), Kind.SCHEDULE, Verb.CREATED, UUID(int=2), "id", 3)
    assert Notice.decode(notice.encode()) == notice


async def test_a_handler_that_fails_keeps_nothing_from_the_others(
    database: Database, luma: MadeTenant, listener: NotificationListener
) -> None:
    def broken(_notice: Notice) -> None:
        raise RuntimeError

    take_away = listener.add_handler(broken)
    async with listener.subscribe(luma.id) as feed:
        await _put(database, luma, "Gold")
        assert [one.id for one in await _take(feed, 1)] == ["Gold"]
    take_away()
