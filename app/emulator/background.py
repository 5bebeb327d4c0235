"""Work that goes on after its call was answered: estimates and jobs.

A piece of work is known by a key. All of it is durable elsewhere, so stopping it loses nothing: at the next start it
is taken up again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any

import structlog

log = structlog.get_logger(__name__)


async def repeat(step: Callable[[], Awaitable[None]], pause_s: float) -> None:
    """Call ``step`` again and again, with pauses, until cancelled. A fault is logged and the next call comes."""
    while True:
        try:
            await step()
        except Exception as fault:
            log.error("emulator.repeated_work_failed", exc_info=fault)
        await asyncio.sleep(pause_s)


def progress_member(progress: tuple[int, int] | None) -> dict[str, Any]:
    """Return the member of a job that tells (steps done, steps in all), or nothing when no work is going on.

    It is no member of the vendor's, who shows no progress; clients that do not know it read past it.
    """
    return {} if progress is None else {"progress": dict(zip(("done", "total"), progress, strict=True))}


class Background:
    """Tasks by key. At most ``width`` of them hold a turn (see :attr:`turns`) at a time."""

    def __init__(self, width: int) -> None:
        self.turns = asyncio.Semaphore(width)
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}

    def start(self, key: Hashable, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` in the background."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._finished(key, done))

    def cancel(self, key: Hashable) -> None:
        """Stop the work of this key, if it is still going on."""
        task = self._tasks.get(key)
        if task is not None:
            task.cancel()

    async def stop_place(self, org_id: str, sandbox: str) -> None:
        """Stop all work of one sandbox and wait until it has stopped: see `app.emulator.workplaces.Workplace.key`."""
        tasks = [task for key, task in self._tasks.items() if isinstance(key, tuple) and key[1:3] == (org_id, sandbox)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self, timeout_s: float) -> None:
        """Stop everything and wait until it has stopped, ``timeout_s`` seconds at most."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    def _finished(self, key: Hashable, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled() and task.exception() is not None:
            log.error("emulator.background_work_failed", key=repr(key), exc_info=task.exception())
