"""The pytest plugin that comes with the package: the fixture ``segment_gateway_emulator`` for tests of your own code.

One emulator runs for the whole session, as a process on a free port with its state in a temporary folder. Each test
gets a sandbox of its own in it, with a small sample, which is gone after the test; faults and the clock are put back
as well. See docs/testing-with-the-emulator.md.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    import httpx

PROFILES_OPTION: Final = "segment_gateway_profiles"
SCENARIO_OPTION: Final = "segment_gateway_scenario"
_START_S: Final = 120.0
_STOP_S: Final = 15.0
_TIMEOUT_S: Final = 30.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the two settings of the configuration file."""
    parser.addini(PROFILES_OPTION, "profiles in each test's sample of segment_gateway_emulator", default="500")
    parser.addini(SCENARIO_OPTION, "scenario file that segment_gateway_emulator begins with", type="paths", default=[])


@dataclass(frozen=True, slots=True)
class EmulatorProcess:
    """The session's emulator. ``organization`` and ``sandbox`` are what each test's sandbox is like."""

    base_url: str
    organization: str
    org_id: str
    namespace: str
    sandbox: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClockHandle:
    """The emulator's clock, which schedules, windows and tokens follow."""

    _http: httpx.Client

    def now(self) -> datetime:
        """Return the emulator's time, aware, UTC."""
        return datetime.fromisoformat(self._put(None)["now"])

    def set(self, moment: datetime) -> datetime:
        """Go to a time (aware) and return it. What becomes due by that has happened when this returns."""
        return datetime.fromisoformat(self._put({"set": moment.isoformat()})["now"])

    def advance(self, by: timedelta) -> datetime:
        """Go on by a duration and return the new time. What becomes due by that has happened when this returns."""
        return datetime.fromisoformat(self._put({"advance": by.total_seconds()})["now"])

    def quicken(self, rate: float) -> None:
        """Let ``rate`` seconds pass in a second; 0 stands still."""
        self._put({"rate": rate})

    def reset(self) -> None:
        """Follow the machine again."""
        self._put({"reset": True})

    def _put(self, body: Mapping[str, Any] | None) -> dict[str, Any]:
        path = "/emulator/clock"
        answer = self._http.get(path) if body is None else self._http.put(path, json=body)
        return _checked(answer)


@dataclass(frozen=True, slots=True)
class FaultsHandle:
    """Faults for the calls of the test's sandbox. The kinds and their members are told in docs/emulator.md."""

    _http: httpx.Client
    _sandbox: str

    def add(
        self,
        kind: str,
        *,
        method: str | None = None,
        path: str = "*",
        count: int | None = None,
        probability: float = 1.0,
        seed: int = 0,
        **members: Any,
    ) -> str:
        """Let calls meet a fault, and return the rule's id: ``add("rate_limit", count=2, retryAfterSeconds=1)``."""
        match = {"path": path, "sandbox": self._sandbox} | ({} if method is None else {"method": method})
        rule = {"fault": {"kind": kind, **members}, "match": match, "probability": probability, "seed": seed}
        made = _checked(self._http.post("/emulator/faults", json=rule | ({} if count is None else {"count": count})))
        return str(made["id"])

    def hits(self, rule_id: str) -> int:
        """Return how many calls a rule has hit."""
        return int(_checked(self._http.get(f"/emulator/faults/{rule_id}"))["hits"])

    def clear(self) -> None:
        """Remove every rule."""
        self._http.delete("/emulator/faults").raise_for_status()


@dataclass(frozen=True, slots=True)
class SegmentGatewayEmulator:
    """An emulator with a sandbox that belongs to one test.

    ``client`` sends every header that AEP wants; point your own code at ``base_url`` (for AEP's paths and for IMS
    alike) with the client id, the secret, the organization and the sandbox.
    """

    base_url: str
    org_id: str
    namespace: str
    sandbox: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...]
    headers: Mapping[str, str] = field(repr=False)
    client: httpx.Client
    clock: ClockHandle
    faults: FaultsHandle

    def async_client(self) -> httpx.AsyncClient:
        """Return a client like ``client`` for asynchronous code; use it with ``async with``."""
        import httpx  # noqa: PLC0415 - pytest loads this module at every start

        return httpx.AsyncClient(base_url=self.base_url, headers=dict(self.headers), timeout=_TIMEOUT_S)


