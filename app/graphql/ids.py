"""Global ids: opaque texts that name a type and the gateway's own id in it.

They say nothing of the tenant. Whose object it is decides row-level security when the id is looked up, so an id from
elsewhere finds nothing.
"""

from __future__ import annotations

import base64
import binascii
from uuid import UUID


def to_global_id(type_name: str, row_id: UUID) -> str:
    """Return the global id of a row."""
    return base64.urlsafe_b64encode(f"{type_name}:{row_id}".encode()).decode().rstrip("=")


def from_global_id(global_id: str) -> tuple[str, UUID] | None:
    """Return type and row id of a global id, or ``None`` for a text that is none."""
    try:
        padded = global_id + "=" * (-len(global_id) % 4)
        text = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode("ascii")
        type_name, _, row_id = text.partition(":")
        return type_name, UUID(row_id)
    except (ValueError, binascii.Error):
        return None
