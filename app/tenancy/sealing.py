"""Secrets at rest: AES-256-GCM with a key id, and with the owner bound in as associated data.

A sealed value reads ``version (1 byte) | key id (8) | nonce (12) | ciphertext and tag``. Because the owner (a tenant's
id, say) is part of what is authenticated, a sealed secret that is copied into another tenant's row does not open.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import InternalError

SIGNING_KEYS_OWNER = "gateway:token-signing"
"""What the sealed keys that sign integrations' tokens are bound to."""
_VERSION = b"\x01"
_KEY_ID_BYTES = 8
_NONCE_BYTES = 12


class SealError(InternalError):
    """A sealed value cannot be opened with the keys at hand, or a key is no key."""

    code = "SEAL_ERROR"
    title = "Sealed value cannot be opened"


class Sealer:
    """Seals with the first key, opens with any of them.

    ``reload`` reads the keys again. It is asked when a value was sealed under a key that is not known, which is how a
    running process learns of a key that was made meanwhile.
    """

    def __init__(self, *keys: bytes, reload: Callable[[], Sequence[bytes]] | None = None) -> None:
        self._reload = reload
        self._take(keys)

    def _take(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) != 32 for key in keys):
            raise SealError("A master key must be 32 bytes, written as base64.")
        self._keys = {_key_id(key): AESGCM(key) for key in keys}
        self._current = _key_id(keys[0])

    @property
    def current_id(self) -> bytes:
        """The id of the key that seals."""
        return self._current

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        """The ids of all keys, the one that seals first."""
        return tuple(self._keys)

    def seal(self, secret: str, *, owner: str) -> bytes:
        """Return ``secret`` sealed for ``owner``."""
        nonce = os.urandom(_NONCE_BYTES)
        body = self._keys[self._current].encrypt(nonce, secret.encode(), owner.encode())
        return _VERSION + self._current + nonce + body

    def open(self, sealed: bytes, *, owner: str) -> str:
        """Return the secret that was sealed for ``owner``. Raises `SealError`."""
        key_id, rest = sealed[1 : 1 + _KEY_ID_BYTES], sealed[1 + _KEY_ID_BYTES :]
        if sealed[:1] == _VERSION and key_id not in self._keys and self._reload is not None:
            self._take(self._reload())
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


def read_master_keys(text: str) -> list[bytes]:
    """Read master keys, the one that seals first, from their base64 forms between commas or lines.

    Raises `SealError`.
    """
    try:
        return [base64.b64decode(one, validate=True) for one in text.replace(",", " ").split()]
    except (binascii.Error, ValueError):
        raise SealError("The master key is not base64.", hint="Make one with 'openssl rand -base64 32'.") from None


def keys_of_file(path: Path) -> list[bytes]:
    """Return the keys kept in ``path``; makes one, readable by its owner only, when there is no file."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            _write_keys(path, [secrets.token_bytes(32)])
    return read_master_keys(path.read_text())


def add_key_to_file(path: Path) -> None:
    """Put a new key in front of those of ``path``; the file is never seen half written."""
    _replace_keys(path, [secrets.token_bytes(32), *keys_of_file(path)])


def drop_key_from_file(path: Path, key_id: bytes) -> None:
    """Take a key out of ``path``. Raises `SealError` for the one that seals and for one that is not there."""
    keys = keys_of_file(path)
    if key_id not in {_key_id(key) for key in keys[1:]}:
        raise SealError(f"{key_id.hex()} is no old key of {path.name}.", hint="'segment-gateway keys list' shows them.")
    _replace_keys(path, [key for key in keys if _key_id(key) != key_id])


def _replace_keys(path: Path, keys: Sequence[bytes]) -> None:
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    _write_keys(unfinished, keys)
    unfinished.replace(path)


def _write_keys(path: Path, keys: Sequence[bytes]) -> None:
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(b"".join(base64.b64encode(key) + b"\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
