"""Repeating a change safely: the same key and the same body get the same answer, and AEP is asked once.

A key belongs to one actor, in one sandbox, for one operation, whichever entrance it comes through. It is claimed in
the transaction that commits the intent, so there is no moment at which a change is under way and its key is free. A
change that AEP refused gives its key back. One that AEP did not answer keeps it until somebody knows what became of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import rfc8785

from app.aep import headers as aep_headers
from app.audit.chain import keepable
from app.context import RequestContext
from app.errors import InvalidRequest, KeyReused, RequestInFlight
from app.store.database import ReadUnit
from app.store.idempotency_keys import DONE, UNKNOWN, KeptAnswer, KeyScope
from app.store.rows import IdempotencyKeyRow
from app.upstream.client import Call, Reply

Value = TypeVar("Value")

MAX_KEY_LENGTH = 255
RETRY_IN_FLIGHT_S = 1.0
RETRY_UNKNOWN_S = 30.0
_KEPT_HEADERS = (aep_headers.LOCATION, "location", aep_headers.REQUEST_ID)


@dataclass(frozen=True, slots=True)
class Memory(Generic[Value]):
    """How the value of a finished change is kept as plain JSON, and made again from that and AEP's reply."""

    keep: Callable[[Value], Any]
    recall: Callable[[Any, Reply], Value]


def _nothing(_value: object) -> None:
    return None


# The value of a change that is passed through is AEP's reply itself.
REPLY_MEMORY: Memory[Any] = Memory(_nothing, lambda _kept, reply: reply)
NO_MEMORY: Memory[None] = Memory(_nothing, lambda _kept, _reply: None)


@dataclass(frozen=True, slots=True)
class Claim:
    """A key, and the hash of what it stands for."""

    scope: KeyScope
    request_hash: str


def claim_of(ctx: RequestContext, operation: str, call: Call) -> Claim | None:
    """Return the claim that a request makes, ``None`` when it has no key. Raises `InvalidRequest`."""
    key = ctx.idempotency_key
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        raise InvalidRequest(
            f"An idempotency key must be 1 to {MAX_KEY_LENGTH} printable ASCII characters.",
            hint="A random UUID is a good key.",
            path=("idempotencyKey",),
        )
    return Claim(KeyScope(ctx.sandbox.id, ctx.actor.id, operation, key), _hash_of(call))


def _hash_of(call: Call) -> str:
    asked = {"method": call.method, "path": call.path, "params": list(call.params), "body": call.body}
    return hashlib.sha256(rfc8785.dumps(keepable(asked))).hexdigest()


async def earlier(unit: ReadUnit, claim: Claim) -> IdempotencyKeyRow | None:
    """Return the finished change that had this key, ``None`` when the key is free.

    Raises `KeyReused` when the key stands for something else, `RequestInFlight` while there is no answer yet.
    """
    row = await unit.idempotency_keys.find(claim.scope)
    if row is None:
        return None
    if row.request_hash != claim.request_hash:
        raise KeyReused(
            "This idempotency key was used for another request.",
            hint="Send a new key with a new request; repeat a key only with the very same body.",
            path=("idempotencyKey",),
        )
    if row.state != DONE:
        raise in_flight(unknown=row.state == UNKNOWN)
    return row


def in_flight(*, unknown: bool = False) -> RequestInFlight:
    """Return the error for a request whose first sending has no outcome yet."""
    if unknown:
        return RequestInFlight(
            "It is not known yet what became of the first request with this idempotency key.",
            hint="The gateway looks it up at Adobe Experience Platform; ask again later with the same key.",
            retry_after_s=RETRY_UNKNOWN_S,
        )
    return RequestInFlight(
        "The first request with this idempotency key is still under way.",
        hint="Ask again shortly with the same key.",
        retry_after_s=RETRY_IN_FLIGHT_S,
    )


def to_answer(kept: Any, reply: Reply) -> str:
    """Return what a key remembers: AEP's reply, and the value as its `Memory` keeps it."""
    headers = {name: reply.headers[name] for name in _KEPT_HEADERS if name in reply.headers}
    return KeptAnswer(reply.status, headers, reply.body, kept).encode()


def from_answer(answer: str) -> tuple[Any, Reply]:
    """Return the kept value and AEP's reply of a finished change."""
    found = KeptAnswer.decode(answer)
    return found.value, Reply(found.status, found.body, found.headers)
