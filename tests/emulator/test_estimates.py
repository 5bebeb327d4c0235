"""Previews and estimates: asynchronous, under one id, and true."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.aep.ids import decode_preview_id
from tests.emulator.conftest import LUMA, PROFILES, SOLSTICE, Emulator, Start

PREVIEW = "/data/core/ups/preview"
ESTIMATE = "/data/core/ups/estimate"


async def _begin(emulator: Emulator, rule: str, **place: Any) -> dict[str, Any]:
    answer = await emulator.call("POST", PREVIEW, json={"predicateExpression": rule}, **place)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def _estimate(emulator: Emulator, rule: str, **place: Any) -> dict[str, Any]:
    begun = await _begin(emulator, rule, **place)
    path = f"{ESTIMATE}/{begun['previewId']}"
    return await emulator.until(path, lambda body: body["state"] == "RESULT_READY", **place)


@pytest.mark.parity("estimates.preview_is_201_and_new", source="openapi")
async def test_a_preview_begins_as_new(emulator: Emulator) -> None:
    body = {"predicateExpression": emulator.rule("gold"), "predicateType": "pql/text", "graphType": "none"}
    answer = await emulator.call("POST", PREVIEW, json=body)
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["x-location"] == f"{PREVIEW}/{made['previewId']}"
    assert set(made) == {"state", "previewQueryId", "previewQueryStatus", "previewId", "previewExecutionId"}
    assert (made["state"], made["previewQueryStatus"], made["previewExecutionId"]) == ("NEW", "NEW", 0)
    decoded = decode_preview_id(made["previewId"])
    assert decoded is not None
    assert decoded.query_id == made["previewQueryId"]


@pytest.mark.parity("estimates.members", source="documents")
async def test_a_finished_estimate_has_the_documented_members(emulator: Emulator) -> None:
    body = await _estimate(emulator, emulator.rule("gold"))
    assert set(body) == {
        "estimatedSize",
        "numRowsToRead",
        "estimatedNamespaceDistribution",
        "state",
        "profilesReadSoFar",
        "standardError",
        "error",
        "profilesMatchedSoFar",
        "totalRows",
        "confidenceInterval",
        "_links",
        "estimatedInterval",  # ours
    }
    assert body["estimatedInterval"] == {"low": body["estimatedSize"], "high": body["estimatedSize"]}
    assert body["totalRows"] == body["numRowsToRead"] == body["profilesReadSoFar"] == PROFILES
    assert body["standardError"] == 0
    assert body["estimatedSize"] == body["profilesMatchedSoFar"] > 0
    assert body["confidenceInterval"] == "95%"
    assert body["error"] == {"description": "", "traceback": ""}
    counts = {one["namespaceId"]: one["profilesMatchedSoFar"] for one in body["estimatedNamespaceDistribution"]}
    assert 0 < counts["4"] <= body["estimatedSize"]


async def test_parts_add_up_to_the_whole(emulator: Emulator) -> None:
    levels = ("gold", "platinum", "silver", "bronze")
    sizes = [(await _estimate(emulator, emulator.rule(level)))["estimatedSize"] for level in levels]
    together = (await _estimate(emulator, emulator.rule(*levels)))["estimatedSize"]
    assert sum(sizes) == together
    assert 0 < together < PROFILES


async def test_each_sandbox_has_its_own_profiles(emulator: Emulator) -> None:
    dev = await _estimate(emulator, emulator.rule("gold"), sandbox="dev")
    assert dev["totalRows"] == PROFILES // 10
    rule = emulator.rule("gold", organization=SOLSTICE)
    other = await _estimate(emulator, rule, organization=SOLSTICE)
    assert other["totalRows"] == PROFILES


@pytest.mark.parity("estimates.running_numbers_grow", source="documents")
async def test_an_estimate_passes_through_running_with_numbers_that_grow(start: Start) -> None:
    async with start(estimate_step_s=0.05) as emulator:
        begun = await _begin(emulator, emulator.rule("gold"))
        seen: list[str] = [begun["state"]]
        read: list[int] = []
        path = f"{ESTIMATE}/{begun['previewId']}"
        while seen[-1] != "RESULT_READY":
            body = (await emulator.call("GET", path)).json()
            seen.append(body["state"])
            read.append(body["profilesReadSoFar"])
            await asyncio.sleep(0.002)
        assert list(dict.fromkeys(seen)) == ["NEW", "RUNNING", "RESULT_READY"]
        assert read == sorted(read)
        assert {PROFILES // 100, PROFILES // 10, PROFILES} <= set(read)


@pytest.mark.parity("estimates.preview_rows_are_keyed", source="documents")
async def test_a_preview_shows_members_in_pages(emulator: Emulator) -> None:
    begun = await _begin(emulator, emulator.rule("gold"))
    path = f"{PREVIEW}/{begun['previewId']}"
    first = await emulator.until(f"{path}", lambda body: body["state"] == "RESULT_READY")
    size = (await emulator.call("GET", f"{ESTIMATE}/{begun['previewId']}")).json()["estimatedSize"]
    assert len(first["results"]) == first["page"]["size"] == size
    assert first["links"]["next"] == ""
    met: list[str] = []
    offset = 0
    while True:
        body = (await emulator.call("GET", path, params={"offset": offset, "limit": 7})).json()
        met += [xid for row in body["results"] for xid in row]
        offset += body["page"]["size"]
        if body["links"]["next"] == "":
            break
    assert met == [xid for row in first["results"] for xid in row]
    assert len(set(met)) == size
    (xid, row) = next(iter(first["results"][0].items()))
    assert row["_href"].endswith(f"/data/core/ups/models/profile/{xid}")
    assert row["endCustomerIds"]


async def test_an_unfinished_preview_has_no_results_and_an_estimate_from_a_hundredth(start: Start) -> None:
    async with start(estimate_step_s=30) as emulator:
        begun = await _begin(emulator, emulator.rule("gold"))
        path = f"{ESTIMATE}/{begun['previewId']}"
        estimate = await emulator.until(path, lambda body: body["state"] == "RUNNING")
        body = (await emulator.call("GET", f"{PREVIEW}/{begun['previewId']}")).json()
        assert (body["results"], body["state"]) == ([], "RUNNING")
        matched, read = estimate["profilesMatchedSoFar"], estimate["profilesReadSoFar"]
        assert (read, estimate["numRowsToRead"], estimate["totalRows"]) == (PROFILES // 100, PROFILES, PROFILES)
        assert estimate["estimatedSize"] == matched * 100
        interval = estimate["estimatedInterval"]
        assert matched <= interval["low"] <= estimate["estimatedSize"] <= interval["high"] <= PROFILES - read + matched


@pytest.mark.parity("estimates.delete_removes_both", source="assumed")
@pytest.mark.parametrize("ready", [True, False])
async def test_a_deleted_preview_is_gone_with_its_estimate(start: Start, ready: bool) -> None:
    async with start(estimate_step_s=0.0 if ready else 30.0) as emulator:
        begun = await _begin(emulator, emulator.rule("gold"))
        if ready:
            await emulator.until(f"{ESTIMATE}/{begun['previewId']}", lambda body: body["state"] == "RESULT_READY")
        answer = await emulator.call("DELETE", f"{PREVIEW}/{begun['previewId']}")
        assert (answer.status_code, answer.json()["status"]) == (200, True)
        for path in (PREVIEW, ESTIMATE):
            assert (await emulator.call("GET", f"{path}/{begun['previewId']}")).status_code == 404
        assert (await emulator.call("DELETE", f"{PREVIEW}/{begun['previewId']}")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"predicateExpression": ""},
        {"predicateExpression": "nonsense = 1"},
        {"predicateExpression": 5},
        {"predicateExpression": "a", "predicateType": "sql"},
        {"predicateExpression": "a", "predicateModel": "_xdm.context.account"},
        {"predicateExpression": "a", "graphType": "other"},
        [],
    ],
)
async def test_bad_previews_are_refused(emulator: Emulator, body: Any) -> None:
    answer = await emulator.call("POST", PREVIEW, json=body)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)


@pytest.mark.parametrize("preview_id", ["x", "MDphcHAtbHVtYTp4OjA", "%20"])
async def test_an_unknown_preview_is_not_found(emulator: Emulator, preview_id: str) -> None:
    assert (await emulator.call("GET", f"{PREVIEW}/{preview_id}")).status_code == 404
    assert (await emulator.call("GET", f"{ESTIMATE}/{preview_id}")).status_code == 404


@pytest.mark.parametrize("params", [{"limit": "0"}, {"offset": "-1"}, {"limit": "many"}])
async def test_bad_paging_of_a_preview_is_refused(emulator: Emulator, params: dict[str, str]) -> None:
    begun = await _begin(emulator, emulator.rule("gold"))
    answer = await emulator.call("GET", f"{PREVIEW}/{begun['previewId']}", params=params)
    assert answer.status_code == 400


async def test_an_unfinished_estimate_is_taken_up_after_a_restart(start: Start) -> None:
    async with start(estimate_step_s=30) as emulator:
        begun = await _begin(emulator, emulator.rule("gold"))
    async with start() as emulator:
        path = f"{ESTIMATE}/{begun['previewId']}"
        body = await emulator.until(path, lambda body: body["state"] == "RESULT_READY")
        assert body["estimatedSize"] == (await _estimate(emulator, emulator.rule("gold")))["estimatedSize"]


async def test_a_finished_estimate_is_the_same_after_a_restart(start: Start) -> None:
    async with start() as emulator:
        begun = await _begin(emulator, emulator.rule("gold"))
        path = f"{ESTIMATE}/{begun['previewId']}"
        before = await emulator.until(path, lambda body: body["state"] == "RESULT_READY")
    async with start() as emulator:
        assert (await emulator.call("GET", path)).json() == before


async def test_many_estimates_at_once_all_end(emulator: Emulator) -> None:
    rules = [emulator.rule(level, organization=LUMA) for level in ("gold", "silver", "bronze", "platinum") * 5]
    results = await asyncio.gather(*(_estimate(emulator, rule) for rule in rules))
    assert len({body["estimatedSize"] for body in results[::4]}) == 1
