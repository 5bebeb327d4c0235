"""The emulator as a process: what it told a client survives a kill -9, and a signal stops it cleanly."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.emulator import organizations
from tests.emulator.conftest import PROFILES, definition, own_samples

DEFINITIONS = "/data/core/ups/segment/definitions"

Launch = Callable[[], tuple[subprocess.Popen[str], httpx.Client]]

_PROGRAM = """
import sys
from pathlib import Path
from app.emulator.serve import run
from app.telemetry import configure_logging
configure_logging(json=True)
run(0, Path(sys.argv[1]), int(sys.argv[2]))
"""


@pytest.fixture
def launch(state_folder: Path) -> Iterator[Launch]:
    """Start a process on this test's state; again after it has ended."""
    started: list[subprocess.Popen[str]] = []
    clients: list[httpx.Client] = []
    log = state_folder / "log"

    def start() -> tuple[subprocess.Popen[str], httpx.Client]:
        with log.open("a") as errors:
            before = log.stat().st_size
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(state_folder), str(PROFILES)], stderr=errors, text=True
            )
        started.append(process)
        client = _connect(process, log, before)
        clients.append(client)
        return process, client

    yield start
    for client in clients:
        client.close()
    for process in started:
        process.kill()
        process.wait()


def _connect(process: subprocess.Popen[str], log: Path, begin: int) -> httpx.Client:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        text = log.read_text()[begin:]
        line = next((one for one in text.splitlines() if "emulator.listening" in one), None)
        if line is not None:
            port = int(line.split('"port":')[1].split(",")[0].strip(" }"))
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}")
            _wait_until_healthy(client, deadline)
            return client
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def _wait_until_healthy(client: httpx.Client, deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            if client.get("/healthz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise AssertionError("never healthy")


def _headers(client: httpx.Client, state_folder: Path) -> tuple[dict[str, str], str]:
    owner = organizations.load_or_create(state_folder).all()[0]
    credential = owner.credentials[0]
    form = {
        "grant_type": "client_credentials",
        "client_id": credential.client_id,
        "client_secret": credential.client_secret,
    }
    token = client.post("/ims/token/v3", data=form).json()["access_token"]
    headers = {
        "authorization": f"Bearer {token}",
        "x-api-key": credential.client_id,
        "x-gw-ims-org-id": owner.org_id,
        "x-sandbox-name": "prod",
    }
    return headers, f'{owner.namespace}.loyalty.level = "gold"'


def test_a_killed_process_loses_nothing_that_it_acknowledged(launch: Launch, state_folder: Path) -> None:
    process, client = launch()
    client.put("/emulator/clock", json={"set": "2030-01-01T00:00:00Z", "rate": 0})
    headers, rule = _headers(client, state_folder)
    made = [
        client.post(DEFINITIONS, json=definition(f"Segment {number}", rule), headers=headers).json()
        for number in range(5)
    ]
    preview = client.post("/data/core/ups/preview", json={"predicateExpression": rule}, headers=headers).json()
    job = client.post("/data/core/ups/segment/jobs", json=[{"segmentId": "*"}], headers=headers).json()
    process.kill()
    process.wait()

    _, client = launch()
    listed = client.get(DEFINITIONS, params={"sort": "name:asc"}, headers=headers).json()["segments"]
    assert listed == made
    assert client.get("/emulator/clock").json() == {"now": "2030-01-01T00:00:00+00:00", "rate": 0.0, "virtual": True}
    audit = client.get("/data/foundation/audit/events", params={"orderBy": "+timestamp"}, headers=headers).json()
    told = [event["assetName"] for event in audit["_embedded"]["events"] if event["action"] == "Create"]
    assert sorted(told) == [f"Segment {number}" for number in range(5)]
    deadline = time.monotonic() + 20
    states: set[str] = set()
    while states != {"RESULT_READY", "SUCCEEDED"} and time.monotonic() < deadline:
        estimate = client.get(f"/data/core/ups/estimate/{preview['previewId']}", headers=headers).json()
        states = {
            estimate["state"],
            client.get(f"/data/core/ups/segment/jobs/{job['id']}", headers=headers).json()["status"],
        }
        time.sleep(0.02)
    assert states == {"RESULT_READY", "SUCCEEDED"}


def test_a_signal_stops_it_cleanly_and_the_log_holds_no_secret(launch: Launch, state_folder: Path) -> None:
    process, client = launch()
    headers, rule = _headers(client, state_folder)
    owner = organizations.load_or_create(state_folder).all()[0].credentials[0]
    query = {
        "grant_type": "client_credentials",
        "client_id": owner.client_id,
        "client_secret": owner.client_secret,
    }
    assert client.post("/ims/token/v2", params=query).status_code == 200
    assert client.post("/ims/token/v2", params={**query, "client_secret": "a-wrong-secret"}).status_code == 400
    client.post(DEFINITIONS, json=definition("Gold", rule), headers=headers)
    process.send_signal(signal.SIGTERM)
    # uvicorn raises the signal again once it has finished, so that whoever waits can tell why it ended.
    assert process.wait(timeout=15) in {0, -signal.SIGTERM}
    log = (state_folder / "log").read_text()
    assert '"event": "emulator.stopped"' in log
    token = headers["authorization"].removeprefix("Bearer ")
    for secret in (owner.client_secret, "a-wrong-secret", token, token.split(".")[2]):
        assert secret not in log


def test_secrets_are_readable_by_their_owner_only(launch: Launch, state_folder: Path) -> None:
    launch()
    for name in ("organizations.json", "ims-signing-key.pem", "emulator.sqlite3"):
        assert (state_folder / name).stat().st_mode & 0o777 == 0o600


def test_a_process_killed_during_ingestion_loses_no_record_that_it_acknowledged(
    launch: Launch, state_folder: Path
) -> None:
    own_samples(state_folder)
    process, client = launch()
    headers, _ = _headers(client, state_folder)
    rule = 'xEvent[eventType = "commerce.checkouts" and timestamp occurs <= 24 hours before now]'
    streaming = {"evaluationInfo": {"continuous": {"enabled": True}}}
    streamed = client.post(DEFINITIONS, json=definition("Streamed", rule, **streaming), headers=headers).json()
    assert streamed["evaluationInfo"]["continuous"]["enabled"]
    batch = client.post(DEFINITIONS, json=definition("Batch", rule), headers=headers).json()
    inlet = _inlet(client, headers)
    before = _job_count(client, headers, batch["id"])

    sent, acknowledged, stop = itertools.count(), list[int](), threading.Event()

    def send() -> None:
        with httpx.Client(base_url=client.base_url) as own:
            while not stop.is_set():
                number = next(sent)
                try:
                    answer = own.post(f"{inlet}?syncValidation=true", json=_checkout(number))
                except httpx.TransportError:
                    return
                assert answer.status_code == 200, answer.text
                acknowledged.append(number)

    with ThreadPoolExecutor(4) as senders:
        working = [senders.submit(send) for _ in range(4)]
        deadline = time.monotonic() + 30
        # Long enough that the tables have got some of the records, and lack others.
        while len(acknowledged) < 400 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.kill()
        process.wait()
        stop.set()
        for one in working:
            one.result()
    assert len(acknowledged) >= 400

    _, client = launch()
    after = _job_count(client, headers, batch["id"]) - before
    assert len(acknowledged) <= after <= next(sent)
    for number in acknowledged:
        query = {"schema.name": "_xdm.context.profile", "entityId": _email(number), "entityIdNS": "Email"}
        answer = client.get("/data/core/ups/access/entities", params=query, headers=headers)
        assert answer.status_code == 200, (number, answer.text)
        (found,) = answer.json().values()
        ups = found["entity"]["segmentMembership"]["ups"]
        assert {ups[one]["status"] for one in (streamed["id"], batch["id"])} == {"realized"}
    again = client.post(f"{inlet}?syncValidation=true", json=_checkout(acknowledged[-1]))
    assert again.status_code == 200
    assert _job_count(client, headers, batch["id"]) - before == after


def _inlet(client: httpx.Client, headers: dict[str, str]) -> str:
    query = {"imsOrgId": headers["x-gw-ims-org-id"], "sandbox": "prod"}
    (one,) = client.get("/emulator/inlets", params=query).json()["inlets"]
    return str(one["path"])


def _email(number: int) -> str:
    return f"killed{number}@luma.example"


def _checkout(number: int) -> dict[str, Any]:
    entity = {
        "_id": f"checkout-{number}",
        "timestamp": datetime.now(tz=UTC).isoformat(),
        "eventType": "commerce.checkouts",
        "identityMap": {"Email": [{"id": _email(number), "primary": True}]},
    }
    schema = {"id": "https://ns.adobe.com/xdm/context/experienceevent__union", "contentType": "application/json"}
    return {"header": {"schemaRef": schema}, "body": {"xdmEntity": entity}}


def _job_count(client: httpx.Client, headers: dict[str, str], segment_id: str) -> int:
    """Return how many members a job finds."""
    jobs = "/data/core/ups/segment/jobs"
    job = client.post(jobs, json=[{"segmentId": segment_id}], headers=headers).json()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = client.get(f"{jobs}/{job['id']}", headers=headers).json()
        if found["status"] == "SUCCEEDED":
            return int(found["metrics"]["segmentedProfileCounter"][segment_id])
        time.sleep(0.02)
    raise AssertionError(f"the job did not end: {found}")
