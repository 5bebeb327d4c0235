"""Runs blocking database work in threads, so that the event loop stays free, and stops it when nobody waits any more.

A thread cannot be cancelled from outside, but a DuckDB connection can be interrupted. An interrupt between two
statements is lost, so it is repeated until the thread has ended: when `Workers.run` returns, the work is over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_INTERRUPT_EVERY_S = 0.005


class Workers:
    """A few threads. More work than threads waits in line."""

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="evaluation")

    async def run(self, work: Callable[[], T], *, interrupt: Callable[[], None], timeout_s: float | None = None) -> T:
        """Run ``work`` in a thread and return its result.

        When the caller is cancelled, or after ``timeout_s`` (waiting in line included; raises `TimeoutError`),
        ``interrupt`` is called until ``work`` has ended.
        """
        future = self._executor.submit(work)
        async with asyncio.timeout(timeout_s):
            try:
                return await asyncio.wrap_future(future)
            except asyncio.CancelledError:
                await _uncancelled(_stop(future, interrupt))
                raise

    def close(self) -> None:
        """Wait for the threads to end. Blocks."""
        self._executor.shutdown(wait=True, cancel_futures=True)


async def _uncancelled(stopping: Coroutine[None, None, None]) -> None:
    """Wait to the end, even when the caller is cancelled once more; the end is milliseconds away."""
    task = asyncio.ensure_future(stopping)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)


async def _stop(future: Future[T], interrupt: Callable[[], None]) -> None:
    future.cancel()
    while not future.done():
        interrupt()
        await asyncio.sleep(_INTERRUPT_EVERY_S)
