"""No secret leaves: a whole walk through a gateway process, then a search for every secret in all that it wrote.

The gateway runs as a process of its own, once with JSON logs and once with those of a console. The walk uses every
kind of secret, well and badly, and lets the process crash inside a request. Each secret is looked for as it is, as
base64, as hex and as it stands in an address.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest

from app.cli.demo_people import seed_tenants
from app.store.database import Database
from app.tenancy.sealing import Sealer
from app.tenancy.upstream_tokens import token_owner
from tests.gateway.conftest import Emulator, free_port

READ = "/data/core/ups/config/mergePolicies"
GRANT = {"grant_type": "client_credentials"}


class Walk:
    """A gateway process, what it was told in secret, and everything that it said."""

    def __init__(self, database_url: str, owner_url: str, state_dir: Path, tenants: list[dict[str, Any]]) -> None:
        self.database_url, self.owner_url, self.state_dir = database_url, owner_url, state_dir
        self.luma = tenants[0]
        self.secrets: dict[str, str] = {}
        self.said: dict[str, str] = {}

    def environment(self, *, as_json: bool) -> dict[str, str]:
        return os.environ | {
            "DATABASE_URL": self.database_url,
            "SEGMENT_GATEWAY_STATE_DIR": str(self.state_dir),
            "SEGMENT_GATEWAY_MASTER_KEY": self.secrets["master key"],
            "SEGMENT_GATEWAY_LOG_JSON": str(as_json).lower(),
            "SEGMENT_GATEWAY_LOG_LEVEL": "DEBUG",
            "SEGMENT_GATEWAY_SYNC_INTERVAL_S": "1",
            "SEGMENT_GATEWAY_UPSTREAM_ATTEMPTS": "1",
        }

    @contextlib.asynccontextmanager
    async def gateway(self, *, as_json: bool) -> AsyncIterator[httpx.AsyncClient]:
        port, file = free_port(), self.state_dir / f"log-{as_json}"
        command = [sys.executable, "-m", "tests.gateway.crashing_gateway", str(port)]
        with file.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command, env=self.environment(as_json=as_json), stdout=log, stderr=log
            )
        # A request that crashes costs its connection, so each one has its own.
        one_call = httpx.Limits(max_keepalive_connections=0)
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, limits=one_call) as http:
                async with asyncio.timeout(60):
                    while not await _answers(http):
                        await asyncio.sleep(0.05)
                yield http
        finally:
            process.terminate()
            await process.wait()
            self.said[f"log {file.name}"] = file.read_text()

    async def call(self, http: httpx.AsyncClient, name: str, method: str, path: str, **given: Any) -> httpx.Response:
        answer = await http.request(method, path, **given)
        number = len(self.said)
        self.said[f"{number} {name}"] = f"{dict(answer.headers)}\n{answer.text}"
        return answer

    async def command(self, *arguments: str, given: str = "") -> None:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "app.cli", *arguments],
            env=self.environment(as_json=True),
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        self.said[f"command {' '.join(arguments[:2])}"] = done.stdout + done.stderr

    async def dump(self) -> None:
        connection = await asyncpg.connect(self.owner_url)
        try:
            tables = await connection.fetch(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
            for table in tables:
                rows = await connection.fetch(f"SELECT t::text AS line FROM {table['relname']} AS t")
                self.said[f"table {table['relname']}"] = "\n".join(row["line"] for row in rows)
        finally:
            await connection.close()


async def _answers(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == 200
    except httpx.HTTPError:
        return False


def forms(secret: str) -> set[str]:
    """Return a secret in every form in which it could stand in a text: base64 of it at each of the three offsets."""
    found = {secret, quote(secret, safe=""), secret.encode().hex(), json.dumps(secret)[1:-1]}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            whole = encode(b"\0" * offset + secret.encode()).decode().rstrip("=")
            # The first and last characters depend on what stands beside the secret.
            found.add(whole[4 if offset else 0 : -2])
    return found


@pytest.mark.parametrize("before", ["", "a", "ab:", "client-id:"])
def test_a_secret_is_found_in_every_form(before: str) -> None:
    secret = "sgk_a+b/c=d-" + "x" * 20
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(f"{before}{secret} and more".encode()).decode()
        assert any(form in text for form in forms(secret))
    assert any(form in f"GET /?token={quote(secret, safe='')}" for form in forms(secret))


@pytest.fixture
async def walk(emulator: Emulator, database: Database, database_url: str, owner_url: str, tmp_path: Path) -> Walk:
    (tmp_path / "emulator").mkdir()
    shutil.copy(emulator.state_dir / "organizations.json", tmp_path / "emulator")
    key = secrets.token_bytes(32)
    tenants = await seed_tenants(database, Sealer(key), tmp_path, emulator.url)
    walk = Walk(database_url, owner_url, tmp_path, tenants)
    first, second = json.loads((tmp_path / "emulator/organizations.json").read_text())[0]["credentials"]
    walk.secrets = {
        "master key": base64.b64encode(key).decode(),
        "Adobe client secret": first["client_secret"],
        "next Adobe client secret": second["client_secret"],
        "access key": walk.luma["people"][0]["access_key"],
        "integration secret": walk.luma["integrations"][0]["client_secret"],
        "wrong access key": "sgk_" + secrets.token_urlsafe(32),
        "wrong client secret": "sgs_" + secrets.token_urlsafe(32),
        "wrong bearer": secrets.token_urlsafe(48),
    }
    walk.secrets["next client id"] = second["client_id"]
    return walk


async def test_a_whole_walk_leaves_no_secret_anywhere(walk: Walk, emulator: Emulator, database: Database) -> None:
    next_client_id = walk.secrets.pop("next client id")
    for as_json in (True, False):
        async with walk.gateway(as_json=as_json) as http:
            await _use(walk, http, emulator, as_json)
    await walk.command("tenant", "check", "luma")
    await walk.command("tenant", "rotate-credential", "luma", "--client-id", next_client_id, given="wrong-" * 4 + "\n")
    secret = walk.secrets["next Adobe client secret"]
    await walk.command("tenant", "rotate-credential", "luma", "--client-id", next_client_id, given=secret + "\n")
    await walk.command("tenant", "credentials", "luma", "--json")
    await walk.command("keys", "list")
    await walk.command("keys", "rotate", "--signing")
    await walk.command("audit", "export", "--tenant", "luma")
    await _collect_adobe_tokens(walk, database)
    await walk.dump()

    assert "is the current credential now" in walk.said["command tenant rotate-credential"]
    assert any("tests.gateway.crashing_gateway" in text or "planted" in text for text in walk.said.values()), (
        "it crashed"
    )
    assert len(walk.said["command audit export"].splitlines()) > 5
    leaks = [
        f"{name} in {where}"
        for name, secret in walk.secrets.items()
        for where, text in walk.said.items()
        if any(form in text for form in forms(secret))
    ]
    assert leaks == []


async def _use(walk: Walk, http: httpx.AsyncClient, emulator: Emulator, as_json: bool) -> None:
    integration, key = walk.luma["integrations"][0], walk.secrets["access key"]
    own = {"client_id": integration["client_id"], "client_secret": walk.secrets["integration secret"]}
    reply = await http.post("/ims/token/v3", data=GRANT | own)
    token = walk.secrets[f"gateway token {as_json}"] = reply.json()["access_token"]
    by_query = await http.post("/ims/token/v3", params=GRANT | own)
    walk.secrets[f"gateway token by query {as_json}"] = by_query.json()["access_token"]
    bearer, person = {"authorization": f"Bearer {token}"}, {"authorization": f"Bearer {key}"}

    assert (await walk.call(http, "facade", "GET", READ, headers=bearer)).status_code == 200
    query = {"query": "{ viewer { permissions } segmentDefinitions(first: 1) { nodes { name } } }"}
    assert (await walk.call(http, "graphql", "POST", "/graphql", json=query, headers=person)).status_code == 200
    await walk.call(http, "graphql error", "POST", "/graphql", json={"query": "{ nothing }"}, headers=person)
    wrong = {"client_id": integration["client_id"], "client_secret": walk.secrets["wrong client secret"]}
    await walk.call(http, "wrong secret", "POST", "/ims/token/v3", data=GRANT | wrong)
    for name in ("wrong access key", "wrong bearer"):
        headers = {"authorization": f"Bearer {walk.secrets[name]}"}
        assert (await walk.call(http, name, "GET", READ, headers=headers)).status_code in {401, 403}
    refused = {"authorization": f"Basic {walk.secrets['wrong client secret']}", "x-api-key": integration["client_id"]}
    await walk.call(http, "basic", "GET", READ, headers=refused)

    async with httpx.AsyncClient(base_url=emulator.url) as faults:
        for fault in ({"kind": "expired_token"}, {"kind": "server_error", "status": 500}):
            rule = {"fault": fault, "match": {"path": READ}, "count": 1}
            assert (await faults.post("/emulator/faults", json=rule)).status_code == 201
            await walk.call(http, str(fault), "GET", READ, headers=bearer)
        await faults.delete("/emulator/faults")
    crashed = await walk.call(http, "crash", "GET", "/crash", headers=bearer, params={"access_token": token})
    assert crashed.status_code == 500
    await walk.call(http, "metrics", "GET", "/metrics")
    await walk.call(http, "withdrawn", "POST", "/ims/invalidate_token/v2", data=own | {"token": token})
    await walk.call(http, "after", "GET", READ, headers=bearer)


async def _collect_adobe_tokens(walk: Walk, database: Database) -> None:
    """Add the access tokens that Adobe gave, which only the sealer can read."""
    sealer = Sealer(base64.b64decode(walk.secrets["master key"]))
    connection = await asyncpg.connect(walk.owner_url)
    try:
        rows = await connection.fetch("SELECT * FROM upstream_tokens WHERE sealed_token IS NOT NULL")
    finally:
        await connection.close()
    assert rows
    for number, row in enumerate(rows):
        owner = token_owner(row["tenant_id"], row["credential_id"])
        walk.secrets[f"Adobe token {number}"] = sealer.open(bytes(row["sealed_token"]), owner=owner)
