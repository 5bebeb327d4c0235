"""Personal access keys: made once, shown once, kept as a hash.

A key carries 256 random bits, so a plain SHA-256 is enough to keep it and lets the database find it by equality.
"""

from __future__ import annotations

import hashlib
import secrets

PREFIX = "sgk_"
SECRET_PREFIX = "sgs_"  # noqa: S105 - the prefix that makes a leaked secret recognisable, not a secret


def new_access_key() -> str:
    """Return a new key for a person."""
    return PREFIX + secrets.token_urlsafe(32)


def new_client_secret() -> str:
    """Return a new secret for an integration."""
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def hash_of(credential: str) -> bytes:
    """Return what is stored of a key, a client secret or a session."""
    return hashlib.sha256(credential.encode()).digest()