@pytest.fixture(scope="session")
def segment_gateway_emulator_process(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[EmulatorProcess]:
    """The emulator of the session; most tests want `segment_gateway_emulator`."""
    folder = tmp_path_factory.mktemp("segment-gateway-emulator")
    given = pytestconfig.getini(SCENARIO_OPTION)
    scenario = Path(given[0]) if given else _write_scenario(folder, int(pytestconfig.getini(PROFILES_OPTION)))
    log_path = folder / "emulator.log"
    command = [sys.executable, "-m", "app.cli", "emulate", "--port", "0", "--state-dir", str(folder / "state")]
    environment = os.environ | {"SEGMENT_GATEWAY_LOG_LEVEL": "INFO", "SEGMENT_GATEWAY_LOG_JSON": "true"}
    with log_path.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*command, "--scenario", str(scenario)], stdout=log, stderr=log, env=environment
        )
    try:
        base_url = _wait_until_ready(process, log_path)
        yield _described(base_url, folder / "state" / "organizations.json")
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def segment_gateway_emulator(
    segment_gateway_emulator_process: EmulatorProcess,
) -> Iterator[SegmentGatewayEmulator]:
    """An emulator of AEP segmentation with a fresh sandbox for this test."""
    import httpx  # noqa: PLC0415 - pytest loads this module at every start

    running = segment_gateway_emulator_process
    sandbox = f"test-{uuid4().hex[:12]}"
    with httpx.Client(base_url=running.base_url, timeout=_TIMEOUT_S) as admin:
        wanted = {"organization": running.organization, "name": sandbox, "like": running.sandbox}
        _checked(admin.post("/emulator/sandboxes", json=wanted))
        headers = _headers(admin, running, sandbox)
        with httpx.Client(base_url=running.base_url, headers=headers, timeout=_TIMEOUT_S) as client:
            yield SegmentGatewayEmulator(
                base_url=running.base_url,
                org_id=running.org_id,
                namespace=running.namespace,
                sandbox=sandbox,
                client_id=running.client_id,
                client_secret=running.client_secret,
                scopes=running.scopes,
                headers=headers,
                client=client,
                clock=ClockHandle(admin),
                faults=FaultsHandle(admin, sandbox),
            )
        admin.delete("/emulator/faults").raise_for_status()
        admin.put("/emulator/clock", json={"reset": True}).raise_for_status()
        admin.delete(f"/emulator/sandboxes/{running.organization}/{sandbox}").raise_for_status()


def _write_scenario(folder: Path, profiles: int) -> Path:
    sandbox = {
        "name": "prod",
        "type": "production",
        "default": True,
        "sample": {"profiles": profiles, "seed": 11},
    }
    account = {"clientId": secrets.token_hex(16), "clientSecret": secrets.token_urlsafe(24)}
    organization = {"slug": "luma", "namespace": "_wwfovlab011", "credentials": [account], "sandboxes": [sandbox]}
    path = folder / "scenario.json"
    path.write_text(json.dumps({"organizations": [organization]}))
    return path


def _wait_until_ready(process: subprocess.Popen[bytes], log_path: Path) -> str:
    """Return the emulator's address once it is ready; fail with what it said when it is not."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        events = {one.get("event"): one for one in _log_lines(log_path)}
        if "emulator.ready" in events and "emulator.listening" in events:
            return f"http://127.0.0.1:{events['emulator.listening']['port']}"
        time.sleep(0.02)
    pytest.fail(f"The emulator did not start. It said:\n{log_path.read_text()[-4000:]}", pytrace=False)


def _log_lines(log_path: Path) -> Iterator[dict[str, Any]]:
    for line in log_path.read_text().splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _described(base_url: str, organizations: Path) -> EmulatorProcess:
    organization = json.loads(organizations.read_text())[0]
    account = organization["credentials"][0]
    default = next(one for one in organization["sandboxes"] if one["default"])
    return EmulatorProcess(
        base_url=base_url,
        organization=organization["slug"],
        org_id=organization["org_id"],
        namespace=organization["namespace"],
        sandbox=default["name"],
        client_id=account["client_id"],
        client_secret=account["client_secret"],
        scopes=tuple(account["scopes"]),
    )


def _headers(admin: httpx.Client, running: EmulatorProcess, sandbox: str) -> dict[str, str]:
    form = {
        "grant_type": "client_credentials",
        "client_id": running.client_id,
        "client_secret": running.client_secret,
    }
    token = _checked(admin.post("/ims/token/v3", data=form))["access_token"]
    return {
        "authorization": f"Bearer {token}",
        "x-api-key": running.client_id,
        "x-gw-ims-org-id": running.org_id,
        "x-sandbox-name": sandbox,
    }


def _checked(answer: httpx.Response) -> dict[str, Any]:
    """Return an answer's body; fail the test with what the emulator said when it refused."""
    if answer.is_error:
        pytest.fail(f"The emulator refused: {answer.status_code} {answer.text}", pytrace=False)
    body: dict[str, Any] = answer.json()
    return body
