"""Mixed reads and writes on two gateway processes that are killed at random, over an AEP that fails at random.

    python -m benchmarks.soak [--minutes 10] [--workers 8] [--seed 1]

Every worker owns its segments and knows what became of each of its changes: it repeats a change under its idempotency
key until it has an answer, as a careful client does. At the end the faults stop, what is open is settled, and then:

* lost: a change that was answered with success and does not show at AEP or in the gateway;
* doubled: a create that AEP was asked for twice (it refuses the second one, since names are unique), two objects of one
  name, or an operation with two outcomes;
* cross-tenant: anything of one organization in any answer to, or row, or audit of, the other;
* chain: the audit of each organization as the verifier sees it.

Ends with code 1 when any of these is not nought.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from app.audit.export import document_of
from app.audit.verifier import verify_chain
from app.cli.demo_people import seed_tenants
from app.main import make_sealer
from app.settings import SecuritySettings
from app.store import migrate
from app.store.database import Database
from app.store.embedded import EmbeddedPostgres
from app.telemetry import configure_logging
from benchmarks.measure import console

DEFINITIONS = "/data/core/ups/segment/definitions"
GIVE_UP_S = 120.0
GATEWAY = {
    "WRITE_LEASE_S": "6",
    "WRITE_WAIT_S": "3",
    "RECONCILE_INTERVAL_S": "0.5",
    "RECONCILE_SETTLE_S": "2",
    "UPSTREAM_READ_TIMEOUT_S": "2",
    "SYNC_INTERVAL_S": "5",
    "LOG_LEVEL": "ERROR",
}
FAULTS: list[dict[str, Any]] = [
    {"kind": "server_error", "status": 503, "carriedOut": True},
    {"kind": "server_error", "status": 502},
    {"kind": "cut_body", "share": 0.5},
    {"kind": "wrong_json"},
    {"kind": "rate_limit", "retryAfterSeconds": 1},
    {"kind": "delay", "seconds": 0.3},
    {"kind": "delay", "seconds": 3},
]


@dataclass
class Tally:
    """What was done and what went wrong."""

    done: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    kills: int = 0

    def blame(self, kind: str, what: str) -> None:
        self.wrong[kind] += 1
        if self.wrong[kind] <= 5:
            console.print(f"[red]{kind}[/red]: {what}")


@dataclass
class Process:
    """A program that is started, killed and started again."""

    command: list[str]
    environment: dict[str, str]
    url: str
    running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.running = await asyncio.create_subprocess_exec(*self.command, env=os.environ | self.environment)
        async with httpx.AsyncClient() as http:
            for _ in range(600):
                with contextlib.suppress(httpx.HTTPError):
                    if (await http.get(f"{self.url}/healthz")).status_code == 200:
                        return
                await asyncio.sleep(0.1)
        raise SystemExit(f"{self.url} did not start")

    async def stop(self, how: signal.Signals) -> None:
        if self.running is not None and self.running.returncode is None:
            self.running.send_signal(how)
            await self.running.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class World:
    """Everything that runs."""

    emulator: Process
    gateways: list[Process]
    database: Database
    database_url: str
    tenants: list[dict[str, Any]]
    tally: Tally
    draws: random.Random
    tokens: dict[str, str] = field(default_factory=dict)
    ending: bool = False


@dataclass
class Worker:
    """A client with segments of its own; ``expected`` is what each must be like (description), by name."""

    world: World
    tenant: dict[str, Any]
    number: int
    http: httpx.AsyncClient
    ids: dict[str, str] = field(default_factory=dict)
    expected: dict[str, str | None] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    @property
    def slug(self) -> str:
        return str(self.tenant["slug"])

    async def call(self, method: str, path: str, *, key: str | None = None, sent: Any = None) -> httpx.Response | None:
        """Make a call on either gateway; None when the connection broke."""
        gateway = self.world.draws.choice(self.world.gateways)
        headers = {"authorization": f"Bearer {self.world.tokens[self.slug]}"}
        if key is not None:
            headers["idempotency-key"] = key
        try:
            return await self.http.request(method, gateway.url + path, headers=headers, json=sent)
        except httpx.TransportError:
            return None

    async def change(self, method: str, path: str, sent: Any = None) -> httpx.Response | None:
        """Make a change for certain: repeat it under its key until there is an answer. None when there never was."""
        key, deadline = str(uuid4()), time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline:
            reply = await self.call(method, path, key=key, sent=sent)
            if reply is not None and reply.status_code not in {409, 429} and reply.status_code < 500:
                self.world.tally.done[method] += 1
                self.world.tally.done["replayed"] += "idempotent-replayed" in reply.headers
                return reply
            self.world.tally.done["repeated"] += 1
            await asyncio.sleep(0.3)
        self.world.tally.done["given up"] += 1
        return None

    async def work(self) -> None:
        while not self.world.ending:
            action = self.world.draws.random()
            if action < 0.30 or not self.ids:
                await self.create()
            elif action < 0.50:
                await self.update(self.world.draws.choice(list(self.ids)))
            elif action < 0.60:
                await self.delete(self.world.draws.choice(list(self.ids)))
            elif action < 0.80:
                await self.list_all()
            else:
                await self.read(self.world.draws.choice(list(self.ids)))

    async def create(self) -> None:
        name = f"{self.slug} {self.number} {uuid4().hex[:12]}"
        rule = f"person.birthYear != {uuid4().int % 10**9}"
        sent = {
            "name": name,
            "description": "0",
            "expression": {"type": "PQL", "format": "pql/text", "value": rule},
            "schema": {"name": "_xdm.context.profile"},
        }
        reply = await self.change("POST", DEFINITIONS, sent)
        if reply is None:
            return
        if reply.status_code == 422:
            self.world.tally.blame("doubled", f"AEP was asked twice for {name}")
        elif reply.status_code != 200 or reply.json().get("name") != name:
            self.world.tally.blame("unexpected", f"create: {reply.status_code} {reply.text[:200]}")
        else:
            self.ids[name], self.expected[name] = reply.json()["id"], "0"

    async def update(self, name: str) -> None:
        version = str(int(self.expected[name] or 0) + 1)
        reply = await self.change("PATCH", f"{DEFINITIONS}/{self.ids[name]}", {"description": version})
        if reply is None:
            self.forget(name)
        elif reply.status_code == 404:
            self.world.tally.blame("lost", f"{name} is gone before its update")
            self.forget(name)
        elif reply.status_code != 200 or reply.json().get("description") != version:
            self.world.tally.blame("unexpected", f"update: {reply.status_code} {reply.text[:200]}")
            self.forget(name)
        else:
            self.expected[name] = version

    async def delete(self, name: str) -> None:
        reply = await self.change("DELETE", f"{DEFINITIONS}/{self.ids[name]}")
        if reply is not None and reply.status_code == 200:
            self.gone.add(name)
        elif reply is not None:
            self.world.tally.blame("lost", f"{name} was gone before its deletion: {reply.status_code}")
        self.forget(name)

    def forget(self, name: str) -> None:
        self.ids.pop(name)
        self.expected.pop(name)

    async def read(self, name: str) -> None:
        reply = await self.call("GET", f"{DEFINITIONS}/{self.ids[name]}")
        if reply is None or reply.status_code >= 500:
            return
        self.world.tally.done["GET"] += 1
        if reply.status_code != 200:
            self.world.tally.blame("lost", f"{name} cannot be read: {reply.status_code}")
        elif reply.json()["description"] != self.expected[name]:
            self.world.tally.blame("lost", f"{name} reads {reply.json()['description']}, not {self.expected[name]}")

    async def list_all(self) -> None:
        reply = await self.call("GET", f"{DEFINITIONS}?limit=50")
        if reply is None or reply.status_code != 200:
            return
        self.world.tally.done["GET"] += 1
        for one in reply.json()["segments"]:
            self.see(one["name"])

    def see(self, name: str) -> None:
        """Look whether a segment that this organization was shown is its own."""
        others = [one["slug"] for one in self.world.tenants if one["slug"] != self.slug]
        if name.split(maxsplit=1)[0] in others:
            self.world.tally.blame("cross-tenant", f"{self.slug} was shown {name}")


async def trouble(world: World) -> None:
    """Kill one gateway after the other, and change what fails at AEP."""
    async with httpx.AsyncClient(base_url=world.emulator.url) as emulator:
        while not world.ending:
            await emulator.delete("/emulator/faults")
            for fault in world.draws.sample(FAULTS, 3):
                rule = {"fault": fault, "match": {"path": f"{DEFINITIONS}*"}, "probability": 0.03}
                await emulator.post("/emulator/faults", json=rule | {"seed": world.draws.randrange(10**6)})
            await asyncio.sleep(world.draws.uniform(2, 6))
            victim = world.draws.choice(world.gateways)
            await victim.stop(signal.SIGKILL)
            world.tally.kills += 1
            await asyncio.sleep(world.draws.uniform(0, 1))
            await victim.start()
        await emulator.delete("/emulator/faults")


async def settle(world: World) -> int:
    """Wait until no change is open, and return how many stay so."""
    for _ in range(120):
        left = 0
        async with world.database.directory() as directory:
            tenants = [row.id for row in await directory.tenants()]
        for tenant_id in tenants:
            async with world.database.read(tenant_id) as unit:
                left += len(await unit.open_operations.all())
        if not left:
            return 0
        await asyncio.sleep(0.5)
    return left


async def upstream(world: World, tenant: dict[str, Any], http: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Return every definition that AEP has of an organization, asked past the gateway."""
    form = {"grant_type": "client_credentials", **tenant["aep"]}
    token = (await http.post(f"{world.emulator.url}/ims/token/v3", data=form)).json()["access_token"]
    headers = {
        "authorization": f"Bearer {token}",
        "x-api-key": tenant["aep"]["client_id"],
        "x-gw-ims-org-id": tenant["org_id"],
        "x-sandbox-name": "prod",
    }
    found: list[dict[str, Any]] = []
    for page in range(10_000):
        params = {"limit": "100", "page": str(page), "sort": "creationTime:asc"}
        reply = await http.get(f"{world.emulator.url}{DEFINITIONS}", headers=headers, params=params)
        if not reply.json()["segments"]:
            break
        found += reply.json()["segments"]
    return found


