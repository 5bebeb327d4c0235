"""Records sent in over HTTP: AEP's shapes, what becomes of them, and the memberships that follow."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import structlog

from app.emulator.record_stream import MAX_WAITING
from tests.emulator.conftest import LUMA, SOLSTICE, Emulator, Start, own_samples

CHECKOUT = 'xEvent[eventType = "commerce.checkouts" and timestamp occurs <= 24 hours before now]'
STREAMING = {"batch": {"enabled": False}, "continuous": {"enabled": True}, "synchronous": {"enabled": False}}


@pytest.fixture
def state_folder(state_folder: Path) -> Path:
    """The state folder with samples of its own, since records are written to them."""
    own_samples(state_folder)
    return state_folder


async def inlet(emulator: Emulator, organization: int = LUMA, sandbox: str = "prod") -> str:
    query = {"imsOrgId": emulator.organizations[organization].org_id, "sandbox": sandbox}
    (one,) = (await emulator.http.get("/emulator/inlets", params=query)).json()["inlets"]
    found: str = one["path"]
    return found


def message(emulator: Emulator, entity: dict[str, Any], kind: str = "experienceevent", **head: Any) -> dict[str, Any]:
    schema = {
        "id": f"https://ns.adobe.com/xdm/context/{kind}__union",
        "contentType": "application/vnd.adobe.xed-full+json",
    }
    header = {"schemaRef": schema, "imsOrgId": emulator.organizations[LUMA].org_id, "datasetId": "d", **head}
    return {"header": header, "body": {"xdmMeta": {"schemaRef": schema}, "xdmEntity": entity}}


def checkout(emulator: Emulator, event_id: str = "checkout-1", email: str = "new@luma.example") -> dict[str, Any]:
    return {
        "_id": event_id,
        "timestamp": emulator.clock.now().isoformat(),
        "eventType": "commerce.checkouts",
        "identityMap": {"Email": [{"id": email, "primary": True}]},
    }


async def membership(emulator: Emulator, email: str = "new@luma.example") -> dict[str, Any]:
    query = {"schema.name": "_xdm.context.profile", "entityId": email, "entityIdNS": "Email"}
    answer = await emulator.call("GET", "/data/core/ups/access/entities", params=query)
    assert answer.status_code == 200, answer.text
    (found,) = answer.json().values()
    ups: dict[str, Any] = found["entity"]["segmentMembership"]["ups"]
    return ups


@pytest.mark.parity("ingestion.no_token_needed", source="documents")
async def test_a_wrong_token_is_refused_and_none_is_needed(emulator: Emulator) -> None:
    path = await inlet(emulator)
    body = message(emulator, checkout(emulator))
    refused = await emulator.http.post(path, json=body, headers={"authorization": "Bearer nonsense"})
    assert refused.status_code == 401
    assert refused.json()["title"] == "Authorization"
    assert (await emulator.http.post(path, json=body)).status_code == 200


@pytest.mark.parity("ingestion.unknown_inlet", source="assumed")
async def test_an_inlet_that_is_not_there_takes_nothing(emulator: Emulator) -> None:
    answer = await emulator.http.post("/collection/nowhere", json=message(emulator, checkout(emulator)))
    assert answer.status_code == 404
    assert "nowhere" in answer.json()["report"]["message"]


@pytest.mark.parity("ingestion.single", source="documents")
async def test_a_record_is_acknowledged_in_aeps_shape(emulator: Emulator) -> None:
    path = await inlet(emulator)
    answer = await emulator.http.post(path, json=message(emulator, checkout(emulator)))
    body = answer.json()
    assert body["inletId"] == path.rpartition("/")[2]
    assert body["xactionId"].startswith(f"{body['receivedTimeMs']}:")
    assert body["syncValidation"] == {"skipped": True}
    checked = await emulator.http.post(f"{path}?syncValidation=true", json=message(emulator, checkout(emulator, "2")))
    assert checked.json()["syncValidation"] == {"status": "pass"}


@pytest.mark.parity("streaming.window_passes", source="documents")
async def test_an_event_makes_a_member_at_once_and_time_takes_the_membership_away(emulator: Emulator) -> None:
    definition = await emulator.create("Checkout within a day", CHECKOUT, evaluationInfo=STREAMING)
    assert definition["evaluationInfo"] == STREAMING
    await emulator.http.post(await inlet(emulator), json=message(emulator, checkout(emulator)))
    joined = (await membership(emulator))[definition["id"]]
    assert joined["status"] == "realized"
    before = (await emulator.http.get("/emulator/clock")).json()["now"]
    await emulator.http.put("/emulator/clock", json={"advance": "PT25H"})
    emulator.forget_tokens()
    assert (await membership(emulator))[definition["id"]]["status"] == "exited"
    await emulator.http.put("/emulator/clock", json={"set": before})
    emulator.forget_tokens()
    assert (await membership(emulator))[definition["id"]]["status"] == "realized"


async def test_a_new_definition_finds_members_of_the_sample_and_of_records_that_came_before(emulator: Emulator) -> None:
    path = await inlet(emulator)
    await emulator.create("Other", CHECKOUT.replace("checkouts", "purchases"), evaluationInfo=STREAMING)
    await emulator.http.post(path, json=message(emulator, checkout(emulator)))
    definition = await emulator.create("Checkout", CHECKOUT, evaluationInfo=STREAMING)
    await emulator.http.post(path, json=message(emulator, checkout(emulator, "2", "other@luma.example")))
    assert (await membership(emulator))[definition["id"]]["status"] == "realized"


async def test_streaming_and_a_job_find_the_same_members(emulator: Emulator) -> None:
    path = await inlet(emulator)
    streamed = await emulator.create("Streamed", CHECKOUT, evaluationInfo=STREAMING)
    batch = await emulator.create("Batch", CHECKOUT)
    messages = [message(emulator, checkout(emulator, f"e{n}", f"n{n % 7}@luma.example")) for n in range(20)]
    answer = await emulator.http.post(path.replace("/collection/", "/collection/batch/"), json={"messages": messages})
    assert answer.status_code == 207
    assert all(set(one) == {"xactionId"} for one in answer.json()["responses"])
    job = (await emulator.call("POST", "/data/core/ups/segment/jobs", json=[{"segmentId": batch["id"]}])).json()
    done = await emulator.until(f"/data/core/ups/segment/jobs/{job['id']}", lambda one: one["status"] == "SUCCEEDED")
    counts = done["metrics"]["segmentedProfileCounter"]
    assert counts[batch["id"]] >= 7
    for number in range(7):
        ups = await membership(emulator, f"n{number}@luma.example")
        assert {ups[one["id"]]["status"] for one in (streamed, batch)} == {"realized"}


@pytest.mark.parity("ingestion.profile_record_merges", source="assumed")
async def test_attributes_of_a_known_profile_change_and_stay(emulator: Emulator) -> None:
    namespace = emulator.organizations[LUMA].namespace
    gold = await emulator.create(evaluationInfo=STREAMING)
    path = await inlet(emulator)
    identity = {"identityMap": {"Email": [{"id": "new@luma.example"}]}}
    for level in ("bronze", "gold"):
        entity = {**identity, namespace: {"loyalty": {"level": level}}, "person": {"gender": "female"}}
        answer = await emulator.http.post(f"{path}?syncValidation=true", json=message(emulator, entity, "profile"))
        assert answer.status_code == 200, answer.text
    assert (await membership(emulator))[gold["id"]]["status"] == "realized"


@pytest.mark.parity("ingestion.synchronous_validation", source="documents")
async def test_what_does_not_fit_the_schema_is_dropped_and_told_when_asked_for(emulator: Emulator) -> None:
    path = await inlet(emulator)
    wrong = {**checkout(emulator), "_id": 7, "eventTyp": "x", "commerce": {"order": {"priceTotal": "much"}}}
    answer = await emulator.http.post(f"{path}?syncValidation=true", json=message(emulator, wrong))
    assert answer.status_code == 400
    body = answer.json()
    assert body["title"] == "Invalid XDM Message Format"
    (validation,) = body["report"]["cause"]["_streamingValidation"]
    found = {(one["pointerToViolation"], one["message"]) for one in validation["causingExceptions"]}
    assert found == {
        ("#/_id", "expected type: String, found: Long"),
        ("#", "extraneous key [eventTyp] is not permitted"),
        ("#/commerce/order/priceTotal", "expected type: Number, found: String"),
    }
    assert (await emulator.http.post(path, json=message(emulator, wrong))).status_code == 200
    failed = (await emulator.http.get("/emulator/failed-records")).json()["failedRecords"]
    assert len(failed) == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"timestamp": "yesterday"}, "is not a valid date-time"),
        ({"identityMap": {"Nobody": [{"id": "x"}]}}, "unknown identity namespace"),
        ({"identityMap": {}}, "no identity"),
        ({"eventType": "x" * 10_001}, "10000 at most"),
    ],
)
async def test_a_record_is_refused_with_the_reason(emulator: Emulator, change: dict[str, Any], reason: str) -> None:
    path = await inlet(emulator)
    entity = {**checkout(emulator), **change}
    answer = await emulator.http.post(f"{path}?syncValidation=true", json=message(emulator, entity))
    assert answer.status_code == 400
    assert reason in answer.text


@pytest.mark.parity("ingestion.batch", source="documents")
async def test_messages_of_a_batch_fail_one_by_one(emulator: Emulator) -> None:
    path = (await inlet(emulator)).replace("/collection/", "/collection/batch/")
    good = message(emulator, checkout(emulator))
    foreign = message(emulator, checkout(emulator, "2"), imsOrgId="0000000000@AdobeOrg")
    answer = await emulator.http.post(path, json={"messages": [good, {"header": good["header"]}, foreign]})
    assert answer.status_code == 207
    first, second, third = answer.json()["responses"]
    assert first["xactionId"].endswith(":0")
    assert (second["statusCode"], third["statusCode"]) == (400, 400)
    assert second["message"].endswith("Message has unknown xdm format")
    assert third["message"].endswith("Message has an absent or wrong ims org in the header")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages": 3}', b'{"header": {}, "body": {"xdmEntity": []}}'])
async def test_a_body_of_another_shape_is_a_bad_request(emulator: Emulator, body: bytes) -> None:
    path = await inlet(emulator)
    for one in (path, path.replace("/collection/", "/collection/batch/")):
        assert (await emulator.http.post(one, content=body)).status_code == 400


async def test_records_of_one_organization_are_not_seen_by_another(emulator: Emulator) -> None:
    await emulator.http.post(await inlet(emulator), json=message(emulator, checkout(emulator)))
    query = {"schema.name": "_xdm.context.profile", "entityId": "new@luma.example", "entityIdNS": "Email"}
    for place in ({"organization": SOLSTICE}, {"sandbox": "dev"}):
        answer = await emulator.call("GET", "/data/core/ups/access/entities", params=query, **place)
        assert answer.status_code == 404


async def test_an_acknowledged_record_is_there_after_a_restart(start: Start) -> None:
    async with start() as emulator:
        definition = await emulator.create("Checkout", CHECKOUT, evaluationInfo=STREAMING)
        await emulator.http.post(await inlet(emulator), json=message(emulator, checkout(emulator)))
    async with start() as emulator:
        assert (await membership(emulator))[definition["id"]]["status"] == "realized"
        await emulator.http.put("/emulator/clock", json={"advance": "PT25H"})
        emulator.forget_tokens()
        assert (await membership(emulator))[definition["id"]]["status"] == "exited"


@pytest.mark.parity("ingestion.too_many_requests", source="assumed")
async def test_more_records_than_may_wait_are_refused_for_a_moment(start: Start) -> None:
    async with start() as emulator:
        path = (await inlet(emulator)).replace("/collection/", "/collection/batch/")
        entities = [checkout(emulator, f"e{number}") for number in range(1_000)]
        body = {"messages": [message(emulator, entity) for entity in entities]}
        answers = await asyncio.gather(*(emulator.http.post(path, json=body) for _ in range(4)))
        refused = [one for answer in answers for one in answer.json().get("responses", []) if "statusCode" in one]
        whole = [answer for answer in answers if answer.status_code == 429]
        assert all(one["statusCode"] == 429 for one in refused)
        assert all(answer.headers["retry-after"] == "1" for answer in whole)
        assert 1_000 <= len(refused) + 1_000 * len(whole) <= 4_000 - MAX_WAITING


async def test_a_streaming_rule_about_other_segments_is_evaluated_by_jobs(
    emulator: Emulator,
) -> None:
    checkouts = await emulator.create("Checkout", CHECKOUT, evaluationInfo=STREAMING)
    both = await emulator.create("Both", f'inSegment("{checkouts["id"]}")', evaluationInfo=STREAMING)
    assert both["evaluationInfo"] == STREAMING
    with structlog.testing.capture_logs() as logs:
        await emulator.http.post(await inlet(emulator), json=message(emulator, checkout(emulator)))
    told = [one["segment_id"] for one in logs if one["event"] == "emulator.evaluated_by_jobs_only"]
    assert both["id"] in told
    job = (await emulator.call("POST", "/data/core/ups/segment/jobs", json=[{"segmentId": "*"}])).json()
    await emulator.until(f"/data/core/ups/segment/jobs/{job['id']}", lambda one: one["status"] == "SUCCEEDED")
    found = await membership(emulator)
    assert {found[one["id"]]["status"] for one in (checkouts, both)} == {"realized"}


@pytest.mark.parity("ingestion.identities_of_a_record", source="documents", note="that the record is dropped: assumed")
@pytest.mark.parametrize(("identities", "status"), [(50, 200), (51, 400)])
async def test_a_record_has_fifty_identities_at_most(emulator: Emulator, identities: int, status: int) -> None:
    many = [{"id": f"many-{number}@luma.example", "primary": number == 0} for number in range(identities)]
    sent = message(emulator, {"identityMap": {"Email": many}, "person": {"gender": "female"}}, "profile")
    path = await inlet(emulator)
    answer = await emulator.http.post(path, json=sent, params={"syncValidation": "true"})
    assert answer.status_code == status, answer.text
    params = {"schema.name": "_xdm.context.profile", "entityId": "many-0@luma.example", "entityIdNS": "Email"}
    found = await emulator.call("GET", "/data/core/ups/access/entities", params=params)
    assert found.status_code == (200 if status == 200 else 404)
