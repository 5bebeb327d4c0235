"""The keys that sign integrations' tokens: made on first start, sealed in the database, shared by all processes.

A new key is published for `PUBLISHED_FIRST_S` before it signs, so that whoever keeps the published keys for a while
knows it by then. The key before verifies until the last token that it signed has ended. Processes read the keys again
every `REREAD_S`; what a key does follows from its age alone, so they need not agree on anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

from joserfc.jwk import ECKey, KeySet

from app.store.database import Database
from app.store.rows import SigningKeyRow
from app.store.tenants import DirectoryRepository
from app.tenancy.sealing import SIGNING_KEYS_OWNER, Sealer

ALGORITHM = "ES256"
PUBLISHED_FIRST_S = 300  # as long as the published keys may be kept (app/rest/ims.py)
REREAD_S = 30.0
_MARGIN_S = 120  # for clocks that differ, and for processes that have not read the new key yet


class SigningKeys:
    """The gateway's signing keys, newest first."""

    def __init__(self, database: Database, sealer: Sealer, lifetime_s: int, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._sealer = sealer
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._keys: list[tuple[ECKey, datetime]] = []
        self._read_at = 0.0

    @classmethod
    async def load(
        cls,
        database: Database,
        sealer: Sealer,
        *,
        lifetime_s: int = 3600,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> SigningKeys:
        """Read the keys; make the first one where there is none. ``lifetime_s`` is that of the tokens."""
        keys = cls(database, sealer, lifetime_s, clock)
        await keys._read()
        return keys

    async def refresh(self) -> None:
        """Read the keys again when it is time to."""
        if monotonic() - self._read_at > REREAD_S:
            await self._read()

    async def rotate(self, *, at_once: bool = False) -> str:
        """Make a new key and return its id; remove those whose tokens have all ended.

        ``at_once`` removes every other key, for when one was stolen: all tokens out there end.
        """
        async with self._database.directory() as directory:
            await directory.lock_signing_keys()
            now = self._clock()
            rows = list(await directory.signing_keys())
            ended = [row.id for row, until in zip(rows, self._ends(rows), strict=True) if until and until <= now]
            await directory.remove_signing_keys([row.id for row in rows] if at_once else ended)
            key_id = await self._make(directory)
        await self._read()
        return key_id

    async def _read(self) -> None:
        async with self._database.directory() as directory:
            rows = await directory.signing_keys()
            if not rows:
                # Processes that start together must end up with the same key: the first makes it, the others wait.
                await directory.lock_signing_keys()
                rows = await directory.signing_keys()
            if not rows:
                await self._make(directory)
                rows = await directory.signing_keys()
        now = self._clock()
        self._keys = [
            (ECKey.import_key(self._opened(row), {"kid": row.id}), row.created_at)
            for row, until in zip(rows, self._ends(list(rows)), strict=True)
            if until is None or until > now
        ]
        self._read_at = monotonic()

    async def _make(self, directory: DirectoryRepository) -> str:
        key = ECKey.generate_key("P-256", auto_kid=True)
        sealed = self._sealer.seal(key.as_pem(private=True).decode(), owner=SIGNING_KEYS_OWNER)
        key_id = key.kid or key.thumbprint()
        await directory.add_signing_key(SigningKeyRow(id=key_id, sealed_private_key=sealed))
        return key_id

    def _opened(self, row: SigningKeyRow) -> str:
        return self._sealer.open(row.sealed_private_key, owner=SIGNING_KEYS_OWNER)

    def _ends(self, rows: list[SigningKeyRow]) -> list[datetime | None]:
        """Return until when each key verifies: for the life of a token after the next key began to sign."""
        overlap = timedelta(seconds=PUBLISHED_FIRST_S + self._lifetime_s + _MARGIN_S)
        return [None, *(newer.created_at + overlap for newer in rows[:-1])][: len(rows)]

    @property
    def current(self) -> ECKey:
        """The key that signs: the newest that has been published long enough, or the oldest."""
        published = self._clock() - timedelta(seconds=PUBLISHED_FIRST_S)
        return next((key for key, made_at in self._keys if made_at <= published), self._keys[-1][0])

    @property
    def all(self) -> KeySet:
        """The keys that verify."""
        return KeySet([key for key, _ in self._keys])

    def public(self) -> dict[str, Any]:
        """Return the public parts as a JSON Web Key Set (RFC 7517)."""
        members = {"use": "sig", "alg": ALGORITHM}
        return {"keys": [{**key.as_dict(private=False), **members} for key, _ in self._keys]}
