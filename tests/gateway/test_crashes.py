"""A gateway process that is killed at every step of the write door, and started again.

Afterwards every change has exactly one outcome, AEP has been asked to make it once at most, and whoever repeats it
under its key gets its answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.audit.chain import first_break
from app.cli.demo_people import seed_tenants
from app.main import build_gateway
from app.services.door import Step
from app.settings import ServerSettings, Settings
from app.store.database import Database
from tests.gateway.conftest import Emulator, Stack, free_port
from tests.gateway.test_upstream_faults import DEFINITIONS
from tests.gateway.test_writes import RULE, body, unique

SCHEDULES = "/data/core/ups/config/schedules"
NOTHING_BEGUN = [Step.PERMITTED, Step.INTENT_WRITTEN]
NOTHING_SENT = [Step.INTENT_COMMITTED]
DONE = [Step.ANSWERED, Step.OUTCOME_WRITTEN, Step.OUTCOME_COMMITTED]


@dataclass(slots=True)
class Mortal:
    """A gateway whose processes die, and what is seen of it from outside."""

    stack: Stack
    forker: asyncio.subprocess.Process
    pid: int = 0

    async def start(self, die_at: Step | None = None) -> None:
        assert self.forker.stdin
        assert self.forker.stdout
        self.forker.stdin.write(f"{die_at.name if die_at else 'none'}\n".encode())
        self.pid = int(await self.forker.stdout.readline())

    async def gone(self) -> None:
        assert self.forker.stdout
        assert await self.forker.stdout.readline() == b"gone\n"

    async def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        await self.gone()

    async def dies(self, step: Step, method: str, path: str, sent: Any, request_id: str) -> None:
        """Let a process die at a step of a change; ``request_id`` is its key as well."""
        await self.start(step)
        with contextlib.suppress(httpx.TransportError):
            reply = await self.call(method, path, sent, request_id)
            pytest.fail(f"The process did not die at {step.name}: {reply.status_code} {reply.text}")
        await self.gone()

    async def call(self, method: str, path: str, sent: Any, request_id: str) -> httpx.Response:
        headers = {"x-request-id": request_id, "idempotency-key": request_id}
        content = {} if sent is None else {"json": sent}
        return await self.stack.facade(method, path, headers=headers, **content)

    async def repeated(self, method: str, path: str, sent: Any, request_id: str) -> httpx.Response:
        """Repeat a change under its key until it has an answer, as a client would."""
        async with asyncio.timeout(40):
            while (reply := await self.call(method, path, sent, request_id)).status_code == 409:
                assert int(reply.headers["retry-after"]) >= 1
                await asyncio.sleep(0.1)
        return reply


@pytest.fixture
async def mortal(emulator: Emulator, database_url: str, tmp_path: Path) -> AsyncIterator[Mortal]:
    (tmp_path / "emulator").mkdir()
    shutil.copy(emulator.state_dir / "organizations.json", tmp_path / "emulator")
    gateway = await build_gateway(Settings(server=ServerSettings(state_dir=tmp_path)), database_url)
    tenants = await seed_tenants(gateway.database, gateway.sealer, tmp_path, emulator.url)
    port, pipe = free_port(), asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "tests.gateway.door_process", database_url, str(tmp_path), str(port)]
    forker = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
        stack = Stack(gateway, http, {one["slug"]: one for one in tenants}, emulator, tmp_path, {})
        mortal = Mortal(stack, forker)
        await mortal.start()
        # A process that dies while it fetches Adobe's token keeps the others waiting; that is not what is tested here.
        for slug in stack.tenants:
            assert (await stack.facade("GET", "/data/core/ups/segment/jobs", slug=slug)).status_code == 200
        await mortal.kill()
        try:
            yield mortal
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(mortal.pid, signal.SIGKILL)
            assert forker.stdin
            forker.stdin.close()
            await forker.wait()
            await gateway.database.close()


async def outcomes(database: Database) -> dict[str, list[str]]:
    """Return the phases of every change of every tenant by request, in order; and see that the chains are whole."""
    async with database.directory() as directory:
        tenants: list[UUID] = [row.id for row in await directory.tenants()]
    found: dict[str, list[str]] = {}
    for tenant_id in tenants:
        async with database.read(tenant_id) as unit:
            events = await unit.audit_events.chain(limit=10_000)
        assert first_break(events) is None
        for event in events:
            found.setdefault(event.request_id, []).append(event.phase)
    return found


async def settled(database: Database, requests: list[str]) -> dict[str, list[str]]:
    """Return the phases of changes when all of them have an outcome."""
    async with asyncio.timeout(40):
        while True:
            found = await outcomes(database)
            if all(found.get(one, ["succeeded"])[-1] not in {"intent", "unknown"} for one in requests):
                return found
            await asyncio.sleep(0.1)


def new_body(name: str) -> dict[str, Any]:
    return body(unique(name), f"person.birthYear != {uuid4().int % 10**9}")


def told(phases: list[str], outcome: str) -> bool:
    """Tell whether the audit has one intent and one outcome, which it may not have known at first."""
    return phases in (["intent", outcome], ["intent", "unknown", outcome])


async def upstream_names(stack: Stack) -> list[str]:
    listed = await stack.upstream("GET", DEFINITIONS, params={"limit": "100", "sort": "creationTime:desc"})
    return [one["name"] for one in listed.json()["segments"]]


async def test_a_create_that_is_killed_anywhere_is_made_once_and_told_once(mortal: Mortal) -> None:
    stack = mortal.stack
    # A rule of its own each: objects of other tests with the same rule could be taken for ours, renamed.
    creates = {step: (str(uuid4()), new_body(step.name)) for step in Step if step is not Step.LEASED}
    for step, (request_id, sent) in creates.items():
        await mortal.dies(step, "POST", DEFINITIONS, sent, request_id)

    # And one whose process is killed while AEP is at work.
    slow_id, slow = str(uuid4()), new_body("slow")
    async with httpx.AsyncClient(base_url=stack.emulator.url) as emulator:
        rule = {"fault": {"kind": "delay", "seconds": 0.4}, "match": {"method": "POST", "path": DEFINITIONS}}
        await emulator.post("/emulator/faults", json=rule | {"count": 1})
        await mortal.start()
        calling = asyncio.create_task(mortal.call("POST", DEFINITIONS, slow, slow_id))
        while (await outcomes(stack.gateway.database)).get(slow_id) != ["intent"]:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        await mortal.kill()
        with pytest.raises(httpx.TransportError):
            await calling
        await emulator.delete("/emulator/faults")

    await mortal.start()
    found = await settled(stack.gateway.database, [*(one for one, _ in creates.values()), slow_id])
    names = await upstream_names(stack)
    for step, (request_id, sent) in creates.items():
        if step in NOTHING_BEGUN:
            assert request_id not in found, step
        elif step in NOTHING_SENT:
            assert told(found[request_id], "failed"), step
        else:
            assert told(found[request_id], "succeeded"), step
        assert names.count(sent["name"]) == (1 if step in DONE else 0), step
    assert told(found[slow_id], "succeeded")

    for step, (request_id, sent) in creates.items():
        reply = await mortal.repeated("POST", DEFINITIONS, sent, request_id)
        assert reply.status_code == 200, step
        assert ("idempotent-replayed" in reply.headers) == (step in DONE), step
        upstream = await stack.upstream("GET", f"{DEFINITIONS}/{reply.json()['id']}")
        assert upstream.json() == reply.json(), step
    names = await upstream_names(stack)
    assert [names.count(sent["name"]) for _, sent in creates.values()] == [1] * len(creates)
    made = await stack.http.get(DEFINITIONS, headers={"authorization": f"Bearer {await stack.token()}"})
    assert made.status_code == 200


async def test_changes_and_deletions_that_are_killed_are_told_as_they_came_out(mortal: Mortal) -> None:
    stack = mortal.stack
    ids = [(await stack.upstream("POST", DEFINITIONS, json=body(unique("There"), RULE))).json()["id"] for _ in range(4)]
    changed, unchanged, deleted, kept = ids
    await mortal.start()
    for aep_id in ids:
        assert (await stack.facade("GET", f"{DEFINITIONS}/{aep_id}")).status_code == 200
    await mortal.kill()
    patch = {"description": "killed"}
    calls = {
        changed: (Step.ANSWERED, "PATCH", patch, "succeeded"),
        unchanged: (Step.INTENT_COMMITTED, "PATCH", patch, "failed"),
        deleted: (Step.ANSWERED, "DELETE", None, "succeeded"),
        kept: (Step.INTENT_COMMITTED, "DELETE", None, "failed"),
    }
    requests = {aep_id: str(uuid4()) for aep_id in ids}
    for aep_id, (step, method, sent, _) in calls.items():
        await mortal.dies(step, method, f"{DEFINITIONS}/{aep_id}", sent, requests[aep_id])
    schedule = {"name": unique("Nightly"), "type": "batch_segmentation", "properties": {"segments": ["*"]}}
    schedule |= {"schedule": "0 0 1 * * ?", "state": "inactive"}
    undecidable = str(uuid4())
    await mortal.dies(Step.ANSWERED, "POST", SCHEDULES, schedule, undecidable)

    await mortal.start()
    found = await settled(stack.gateway.database, list(requests.values()))
    for aep_id, (_, method, sent, phase) in calls.items():
        assert told(found[requests[aep_id]], phase), method
        reply = await mortal.repeated(method, f"{DEFINITIONS}/{aep_id}", sent, requests[aep_id])
        assert reply.status_code == 200
        assert ("idempotent-replayed" in reply.headers) == (phase == "succeeded")
    states = [(await stack.upstream("GET", f"{DEFINITIONS}/{aep_id}")).status_code for aep_id in ids]
    assert states == [200, 200, 404, 404]

    async with asyncio.timeout(40):
        while (await outcomes(stack.gateway.database))[undecidable] != ["intent", "unknown"]:
            await asyncio.sleep(0.1)
    again = await mortal.call("POST", SCHEDULES, schedule, undecidable)
    assert (again.status_code, again.headers["retry-after"]) == (409, "30")
