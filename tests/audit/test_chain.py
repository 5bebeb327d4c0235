"""The audit chain: what is written, and that it cannot be unwritten."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from app.audit.actions import Action, Phase
from app.audit.chain import GENESIS, first_break, hash_of, keepable
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.store.audit_events import AuditEventFilter
from app.store.database import Database
from app.store.paging import NumberWindow
from tests.factories import MadeTenant, make_tenant


@pytest.fixture
async def luma(database: Database) -> MadeTenant:
    return await make_tenant(database)


def _operation(luma: MadeTenant, name: str) -> Operation:
    return Operation.of(luma.context(), Action.SEGMENT_DEFINITION_CREATE, Resource("segment_definition", name=name))


async def test_concurrent_writers_make_one_unbroken_chain(database: Database, luma: MadeTenant) -> None:
    async def write(number: int) -> None:
        async with database.write(luma.id) as unit:
            await AuditRecorder().record(unit, _operation(luma, f"segment {number}"), Phase.INTENT)

    await asyncio.gather(*(write(number) for number in range(20)))
    async with database.read(luma.id) as unit:
        events = await unit.audit_events.chain()
    assert [event.sequence for event in events] == list(range(1, 23))
    assert events[0].previous_hash == GENESIS
    assert first_break(events) is None


async def test_a_changed_event_breaks_the_chain_where_it_was_changed(database: Database, luma: MadeTenant) -> None:
    async with database.write(luma.id) as unit:
        for number in range(3):
            await AuditRecorder().record(unit, _operation(luma, f"segment {number}"), Phase.INTENT)
    async with database.read(luma.id) as unit:
        events = list(await unit.audit_events.chain())
    events[3].actor_name = "somebody else"
    assert first_break(events) == 4
    events[3].hash = hash_of(events[3])
    assert first_break(events) == 5
    assert first_break([events[0], *events[2:]]) == 3


@pytest.mark.parametrize("statement", ["UPDATE audit_events SET actor_name = 'x'", "DELETE FROM audit_events"])
async def test_the_database_refuses_to_change_events_even_for_the_owner(
    luma: MadeTenant, owner_url: str, database_url: str, statement: str
) -> None:
    for url, error in ((owner_url, "append-only"), (database_url, "permission denied")):
        connection = await asyncpg.connect(url)
        try:
            with pytest.raises(asyncpg.PostgresError, match=error):
                await connection.execute(statement)
        finally:
            await connection.close()


async def test_an_operation_is_listed_once_with_its_newest_phase(database: Database, luma: MadeTenant) -> None:
    operation = _operation(luma, "Gold")
    recorder = AuditRecorder()
    async with database.write(luma.id) as unit:
        await recorder.record(unit, operation, Phase.INTENT)
        await recorder.record(unit, operation, Phase.UNKNOWN)
        await recorder.record(unit, operation, Phase.SUCCEEDED, resource=Resource("segment_definition", "id-1", "Gold"))
        await recorder.record(unit, _operation(luma, "Silver"), Phase.INTENT)
    wanted = AuditEventFilter(action=Action.SEGMENT_DEFINITION_CREATE.value)
    async with database.read(luma.id) as unit:
        found = await unit.audit_events.window(wanted, NumberWindow(limit=10))
        assert await unit.audit_events.count(wanted) == 2
    assert [(row.resource_name, row.phase) for row in found.rows] == [("Silver", "intent"), ("Gold", "succeeded")]


def test_numbers_that_canonical_json_cannot_write_are_kept_as_text() -> None:
    kept = keepable({"a": 2**53, "b": [-(2**60), 1e30, float("inf")], "c": 2**53 - 1, "d": True, "e": 0.5})
    assert kept == {
        "a": "9007199254740992",
        "b": ["-1152921504606846976", "1e+30", "inf"],
        "c": 2**53 - 1,
        "d": True,
        "e": 0.5,
    }
