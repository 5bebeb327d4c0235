"""What the journal of streaming evaluation says of records for the tables, and how a new process reads it.

An input carries, as its origin, what the tables need beside the input itself: the identities and, for attributes, those
that the record named. Inputs without an origin came from the tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from app.evaluation.arrivals import Identity, Record
from app.evaluation.streaming.fields import instant_us
from app.evaluation.streaming.journal import Input, Journal, Kind
from app.evaluation.streaming.stream import attributes_input
from app.evaluation.write_behind import Numbered, WriteBehind

IN_TABLES: Final = "in_tables"
"""The note of the journal up to which number the records are in the tables."""

_AT_ONCE: Final = 2_000


class _Origin(msgspec.Struct, array_like=True):
    identities: list[tuple[str, str]]
    attributes: dict[str, Any] | None = None


def of_attributes(profile_no: int, document: dict[str, Any], now: int, record: Record | None = None) -> Input:
    """Return the input that gives a profile these attributes, because of a record or because they are in the tables."""
    raw = msgspec.json.encode(document)
    if record is None:
        return attributes_input(str(profile_no), document, raw, now)
    origin = _encoded(record, dict(record.attributes or {}))
    return Input(str(profile_no), Kind.ATTRIBUTES, now, now, raw, document, origin)


def of_event(profile_no: int, event: dict[str, Any], now: int, record: Record | None = None) -> Input:
    """Return the input of an event, of a record or of the tables."""
    at = instant_us(event.get("timestamp")) or 0
    origin = b"" if record is None else _encoded(record, None)
    return Input(str(profile_no), Kind.EVENT, now, at, msgspec.json.encode(event), event, origin)


def _encoded(record: Record, attributes: dict[str, Any] | None) -> bytes:
    return msgspec.msgpack.encode(_Origin([(one.namespace, one.id) for one in record.identities], attributes))


def for_tables(seq: int, one: Input) -> Numbered | None:
    """Return what the tables need of an input; None when it came from them."""
    if not one.origin:
        return None
    origin = msgspec.msgpack.decode(one.origin, type=_Origin)
    events = (one.document,) if one.kind is Kind.EVENT else ()
    identities = tuple(Identity(namespace, value) for namespace, value in origin.identities)
    return Numbered(seq, int(one.profile), Record(identities, origin.attributes, events))


async def recover(path: Path, arriving: WriteBehind) -> int:
    """Write to the tables what the journal of a process that ended has and they lack; return how many records."""
    journal = Journal(path)
    try:
        count, seq = 0, journal.note(IN_TABLES)
        while inputs := journal.inputs(seq, _AT_ONCE):
            records = [found for number, one in inputs if (found := for_tables(number, one)) is not None]
            arriving.add(records)
            await arriving.flush()
            count, seq = count + len(records), inputs[-1][0]
            journal.set_note(IN_TABLES, seq)
        return count
    finally:
        journal.close()
