"""How a tenant's audit events hang together.

The hash of an event is SHA-256 over its canonical JSON (RFC 8785), which holds the hash of the event before it. So a
changed, removed or reordered event breaks every hash after it. The first event follows ``GENESIS``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC
from typing import Any

import rfc8785

from app.store.rows import AuditEventRow

GENESIS = "0" * 64
_NUMBER_LIMIT = 2**53


def canonical(event: AuditEventRow) -> dict[str, Any]:
    """Return the members of an event that its hash covers: all but the hash itself."""
    return {
        "id": str(event.id),
        "tenantId": str(event.tenant_id),
        "sequence": event.sequence,
        "operationId": str(event.operation_id),
        "at": event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "phase": event.phase,
        "action": event.action,
        "actor": {
            "kind": event.actor_kind,
            "id": None if event.actor_id is None else str(event.actor_id),
            "name": event.actor_name,
        },
        "entrance": event.entrance,
        "sandbox": event.sandbox_name,
        "resource": {"type": event.resource_type, "id": event.resource_id, "name": event.resource_name},
        "requestId": event.request_id,
        "upstreamRequestId": event.upstream_request_id,
        "detail": event.detail,
        "previousHash": event.previous_hash,
    }


def hash_of(event: AuditEventRow) -> str:
    """Return the hash that an event must carry, in hex."""
    return hashlib.sha256(rfc8785.dumps(canonical(event))).hexdigest()


def keepable(value: Any) -> Any:
    """Return plain JSON with every number of 2**53 or more as text.

    Canonical JSON has no such integers, and a database hands back a float of that size as one.
    """
    match value:
        case dict():
            return {name: keepable(one) for name, one in value.items()}
        case list() | tuple():
            return [keepable(one) for one in value]
        case bool():
            return value
        case int() | float() if not abs(value) < _NUMBER_LIMIT:
            return str(value)
    return value


def first_break(events: Iterable[AuditEventRow], *, previous: AuditEventRow | None = None) -> int | None:
    """Return the sequence number of the first event that does not follow from the one before, or ``None``.

    ``events`` is a run of the chain in order; ``previous`` is the event before it, absent at the chain's start.
    """
    expected_hash = previous.hash if previous else GENESIS
    expected_sequence = previous.sequence + 1 if previous else 1
    for event in events:
        follows = event.sequence == expected_sequence and event.previous_hash == expected_hash
        if not follows or hash_of(event) != event.hash:
            return event.sequence
        expected_hash, expected_sequence = event.hash, event.sequence + 1
    return None
