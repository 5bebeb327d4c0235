"""Who must know when an audience was made, changed or deleted: told after the change is on disk, before it is answered.

Streaming evaluates other rules then, and memberships of what was deleted are forgotten. Since the rows themselves tell,
no call can forget to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AudienceChange:
    """An audience of a place that is another one now, or gone."""

    org_id: str
    sandbox: str
    audience_id: str
    is_deleted: bool = False


Listener = Callable[[AudienceChange], Awaitable[None]]


class AudienceListeners:
    """Tells of changes, in the order of registration."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def add(self, listener: Listener) -> None:
        """Have a listener told of every change from now on. What it raises is only logged: the change was made."""
        self._listeners.append(listener)

    async def tell(self, change: AudienceChange) -> None:
        """Tell all listeners."""
        for listener in self._listeners:
            try:
                await listener(change)
            except Exception as fault:
                log.error("emulator.audience_listener_failed", audience_id=change.audience_id, exc_info=fault)
