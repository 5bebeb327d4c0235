"""Signed checkpoints: so many events, with this Merkle root, at this time.

The chain alone cannot tell when its end is cut off, or when somebody with all rights in the database makes it anew. A
checkpoint can: it is signed with a key that is not in the database, and whoever keeps a copy can hold it against the
chain at any later time. Its form is the signed note of the transparency logs (C2SP tlog-checkpoint) with a line for the
time; `app.audit.verifier` reads it.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.audit.verifier import Frontier, checkpoint_text, key_text, signature_line
from app.errors import GatewayError, InternalError
from app.store.database import Database, WriteUnit
from app.store.rows import AuditCheckpointRow

log = structlog.get_logger(__name__)

_PAGE = 10_000


class BadSigningKey(InternalError):
    """The key that signs checkpoints cannot be read."""

    code = "BAD_SIGNING_KEY"
    title = "Signing key cannot be read"


class CheckpointKey:
    """The key that signs; its public part is all that others need."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise BadSigningKey(
                "The audit's signing key must be 32 bytes, written as base64.",
                hint="Make one with 'openssl rand -base64 32'.",
            )
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._private.public_key().public_bytes_raw()

    @classmethod
    def read(cls, text: str) -> CheckpointKey:
        """Read a key from its base64 form. Raises `BadSigningKey`."""
        try:
            return cls(base64.b64decode(text.strip(), validate=True))
        except ValueError:
            raise BadSigningKey("The audit's signing key is not base64.") from None

    @classmethod
    def of_file(cls, path: Path) -> CheckpointKey:
        """Return the key kept in a file; makes one, readable by its owner only, when there is no file."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(base64.b64encode(os.urandom(32)) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        return cls.read(path.read_text())

    @property
    def public_text(self) -> str:
        """The public key as one line."""
        return key_text(self._public)

    def sign(self, text: str) -> str:
        """Return a text as a signed note."""
        return f"{text}\n{signature_line(self._public, self._private.sign(text.encode()))}"


class CheckpointWriter:
    """Writes a checkpoint of every chain that has grown, now and then, in whichever process comes first."""

    def __init__(
        self,
        database: Database,
        key: CheckpointKey,
        *,
        interval_s: float,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._key = key
        self._interval_s = interval_s
        self._clock = clock

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.write_all()
            except GatewayError as problem:
                log.warning("audit.checkpoints_failed", code=problem.code)
            except Exception:
                log.exception("audit.checkpoints_crashed")

    async def write_all(self) -> None:
        """Write a checkpoint of every tenant's chain that has grown."""
        for tenant_id in await self._database.tenant_ids():
            await self.write(tenant_id)

    async def write(self, tenant_id: UUID) -> AuditCheckpointRow | None:
        """Write a checkpoint over a tenant's chain; ``None`` when nothing is new or another process is at it."""
        async with self._database.write(tenant_id) as unit:
            if not await unit.audit_checkpoints.try_lock():
                return None
            newest = await unit.audit_checkpoints.newest()
            tree = _frontier_of(newest)
            if not await _grow(unit, tree) or (newest is not None and newest.size == tree.size):
                return None
            at = self._clock().astimezone(UTC).replace(microsecond=0)
            text = checkpoint_text(origin_of(tenant_id), tree.size, tree.root(), at.isoformat())
            row = AuditCheckpointRow(
                tenant_id=tenant_id,
                size=tree.size,
                root=tree.root().hex(),
                at=at,
                note=self._key.sign(text),
                public_key=self._key.public_text,
                frontier=[node.hex() for node in tree.nodes],
            )
            await unit.audit_checkpoints.append(row)
            return row


def origin_of(tenant_id: UUID) -> str:
    """Return the first line of a tenant's checkpoints: whose chain they are about."""
    return f"segment-gateway/audit/{tenant_id}"


def _frontier_of(newest: AuditCheckpointRow | None) -> Frontier:
    """Return the tree of a checkpoint to go on from, or an empty one when its nodes do not give its root."""
    if newest is None or len(newest.frontier) != newest.size.bit_count():
        return Frontier()
    tree = Frontier(newest.size, [bytes.fromhex(node) for node in newest.frontier])
    return tree if tree.root().hex() == newest.root else Frontier()


async def _grow(unit: WriteUnit, tree: Frontier) -> bool:
    """Add the events that came since; tell whether there was no gap. Nothing is signed over a chain with one."""
    while rows := await unit.audit_events.hashes(after_sequence=tree.size, limit=_PAGE):
        for sequence, hash_hex in rows:
            if sequence != tree.size + 1:
                log.error("audit.chain_has_gap", tenant_id=str(unit.tenant_id), missing=tree.size + 1)
                return False
            tree.append(hash_hex)
    return tree.size > 0
