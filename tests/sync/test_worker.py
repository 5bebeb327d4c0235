"""The sync worker as a task of the application."""

import asyncio
from uuid import uuid4

import pytest

from app.settings import SyncSettings
from app.store.database import Database
from app.sync.worker import SyncWorker


@pytest.mark.parametrize("ticks", range(4))
async def test_cancellation_that_meets_a_change_still_ends_the_worker(database: Database, ticks: int):
    worker = SyncWorker(
        database, None, SyncSettings(sync_interval_s=60, sync_retry_s=60)
    )  # nothing to pull: no tenants
    running = asyncio.create_task(worker.run())
    await asyncio.sleep(0.1)
    worker.changed(uuid4(), uuid4())
    for _ in range(ticks):
        await asyncio.sleep(0)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=5)
    assert done
    assert running.cancelled()