async def judge(world: World, workers: list[Worker], http: httpx.AsyncClient) -> None:
    """Hold what AEP, the cache and the audit have against what the workers know."""
    async with world.database.directory() as directory:
        ids = {row.slug: row.id for row in await directory.tenants()}
    for tenant in world.tenants:
        own = [worker for worker in workers if worker.slug == tenant["slug"]]
        there = await upstream(world, tenant, http)
        for name, count in Counter(one["name"] for one in there).items():
            own[0].see(name)
            if count > 1:
                world.tally.blame("doubled", f"AEP has {count} of {name}")
        described = {one["name"]: one.get("description") for one in there}
        for worker in own:
            for name, description in worker.expected.items():
                if described.get(name) != description:
                    world.tally.blame("lost", f"{name} is {described.get(name)} at AEP, not {description}")
                await worker.read(name)
            for name in worker.gone & described.keys():
                world.tally.blame("lost", f"the deletion of {name}")
        await judge_audit(world, own[0], ids[tenant["slug"]])


async def judge_audit(world: World, witness: Worker, tenant_id: UUID) -> None:
    events: list[Any] = []
    async with world.database.read(tenant_id) as unit:
        while batch := await unit.audit_events.chain(after_sequence=len(events), limit=5_000):
            events += batch
    report = verify_chain([document_of(event) for event in events])
    if report.broken is not None:
        world.tally.blame("broken chain", str(report.broken))
    world.tally.done["audit events"] += len(events)
    phases: dict[UUID, list[str]] = {}
    for event in events:
        phases.setdefault(event.operation_id, []).append(event.phase)
        if event.tenant_id != tenant_id:
            world.tally.blame("cross-tenant", f"event {event.sequence}")
        if event.resource_name:
            witness.see(event.resource_name)
        if event.phase == "failed" and event.detail.get("upstreamStatus") in {409, 422}:
            world.tally.blame("doubled", f"AEP was asked twice for {event.resource_name}")
    for operation_id, found in phases.items():
        finals = [one for one in found if one in {"succeeded", "failed"}]
        if found[0] == "intent" and len(finals) > 1:
            world.tally.blame("doubled", f"operation {operation_id}: {found}")
        if found[-1] == "intent":
            world.tally.blame("lost", f"operation {operation_id} has no outcome")
        world.tally.done[f"ended {found[-1]}"] += found[0] == "intent"
        world.tally.done["found out by the reconciler"] += "unknown" in found and bool(finals)


