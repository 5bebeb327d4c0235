"""An emulator in a process of its own for the session; for each test a gateway on a fresh database in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.audit.recorder import AuditRecorder
from app.cli.demo_people import seed_tenants
from app.context.permissions import Permission
from app.emulator import organizations
from app.main import Gateway, build_gateway
from app.settings import ServerSettings, Settings, SyncSettings, UpstreamSettings, WriteSettings
from app.tenancy.administration import Administration

PROFILES = 500


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Emulator:
    """An emulator process that can be stopped and started again on the same port."""

    state_dir: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "app.cli", "emulate", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--state-dir", str(self.state_dir), "--profiles", str(PROFILES)],
            env=os.environ | {"SEGMENT_GATEWAY_LOG_LEVEL": "WARNING"},
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/healthz").status_code == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError("the emulator did not start")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None


@pytest.fixture(scope="session")
def emulator_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The organizations of the demo; luma has a second credential, which may do little."""
    state_dir = tmp_path_factory.mktemp("emulator")
    luma, *others = organizations.load_or_create(state_dir).all()
    little = (Permission.VIEW_SEGMENTS, Permission.MANAGE_MERGE_POLICIES)
    second = replace(organizations.new_credential(), permissions=little)
    organizations.save(state_dir, [replace(luma, credentials=(*luma.credentials, second)), *others])
    return state_dir


@pytest.fixture(scope="session")
def emulator(emulator_state: Path) -> Iterator[Emulator]:
    emulator = Emulator(emulator_state, free_port())
    emulator.start()
    yield emulator
    emulator.stop()


@dataclass(slots=True)
class Stack:
    """A gateway with its tenants, and clients that call it as one of them."""

    gateway: Gateway
    http: httpx.AsyncClient
    tenants: dict[str, dict[str, Any]]
    emulator: Emulator
    state_dir: Path
    _token: dict[str, str]

    def key(self, account: str, slug: str = "luma") -> str:
        people = self.tenants[slug]["people"]
        return str(next(one["access_key"] for one in people if one["email"].startswith(account + "@")))

    async def token(self, slug: str = "luma") -> str:
        if slug not in self._token:
            integration = self.tenants[slug]["integrations"][0]
            form = {
                "grant_type": "client_credentials",
                "client_id": integration["client_id"],
                "client_secret": integration["client_secret"],
            }
            reply = await self.http.post("/ims/token/v3", data=form)
            self._token[slug] = reply.json()["access_token"]
        return self._token[slug]

    async def headers_with(self, *permissions: Permission, slug: str = "luma") -> dict[str, str]:
        """Return the headers of a new integration that holds exactly these permissions in every sandbox."""
        administration = Administration(self.gateway.database, self.gateway.sealer, AuditRecorder(), actor_name="test")
        tenant_id = UUID(json.loads((self.state_dir / "demo.json").read_text())[slug]["id"])
        name = f"Test {uuid4().hex}"
        profile = await administration.create_product_profile(tenant_id, name, permissions)
        issued = await administration.issue_integration(tenant_id, name, profile, ["openid"])
        form = {
            "grant_type": "client_credentials",
            "client_id": issued.client_id,
            "client_secret": issued.client_secret,
        }
        token = (await self.http.post("/ims/token/v3", data=form)).json()["access_token"]
        return {"authorization": f"Bearer {token}"}

    @contextlib.asynccontextmanager
    async def sync_held(self, slug: str = "luma") -> AsyncIterator[None]:
        """Keep the sync away from a tenant's sandboxes: this holds their locks, as another process would."""
        tenant_id = UUID(json.loads((self.state_dir / "demo.json").read_text())[slug]["id"])
        async with self.gateway.database.write(tenant_id) as unit:
            for sandbox in await unit.tenancy.sandboxes():
                while not await unit.sync_states.try_lock(sandbox.id):
                    await asyncio.sleep(0.02)
            yield

    async def graphql(
        self, query: str, variables: dict[str, Any] | None = None, *, account: str = "author", slug: str = "luma"
    ) -> dict[str, Any]:
        reply = await self.http.post(
            "/graphql",
            json={"query": query, "variables": variables or {}},
            headers={"authorization": f"Bearer {self.key(account, slug)}"},
        )
        return dict(reply.json())

    async def facade(self, method: str, path: str, *, slug: str = "luma", **kwargs: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {await self.token(slug)}"} | kwargs.pop("headers", {})
        return await self.http.request(method, path, headers=headers, **kwargs)

    async def upstream(self, method: str, path: str, *, slug: str = "luma", **kwargs: Any) -> httpx.Response:
        """Call the emulator as the organization's own technical account, past the gateway."""
        aep = self.tenants[slug]["aep"]
        async with httpx.AsyncClient(base_url=self.emulator.url) as http:
            form = {"grant_type": "client_credentials", **aep}
            token = (await http.post("/ims/token/v3", data=form)).json()["access_token"]
            headers = {
                "authorization": f"Bearer {token}",
                "x-api-key": aep["client_id"],
                "x-gw-ims-org-id": self.tenants[slug]["org_id"],
                "x-sandbox-name": "prod",
            }
            return await http.request(method, path, headers=headers, **kwargs)


@pytest.fixture
async def stack(emulator: Emulator, database_url: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A gateway that has read every sandbox once."""
    async with running_stack(emulator, database_url, tmp_path) as stack:
        while not await stack.gateway.sync.all_read_once():
            await asyncio.sleep(0.02)
        yield stack


@contextlib.asynccontextmanager
async def running_stack(
    emulator: Emulator,
    database_url: str,
    state_dir: Path,
    *,
    http: httpx.AsyncClient | None = None,
    write: WriteSettings | None = None,
    sync: SyncSettings | None = None,
) -> AsyncIterator[Stack]:
    (state_dir / "emulator").mkdir()
    shutil.copy(emulator.state_dir / "organizations.json", state_dir / "emulator")
    settings = Settings(
        server=ServerSettings(state_dir=state_dir, max_body_bytes=100_000),
        sync=sync or SyncSettings(sync_interval_s=0.5, sync_retry_s=0.1),
        upstream=UpstreamSettings(upstream_attempts=1),
        write=write,
    )
    gateway = await build_gateway(settings, database_url, http=http)
    tenants = await seed_tenants(gateway.database, gateway.sealer, state_dir, emulator.url)
    transport = httpx.ASGITransport(gateway.app, raise_app_exceptions=False)
    async with (
        gateway.app.router.lifespan_context(gateway.app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client,
    ):
        yield Stack(gateway, client, {one["slug"]: one for one in tenants}, emulator, state_dir, {})
