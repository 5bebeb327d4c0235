"""How many records a second the emulator takes in over HTTP while definitions are evaluated as they arrive.

    python -m benchmarks.streaming_http --definitions 500 --seconds 10

An emulator of its own, with a small sample, in another process; clients send one record, or a batch, in each call and
wait for the answer, which comes when the record is on disk and evaluated. ``healthz`` is the baseline: what the same
clients get from a call that does nothing. Afterwards the members that streaming found are compared with those that a
segment job finds for the same rules.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks import streaming_load as load

PORT = 18_093
PEOPLE = 3_000
UPS = "/data/core/ups"
SCHEMA = {"id": "https://ns.adobe.com/xdm/context/experienceevent__union", "contentType": "application/json"}


def main(definitions: int, seconds: float, clients: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "app.cli", "emulate", "--port", str(PORT), "--state-dir", folder]
        emulator = subprocess.Popen(
            [*command, "--profiles", "5000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            asyncio.run(run(Path(folder), definitions, seconds, clients))
        finally:
            emulator.terminate()
            emulator.wait(30)


async def run(folder: Path, definitions: int, seconds: float, clients: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{PORT}", timeout=60) as http:
        await ready(http)
        await measure(http, folder, definitions, seconds, clients)


async def ready(http: httpx.AsyncClient) -> None:
    while True:
        try:
            if (await http.get("/healthz")).json()["status"] == "ok":
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.1)


async def measure(http: httpx.AsyncClient, folder: Path, definitions: int, seconds: float, clients: int) -> None:
    organization = json.loads((folder / "organizations.json").read_text())[0]
    headers = await signed_in(http, organization)
    ids = await define(http, headers, definitions)
    (inlet,) = (
        await http.get("/emulator/inlets", params={"imsOrgId": organization["org_id"], "sandbox": "prod"})
    ).json()["inlets"]
    numbers, dice = itertools.count(), random.Random(3)

    def message() -> dict[str, Any]:
        event = load.event(dice, f"bench-{next(numbers)}", datetime.now(tz=UTC))
        event["identityMap"] = {"Email": [{"id": f"bench{int(PEOPLE * dice.random() ** 2)}@luma.example"}]}
        return {"header": {"schemaRef": SCHEMA}, "body": {"xdmEntity": event}}

    async def single() -> int:
        (await http.post(inlet["path"], json=message())).raise_for_status()
        return 1

    async def many() -> int:
        body = {"messages": [message() for _ in range(20)]}
        answer = await http.post(inlet["path"].replace("/collection/", "/collection/batch/"), json=body)
        return sum("xactionId" in one for one in answer.json()["responses"])

    async def nothing() -> int:
        await http.get("/healthz")
        return 1

    print(f"{definitions} streaming definitions, {clients} clients")
    await drive(many, 2, clients)
    base = await drive(nothing, 2, clients)
    print(f"{'healthz':10}{base[0]:>10,.0f} calls/s{base[1]:>10.1f} ms median{base[2]:>10.1f} ms p99")
    for name, call in (("single", single), ("batch", many)):
        rate, median, p99 = await drive(call, seconds, clients)
        share = rate / base[0]
        print(f"{name:10}{rate:>10,.0f} records/s{median:>8.1f} ms median{p99:>10.1f} ms p99   {share:.2f} of healthz")
    await compare(http, headers, ids[:20])


async def drive(call: Callable[[], Awaitable[int]], seconds: float, clients: int) -> tuple[float, float, float]:
    """Return records a second, and the median and the 99th percentile of the calls in milliseconds."""
    times: list[float] = []
    begun = time.perf_counter()

    async def client() -> int:
        sent = 0
        while time.perf_counter() - begun < seconds:
            started = time.perf_counter()
            sent += await call()
            times.append((time.perf_counter() - started) * 1e3)
        return sent

    sent = sum(await asyncio.gather(*(client() for _ in range(clients))))
    return sent / (time.perf_counter() - begun), statistics.median(times), sorted(times)[int(len(times) * 0.99)]


async def signed_in(http: httpx.AsyncClient, organization: dict[str, Any]) -> dict[str, str]:
    credential = organization["credentials"][0]
    form = {"grant_type": "client_credentials", "client_id": credential["client_id"], "scope": "openid"}
    answer = await http.post("/ims/token/v3", data={**form, "client_secret": credential["client_secret"]})
    return {
        "authorization": f"Bearer {answer.json()['access_token']}",
        "x-api-key": credential["client_id"],
        "x-gw-ims-org-id": organization["org_id"],
        "x-sandbox-name": "prod",
    }


async def define(http: httpx.AsyncClient, headers: dict[str, str], count: int) -> list[tuple[str, str]]:
    """Make the definitions and return (id, rule) of those that are evaluated as records arrive."""
    found = []
    for name, rule in load.definitions(count).items():
        body = {
            "name": name,
            "expression": {"type": "PQL", "format": "pql/text", "value": rule},
            "schema": {"name": "_xdm.context.profile"},
            "evaluationInfo": {"batch": {"enabled": False}, "continuous": {"enabled": True}},
        }
        answer = (await http.post(f"{UPS}/segment/definitions", json=body, headers=headers)).raise_for_status().json()
        if answer["evaluationInfo"]["continuous"]["enabled"]:
            found.append((answer["id"], rule))
    print(f"{len(found)} of {count} definitions are streaming")
    return found


async def compare(http: httpx.AsyncClient, headers: dict[str, str], segments: list[tuple[str, str]]) -> None:
    """Compare memberships of some profiles before and after a job that evaluates the same rules."""
    before = [await memberships(http, headers, number) for number in range(0, 40, 2)]
    body = [{"segmentId": segment_id} for segment_id, _ in segments]
    job = (await http.post(f"{UPS}/segment/jobs", json=body, headers=headers)).raise_for_status().json()
    for _ in range(300):
        if (await http.get(f"{UPS}/segment/jobs/{job['id']}", headers=headers)).json()["status"] == "SUCCEEDED":
            break
        await asyncio.sleep(0.2)
    after = [await memberships(http, headers, number) for number in range(0, 40, 2)]
    evaluated = {segment_id for segment_id, _ in segments}
    same = sum((one & evaluated) == (other & evaluated) for one, other in zip(before, after, strict=True))
    print(f"memberships before and after a job over {len(segments)} of them: {same} of {len(before)} profiles equal")


async def memberships(http: httpx.AsyncClient, headers: dict[str, str], number: int) -> set[str]:
    query = {"schema.name": "_xdm.context.profile", "entityIdNS": "Email", "entityId": f"bench{number}@luma.example"}
    answer = await http.get(f"{UPS}/access/entities", params=query, headers=headers)
    if answer.status_code == 404:
        return set()
    (found,) = answer.json().values()
    ups = found["entity"]["segmentMembership"]["ups"]
    return {segment_id for segment_id, standing in ups.items() if standing["status"] == "realized"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--definitions", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    main(options.definitions, options.seconds, options.clients)
