"""Proofs over the Merkle tree of a chain (RFC 6962, sections 2.1.1 and 2.1.2), and what a bundle needs of them.

A proof is made from the hashes of all events under the checkpoint, so its cost grows with the chain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from app.audit.export import Evidence, Span
from app.audit.verifier import leaf_hash, node_hash
from app.store.database import Database, ReadUnit

_PAGE = 20_000


def root_of(leaves: Sequence[bytes], begin: int, end: int) -> bytes:
    """Return the root over the leaves from ``begin`` to before ``end``."""
    if end - begin == 1:
        return leaves[begin]
    middle = begin + _split(end - begin)
    return node_hash(root_of(leaves, begin, middle), root_of(leaves, middle, end))


def inclusion(leaves: Sequence[bytes], index: int, begin: int, end: int) -> list[bytes]:
    """Return the nodes that lead from a leaf to the root, lowest first."""
    if end - begin == 1:
        return []
    middle = begin + _split(end - begin)
    if index < middle:
        return [*inclusion(leaves, index, begin, middle), root_of(leaves, middle, end)]
    return [*inclusion(leaves, index, middle, end), root_of(leaves, begin, middle)]


def consistency(leaves: Sequence[bytes], old_size: int, begin: int, end: int, *, known: bool = True) -> list[bytes]:
    """Return the nodes that show the first ``old_size`` leaves from ``begin`` to be the beginning of all of them."""
    if old_size == end - begin:
        return [] if known else [root_of(leaves, begin, end)]
    split = _split(end - begin)
    middle = begin + split
    if old_size <= split:
        return [*consistency(leaves, old_size, begin, middle, known=known), root_of(leaves, middle, end)]
    return [*consistency(leaves, old_size - split, middle, end, known=False), root_of(leaves, begin, middle)]


def _split(count: int) -> int:
    """Return the largest power of two that is smaller than ``count``."""
    return 1 << (count - 1).bit_length() - 1


async def leaves_of(unit: ReadUnit, size: int) -> list[bytes]:
    """Return the leaves of the first ``size`` events."""
    leaves: list[bytes] = []
    while len(leaves) < size:
        rows = await unit.audit_events.hashes(after_sequence=len(leaves), limit=min(_PAGE, size - len(leaves)))
        if not rows or rows[0][0] != len(leaves) + 1:
            break
        leaves.extend(leaf_hash(hash_hex) for _, hash_hex in rows)
    return leaves


async def prove_inclusion(leaves: Sequence[bytes], index: int, size: int) -> list[str]:
    """Return `inclusion` in hex, made in a thread."""
    return [node.hex() for node in await asyncio.to_thread(inclusion, leaves, index, 0, size)]


async def prove_consistency(leaves: Sequence[bytes], old_size: int, size: int) -> list[str]:
    """Return `consistency` in hex, made in a thread."""
    return [node.hex() for node in await asyncio.to_thread(consistency, leaves, old_size, 0, size)]


async def evidence_of(database: Database, tenant_id: UUID, span: Span) -> Evidence:
    """Return what a bundle carries besides its events.

    A whole chain gives the roots by itself: the last checkpoint of each day is enough. An extract gets the first
    checkpoint that covers it, the newest one, and the proofs between them.
    """
    async with database.read(tenant_id) as unit:
        newest = await unit.audit_checkpoints.newest()
        if newest is None:
            return Evidence()
        if span.complete:
            rows = await unit.audit_checkpoints.last_of_each_day()
            return Evidence([row.note for row in rows], sorted({row.public_key for row in rows}))
        covering = await unit.audit_checkpoints.covering(span.last) or newest
        last = min(span.last, covering.size)
        if last < span.first:
            return Evidence([newest.note], [newest.public_key])
        leaves = await leaves_of(unit, newest.size)
        hashes = await unit.audit_events.hashes(after_sequence=last - 1, limit=1)
    if len(leaves) != newest.size:
        return Evidence([newest.note], [newest.public_key])  # a chain with a gap: the verifier finds it in the events
    path = await prove_inclusion(leaves, last - 1, covering.size)
    proofs: dict[str, object] = {
        "inclusion": [{"sequence": last, "hash": hashes[0][1], "size": covering.size, "path": path}]
    }
    used = {row.size: row for row in (covering, newest)}
    if len(used) > 1:
        steps = await prove_consistency(leaves, covering.size, newest.size)
        proofs["consistency"] = [{"from": covering.size, "to": newest.size, "path": steps}]
    return Evidence([row.note for row in used.values()], sorted({row.public_key for row in used.values()}), proofs)
