"""Writes a tenant's chain down for others: as lines of JSON, as a table to read, as a bundle that proves itself.

A line of JSON holds an event in canonical form, with the member ``hash`` that the canonical form does not cover. A
bundle is a zip file of those lines, the signed checkpoints, the keys, proofs, the verifier and a page that says how to
use it.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from typing import Any, BinaryIO, Protocol
from uuid import UUID

import rfc8785

from app.audit.chain import canonical
from app.store.database import Database
from app.store.rows import AuditEventRow

PAGE = 2000
COLUMNS = (
    *("sequence", "at", "phase", "action", "actorKind", "actorName", "entrance", "sandbox"),
    *("resourceType", "resourceId", "resourceName", "requestId", "upstreamRequestId", "operationId", "id"),
    *("detail", "previousHash", "hash"),
)
# A spreadsheet would take a cell that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Span:
    """The numbers of the first and the last event of an export; ``complete`` when they are all there are."""

    first: int
    last: int
    complete: bool

    @property
    def count(self) -> int:
        """How many events that are."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What ties the events of a bundle to signed checkpoints: their notes, the keys' lines, and proofs."""

    notes: Sequence[str] = ()
    keys: Sequence[str] = ()
    proofs: dict[str, Any] = field(default_factory=dict)


async def span_of(
    database: Database, tenant_id: UUID, *, since: datetime | None = None, until: datetime | None = None
) -> Span | None:
    """Return the run of the chain that holds all events from ``since`` to before ``until``; ``None`` without any.

    Clocks of several processes may differ a little, so events at the edges of the run can lie just outside the times.
    """
    async with database.read(tenant_id) as unit:
        found = await unit.audit_events.span(since=since, until=until)
    return None if found is None else Span(*found, complete=since is None and until is None)


async def events_of(database: Database, tenant_id: UUID, span: Span) -> AsyncIterator[Sequence[AuditEventRow]]:
    """Yield the events of a run in order, some at a time; missing ones are left out, for the verifier to find."""
    after = span.first - 1
    while after < span.last:
        async with database.read(tenant_id) as unit:
            rows = await unit.audit_events.chain(after_sequence=after, limit=min(PAGE, span.last - after))
        if not rows:
            return
        yield [row for row in rows if row.sequence <= span.last]
        after = rows[-1].sequence


def document_of(event: AuditEventRow) -> dict[str, Any]:
    """Return an event as it is exported and verified."""
    return canonical(event) | {"hash": event.hash}


def line_of(event: AuditEventRow) -> bytes:
    """Return an event as a line of canonical JSON."""
    return rfc8785.dumps(document_of(event)) + b"\n"


class Writer(Protocol):
    """Takes events in order and puts them into a file."""

    def write(self, events: Iterable[AuditEventRow]) -> None:
        """Append events."""
        ...

    def close(self) -> None:
        """Write what comes after the events; the file itself stays open."""
        ...


class LineWriter:
    """Writes a line of canonical JSON for each event."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, events: Iterable[AuditEventRow]) -> None:
        """Append events."""
        self._file.writelines(line_of(event) for event in events)

    def close(self) -> None:
        """Nothing comes after the events."""


class TableWriter:
    """Writes CSV (RFC 4180), for reading. It cannot be verified: cells that look like formulas are marked."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._write([COLUMNS])

    def write(self, events: Iterable[AuditEventRow]) -> None:
        """Append events."""
        self._write([_cell(value) for value in _values(event)] for event in events)

    def close(self) -> None:
        """Nothing comes after the events."""

    def _write(self, rows: Iterable[Sequence[str]]) -> None:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        self._file.write(text.getvalue().encode())


def _values(event: AuditEventRow) -> tuple[object, ...]:
    it = document_of(event)
    return (
        *(it["sequence"], it["at"], it["phase"], it["action"], it["actor"]["kind"], it["actor"]["name"]),
        *(it["entrance"], it["sandbox"], it["resource"]["type"], it["resource"]["id"], it["resource"]["name"]),
        *(it["requestId"], it["upstreamRequestId"], it["operationId"], it["id"]),
        *(json.dumps(it["detail"], ensure_ascii=False), it["previousHash"], it["hash"]),
    )


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


class BundleWriter:
    """Writes a zip file that proves itself."""

    def __init__(self, file: BinaryIO, tenant: str, span: Span, evidence: Evidence) -> None:
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._manifest = {"tenant": tenant, "first": span.first, "last": span.last, "complete": span.complete}
        self._evidence = evidence
        self._events = self._archive.open("events.ndjson", "w", force_zip64=True)

    def write(self, events: Iterable[AuditEventRow]) -> None:
        """Append events."""
        self._events.write(b"".join(line_of(event) for event in events))

    def close(self) -> None:
        """Write the other files of the bundle."""
        self._events.close()
        evidence = self._evidence
        self._archive.writestr("manifest.json", json.dumps(self._manifest, indent=2) + "\n")
        notes = "".join(json.dumps({"note": note}, ensure_ascii=False) + "\n" for note in evidence.notes)
        self._archive.writestr("checkpoints.ndjson", notes)
        self._archive.writestr("public-keys.txt", "".join(f"{key}\n" for key in evidence.keys))
        self._archive.writestr("proofs.json", json.dumps(evidence.proofs, indent=1) + "\n")
        self._archive.writestr("verifier.py", resources.files("app.audit").joinpath("verifier.py").read_text("utf-8"))
        self._archive.writestr("README.txt", _README.format(**self._manifest))
        self._archive.close()


_README = """\
The audit of {tenant}, events {first} to {last}.

events.ndjson       the events, one JSON object on a line, in canonical form (RFC 8785)
checkpoints.ndjson  signed statements: so many events, with this Merkle root (RFC 6962), at this time
public-keys.txt     the keys that signed them
proofs.json         that the checkpoints continue each other, and that the last covered event is under one of them
manifest.json       which part of the chain this is
verifier.py         the program that checks all this; Python 3.11 or newer and nothing else

To check:

    python3 verifier.py THIS-FILE.zip --public-key "$KEY"

KEY is the line that `segment-gateway audit key` prints where the gateway runs. Ask the people who run it for the key by
another way than this file. Without --public-key the keys in this bundle are used: that finds accidents and careless
changes, not somebody who made the whole bundle anew with a key of his own.

It ends with code 0 when all is well, 1 when something is broken, 2 when the file cannot be read.
"""