@contextlib.asynccontextmanager
async def running(folder: Path, seed: int, *, gateways: int = 2) -> AsyncIterator[World]:
    server = EmbeddedPostgres(folder)
    server.start()
    python = [sys.executable, "-m", "app.cli"]
    port = free_port()
    emulator = Process(
        [*python, "emulate", "--port", str(port), "--state-dir", str(folder / "emulator"), "--profiles", "200"],
        {"SEGMENT_GATEWAY_LOG_LEVEL": "ERROR"},
        f"http://127.0.0.1:{port}",
    )
    serving: list[Process] = []
    database: Database | None = None
    try:
        await emulator.start()
        await migrate.migrate(server.url("postgres"))
        url = server.url(await migrate.create_login_role(server.url("postgres")))
        database = Database(url)
        tenants = await seed_tenants(database, make_sealer(SecuritySettings(), folder), folder, emulator.url)
        environment = {f"SEGMENT_GATEWAY_{name}": value for name, value in GATEWAY.items()} | {"DATABASE_URL": url}
        for _ in range(gateways):
            port = free_port()
            command = [*python, "serve", "--port", str(port), "--state-dir", str(folder)]
            serving.append(Process(command, environment, f"http://127.0.0.1:{port}"))
        await asyncio.gather(*(one.start() for one in serving))
        yield World(emulator, serving, database, url, tenants, Tally(), random.Random(seed))
    finally:
        for process in (*serving, emulator):
            await process.stop(signal.SIGTERM)
        if database is not None:
            await database.close()
        server.stop()


