"""Records that are acknowledged before they are in the tables: which profile each belongs to, and when it is written.

Writing to the tables takes the longer the more rows they have, and hardly longer for a thousand records than for one.
So a record is given its profile's number at once, its caller puts it where a killed process finds it again, and the
tables get it with many others a moment later. Whoever reads the tables calls `WriteBehind.flush` before.

Writing a record twice changes nothing: profiles are found by number, events by ``_id``, attributes end as they were. So
a process that was killed while it wrote writes again what it is not sure of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
import structlog

from app.errors import InvalidRequest
from app.evaluation import arrivals
from app.evaluation.arrivals import Identity, Placed, Record
from app.evaluation.dataset import Dataset

log = structlog.get_logger(__name__)

_BATCH: Final = 2_000
_REMEMBERED: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """The profile that a record belongs to. One that ``is_new`` is not in the tables before the record is."""

    profile_no: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Numbered:
    """A record of a profile. ``seq`` is its number in the caller's journal; later records have greater ones."""

    seq: int
    profile_no: int
    record: Record


class WriteBehind:
    """What waits to be written to one data set. One task at a time may call `place`."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._numbers: dict[Identity, int] = {}
        self._following: int | None = None
        self._waiting: list[Numbered] = []
        self._lock = asyncio.Lock()
        self.written_seq = 0
        """The greatest number of the caller's journal up to which everything is in the tables."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def profiles(self) -> int:
        """How many profiles there are, with those that wait to be written."""
        return max(self._dataset.profiles, self._following or 0)

    async def place(self, records: Sequence[Record]) -> list[Place]:
        """Return the profile of each record, in order, and give numbers to new ones: see `app.evaluation.arrivals`."""
        if len(self._numbers) > _REMEMBERED:
            await self.forget()
        wanted = {one for record in records for one in record.identities if one not in self._numbers}
        if wanted or self._following is None:
            found, following = await self._dataset.run(
                lambda connection: (
                    arrivals.profile_numbers(connection, wanted),
                    arrivals.next_number(connection),
                )
            )
            self._numbers.update(found)
            self._following = max(following, self._following or 0)
        return [self._place(record) for record in records]

    def _place(self, record: Record) -> Place:
        known = [self._numbers[one] for one in record.identities if one in self._numbers]
        if known:
            return Place(min(known), is_new=False)
        number = self._following or 0
        self._following = number + 1
        self._numbers.update(dict.fromkeys(record.identities, number))
        return Place(number, is_new=True)

    def add(self, records: Sequence[Numbered]) -> None:
        """Let records wait to be written; they must be safe elsewhere."""
        self._waiting += records

    async def flush(self) -> None:
        """Return when everything that waited is in the tables."""
        if self._waiting:
            async with self._lock:
                await self._flush()

    async def _flush(self) -> None:
        while self._waiting:
            batch = self._waiting[:_BATCH]
            await self._write(batch)
            # Only now: a caller that is cancelled meanwhile leaves them to the next one.
            del self._waiting[: len(batch)]
            self.written_seq = batch[-1].seq

    async def _write(self, batch: Sequence[Numbered]) -> None:
        try:
            await self._dataset.append([one.record for one in batch], [one.profile_no for one in batch])
        except (InvalidRequest, duckdb.DataError) as fault:
            if len(batch) == 1:
                # Records are checked before they are acknowledged, so this is a fault of this program.
                log.error("evaluation.record_not_kept", profile_no=batch[0].profile_no, exc_info=fault)
                return
            for one in batch:
                await self._write([one])

    async def append(self, records: Sequence[Record]) -> list[Placed]:
        """Write records now, after those that wait. Raises `InvalidRequest`; then none of them is kept."""
        async with self._lock:
            await self._flush()
            self._forget()
            return await self._dataset.append(records)

    async def forget(self) -> None:
        """Forget which numbers were given to profiles that never came to be."""
        async with self._lock:
            await self._flush()
            self._forget()

    def _forget(self) -> None:
        self._numbers.clear()
        self._following = None
