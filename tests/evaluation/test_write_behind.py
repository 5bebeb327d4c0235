"""Records that are numbered at once and written later: the tables end as if each had been written when it came."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidRequest
from app.evaluation import arrivals, documents
from app.evaluation.arrivals import Identity, Record
from app.evaluation.dataset import Dataset
from app.evaluation.write_behind import Numbered, WriteBehind
from tests.evaluation.conftest import NAMESPACE, SPEC

JANE, JOHN = Identity("Email", "jane@luma.example"), Identity("Email", "john@luma.example")


@pytest.fixture
async def data(dataset: Dataset, tmp_path: Path) -> AsyncIterator[Dataset]:
    """A copy of the sample that may be written."""
    shutil.copy(dataset.path, tmp_path / "luma")
    copy = await Dataset.open(tmp_path / "luma", writable=True)
    yield copy
    await copy.close()


def checkout(event_id: str) -> dict[str, Any]:
    return {"_id": event_id, "timestamp": "2025-11-23T10:00:00Z", "eventType": "commerce.checkouts"}


async def read(data: Dataset, number: int) -> dict[str, Any]:
    return (await data.run(lambda connection: documents.profiles(connection, NAMESPACE, [number])))[number]


async def place(waiting: WriteBehind, records: list[Record], seq: int = 1) -> list[Numbered]:
    places = await waiting.place(records)
    return [
        Numbered(seq + index, where.profile_no, record)
        for index, (record, where) in enumerate(zip(records, places, strict=True))
    ]


async def test_a_profile_keeps_the_number_that_it_got_before_it_was_written(data: Dataset) -> None:
    waiting = WriteBehind(data)
    records = [Record((one,), None, (checkout(f"{one.id}-1"),)) for one in (JANE, JOHN, JANE)]
    placed = await place(waiting, records)
    assert [one.profile_no for one in placed] == [SPEC.profiles, SPEC.profiles + 1, SPEC.profiles]
    waiting.add(placed)
    assert (data.profiles, waiting.profiles) == (SPEC.profiles, SPEC.profiles + 2)
    await waiting.flush()
    assert (data.profiles, waiting.written_seq, len(waiting)) == (SPEC.profiles + 2, 3, 0)
    assert (await read(data, SPEC.profiles))["identityMap"]["Email"][0]["id"] == JANE.id
    assert [one.profile_no for one in await place(WriteBehind(data), [Record((JOHN,))])] == [SPEC.profiles + 1]


async def test_records_written_twice_leave_the_tables_as_they_were(data: Dataset) -> None:
    waiting = WriteBehind(data)
    levels = [Record((JANE,), {NAMESPACE: {"loyalty": {"level": level}}}) for level in ("bronze", "gold")]
    placed = await place(waiting, [*levels, Record((JANE,), None, (checkout("1"),))])
    waiting.add(placed)
    await waiting.flush()
    once = await read(data, SPEC.profiles)
    again = WriteBehind(data)
    again.add(placed)
    await again.flush()
    assert await read(data, SPEC.profiles) == once
    assert once[NAMESPACE]["loyalty"]["level"] == "gold"
    assert len(once["xEvent"]) == 1


async def test_a_cancelled_flush_leaves_its_records_to_the_next(data: Dataset) -> None:
    waiting = WriteBehind(data)
    waiting.add(await place(waiting, [Record((JANE,), None, (checkout(str(n)),)) for n in range(500)]))
    flush = asyncio.create_task(waiting.flush())
    await asyncio.sleep(0)
    flush.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flush
    await waiting.flush()
    assert len((await read(data, SPEC.profiles))["xEvent"]) == 500


async def test_numbers_of_profiles_that_never_came_to_be_are_given_again(data: Dataset) -> None:
    waiting = WriteBehind(data)
    await place(waiting, [Record((JANE,))])
    await waiting.forget()
    assert (await place(waiting, [Record((JOHN,))]))[0].profile_no == SPEC.profiles


@pytest.mark.parametrize(
    "attributes",
    [
        {"person": {"gender": "female", "birthDate": "1980-02-03", "birthYear": 1980, "name": {"firstName": "Jane"}}},
        {NAMESPACE: {"loyalty": {"level": "gold", "points": 7, "perks": ["a", "b"]}}},
        {NAMESPACE: {"loyalty": {"perks": []}}, "homeAddress": {"countryCode": "DE", "city": "Jena"}},
        {"consents": {"marketing": {"email": {"val": "y"}}}},
    ],
)
async def test_a_document_is_told_as_the_tables_tell_it_later(data: Dataset, attributes: dict[str, Any]) -> None:
    first = {NAMESPACE: {"loyalty": {"level": "bronze", "perks": ["old"]}}, "person": {"birthYear": 1970}}
    records = [Record((JANE, JOHN), first), Record((JOHN,), attributes)]
    told = arrivals.new_document(records[0])
    for record in records:
        arrivals.check(NAMESPACE, record)
        told = arrivals.with_attributes(NAMESPACE, told, record.attributes or {})
    await data.append(records)
    assert told == await read(data, SPEC.profiles)


@pytest.mark.parametrize(
    "record",
    [
        Record(()),
        Record((Identity("Nowhere", "x"),)),
        Record((JANE,), {"person": {"birthYear": "1980"}}),
        Record((JANE,), {NAMESPACE: {"loyalty": {"perks": ["perk"] * 257}}}),
        Record((JANE,), None, ({"_id": "1"},)),
        Record((JANE,), None, ({**checkout("1"), "productListItems": [{"quantity": 2**40}]},)),
    ],
)
async def test_what_the_tables_cannot_keep_is_known_before(record: Record) -> None:
    with pytest.raises(InvalidRequest):
        arrivals.check(NAMESPACE, record)
