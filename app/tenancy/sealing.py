"""Secrets at rest: AES-256-GCM with a key id, and with the owner bound in as associated data.

A sealed value reads ``version (1 byte) | key id (8) | nonce (12) | ciphertext and tag``. Because the owner (a tenant's
id, say) is part of what is authenticated, a sealed secret that is copied into another tenant's row does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import InternalError

_VERSION = b"\x01"
_KEY_ID_BYTES = 8
_NONCE_BYTES = 12


class SealError(InternalError):
    """A sealed value cannot be opened with the keys at hand, or a key is no key."""

    code = "SEAL_ERROR"
    title = "Sealed value cannot be opened"


class Sealer:
    """Seals with the first key, opens with any of them."""

    def __init__(self, *keys: bytes) -> None:
        if not keys or any(len(key) != 32 for key in keys):
            raise SealError("A master key must be 32 bytes, written as base64.")
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])

    def seal(self, secret: str, *, owner: str) -> bytes:
        """Return ``secret`` sealed for ``owner``."""
        nonce = os.urandom(_NONCE_BYTES)
        body = self._keys[self._current].encrypt(nonce, secret.encode(), owner.encode())
        return _VERSION + self._current + nonce + body

    def open(self, sealed: bytes, *, owner: str) -> str:
        """Return the secret that was sealed for ``owner``. Raises `SealError`."""
        key_id, rest = sealed[1 : 1 + _KEY_ID_BYTES], sealed[1 + _KEY_ID_BYTES :]
        key = self._keys.get(key_id)
        if sealed[:1] != _VERSION or key is None:
            raise SealError(
                f"The secret of {owner} was sealed with another master key.",
                hint="Start with the master key that it was entered under, or enter the secret again.",
            )
        try:
            return key.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], owner.encode()).decode()
        except InvalidTag:
            raise SealError(f"The sealed secret of {owner} was altered or belongs to another owner.") from None


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"segment-gateway key id" + key).digest()[:_KEY_ID_BYTES]


def read_master_key(text: str) -> bytes:
    """Read a master key from its base64 form. Raises `SealError`."""
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise SealError("The master key is not base64.", hint="Make one with 'openssl rand -base64 32'.") from None


def master_key_file(path: Path) -> bytes:
    """Return the key kept in ``path``; makes one, readable by its owner only, when there is no file."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(32)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    return read_master_key(path.read_text())
