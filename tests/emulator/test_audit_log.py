"""The audit log tells what was decided, in the vendor's shapes."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.conftest import SOLSTICE, Emulator, Start, configure, definition

PATH = "/data/foundation/audit/events"
EXPORT = "/data/foundation/audit/export"
DEFINITIONS = "/data/core/ups/segment/definitions"


async def _events(emulator: Emulator, *properties: str, **place: Any) -> list[dict[str, Any]]:
    params = [("property", one) for one in properties]
    body = (await emulator.call("GET", PATH, params=params, **place)).json()
    events: list[dict[str, Any]] = body["_embedded"]["events"]
    return events


@pytest.mark.parity("audit.event_has_decision_and_execution", source="documents")
async def test_a_creation_is_told_as_a_decision_with_its_execution_inside(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    (event,) = await _events(emulator)
    (inner,) = event.pop("enhancedEvents")
    owner = emulator.organizations[0]
    common = {
        "action": "Create",
        "failureCode": "",
        "timestamp": "2026-03-01T12:00:00.123+0000",
        "assetType": "Segment",
        "assetId": made["id"],
        "assetName": "Gold",
        "permissionResource": "Segment",
    }
    assert {name: event[name] for name in common} == common
    assert {name: inner[name] for name in common} == common
    assert (event["status"], inner["status"]) == ("Allow", "Success")
    assert (event["permissionType"], inner["permissionType"]) == ("WRITE", "Write")
    assert (event["version"], event["region"], event["imsOrgId"]) == ("1.0", "VA7", owner.org_id)
    assert (event["sandboxName"], event["sandboxId"]) == ("prod", owner.sandboxes[0].id)
    assert event["userEmail"] == owner.credentials[0].technical_account_id
    assert event["userIpAddresses"] == ["127.*.*.*"]
    assert len(event["requestId"]) == 32
    assert event["requestId"] == inner["requestId"]


async def test_every_write_leaves_an_event_and_reads_leave_none(emulator: Emulator) -> None:
    made = await emulator.create("Gold")
    one = f"{DEFINITIONS}/{made['id']}"
    await emulator.call("GET", one)
    await emulator.call("PATCH", one, json={"description": "x"})
    await emulator.call("POST", "/data/core/ups/segment/jobs", json=[{"segmentId": made["id"]}])
    export = {"destination": {"datasetId": "d"}, "schema": {"name": "_xdm.context.profile"}}
    await emulator.call("POST", "/data/core/ups/export/jobs", json=export)
    await emulator.call("DELETE", one)
    told = [(event["action"], event["assetId"]) for event in await _events(emulator)]
    assert [action for action, _ in told] == ["Delete", "Export", "Evaluate", "Update", "Create"]
    assert {told[0][1], told[2][1], told[3][1], told[4][1]} == {made["id"]}


async def test_a_write_that_fails_was_allowed_and_its_execution_failed(emulator: Emulator) -> None:
    await emulator.create("Gold")
    answer = await emulator.call("POST", DEFINITIONS, json=definition("Gold", emulator.rule("gold")))
    assert answer.status_code == 422
    event = (await _events(emulator))[0]
    assert (event["status"], event["failureCode"]) == ("Allow", "")
    assert [(one["status"], one["failureCode"]) for one in event["enhancedEvents"]] == [("Failure", "422")]


@pytest.mark.parity("audit.denied_calls_are_events", source="documents")
async def test_a_denied_call_is_told_and_changes_nothing(start: Start, state_folder: Path) -> None:
    configure(state_folder, permissions=["View Segments", "View User Activity Log"])
    async with start() as emulator:
        answer = await emulator.call("POST", DEFINITIONS, json=definition("Gold", emulator.rule("gold")))
        assert (answer.status_code, answer.json()["status"]) == (403, 403)
        assert "Manage Segments" in answer.json()["title"]
        (event,) = await _events(emulator)
        assert (event["status"], event["failureCode"], event["enhancedEvents"]) == ("Deny", "403", [])
        assert (await emulator.call("GET", DEFINITIONS)).json()["segments"] == []
        await emulator.call("GET", "/data/core/ups/config/mergePolicies")
        assert [(one["action"], one["status"]) for one in await _events(emulator, "assetType==merge policy")] == [
            ("Read", "Deny")
        ]


async def test_reading_the_log_needs_its_permission(start: Start, state_folder: Path) -> None:
    configure(state_folder, permissions=["Manage Profiles"])
    async with start() as emulator:
        assert (await emulator.call("GET", PATH)).status_code == 403
        assert (await emulator.call("GET", EXPORT)).status_code == 403


async def test_the_log_of_another_sandbox_or_organization_is_another_log(emulator: Emulator) -> None:
    await emulator.create("Gold")
    assert await _events(emulator, sandbox="dev") == []
    assert await _events(emulator, organization=SOLSTICE) == []


@pytest.mark.parity("audit.hal_paging_with_query_id", source="measured", note="aepp 0.6 getPlatformEvents")
async def test_pages_follow_the_link_and_do_not_shift_when_events_come(emulator: Emulator) -> None:
    for number in range(5):
        await emulator.create(f"Gold {number}")
        emulator.clock.advance(seconds=1)
    body = (await emulator.call("GET", PATH, params={"limit": 2})).json()
    assert body["page"] == {"size": 2, "totalElements": 5, "totalPages": 3, "number": 1}
    assert "href" in body["_links"]["self"]
    assert body["_links"]["page"] == {
        "href": f"http://emulator.test{PATH}?queryId={body['queryId']}&limit=2{{&start}}",
        "templated": True,
    }
    await emulator.create("Late")
    names = [event["assetName"] for event in body["_embedded"]["events"]]
    while "next" in body["_links"]:
        href = body["_links"]["next"]["href"]
        params = {"start": href.split("start=")[1].split("&")[0], "limit": 2}
        params["queryId"] = href.split("queryId=")[1].split("&")[0]
        body = (await emulator.call("GET", PATH, params=params)).json()
        names += [event["assetName"] for event in body["_embedded"]["events"]]
    assert names == [f"Gold {number}" for number in (4, 3, 2, 1, 0)]


@pytest.mark.parity("audit.property_filters_must_all_match", source="documents")
async def test_filters_must_all_match_and_take_several_values(emulator: Emulator) -> None:
    gold = await emulator.create("Gold")
    emulator.clock.advance(minutes=1)
    await emulator.call("DELETE", f"{DEFINITIONS}/{gold['id']}")
    assert [one["action"] for one in await _events(emulator, "action==create,update")] == ["Create"]
    assert [one["action"] for one in await _events(emulator, "action==create,delete")] == ["Delete", "Create"]
    assert await _events(emulator, "action==create", "status==deny") == []
    assert len(await _events(emulator, f"assetId=={gold['id']}", "type==Segment")) == 2
    moment = "timestamp>2026-03-01T12:00:30Z"
    assert [one["action"] for one in await _events(emulator, moment)] == ["Delete"]
    moment = "timestamp<2026-03-01T12:00:30+00:00"
    assert [one["action"] for one in await _events(emulator, moment)] == ["Create"]
    ordered = await emulator.call("GET", PATH, params={"orderBy": "+timestamp"})
    assert [one["action"] for one in ordered.json()["_embedded"]["events"]] == ["Create", "Delete"]


@pytest.mark.parametrize(
    "params",
    [
        {"property": "colour==red"},
        {"property": "action>create"},
        {"property": "timestamp>yesterday"},
        {"orderBy": "colour"},
        {"limit": "0"},
        {"limit": "1001"},
        {"start": "-1"},
        {"queryId": "!!"},
        {"queryId": "bHVtYQ"},
    ],
)
async def test_a_query_that_cannot_be_read_is_refused(emulator: Emulator, params: dict[str, str]) -> None:
    answer = await emulator.call("GET", PATH, params=params)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)


@pytest.mark.parity("audit.list_covers_90_days_export_365", source="documents")
async def test_the_list_goes_back_90_days_and_the_export_a_year(emulator: Emulator) -> None:
    await emulator.create("Old")
    emulator.clock.advance(days=91)
    assert await _events(emulator) == []
    assert (await emulator.call("GET", EXPORT)).status_code == 204
    then = [("property", "timestamp>2026-03-01T00:00:00Z"), ("property", "timestamp<2026-04-01T00:00:00Z")]
    assert (await emulator.call("GET", EXPORT, params=then)).status_code == 307
    since = [("property", "timestamp>2026-03-01T00:00:00Z")]
    assert (await emulator.call("GET", EXPORT, params=since)).status_code == 400
    emulator.clock.advance(days=275)
    assert (await emulator.call("GET", EXPORT, params=then)).status_code == 204


@pytest.mark.parity("audit.export_redirects_to_csv", source="documents")
async def test_an_export_leads_to_a_csv_that_can_be_read_for_a_while(emulator: Emulator) -> None:
    assert (await emulator.call("GET", EXPORT)).status_code == 204
    made = await emulator.create('Gold, "really"')
    answer = await emulator.call("GET", EXPORT)
    assert (answer.status_code, answer.content) == (307, b"")
    file = await emulator.http.get(answer.headers["location"])
    assert file.headers["content-type"].startswith("text/csv")
    (row,) = csv.DictReader(io.StringIO(file.text))
    assert (row["assetId"], row["assetName"], row["action"]) == (made["id"], 'Gold, "really"', "Create")
    emulator.clock.advance(minutes=16)
    assert (await emulator.http.get(answer.headers["location"])).status_code == 404


async def test_events_survive_a_restart(start: Start) -> None:
    async with start() as emulator:
        await emulator.create("Gold")
    async with start() as emulator:
        assert [event["assetName"] for event in await _events(emulator)] == ["Gold"]
