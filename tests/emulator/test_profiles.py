"""Profile look-ups with memberships, and the state of the sample behind estimates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.emulator.populations import MEMBERSHIP_FOLDER
from app.evaluation.memberships import Memberships
from tests.emulator.conftest import PROFILES, SOLSTICE, Emulator, Start, configure

PATH = "/data/core/ups/access/entities"
STATUS = "/data/core/ups/previewsamplestatus"
JOBS = "/data/core/ups/segment/jobs"
PREVIEW = "/data/core/ups/preview"
EVENTS = {"schema.name": "_xdm.context.experienceevent", "relatedSchema.name": "_xdm.context.profile"}


async def _members(emulator: Emulator, rule: str) -> list[str]:
    body = {"predicateExpression": rule, "predicateType": "pql/text", "predicateModel": "_xdm.context.profile"}
    made = (await emulator.call("POST", PREVIEW, json=body)).json()
    path = f"{PREVIEW}/{made['previewId']}"
    found = await emulator.until(path, lambda body: body["state"] == "RESULT_READY")
    return [next(iter(row)) for row in found["results"]]


async def _profile(emulator: Emulator, **params: Any) -> dict[str, Any]:
    answer = await emulator.call("GET", PATH, params={"schema.name": "_xdm.context.profile", **params})
    assert answer.status_code == 200, answer.text
    (profile,) = answer.json().values()
    found: dict[str, Any] = profile
    return found


@pytest.mark.parity("profiles.entities_keyed_by_xid", source="openapi")
async def test_a_profile_is_found_by_its_xid_and_by_each_of_its_identities(emulator: Emulator) -> None:
    xid = (await _members(emulator, emulator.rule("gold")))[0]
    profile = await _profile(emulator, entityId=xid)
    assert profile["entityId"] == xid
    assert profile["entity"]["_wwfovlab011"]["loyalty"]["level"] == "gold"
    assert "xEvent" not in profile["entity"]
    email = profile["entity"]["identityMap"]["Email"][0]["id"]
    assert email in profile["identityGraph"]
    for namespace in ("email", "Email", "6"):
        assert (await _profile(emulator, entityId=email, entityIdNS=namespace))["identityGraph"].count(email) == 1


@pytest.mark.parity("profiles.segment_membership", source="openapi")
async def test_a_profile_tells_to_which_segments_it_belongs_and_belonged(emulator: Emulator) -> None:
    xid = (await _members(emulator, emulator.rule("gold")))[0]
    assert (await _profile(emulator, entityId=xid))["entity"]["segmentMembership"] == {"ups": {}}
    made = await emulator.create("Members")
    await _evaluate(emulator, made["id"])
    membership = (await _profile(emulator, entityId=xid))["entity"]["segmentMembership"]
    assert membership == {"ups": {made["id"]: {"lastQualificationTime": "2026-03-01T12:00:00Z", "status": "realized"}}}
    expression = {"type": "PQL", "format": "pql/text", "value": emulator.rule("silver")}
    await emulator.call("PATCH", f"/data/core/ups/segment/definitions/{made['id']}", json={"expression": expression})
    emulator.clock.advance(hours=1)
    await _evaluate(emulator, made["id"])
    membership = (await _profile(emulator, entityId=xid))["entity"]["segmentMembership"]
    assert membership["ups"][made["id"]] == {"lastQualificationTime": "2026-03-01T13:00:00Z", "status": "exited"}
    await emulator.call("DELETE", f"/data/core/ups/segment/definitions/{made['id']}")
    assert (await _profile(emulator, entityId=xid))["entity"]["segmentMembership"] == {"ups": {}}


async def test_a_deleted_segment_leaves_no_membership_behind(start: Start, state_folder: Path) -> None:
    async with start() as emulator:
        made = await emulator.create("Members")
        await _evaluate(emulator, made["id"])
        await emulator.call("DELETE", f"/data/core/ups/segment/definitions/{made['id']}")
    memberships = Memberships(state_folder / MEMBERSHIP_FOLDER / "luma.prod.sqlite3")
    assert memberships.segment_ids() == ()
    memberships.close()


async def _evaluate(emulator: Emulator, segment_id: str) -> None:
    job = (await emulator.call("POST", JOBS, json=[{"segmentId": segment_id}])).json()
    await emulator.until(f"{JOBS}/{job['id']}", lambda body: body["status"] == "SUCCEEDED")


async def test_fields_choose_what_is_shown(emulator: Emulator) -> None:
    xid = (await _members(emulator, emulator.rule("gold")))[0]
    profile = await _profile(emulator, entityId=xid, fields="_wwfovlab011.loyalty.level, segmentMembership")
    assert profile["entity"] == {"_wwfovlab011": {"loyalty": {"level": "gold"}}, "segmentMembership": {"ups": {}}}


@pytest.mark.parity("profiles.errors_have_their_own_shape", source="openapi")
@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"entityId": "nobody"}, 404),
        ({"entityId": "nobody@nowhere.example", "entityIdNS": "email"}, 404),
        ({"entityId": "x", "entityIdNS": "no_such_namespace"}, 404),
        ({"entityId": "x", "mergePolicyId": "unknown"}, 404),
        ({}, 400),
        ({"entityId": "x", "schema.name": "other"}, 400),
        ({"relatedEntityId": "x", **EVENTS}, 404),
        ({"relatedEntityId": "x", **EVENTS, "mergePolicyId": "unknown"}, 404),
        ({**EVENTS}, 400),
        ({"relatedEntityId": "x", "schema.name": "_xdm.context.experienceevent"}, 400),
        ({"relatedEntityId": "x", **EVENTS, "orderby": "name"}, 400),
        ({"relatedEntityId": "x", **EVENTS, "limit": "0"}, 400),
        ({"relatedEntityId": "x", **EVENTS, "startTime": "yesterday"}, 400),
        ({"relatedEntityId": "x", **EVENTS, "property": "no operator"}, 400),
    ],
)
async def test_faults_have_the_shape_of_profile_access(emulator: Emulator, params: dict[str, str], status: int) -> None:
    answer = await emulator.call("GET", PATH, params={"schema.name": "_xdm.context.profile", **params})
    body = answer.json()
    assert (answer.status_code, sorted(body), body["statusCode"]) == (
        status,
        ["cause", "message", "statusCode"],
        str(status),
    )


async def _events(emulator: Emulator, profile: str, **params: Any) -> dict[str, Any]:
    answer = await emulator.call("GET", PATH, params={**EVENTS, "relatedEntityId": profile, **params})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parity("profiles.events", source="documents", note="AEP calls this read deprecated")
async def test_the_events_of_a_profile_come_in_pages_in_the_order_of_time(emulator: Emulator) -> None:
    xid = (await _members(emulator, 'select c from xEvent where c.eventType = "commerce.purchases"'))[0]
    email = (await _profile(emulator, entityId=xid))["entity"]["identityMap"]["Email"][0]["id"]
    whole = await _events(emulator, email, relatedEntityIdNS="email")
    children = whole["children"]
    moments = [one["timestamp"] for one in children]
    assert len(children) > 3
    assert moments == sorted(moments)
    assert {one["relatedEntityId"] for one in children} == {xid}
    assert [one["entityId"] for one in children] == [one["entity"]["_id"] for one in children]
    assert (whole["_page"]["count"], whole["_page"]["next"], whole["_links"]) == (
        len(children),
        "",
        {"next": {"href": ""}},
    )

    pages, start = [], {}
    while True:
        page = await _events(emulator, xid, limit=2, **start)
        assert page["_page"]["count"] == len(page["children"])
        pages += page["children"]
        if not page["_page"]["next"]:
            break
        start = {"start": page["_page"]["next"]}
        assert f"start={start['start']}" in page["_links"]["next"]["href"]
    assert pages == children

    newest = await _events(emulator, xid, orderby="-timestamp", fields="eventType")
    assert [one["entityId"] for one in newest["children"]] == [one["entityId"] for one in reversed(children)]
    assert set(newest["children"][0]["entity"]) == {"eventType"}


@pytest.mark.parity("profiles.events_filters", source="documents")
async def test_events_are_filtered_by_time_and_by_properties(emulator: Emulator) -> None:
    xid = (await _members(emulator, 'select c from xEvent where c.eventType = "commerce.purchases"'))[0]
    children = (await _events(emulator, xid))["children"]
    begin, end = children[1]["timestamp"], children[-1]["timestamp"]
    between = (await _events(emulator, xid, startTime=begin, endTime=end))["children"]
    assert between == [one for one in children if begin <= one["timestamp"] < end]
    bought = (await _events(emulator, xid, property="eventType=commerce.purchases"))["children"]
    assert bought == [one for one in children if one["entity"]["eventType"] == "commerce.purchases"]
    assert bought
    dear = [one for one in bought if one["entity"]["commerce"]["order"]["priceTotal"] >= 50]
    both = ["eventType=commerce.purchases", "commerce.order.priceTotal>=50"]
    assert (await _events(emulator, xid, property=both))["children"] == dear
    one = children[2]
    assert (await _events(emulator, xid, entityId=one["entityId"]))["children"] == [one]


async def test_a_caller_who_may_not_view_profiles_is_told_so(start: Start, state_folder: Path) -> None:
    configure(state_folder, permissions=["View Segments"])
    async with start() as emulator:
        answer = await emulator.call("GET", PATH, params={"schema.name": "_xdm.context.profile", "entityId": "x"})
        assert (answer.status_code, answer.json()["message"][:15]) == (403, "UPS-ACC-1000004")
        assert (await emulator.call("GET", STATUS)).status_code == 403


@pytest.mark.parity("profiles.too_many_reads_is_an_array", source="openapi")
async def test_too_many_reads_are_answered_by_an_array(emulator: Emulator) -> None:
    changed = await emulator.http.put("/emulator/guardrails", json={"profile_reads_a_minute": 2})
    assert changed.json()["profile_reads_a_minute"] == 2
    params = {"schema.name": "_xdm.context.profile", "entityId": "nobody"}
    for status in (404, 404, 429):
        answer = await emulator.call("GET", PATH, params=params)
        assert answer.status_code == status
    (body,) = answer.json()
    assert (body["statusCode"], body["retryAfterMs"], answer.headers["retry-after"]) == ("429", "60000", "60")
    emulator.clock.advance(minutes=1)
    assert (await emulator.call("GET", PATH, params=params)).status_code == 404


async def test_profiles_of_another_organization_are_not_found(emulator: Emulator) -> None:
    xid = (await _members(emulator, emulator.rule("gold")))[0]
    email = (await _profile(emulator, entityId=xid))["entity"]["identityMap"]["Email"][0]["id"]
    params = {"schema.name": "_xdm.context.profile", "entityId": xid}
    assert (await emulator.call("GET", PATH, params=params, organization=SOLSTICE)).status_code == 404
    params = {"schema.name": "_xdm.context.profile", "entityId": email, "entityIdNS": "email"}
    assert (await emulator.call("GET", PATH, params=params, sandbox="dev")).status_code == 404


@pytest.mark.parity("profiles.preview_sample_status", source="openapi")
async def test_the_sample_status_tells_how_much_estimates_read(emulator: Emulator) -> None:
    body = (await emulator.call("GET", STATUS)).json()
    assert (body["docCount"], body["totalRows"], body["numRowsToRead"]) == (str(PROFILES),) * 3
    assert (body["samplingRatio"], body["sampleJobRunning"]["status"]) == (1.0, False)
    assert body["lastSampledTimestamp"] == "2026-03-01 12:00:00"


@pytest.mark.parity("profiles.namespace_report", source="openapi")
async def test_the_namespace_report_counts_the_profiles_of_each_namespace(emulator: Emulator) -> None:
    body = (await emulator.call("GET", f"{STATUS}/report/namespace")).json()
    found = {one["code"]: one for one in body["data"]}
    assert {code: one["value"] for code, one in found.items()} == {
        "ECID": "4",
        "Email": "6",
        "Phone": "7",
        "lumaLoyaltyId": "10001000",
    }
    everybody = (await emulator.call("POST", PREVIEW, json={"predicateExpression": 'person.gender != "x"'})).json()
    estimate = await emulator.until(
        f"/data/core/ups/estimate/{everybody['previewId']}", lambda body: body["state"] == "RESULT_READY"
    )
    for one in estimate["estimatedNamespaceDistribution"]:
        of_namespace = next(each for each in body["data"] if each["value"] == one["namespaceId"])
        assert of_namespace["fullIDsCount"] >= one["profilesMatchedSoFar"] > 0
    assert found["Email"]["sampleCount"] == found["Email"]["fullIDsCount"]
    assert found["Email"]["fullIDsPercentage"] == pytest.approx(found["Email"]["fullIDsCount"] / PROFILES * 100)
    assert body["reportTimestamp"].startswith("2026-03-01T")
    for day, status in (("2026-03-01", 200), ("2020-01-01", 404), ("today", 400)):
        answer = await emulator.call("GET", f"{STATUS}/report/namespace", params={"date": day})
        assert answer.status_code == status
