"""Which calls are inside a sandbox just now: it can be emptied when the last one has left."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

Place = tuple[str, str]


class Presence:
    """Counts the calls that are inside, by (organization's id, name of the sandbox)."""

    def __init__(self) -> None:
        self._inside: Counter[Place] = Counter()
        self._waiting: dict[Place, asyncio.Event] = {}

    @contextmanager
    def inside(self, org_id: str, sandbox: str | None) -> Iterator[None]:
        """Count a call while it is inside; one that concerns the whole organization is in no sandbox."""
        if sandbox is None:
            yield
            return
        place = (org_id, sandbox)
        self._inside[place] += 1
        try:
            yield
        finally:
            self._inside[place] -= 1
            if not self._inside[place]:
                del self._inside[place]
                if place in self._waiting:
                    self._waiting.pop(place).set()

    async def left(self, org_id: str, sandbox: str) -> None:
        """Wait until nobody is inside. Whoever asks has closed the door before: nobody comes in any more."""
        place = (org_id, sandbox)
        if self._inside[place]:
            await self._waiting.setdefault(place, asyncio.Event()).wait()
