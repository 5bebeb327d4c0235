"""Faults on demand: which calls they hit, how often, and what a client then sees."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from app.emulator.faults import FaultRule, Faults, RateLimit, Subject, read_header
from app.errors import InvalidRequest
from tests.emulator.conftest import LUMA, SOLSTICE, Emulator, Start, definition

UPS = "/data/core/ups"
DEFINITIONS = f"{UPS}/segment/definitions"
FAULTS = "/emulator/faults"


async def add(emulator: Emulator, kind: str, **rule: Any) -> dict[str, Any]:
    await emulator.token()  # or the rule would hit the call that fetches it
    members = rule.pop("fault", {})
    answer = await emulator.http.post(FAULTS, json={"fault": {"kind": kind, **members}, **rule})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def names(emulator: Emulator) -> list[str]:
    listed = await emulator.call("GET", DEFINITIONS)
    return [one["name"] for one in listed.json()["segments"]]


async def test_a_rate_limit_hits_as_often_as_it_was_told_and_does_nothing(emulator: Emulator) -> None:
    await add(emulator, "rate_limit", fault={"retryAfterSeconds": 2}, count=1, match={"method": "POST"})
    body = definition("Gold", emulator.rule("gold"))
    refused = await emulator.call("POST", DEFINITIONS, json=body)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
    assert refused.json() == {"error_code": "429050", "message": "Too many requests"}
    assert await names(emulator) == []
    assert (await emulator.call("POST", DEFINITIONS, json=body)).status_code == 200


@pytest.mark.parity("profiles.rate_limit_is_an_array_of_texts", source="openapi")
async def test_a_rate_limit_of_profile_reads_has_their_own_shape(emulator: Emulator) -> None:
    await add(emulator, "rate_limit", fault={"retryAfterSeconds": 0.5})
    (body,) = (await emulator.call("GET", "/data/core/ups/access/entities")).json()
    assert sorted(body) == ["cause", "message", "retryAfterMs", "statusCode"]
    assert (body["statusCode"], body["retryAfterMs"]) == ("429", "500")


async def test_a_rate_limit_without_a_pause_has_no_retry_after(emulator: Emulator) -> None:
    await add(emulator, "rate_limit")
    refused = await emulator.call("GET", DEFINITIONS)
    assert refused.status_code == 429
    assert "retry-after" not in refused.headers


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    ("body", "content_type"), [("service", "application/json"), ("html", "text/html; charset=utf-8"), ("empty", None)]
)
async def test_a_server_error_has_the_status_and_the_body_that_were_asked_for(
    emulator: Emulator, status: int, body: str, content_type: str | None
) -> None:
    await add(emulator, "server_error", fault={"status": status, "body": body})
    answer = await emulator.call("GET", DEFINITIONS)
    assert (answer.status_code, answer.headers.get("content-type")) == (status, content_type)
    assert (answer.content == b"") == (body == "empty")
    if body == "service":
        assert answer.json()["status"] == status


async def test_a_server_error_may_come_after_the_call_was_carried_out(emulator: Emulator) -> None:
    await add(emulator, "server_error", fault={"status": 504, "carriedOut": True}, count=1, match={"method": "POST"})
    answer = await emulator.call("POST", DEFINITIONS, json=definition("Gold", emulator.rule("gold")))
    assert answer.status_code == 504
    assert await names(emulator) == ["Gold"]


async def test_delays_add_up_and_let_the_call_through(emulator: Emulator) -> None:
    headers = await emulator.headers()
    await add(emulator, "delay", fault={"seconds": 0.05})
    await add(emulator, "delay", fault={"seconds": 0.05})
    began = time.perf_counter()
    answer = await emulator.http.get(DEFINITIONS, headers=headers)
    assert answer.status_code == 200
    assert time.perf_counter() - began >= 0.1


async def test_wrong_json_is_complete_and_unreadable_and_the_call_was_done(emulator: Emulator) -> None:
    await add(emulator, "wrong_json", count=1)
    answer = await emulator.call("POST", DEFINITIONS, json=definition("Gold", emulator.rule("gold")))
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    with pytest.raises(ValueError, match="JSON|Unterminated|Expecting"):
        answer.json()
    assert await names(emulator) == ["Gold"]


async def test_an_expired_token_stays_refused_until_another_one_is_fetched(emulator: Emulator) -> None:
    headers = await emulator.headers()
    await add(emulator, "expired_token", count=1, match={"path": "/data/*"})
    for _ in range(2):
        refused = await emulator.http.get(DEFINITIONS, headers=headers)
        assert (refused.status_code, refused.json()["error_code"]) == (401, "401013")
    emulator._tokens.clear()
    assert (await emulator.call("GET", DEFINITIONS)).status_code == 200


@pytest.mark.parametrize(("share", "counted"), [(0, 0), (0.5, 2), (0.99, 3)])
async def test_a_partial_job_fails_with_what_it_had_counted(emulator: Emulator, share: float, counted: int) -> None:
    made = [await emulator.create(f"Segment {number}") for number in range(4)]
    await add(emulator, "partial_job", fault={"share": share}, count=1, match={"path": f"{UPS}/segment/jobs"})
    wanted = [{"segmentId": one["id"]} for one in made]
    job = (await emulator.call("POST", f"{UPS}/segment/jobs", json=wanted)).json()
    assert job["status"] == "NEW"
    ended = await emulator.until(f"{UPS}/segment/jobs/{job['id']}", lambda body: body["status"] == "FAILED")
    assert list(ended["metrics"]["segmentedProfileCounter"]) == [one["id"] for one in made[:counted]]
    assert ended["errors"][0]["msg"] == f"The evaluation broke off after {counted} of 4 segments."
    assert not [name for name in ended if name.startswith("_") and name != "_links"]


async def test_a_partial_export_fails_and_leaves_no_file(emulator: Emulator) -> None:
    await add(emulator, "partial_job", count=1)
    wanted = {"destination": {"datasetId": "692d1f0a97f8e31b639fb14d"}, "schema": {"name": "_xdm.context.profile"}}
    job = (await emulator.call("POST", f"{UPS}/export/jobs", json=wanted)).json()
    ended = await emulator.until(f"{UPS}/export/jobs/{job['id']}", lambda body: body["status"] == "FAILED")
    assert ended["errors"][0]["code"] == "500"
    assert not list(emulator.settings.state_dir.rglob("*.jsonl"))


async def test_a_rule_hits_only_the_calls_that_it_fits(emulator: Emulator) -> None:
    org_id = emulator.organizations[LUMA].org_id
    match = {"method": "get", "path": f"{UPS}/segment/*", "organization": org_id, "sandbox": "prod"}
    await add(emulator, "rate_limit", match=match)
    assert (await emulator.call("GET", DEFINITIONS)).status_code == 429
    assert (await emulator.call("GET", f"{UPS}/audiences")).status_code == 200
    assert (await emulator.call("GET", DEFINITIONS, sandbox="dev")).status_code == 200
    assert (await emulator.call("GET", DEFINITIONS, organization=SOLSTICE)).status_code == 200


async def test_rules_are_listed_with_their_hits_and_can_be_removed(emulator: Emulator) -> None:
    made = await add(emulator, "rate_limit", count=2)
    assert (made["hits"], made["remaining"]) == (0, 2)
    await emulator.call("GET", DEFINITIONS)
    assert (await emulator.http.get(f"{FAULTS}/{made['id']}")).json()["remaining"] == 1
    assert (await emulator.http.delete(f"{FAULTS}/{made['id']}")).status_code == 204
    assert (await emulator.http.get(FAULTS)).json() == {"faults": []}
    assert (await emulator.http.delete(f"{FAULTS}/{made['id']}")).status_code == 404


async def test_the_emulators_own_paths_are_never_hit(emulator: Emulator) -> None:
    await add(emulator, "server_error")
    for path in (FAULTS, "/emulator/clock", "/healthz"):
        assert (await emulator.http.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ([], "object"),
        ({}, "fault"),
        ({"fault": {"kind": "nothing"}}, "nothing"),
        ({"fault": {"kind": "delay"}}, "seconds"),
        ({"fault": {"kind": "delay", "seconds": -1}}, "$.fault.seconds"),
        ({"fault": {"kind": "rate_limit", "retryafter": 1}}, "retryafter"),
        ({"fault": {"kind": "server_error", "status": 404}}, "404"),
        ({"fault": {"kind": "rate_limit"}, "probability": 0}, "$.probability"),
        ({"fault": {"kind": "rate_limit"}, "count": 0}, "$.count"),
        ({"fault": {"kind": "rate_limit"}, "match": {"host": "x"}}, "host"),
    ],
)
async def test_a_wrong_rule_is_refused_with_its_place(emulator: Emulator, body: object, said: str) -> None:
    answer = await emulator.http.post(FAULTS, json=body)
    assert answer.status_code == 400
    assert said in answer.json()["title"]
    assert "rate_limit" in answer.json()["title"]


async def test_a_header_asks_for_a_fault_only_where_that_is_allowed(emulator: Emulator, start: Start) -> None:
    headers = await emulator.headers() | {"x-emulator-fault": "rate_limit; retryAfterSeconds=1"}
    assert (await emulator.http.get(DEFINITIONS, headers=headers)).status_code == 200


async def test_a_header_asks_for_a_fault_of_its_own_call(start: Start) -> None:
    async with start(faults_by_header=True) as emulator:
        asking = await emulator.headers() | {"x-emulator-fault": "rate_limit; retryAfterSeconds=1.5"}
        answer: httpx.Response = await emulator.http.get(DEFINITIONS, headers=asking)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1.5")
        wrong = asking | {"x-emulator-fault": "rate_limit; retryAfterSeconds"}
        assert (await emulator.http.get(DEFINITIONS, headers=wrong)).status_code == 400
        assert (await emulator.call("GET", DEFINITIONS)).status_code == 200


async def _sent(emulator: Emulator, asking: dict[str, str], body: bytes) -> tuple[int, bytes, bool]:
    """Send a creation, and return the status, the body and whether the answer came to its end."""
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": DEFINITIONS,
        "raw_path": DEFINITIONS.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in asking.items()],
        "client": ("127.0.0.1", 1),
        "server": ("emulator.test", 80),
        "scheme": "http",
        "root_path": "",
    }
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    await emulator.http._transport.app(scope, receive, send)
    whole = b"".join(message.get("body", b"") for message in messages)
    return messages[0]["status"], whole, not messages[-1].get("more_body", False)


@pytest.mark.parametrize("way", ["admin path", "header"])
@pytest.mark.parametrize(
    ("kind", "members", "status", "is_whole", "is_json", "is_made"),
    [
        ("rate_limit", {}, 429, True, True, False),
        ("rate_limit", {"retryAfterSeconds": 2}, 429, True, True, False),
        ("server_error", {"status": 500}, 500, True, True, False),
        ("server_error", {"status": 502, "body": "html"}, 502, True, False, False),
        ("server_error", {"status": 504, "carriedOut": True}, 504, True, True, True),
        ("delay", {"seconds": 0.01}, 200, True, True, True),
        ("cut_body", {"share": 0.5}, 200, False, False, True),
        ("wrong_json", {}, 200, True, False, True),
        ("expired_token", {}, 401, True, True, False),
    ],
)
async def test_each_fault_is_had_by_the_admin_path_and_by_a_header(
    start: Start,
    way: str,
    kind: str,
    members: dict[str, Any],
    status: int,
    is_whole: bool,
    is_json: bool,
    is_made: bool,
) -> None:
    async with start(faults_by_header=True) as emulator:
        asking = await emulator.headers() | {"content-type": "application/json"}
        if way == "header":
            parameters = [f"{name}={json.dumps(value)}" for name, value in members.items()]
            asking["x-emulator-fault"] = "; ".join([kind, *parameters])
        else:
            await add(emulator, kind, fault=members, count=1)
        body = json.dumps(definition("Gold", emulator.rule("gold"))).encode()
        answered, content, whole = await _sent(emulator, asking, body)
        assert (answered, whole, _is_json(content)) == (status, is_whole, is_json)
        emulator.forget_tokens()
        assert await names(emulator) == (["Gold"] if is_made else [])


@pytest.mark.parametrize("way", ["admin path", "header"])
async def test_a_partial_job_is_had_by_the_admin_path_and_by_a_header(start: Start, way: str) -> None:
    async with start(faults_by_header=True) as emulator:
        made = await emulator.create()
        asking = await emulator.headers()
        if way == "header":
            asking["x-emulator-fault"] = "partial_job; share=0"
        else:
            await add(emulator, "partial_job", fault={"share": 0}, match={"method": "POST"}, count=1)
        path = f"{UPS}/segment/jobs"
        job = await emulator.http.post(path, json=[{"segmentId": made["id"]}], headers=asking)
        done = await emulator.until(
            f"{path}/{job.json()['id']}", lambda body: body["status"] in {"SUCCEEDED", "FAILED"}
        )
        assert (done["status"], bool(done["errors"])) == ("FAILED", True)


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def test_a_likely_fault_hits_the_same_calls_for_the_same_seed() -> None:
    def hits(seed: int) -> list[bool]:
        faults = Faults()
        faults.add(FaultRule(fault=RateLimit(), probability=0.3, seed=seed))
        return [bool(faults.draw(Subject("GET", "/", "", ""))) for _ in range(200)]

    assert hits(1) == hits(1)
    assert hits(1) != hits(2)
    assert 30 < sum(hits(1)) < 90


@pytest.mark.parametrize("text", ["", "nothing", "delay", "delay; seconds=x", "rate_limit; =;", "cut_body; share=2"])
def test_a_wrong_header_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        read_header(text)
