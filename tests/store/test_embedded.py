"""The embedded PostgreSQL: one owner at a time, orphans are cleared away, data survives."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from app.store.embedded import EmbeddedPostgres, EmbeddedPostgresError


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state"
    shutil.rmtree(EmbeddedPostgres(tmp_path / "state").data_dir.parent, ignore_errors=True)


async def _run(server: EmbeddedPostgres, statement: str) -> object:
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_data_survives_a_stop_and_a_killed_server(folder: Path) -> None:
    first = EmbeddedPostgres(folder)
    first.start()
    await _run(first, "CREATE TABLE kept AS SELECT 42 AS answer")
    assert first._process is not None
    first._process.send_signal(signal.SIGKILL)
    first._process.wait()
    first.stop()
    second = EmbeddedPostgres(folder)
    second.start()
    try:
        assert await _run(second, "SELECT answer FROM kept") == 42
    finally:
        second.stop()


async def test_a_folder_in_use_is_refused_in_words(folder: Path) -> None:
    first = EmbeddedPostgres(folder)
    first.start()
    try:
        with pytest.raises(EmbeddedPostgresError, match="in use by another process"):
            EmbeddedPostgres(folder).start()
        assert await _run(first, "SELECT 1") == 1
    finally:
        first.stop()


async def test_a_server_that_lost_its_owner_is_stopped_and_replaced(folder: Path) -> None:
    lost = EmbeddedPostgres(folder)
    lost.start()
    orphan, lost._process = lost._process, None
    assert orphan is not None
    lost.stop()
    second = EmbeddedPostgres(folder)
    second.start()
    try:
        assert orphan.wait(10) is not None
        assert await _run(second, "SELECT 1") == 1
    finally:
        second.stop()


async def test_only_the_socket_folders_user_may_connect(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        assert await _run(server, "SHOW listen_addresses") == ""
        assert server.data_dir.stat().st_mode & 0o077 == 0
    finally:
        server.stop()
