"""The ids that AEP hands out. All are opaque to clients; only their maker may look inside.

A preview id is base64 without padding of ``0:<app>:<previewQueryId>:<previewExecutionId>``; the estimate of a preview
has the same id. Some external audiences are called ``base64("<NAMESPACE>_<audienceId>")_<sandboxUuid>``, so an id may
hold ``_``, ``=`` and ``-``.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PreviewId:
    """What a preview id is made of."""

    app: str
    query_id: str
    execution_id: int = 0

    def encode(self) -> str:
        """Return the id as clients see it."""
        return _encode(f"0:{self.app}:{self.query_id}:{self.execution_id}")


def decode_preview_id(text: str) -> PreviewId | None:
    """Return the parts of a preview id, or None when the text is none."""
    parts = (_decode(text) or "").split(":")
    if len(parts) != 4 or parts[0] != "0" or not parts[2] or not parts[3].isdecimal():
        return None
    return PreviewId(parts[1], parts[2], int(parts[3]))


def external_audience_id(namespace: str, audience_id: str, sandbox_id: str) -> str:
    """Return the id of an audience that was made elsewhere."""
    name = base64.b64encode(f"{namespace}_{audience_id}".encode()).decode()
    return f"{name}_{sandbox_id}"


def new_etag(epoch_s: int) -> str:
    """Return an ``_etag`` value: the quotes are part of the text. Its last part is the time in seconds, as hex."""
    return f'"{secrets.token_hex(4)}-0000-0200-0000-{epoch_s:08x}0000"'


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(text: str) -> str | None:
    padded = text.rstrip("=")
    padded += "=" * (-len(padded) % 4)
    try:
        return base64.urlsafe_b64decode(padded.encode("ascii")).decode()
    except (binascii.Error, ValueError):
        return None
