"""An emulator with a small sample. Sample, keys and organizations are made once; each test has its own state."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.emulator import organizations, tokens
from app.emulator.app import create_app
from app.emulator.organizations import Organization
from app.emulator.populations import FOLDER
from app.emulator.settings import EmulatorSettings

PROFILES = 1_000

LUMA, SOLSTICE = 0, 1


class SteppedClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self._now = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def advance(self, **delta: float) -> None:
        self._now += timedelta(**delta)


@dataclass
class Emulator:
    """A running emulator and what a test needs to talk to it."""

    http: httpx.AsyncClient
    settings: EmulatorSettings
    clock: SteppedClock
    organizations: tuple[Organization, ...]
    _tokens: dict[str, tuple[datetime, str]] = field(default_factory=dict)

    async def token(self, organization: int = LUMA) -> str:
        credential = self.organizations[organization].credentials[0]
        issued_at, token = self._tokens.get(credential.client_id, (None, ""))
        if issued_at is None or self.clock.now() - issued_at > timedelta(hours=23):
            form = {
                "grant_type": "client_credentials",
                "client_id": credential.client_id,
                "client_secret": credential.client_secret,
                "scope": "openid,AdobeID",
            }
            answer = await self.http.post("/ims/token/v3", data=form)
            token = answer.json()["access_token"]
            self._tokens[credential.client_id] = (self.clock.now(), token)
        return token

    def forget_tokens(self) -> None:
        """Get new tokens from now on: those that were there ended when the emulator's own clock was moved."""
        self._tokens.clear()

    async def headers(self, organization: int = LUMA, sandbox: str = "prod") -> dict[str, str]:
        owner = self.organizations[organization]
        return {
            "authorization": f"Bearer {await self.token(organization)}",
            "x-api-key": owner.credentials[0].client_id,
            "x-gw-ims-org-id": owner.org_id,
            "x-sandbox-name": sandbox,
        }

    async def call(
        self,
        method: str,
        path: str,
        *,
        organization: int = LUMA,
        sandbox: str = "prod",
        json: Any = None,
        params: Any = None,
    ) -> httpx.Response:
        """Call a path below ``/data`` with every header in order."""
        body = {} if json is None else {"json": json}
        headers = await self.headers(organization, sandbox)
        return await self.http.request(method, path, headers=headers, params=params, **body)

    async def create(self, name: str = "Gold", rule: str | None = None, **more: Any) -> dict[str, Any]:
        """Create a definition and return the answer's body."""
        place = {key: more.pop(key) for key in ("organization", "sandbox") if key in more}
        body = definition(name, rule or self.rule("gold", **place), **more)
        answer = await self.call("POST", "/data/core/ups/segment/definitions", json=body, **place)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def rule(self, *levels: str, organization: int = LUMA, sandbox: str = "prod") -> str:
        """Return a rule that the loyalty level is one of these."""
        namespace = self.organizations[organization].namespace
        return " or ".join(f'{namespace}.loyalty.level = "{level}"' for level in levels)

    async def until(self, path: str, done: Callable[[dict[str, Any]], bool], **place: Any) -> dict[str, Any]:
        """Read a path until its body is as wanted."""
        async with asyncio.timeout(20):
            while True:
                body: dict[str, Any] = (await self.call("GET", path, **place)).json()
                if done(body):
                    return body
                await asyncio.sleep(0.005)


def own_samples(state_folder: Path) -> None:
    """Give a state folder samples of its own, for tests that write records to them."""
    samples = state_folder / FOLDER
    common = samples.resolve()
    samples.unlink()
    shutil.copytree(common, samples)


def definition(name: str, rule: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "expression": {"type": "PQL", "format": "pql/text", "value": rule},
        "schema": {"name": "_xdm.context.profile"},
        **more,
    }


Start = Callable[..., AbstractAsyncContextManager[Emulator]]


@asynccontextmanager
async def running(settings: EmulatorSettings, clock: SteppedClock) -> AsyncIterator[Emulator]:
    app = create_app(settings, clock=clock, progress=lambda _what, _share: None)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://emulator.test") as http:
            known = organizations.load_or_create(settings.state_dir).all()
            yield Emulator(http, settings, clock, known)


@pytest.fixture(scope="session")
async def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with keys, organizations and samples, and nothing else."""
    state_dir = tmp_path_factory.mktemp("emulator-template")
    async with running(EmulatorSettings(state_dir, profiles=PROFILES), SteppedClock()):
        pass
    return state_dir


@pytest.fixture
def state_folder(template: Path, tmp_path: Path) -> Path:
    """A state folder of this test's own, with the common sample."""
    state_dir = tmp_path / "emulator"
    state_dir.mkdir(mode=0o700)
    for name in (organizations.FILE_NAME, tokens.KEY_FILE_NAME):
        shutil.copy(template / name, state_dir / name)
    (state_dir / FOLDER).symlink_to(template / FOLDER)
    return state_dir


@pytest.fixture
def start(state_folder: Path) -> Start:
    """Return a function that starts an emulator on this test's state; again for a restart."""
    settings = EmulatorSettings(state_folder, profiles=PROFILES, estimate_step_s=0.0, job_step_s=0.0)
    clock = SteppedClock()

    def begin(**changes: Any) -> AbstractAsyncContextManager[Emulator]:
        return running(replace(settings, **changes), clock)

    return begin


@pytest.fixture
async def emulator(start: Start) -> AsyncIterator[Emulator]:
    async with start() as running_emulator:
        yield running_emulator


def configure(state_folder: Path, organization: int = LUMA, **credential: Any) -> None:
    """Change the first credential of an organization in the file that the next start reads."""
    path = state_folder / organizations.FILE_NAME
    document = json.loads(path.read_bytes())
    owner = document[organization]
    for name, value in credential.items():
        target = owner["credentials"][0] if name in owner["credentials"][0] else owner
        target[name] = value
    path.write_text(json.dumps(document))
