"""Sandboxes that are made, changed, reset and deleted while the emulator runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.aep import paths
from app.emulator import organizations
from tests.emulator.conftest import LUMA, SOLSTICE, Emulator, Start, configure, own_samples

PLAY = {"name": "play", "title": "Play", "type": "development"}
ONE = f"{paths.SANDBOXES}/play"


@pytest.fixture
async def emulator(start: Start, state_folder: Path) -> AsyncIterator[Emulator]:
    own_samples(state_folder)
    async with start(scheduler_poll_s=600) as running_emulator:
        yield running_emulator


async def made(emulator: Emulator, **changes: Any) -> dict[str, Any]:
    answer = await emulator.call("POST", paths.SANDBOXES, json=PLAY | changes)
    assert answer.status_code == 202, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def rows(emulator: Emulator, sandbox: str) -> str:
    """Return how many profiles a sandbox has."""
    total: str = (await emulator.call("GET", paths.PREVIEW_SAMPLE_STATUS, sandbox=sandbox)).json()["totalRows"]
    return total


async def ingest(emulator: Emulator, sandbox: str, email: str) -> None:
    query = {"imsOrgId": emulator.organizations[LUMA].org_id, "sandbox": sandbox}
    (inlet,) = (await emulator.http.get("/emulator/inlets", params=query)).json()["inlets"]
    body = {"identityMap": {"Email": [{"id": email, "primary": True}]}, "person": {"gender": "female"}}
    message = {
        "header": {
            "imsOrgId": query["imsOrgId"],
            "schemaRef": {
                "id": "https://ns.adobe.com/x/profile",
                "contentType": "application/vnd.adobe.xed+json;version=1",
            },
        },
        "body": {
            "xdmMeta": {"schemaRef": {"id": "https://ns.adobe.com/x/profile", "contentType": "application/json"}},
            "xdmEntity": body,
        },
    }
    sent = await emulator.http.post(inlet["path"], json=message, params={"syncValidation": "true"})
    assert sent.status_code == 200, sent.text


@pytest.mark.parity("sandboxes.create", source="openapi", note="the work is done when the answer comes")
async def test_a_sandbox_is_made_empty_and_can_be_used_at_once(emulator: Emulator) -> None:
    answer = await made(emulator)
    assert {name: answer[name] for name in PLAY} == PLAY
    assert (answer["state"], answer["isDefault"], answer["etag"]) == ("creating", False, 1)
    shown = (await emulator.call("GET", ONE)).json()
    assert shown == answer | {"state": "active"}
    assert shown["createdDate"] == "2026-03-01 12:00:00"
    assert await rows(emulator, "play") == "0"
    definition = await emulator.create("Women", 'person.gender = "female"', sandbox="play")
    assert definition["sandbox"]["sandboxId"] == answer["id"]
    await ingest(emulator, "play", "new@luma.example")
    job = await emulator.call("POST", paths.SEGMENT_JOBS, json=[{"segmentId": definition["id"]}], sandbox="play")
    path = f"{paths.SEGMENT_JOBS}/{job.json()['id']}"
    done = await emulator.until(path, lambda body: body["status"] == "SUCCEEDED", sandbox="play")
    assert done["metrics"]["segmentedProfileCounter"] == {definition["id"]: 1}


@pytest.mark.parity("sandboxes.names_are_unique_in_an_organization", source="documents")
async def test_a_name_is_taken_in_its_organization_only(emulator: Emulator) -> None:
    await made(emulator)
    assert (await emulator.call("POST", paths.SANDBOXES, json=PLAY)).status_code == 409
    assert (await emulator.call("POST", paths.SANDBOXES, json=PLAY, organization=SOLSTICE)).status_code == 202


@pytest.mark.parity("sandboxes.create_needs_three_members", source="openapi")
@pytest.mark.parametrize(
    "change", [{"name": "With Blanks"}, {"name": None}, {"title": None}, {"type": "staging"}, {"type": None}]
)
async def test_a_sandbox_needs_a_name_a_title_and_a_type(emulator: Emulator, change: dict[str, Any]) -> None:
    body = {name: value for name, value in (PLAY | change).items() if value is not None}
    assert (await emulator.call("POST", paths.SANDBOXES, json=body)).status_code == 400
    assert len((await emulator.call("GET", paths.SANDBOXES)).json()["sandboxes"]) == 2


@pytest.mark.parity("sandboxes.limit", source="documents", note="the status and the message are assumed")
async def test_an_organization_has_a_limit_of_sandboxes(emulator: Emulator) -> None:
    await emulator.http.put("/emulator/guardrails", json={"sandboxes": 3})
    await made(emulator)
    refused = await emulator.call("POST", paths.SANDBOXES, json=PLAY | {"name": "another"})
    assert refused.status_code == 400
    assert "its limit is 3" in refused.json()["title"]


@pytest.mark.parity("sandboxes.rename", source="openapi")
async def test_a_title_can_be_changed(emulator: Emulator) -> None:
    await made(emulator)
    changed = await emulator.call("PATCH", ONE, json={"title": "Playground"})
    assert (changed.status_code, changed.json()["title"], changed.json()["etag"]) == (200, "Playground", 2)
    assert (await emulator.call("PATCH", ONE, json={})).status_code == 400
    assert (await emulator.call("PATCH", f"{paths.SANDBOXES}/none", json={"title": "x"})).status_code == 404


@pytest.mark.parity("sandboxes.reset", source="documents", note="the work is done when the answer comes")
async def test_a_reset_empties_a_sandbox_for_good(start: Start, state_folder: Path) -> None:
    own_samples(state_folder)
    async with start(scheduler_poll_s=600) as emulator:
        before = (await emulator.call("GET", f"{paths.SANDBOXES}/dev")).json()
        await emulator.create("Old", sandbox="dev")
        await ingest(emulator, "dev", "old@luma.example")
        assert await rows(emulator, "dev") == "101"
        reset = await emulator.call("PUT", f"{paths.SANDBOXES}/dev", json={"action": "reset"})
        assert (reset.status_code, reset.json()["state"], reset.json()["id"]) == (202, "resetting", before["id"])
        assert (await emulator.call("GET", f"{paths.SANDBOXES}/dev")).json()["state"] == "active"
    async with start(scheduler_poll_s=600) as emulator:
        assert await rows(emulator, "dev") == "0"
        assert await rows(emulator, "prod") == "1000"
        listed = await emulator.call("GET", paths.SEGMENT_DEFINITIONS, sandbox="dev")
        assert listed.json()["segments"] == []
        wrong = await emulator.call("PUT", f"{paths.SANDBOXES}/dev", json={"action": "polish"})
        assert wrong.status_code == 400


@pytest.mark.parity("sandboxes.delete", source="documents", note="the work is done when the answer comes")
async def test_what_comes_after_under_the_same_name_has_nothing_of_before(emulator: Emulator) -> None:
    first = await made(emulator)
    old = await emulator.create("Old", sandbox="play")
    await ingest(emulator, "play", "old@luma.example")
    deleted = await emulator.call("DELETE", ONE)
    assert (deleted.status_code, deleted.json()["state"]) == (202, "deleting")
    assert (await emulator.call("GET", ONE)).status_code == 404
    assert (await emulator.call("GET", paths.SEGMENT_DEFINITIONS, sandbox="play")).status_code == 404
    assert (await made(emulator))["id"] != first["id"]
    assert await rows(emulator, "play") == "0"
    gone = await emulator.call("GET", f"{paths.SEGMENT_DEFINITIONS}/{old['id']}", sandbox="play")
    assert gone.status_code == 404


@pytest.mark.parity("sandboxes.the_default_one_stays", source="documents", note="the status is assumed")
async def test_the_default_sandbox_can_be_neither_reset_nor_deleted(emulator: Emulator) -> None:
    await emulator.create("Kept")
    assert (await emulator.call("PUT", f"{paths.SANDBOXES}/prod", json={"action": "reset"})).status_code == 400
    assert (await emulator.call("DELETE", f"{paths.SANDBOXES}/prod")).status_code == 400
    assert len((await emulator.call("GET", paths.SEGMENT_DEFINITIONS)).json()["segments"]) == 1


@pytest.mark.parity("sandboxes.permission", source="documents")
async def test_changes_need_the_right_to_manage_sandboxes(start: Start, state_folder: Path) -> None:
    own_samples(state_folder)
    configure(state_folder, permissions=["View Sandboxes", "Manage Segments"])
    async with start(scheduler_poll_s=600) as emulator:
        for method, path, body in (
            ("POST", paths.SANDBOXES, PLAY),
            ("PATCH", f"{paths.SANDBOXES}/dev", {"title": "Mine"}),
            ("PUT", f"{paths.SANDBOXES}/dev", {"action": "reset"}),
            ("DELETE", f"{paths.SANDBOXES}/dev", None),
        ):
            assert (await emulator.call(method, path, json=body)).status_code == 403, method
        assert await rows_of_file(state_folder) == [("prod", "Prod"), ("dev", "Development")]


async def rows_of_file(state_folder: Path) -> list[tuple[str, str]]:
    known = organizations.load_or_create(state_folder).all()[LUMA]
    return [(one.name, one.title) for one in known.sandboxes]


@pytest.mark.parity("sandboxes.audit", source="documents", note="in the log of the default sandbox: assumed")
async def test_changes_of_sandboxes_stand_in_the_audit_log(emulator: Emulator) -> None:
    await made(emulator)
    await emulator.call("PUT", ONE, json={"action": "reset"})
    await emulator.call("DELETE", ONE)
    params = {"property": "assetType==Sandbox", "orderBy": "+timestamp"}
    body = (await emulator.call("GET", "/data/foundation/audit/events", params=params)).json()
    events = body["_embedded"]["events"]
    assert sorted((one["action"], one["assetId"]) for one in events) == [
        ("Create", "play"),
        ("Delete", "play"),
        ("Reset", "play"),
    ]
    assert {one["status"] for one in events} == {"Allow"}


@pytest.mark.parametrize("state", ["resetting", "deleting"])
async def test_a_start_finishes_what_a_kill_cut_short(start: Start, state_folder: Path, state: str) -> None:
    own_samples(state_folder)
    async with start(scheduler_poll_s=600) as emulator:
        await emulator.create("Old", sandbox="dev")
    path = state_folder / organizations.FILE_NAME
    document = json.loads(path.read_bytes())
    document[LUMA]["sandboxes"][1]["state"] = state
    path.write_text(json.dumps(document))
    async with start(scheduler_poll_s=600) as emulator:
        if state == "deleting":
            assert (await emulator.call("GET", f"{paths.SANDBOXES}/dev")).status_code == 404
            await made(emulator, name="dev")
        assert await rows(emulator, "dev") == "0"
        assert (await emulator.call("GET", paths.SEGMENT_DEFINITIONS, sandbox="dev")).json()["segments"] == []


async def test_a_deletion_leaves_the_samples_of_the_others_as_they_are(start: Start, state_folder: Path) -> None:
    own_samples(state_folder)
    path = state_folder / organizations.FILE_NAME
    document = json.loads(path.read_bytes())
    # The seed of a sandbox follows from its place: the third one moves up when the second is deleted.
    third = document[LUMA]["sandboxes"][1] | {"name": "test", "id": "11111111-2222-3333-4444-555555555555"}
    document[LUMA]["sandboxes"].append(third)
    path.write_text(json.dumps(document))
    async with start(scheduler_poll_s=600) as emulator:
        await ingest(emulator, "test", "kept@luma.example")
        assert await rows(emulator, "test") == "101"
        assert (await emulator.call("DELETE", f"{paths.SANDBOXES}/dev")).status_code == 202
    async with start(scheduler_poll_s=600) as emulator:
        assert await rows(emulator, "test") == "101"


async def test_names_with_dashes_never_share_a_file(start: Start, state_folder: Path) -> None:
    own_samples(state_folder)
    path = state_folder / organizations.FILE_NAME
    document = json.loads(path.read_bytes())
    document[LUMA]["slug"], document[SOLSTICE]["slug"] = "luma", "luma-eu"
    path.write_text(json.dumps(document))
    async with start(scheduler_poll_s=600) as emulator:
        await made(emulator, name="eu-prod")
        assert (await rows(emulator, "eu-prod"), await rows(emulator, "prod")) == ("0", "1000")
        status = await emulator.call("GET", paths.PREVIEW_SAMPLE_STATUS, organization=SOLSTICE)
        assert status.json()["totalRows"] == "1000"
