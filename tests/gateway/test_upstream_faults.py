"""The gateway in front of an AEP that fails on demand: what callers see, and what the audit then says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.upstream.circuits import FAILURES_TO_OPEN
from tests.gateway.conftest import Stack
from tests.gateway.test_writes import body, unique

UPS = "/data/core/ups"
DEFINITIONS = f"{UPS}/segment/definitions"
JOBS = f"{UPS}/export/jobs"  # which the sync does not read


@pytest.fixture
async def faults(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the emulator's own paths; what it asks for ends with the test."""
    async with httpx.AsyncClient(base_url=stack.emulator.url) as http:
        yield http
        await http.delete("/emulator/faults")


async def add(faults: httpx.AsyncClient, kind: str, method: str, path: str, **members: Any) -> None:
    # The sync worker reads all the time; only the test's own calls are to be hit.
    rule = {"fault": {"kind": kind, **members}, "match": {"method": method, "path": path}, "count": 1}
    answer = await faults.post("/emulator/faults", json=rule)
    assert answer.status_code == 201, answer.text


async def phase_of(stack: Stack, request_id: str) -> str:
    headers = {"authorization": f"Bearer {stack.key('admin')}"}
    reply = await stack.http.get("/v1/audit-events", params={"requestId": request_id}, headers=headers)
    (event,) = reply.json()["events"]
    return str(event["phase"])


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("cut_body", {"share": 0.5}),
        ("cut_body", {"share": 0}),
        ("wrong_json", {}),
        ("server_error", {"status": 504, "carriedOut": True, "body": "html"}),
        ("server_error", {"status": 502, "carriedOut": True, "body": "empty"}),
    ],
)
async def test_a_write_whose_answer_is_lost_is_unknown_in_the_audit_and_may_have_been_done(
    stack: Stack, faults: httpx.AsyncClient, kind: str, members: dict[str, Any]
) -> None:
    name, request_id = unique("Lost"), unique("request").replace(" ", "-")
    await add(faults, kind, "POST", DEFINITIONS, **members)
    reply = await stack.facade("POST", DEFINITIONS, json=body(name), headers={"x-request-id": request_id})
    assert reply.status_code == 503
    assert reply.json()["status"] == 503
    assert await phase_of(stack, request_id) == "unknown"
    listed = await stack.upstream("GET", DEFINITIONS)
    assert name in [one["name"] for one in listed.json()["segments"]]


async def test_a_write_that_met_a_rate_limit_failed_and_says_when_to_come_back(
    stack: Stack, faults: httpx.AsyncClient
) -> None:
    name, request_id = unique("Limited"), unique("request").replace(" ", "-")
    await add(faults, "rate_limit", "POST", DEFINITIONS, retryAfterSeconds=7)
    reply = await stack.facade("POST", DEFINITIONS, json=body(name), headers={"x-request-id": request_id})
    assert reply.status_code in {429, 503}
    assert reply.headers["retry-after"] == "7"
    assert await phase_of(stack, request_id) == "failed"
    listed = await stack.upstream("GET", DEFINITIONS)
    assert name not in [one["name"] for one in listed.json()["segments"]]


async def test_a_read_whose_token_has_expired_is_repeated_and_nobody_notices(
    stack: Stack, faults: httpx.AsyncClient
) -> None:
    await add(faults, "expired_token", "GET", JOBS)
    assert (await stack.facade("GET", JOBS)).status_code == 200


async def test_a_write_whose_token_has_expired_is_not_repeated_and_the_audit_says_that_nothing_was_done(
    stack: Stack, faults: httpx.AsyncClient
) -> None:
    name, request_id = unique("Renewed"), unique("request").replace(" ", "-")
    await add(faults, "expired_token", "POST", DEFINITIONS)
    reply = await stack.facade("POST", DEFINITIONS, json=body(name), headers={"x-request-id": request_id})
    assert reply.status_code == 503
    assert "nothing was changed" in reply.text
    assert await phase_of(stack, request_id) == "failed"
    assert (await stack.facade("POST", DEFINITIONS, json=body(name))).status_code == 200


@pytest.mark.parametrize("kind", ["cut_body", "wrong_json"])
async def test_a_read_that_cannot_be_understood_is_unavailable(
    stack: Stack, faults: httpx.AsyncClient, kind: str
) -> None:
    await add(faults, kind, "GET", JOBS)
    reply = await stack.facade("GET", JOBS)
    assert reply.status_code == 503
    assert (await stack.facade("GET", JOBS)).status_code == 200


async def test_a_dead_endpoint_is_left_alone_by_forty_callers_and_found_again(
    stack: Stack, faults: httpx.AsyncClient
) -> None:
    rule = {"fault": {"kind": "server_error", "status": 503}, "match": {"method": "GET", "path": JOBS}}
    await faults.post("/emulator/faults", json=rule)
    replies = await asyncio.gather(*(stack.facade("GET", JOBS) for _ in range(40)))
    assert {reply.status_code for reply in replies} == {503}
    (armed,) = (await faults.get("/emulator/faults")).json()["faults"]
    assert FAILURES_TO_OPEN <= armed["hits"] <= FAILURES_TO_OPEN + 16
    refused = await stack.facade("GET", JOBS)
    assert "nothing was sent" in refused.text
    assert int(refused.headers["retry-after"]) >= 1
    await faults.delete("/emulator/faults")
    for _ in range(200):
        if (await stack.facade("GET", JOBS)).status_code == 200:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the circuit did not close")
