"""The keys that sign integrations' tokens: made on first start, sealed in the database, shared by all processes."""

from __future__ import annotations

from typing import Any

from joserfc.jwk import ECKey, KeySet

from app.store.database import Database
from app.store.rows import SigningKeyRow
from app.tenancy.sealing import Sealer

ALGORITHM = "ES256"
OWNER = "gateway:token-signing"


class SigningKeys:
    """The gateway's signing keys; the newest signs, all of them verify."""

    def __init__(self, keys: list[ECKey]) -> None:
        self._keys = keys

    @classmethod
    async def load(cls, database: Database, sealer: Sealer) -> SigningKeys:
        """Read the keys; make the first one where there is none."""
        async with database.directory() as directory:
            rows = await directory.signing_keys()
            if not rows:
                # Processes that start together must end up with the same key: the first makes it, the others wait.
                await directory.lock_signing_keys()
                rows = await directory.signing_keys()
            if not rows:
                key = ECKey.generate_key("P-256", auto_kid=True)
                sealed = sealer.seal(key.as_pem(private=True).decode(), owner=OWNER)
                await directory.add_signing_key(
                    SigningKeyRow(id=key.kid or key.thumbprint(), sealed_private_key=sealed)
                )
                rows = await directory.signing_keys()
        return cls(
            [ECKey.import_key(sealer.open(row.sealed_private_key, owner=OWNER), {"kid": row.id}) for row in rows]
        )

    @property
    def current(self) -> ECKey:
        """The key that signs."""
        return self._keys[0]

    @property
    def all(self) -> KeySet:
        """The keys that verify."""
        return KeySet(list(self._keys))

    def public(self) -> dict[str, Any]:
        """Return the public parts as a JSON Web Key Set (RFC 7517)."""
        members = {"use": "sig", "alg": ALGORITHM}
        return {"keys": [{**key.as_dict(private=False), **members} for key in self._keys]}