async def soak(minutes: float, count: int, seed: int) -> Tally:
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder), seed) as world, httpx.AsyncClient(timeout=30) as http:
            for tenant in world.tenants:
                one = tenant["integrations"][0]
                form = {"grant_type": "client_credentials"} | {x: one[x] for x in ("client_id", "client_secret")}
                reply = await http.post(f"{world.gateways[0].url}/ims/token/v3", data=form)
                world.tokens[tenant["slug"]] = reply.json()["access_token"]
            workers = [Worker(world, world.tenants[n % len(world.tenants)], n, http) for n in range(count)]
            tasks = [asyncio.create_task(worker.work()) for worker in workers]
            tasks.append(asyncio.create_task(trouble(world)))
            await asyncio.wait(tasks, timeout=minutes * 60, return_when=asyncio.FIRST_EXCEPTION)
            world.ending = True
            await asyncio.gather(*tasks)
            left = await settle(world)
            if left:
                world.tally.blame("unsettled", f"{left} changes stay unknown")
            await judge(world, workers, http)
            return world.tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    configure_logging("ERROR", json=False)
    tally = asyncio.run(soak(given.minutes, given.workers, given.seed))
    console.print(f"{given.minutes:g} minutes, {given.workers} workers, {tally.kills} kills")
    for name, count in sorted(tally.done.items()):
        console.print(f"  {name:<28} {count:>8,}")
    for kind in ("lost", "doubled", "cross-tenant", "broken chain"):
        console.print(f"{kind:<30} {tally.wrong[kind]:>8,}")
    others = {kind: count for kind, count in tally.wrong.items() if kind in {"unexpected", "unsettled"}}
    if others:
        console.print(f"besides: {others}")
    raise SystemExit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()
