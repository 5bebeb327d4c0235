"""Access tokens as IMS issues them: signed JWTs whose times are text in milliseconds.

Clients look inside: one public client reads ``created_at`` and ``expires_in`` from the middle part to know when to
renew. The signing key is a file of the state folder, so tokens outlive a restart.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from app.aep.times import epoch_ms
from app.emulator.clock import Clock
from app.emulator.organizations import Credential, Organization
from app.emulator.private_files import write_private

KEY_FILE_NAME: Final = "ims-signing-key.pem"
_ALGORITHM: Final = "RS256"
_KEY_BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class Token:
    """What a valid token says. ``expires_ms`` is in milliseconds since 1970."""

    id: str
    client_id: str
    org_id: str
    user_id: str
    scopes: tuple[str, ...]
    expires_ms: int
    claims: dict[str, Any]


class TokenOffice:
    """Issues and reads access tokens."""

    def __init__(self, key: RSAKey, clock: Clock, *, lifetime_s: int, revoked: Iterable[str] = ()) -> None:
        self._key = key
        self._clock = clock
        self.lifetime_s = lifetime_s
        self._revoked = set(revoked)

    def issue(self, organization: Organization, credential: Credential, scopes: Iterable[str]) -> str:
        """Return a new token for a technical account."""
        now_ms = self.now_ms()
        token_id = f"{now_ms}_{uuid.uuid4()}_ue1"
        claims = {
            "id": token_id,
            "org": organization.org_id,
            "type": "access_token",
            "client_id": credential.client_id,
            "user_id": credential.technical_account_id,
            "sub": credential.technical_account_id,
            "as": "ims-na1",
            "aa_id": credential.technical_account_id,
            "fg": uuid.uuid4().hex[:16].upper(),
            "moi": uuid.uuid4().hex[:8],
            "created_at": str(now_ms),
            "expires_in": str(self.lifetime_s * 1000),
            "scope": ",".join(scopes),
        }
        return jwt.encode({"alg": _ALGORITHM, "typ": "JWT", "kid": "ims_na1-key-at-1"}, claims, self._key)

    def read(self, text: str) -> Token | None:
        """Return what a token says, or None when it is not ours, over, or withdrawn."""
        try:
            claims = jwt.decode(text, self._key, algorithms=[_ALGORITHM]).claims
            token = _token(claims)
        except (JoseError, ValueError, KeyError, TypeError):
            return None
        now_ms = self.now_ms()
        return token if now_ms < token.expires_ms and token.id not in self._revoked else None

    def now_ms(self) -> int:
        """Return the time of the office's clock in milliseconds since 1970."""
        return epoch_ms(self._clock.now())

    async def withdraw(self, text: str) -> None:
        """Refuse a token from now on, if it is one of ours; a restart forgets that, as it forgets injected faults."""
        token = self.read(text)
        if token is not None:
            self.forget(token.id)

    def forget(self, token_id: str) -> None:
        """Refuse a token from now on."""
        self._revoked.add(token_id)


def load_or_create_key(state_dir: Path) -> RSAKey:
    """Read the signing key of a state folder; make one when there is none."""
    path = state_dir / KEY_FILE_NAME
    if not path.exists():
        write_private(path, RSAKey.generate_key(_KEY_BITS, private=True).as_pem(private=True))
    return RSAKey.import_key(path.read_bytes())


def _token(claims: dict[str, Any]) -> Token:
    return Token(
        id=claims["id"],
        client_id=claims["client_id"],
        org_id=claims["org"],
        user_id=claims["user_id"],
        scopes=tuple(claims["scope"].split(",")),
        expires_ms=int(claims["created_at"]) + int(claims["expires_in"]),
        claims=claims,
    )
