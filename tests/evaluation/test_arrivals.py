"""Records that arrive after the sample was made: found by identity, kept whole or not at all, seen by later queries."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from app.errors import InternalError, InvalidRequest
from app.evaluation import documents, model, sampling
from app.evaluation.arrivals import Identity, Placed, Record
from app.evaluation.dataset import Connection, Dataset
from app.evaluation.engine import Engine
from app.pql import check, parse
from tests.evaluation.conftest import AS_OF, NAMESPACE, SPEC

NEW = SPEC.profiles
JANE = Identity("Email", "jane@luma.example")
LOYALTY = Identity("lumaLoyaltyId", "L-JANE")


@pytest.fixture
async def data(dataset: Dataset, tmp_path: Path) -> AsyncIterator[Dataset]:
    """A copy of the sample that may be written."""
    shutil.copy(dataset.path, tmp_path / "luma")
    copy = await Dataset.open(tmp_path / "luma", writable=True)
    yield copy
    await copy.close()


def checkout(event_id: str, at: str = "2025-11-23T10:00:00Z", **members: Any) -> dict[str, Any]:
    return {"_id": event_id, "eventType": "commerce.checkouts", "timestamp": at, **members}


async def document(data: Dataset, number: int) -> dict[str, Any]:
    found = await data.run(lambda connection: documents.profiles(connection, NAMESPACE, range(number, number + 1)))
    return found[number]


async def first_email(data: Dataset) -> tuple[int, Identity]:
    sql = "SELECT profile_no, identity FROM identities WHERE namespace = 'Email' ORDER BY profile_no LIMIT 1"
    number, email = await data.run(lambda connection: connection.execute(sql).fetchone())
    return number, Identity("Email", email)


async def test_an_unknown_identity_makes_a_profile(data: Dataset) -> None:
    attributes = {
        "person": {"name": {"firstName": "Jane"}, "birthDate": "1990-02-28"},
        NAMESPACE: {"loyalty": {"level": "gold", "points": 1200, "perks": ["freeShipping", "lounge"]}},
        "notInTheModel": {"x": 1},
    }
    items = [{"SKU": "GB12", "quantity": 2, "priceTotal": 59.9}, {"name": "No SKU"}]
    event = checkout("e1", commerce={"checkouts": {"value": 1}}, productListItems=items)
    placed = await data.append([Record((JANE, LOYALTY), attributes, (event,))])
    assert placed == [Placed(NEW, is_new=True, new_events=1)]
    assert data.profiles == NEW + 1
    found = await document(data, NEW)
    assert found["identityMap"] == {
        "Email": [{"id": JANE.id, "primary": True}],
        "lumaLoyaltyId": [{"id": LOYALTY.id, "primary": False}],
    }
    del found["identityMap"], attributes["notInTheModel"]
    stored = event | {"timestamp": "2025-11-23T10:00:00.000Z", "commerce": {"checkouts": {"value": 1.0}}}
    assert found == attributes | {"xEvent": [stored]}


async def test_a_known_identity_changes_what_is_named_and_leaves_the_rest(data: Dataset) -> None:
    number, email = await first_email(data)
    before = await document(data, number)
    placed = await data.append(
        [Record((JANE, email), {"homeAddress": {"city": "Berlin"}, "person": {"gender": "male"}})]
    )
    assert placed == [Placed(number, is_new=False, new_events=0)]
    after = await document(data, number)
    before.setdefault("homeAddress", {})["city"] = "Berlin"
    before["person"]["gender"] = "male"
    assert after == before
    assert data.profiles == NEW


async def test_records_of_one_batch_meet_in_one_profile(data: Dataset) -> None:
    level = {NAMESPACE: {"loyalty": {"level": "silver"}}}
    placed = await data.append(
        [Record((JANE,), level), Record((LOYALTY, JANE), {NAMESPACE: {"loyalty": {"level": "gold", "points": 5}}})]
    )
    assert placed == [Placed(NEW, is_new=True, new_events=0)] * 2
    assert (await document(data, NEW))[NAMESPACE] == {"loyalty": {"level": "gold", "points": 5}}


async def test_an_event_that_comes_twice_is_kept_once(data: Dataset) -> None:
    first = await data.append([Record((JANE,), None, (checkout("e1"), checkout("e1"), checkout("e2")))])
    again = await data.append([Record((JANE,), None, (checkout("e2"), checkout("e3")))])
    assert [placed.new_events for placed in (*first, *again)] == [2, 1]
    assert [event["_id"] for event in (await document(data, NEW))["xEvent"]] == ["e1", "e2", "e3"]


async def test_a_late_event_takes_its_place_by_time(data: Dataset) -> None:
    await data.append([Record((JANE,), None, (checkout("second", "2025-11-23T10:00:00+01:00"),))])
    await data.append([Record((JANE,), None, (checkout("first", "2025-11-23T08:00:00Z"),))])
    events = (await document(data, NEW))["xEvent"]
    assert [(event["_id"], event["timestamp"]) for event in events] == [
        ("first", "2025-11-23T08:00:00.000Z"),
        ("second", "2025-11-23T09:00:00.000Z"),
    ]


async def test_values_that_no_enumeration_knows_are_kept_in_order(data: Dataset) -> None:
    sku = "A\"'; DROP TABLE items; --"
    event = checkout("e1", eventType="web.formFilledOut", productListItems=[{"SKU": sku}])
    await data.append([Record((JANE,), None, (event,))])
    [stored] = (await document(data, NEW))["xEvent"]
    assert (stored["eventType"], stored["productListItems"]) == ("web.formFilledOut", [{"SKU": sku}])
    for table, column in (("events", "event_type"), ("items", "event_type"), ("items", "sku"), ("products", "sku")):
        sql = f"SELECT enum_range(any_value({column}))::VARCHAR[] FROM {table}"
        [(values,)] = await data.run(lambda connection, sql=sql: connection.execute(sql).fetchall())
        assert values == sorted(values)
        assert {"web.formFilledOut", sku} & set(values)


async def test_an_enumeration_that_grows_without_end_becomes_text(data: Dataset) -> None:
    for number in range(20):
        page = {"webPageDetails": {"name": f"page {number:02}"}}
        await data.append([Record((JANE,), None, (checkout(f"e{number:02}", web=page),))])
    pages = [event["web"]["webPageDetails"]["name"] for event in (await document(data, NEW))["xEvent"]]
    assert pages == [f"page {number:02}" for number in range(20)]
    [(kind,)] = await data.run(lambda c: c.execute("SELECT typeof(any_value(page_name)) FROM events").fetchall())
    assert kind == "VARCHAR"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (Record((), {}), "at least one identity"),
        (Record((Identity("Fax", "1"),), {}), "no identity namespace 'Fax'"),
        (Record((JANE,), {"person": {"name": {"firstName": 7}}}), "person.name.firstName must be of type string"),
        (Record((JANE,), {"person": {"birthDate": "1990-02-30"}}), "person.birthDate must be of type date"),
        (Record((JANE,), {"person": {"birthYear": 2**31}}), "person.birthYear must be of type integer"),
        (Record((JANE,), {NAMESPACE: {"loyalty": {"perks": "lounge"}}}), "must be an array of strings"),
        (Record((JANE,), None, ({"_id": "e"},)), "needs an _id and a timestamp"),
        (Record((JANE,), None, (checkout("e", "soon"),)), "timestamp must be of type date-time"),
        (Record((JANE,), None, (checkout("e", productListItems=[1]),)), "must be an array of objects"),
    ],
)
async def test_a_batch_with_a_bad_record_leaves_nothing(data: Dataset, record: Record, message: str) -> None:
    good = Record((LOYALTY,), {"person": {"gender": "female"}}, (checkout("e9"),))
    with pytest.raises(InvalidRequest, match=message):
        await data.append([good, record])
    assert data.profiles == NEW
    sql = "SELECT count(*) FROM events WHERE event_id = 'e9'"
    assert await data.run(lambda connection: connection.execute(sql).fetchall()) == [(0,)]


async def test_a_query_sees_what_was_there_when_it_began(data: Dataset) -> None:
    loop, begun, written = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def twice(connection: Connection) -> list[int]:
        counts = [connection.execute("SELECT count(*) FROM profiles").fetchall()[0][0]]
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(written.wait(), loop).result(10)
        return [*counts, connection.execute("SELECT count(*) FROM profiles").fetchall()[0][0]]

    query = asyncio.create_task(data.run(twice))
    await begun.wait()
    await data.append([Record((JANE,), {"person": {"gender": "female"}})])
    written.set()
    assert await query == [NEW, NEW]
    assert await data.run(lambda c: c.execute("SELECT count(*) FROM profiles").fetchall()) == [(NEW + 1,)]


async def test_an_estimate_reads_all_that_arrived_and_scales_the_rest(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "rows_to_read", lambda total: 1_000)
    engine, rule = Engine(data), check(parse(f'{NAMESPACE}.loyalty.level = "gold"'))
    before = await engine.estimate(rule, AS_OF)
    gold = {NAMESPACE: {"loyalty": {"level": "gold"}}}
    await data.append([Record((Identity("Email", f"{number}@x"),), gold) for number in range(70)])
    after = await engine.estimate(rule, AS_OF)
    assert after.estimated_size == before.estimated_size + 70
    assert after.standard_error == before.standard_error
    assert (after.rows_read, after.rows_to_read, after.rows_total) == (1_070, 1_070, NEW + 70)
    assert (after.interval.low, after.interval.high) == (before.interval.low + 70, before.interval.high + 70)
    by_code = {one.namespace.code: one.profiles for one in before.by_namespace}
    assert {one.namespace.code: one.profiles for one in after.by_namespace} == by_code | {
        "Email": by_code["Email"] + 70
    }
    monkeypatch.undo()
    whole = await engine.estimate(rule, AS_OF)
    assert whole.estimated_size == whole.matched == await engine.count(rule, AS_OF)


async def test_what_is_open_for_reading_cannot_be_appended_to(dataset: Dataset) -> None:
    with pytest.raises(InternalError, match="open for reading"):
        await dataset.append([Record((JANE,), {})])


async def test_queries_on_a_writable_file_cannot_change_it(data: Dataset) -> None:
    with pytest.raises(duckdb.Error, match="read-only"):
        await data.run(lambda connection: connection.execute("DELETE FROM profiles"))


def test_a_killed_process_loses_no_record_that_was_acknowledged(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "luma"
    shutil.copy(dataset.path, path)
    program = f"""
import asyncio
from pathlib import Path
from app.evaluation.arrivals import Identity, Record
from app.evaluation.dataset import Dataset

async def main():
    data = await Dataset.open(Path({str(path)!r}), writable=True)
    for number in range(100000):
        event = {{"_id": str(number), "timestamp": "2025-11-23T10:00:00Z", "eventType": "commerce.checkouts"}}
        await data.append([Record((Identity("Email", str(number)),), None, (event,))])
        print(number, flush=True)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(20):
            last = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        for line in process.stdout.read().split("\n")[:-1]:
            last = int(line)
    with duckdb.connect(str(path)) as connection:
        [(profiles,)] = connection.execute(f"SELECT count(*) FROM profiles WHERE profile_no >= {NEW}").fetchall()
        [(events,)] = connection.execute(f"SELECT count(*) FROM events WHERE profile_no >= {NEW}").fetchall()
    assert last + 1 <= profiles <= last + 2
    assert events == profiles


def test_every_enumeration_is_used_by_a_column() -> None:
    used = {sql_type for entity in model.TABLES for _, sql_type in entity.columns}
    assert {codes.name for codes in model.ENUMERATIONS} <= used
    assert AS_OF.tzinfo is not None
