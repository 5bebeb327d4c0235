"""One token for all processes: four of them, two hundred calls at once, one call to IMS."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from app.cli.demo_people import seed_tenants
from app.store.database import Database
from tests.factories import SEALER
from tests.gateway.conftest import Emulator

PROCESSES, CALLS = 4, 50


@pytest.fixture
async def tenant_id(emulator: Emulator, database: Database, tmp_path: Path) -> UUID:
    (tmp_path / "emulator").mkdir()
    shutil.copy(emulator.state_dir / "organizations.json", tmp_path / "emulator")
    await seed_tenants(database, SEALER, tmp_path, emulator.url)
    return UUID(json.loads((tmp_path / "demo.json").read_text())["luma"]["id"])


class Workers:
    """Processes that get a command at the same time."""

    def __init__(self, processes: list[asyncio.subprocess.Process]) -> None:
        self._processes = processes

    async def say(self, command: str) -> list[str]:
        for process in self._processes:
            assert process.stdin
            process.stdin.write(f"{command}\n".encode())
        return await self.answers()

    async def answers(self) -> list[str]:
        async with asyncio.timeout(60):
            return [(await one.stdout.readline()).decode().strip() for one in self._processes if one.stdout]


@pytest.fixture
async def workers(database_url: str, tenant_id: UUID) -> AsyncIterator[Workers]:
    command = [sys.executable, "-m", "tests.gateway.token_process", database_url, str(tenant_id)]
    pipe = asyncio.subprocess.PIPE
    processes = [await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe) for _ in range(PROCESSES)]
    workers = Workers(processes)
    try:
        assert await workers.answers() == ["ready"] * PROCESSES
        yield workers
    finally:
        for process in processes:
            assert process.stdin
            process.stdin.close()
        async with asyncio.timeout(20):
            await asyncio.gather(*(process.wait() for process in processes))


class IMSCalls:
    """The emulator's own count of token calls; it also makes each of them slow, so that waiting is real."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._path = ""

    async def start(self) -> None:
        rule = {"fault": {"kind": "delay", "seconds": 0.3}, "match": {"method": "POST", "path": "/ims/token/*"}}
        answer = await self._http.post("/emulator/faults", json=rule)
        assert answer.status_code == 201, answer.text
        self._path = f"/emulator/faults/{answer.json()['id']}"

    async def count(self) -> int:
        return int((await self._http.get(self._path)).json()["hits"])


@pytest.fixture
async def faults(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=emulator.url) as http:
        yield http
        await http.delete("/emulator/faults")


@pytest.fixture
async def ims_calls(faults: httpx.AsyncClient) -> IMSCalls:
    calls = IMSCalls(faults)
    await calls.start()
    return calls


ALL_ANSWERED = [str(CALLS)] * PROCESSES


async def test_two_hundred_calls_of_four_processes_fetch_a_token_once_each_time_one_is_needed(
    workers: Workers, ims_calls: IMSCalls, faults: httpx.AsyncClient, owner_url: str
) -> None:
    assert await workers.say(f"call {CALLS}") == ALL_ANSWERED
    assert await ims_calls.count() == 1, "no process has a token"

    await a_day_goes_by(owner_url)
    await workers.say("expire")
    assert await workers.say(f"call {CALLS}") == ALL_ANSWERED
    assert await ims_calls.count() == 2, "the token of every process has expired"

    rule: dict[str, Any] = {"fault": {"kind": "expired_token"}, "match": {"method": "GET"}, "count": 1}
    await faults.post("/emulator/faults", json=rule)
    assert await workers.say(f"call {CALLS}") == ALL_ANSWERED
    assert await ims_calls.count() == 3, "AEP refuses the token that every process has"


async def a_day_goes_by(owner_url: str) -> None:
    """Move the shared tokens a day into the past, which is what the database's clock would do."""
    connection = await asyncpg.connect(owner_url)
    try:
        past = "renew_at = renew_at - interval '1 day', usable_until = usable_until - interval '1 day'"
        await connection.execute(f"UPDATE upstream_tokens SET {past}")
    finally:
        await connection.close()
