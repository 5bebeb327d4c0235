"""AEP's clocks: epoch milliseconds here, epoch seconds there.

``creationTime`` keeps real milliseconds; ``updateTime`` is always ``updateEpoch * 1000``.
"""

from __future__ import annotations

from datetime import UTC, datetime


def epoch_ms(moment: datetime) -> int:
    """Return an aware time as milliseconds since 1970."""
    return int(moment.timestamp() * 1000)


def from_epoch_ms(milliseconds: int) -> datetime:
    """Return the aware UTC time of milliseconds since 1970."""
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)


def creation_members(now_ms: int) -> dict[str, int]:
    """Return the time members of an object that is made at ``now_ms``."""
    return {"creationTime": now_ms, **update_members(now_ms)}


def update_members(now_ms: int) -> dict[str, int]:
    """Return the time members of an object that is changed at ``now_ms``."""
    seconds = now_ms // 1000
    return {"updateEpoch": seconds, "updateTime": seconds * 1000}
