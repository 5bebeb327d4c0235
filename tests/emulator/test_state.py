"""What is acknowledged stays, one name is taken once, and no row is reached without saying whose it is."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.aep.paging import SortKey
from app.emulator.state import FILE_NAME, AudienceChange, AudienceQuery, State, WorkQuery
from app.errors import Conflict, InternalError, InvalidRequest, NotFound

BY_NAME = (SortKey("name", descending=False),)


def _audience(identifier: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": identifier,
        "audienceId": identifier,
        "name": name,
        "namespace": "AEPSegments",
        "type": "SegmentDefinition",
        "evaluationInfo": {"batch": {"enabled": True}},
        "creationTime": 1,
        "updateTime": 1,
        **more,
    }


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    opened = State(tmp_path / FILE_NAME)
    yield opened
    opened.close()


async def test_the_file_syncs_every_commit_and_is_private(state: State, tmp_path: Path) -> None:
    pragmas = await state._database.read(
        lambda connection: [
            connection.execute(f"PRAGMA {one}").fetchone()[0] for one in ("synchronous", "journal_mode")
        ]
    )
    assert pragmas == [2, "wal"]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


async def test_a_second_process_is_refused(state: State, tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="cannot be used"):
        await asyncio.to_thread(State, tmp_path / FILE_NAME)


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(InternalError, match="newer version"):
        State(tmp_path / FILE_NAME)


@pytest.mark.parametrize(("org_id", "sandbox"), [("", "prod"), ("a@AdobeOrg", "")])
async def test_a_store_needs_an_owner(state: State, org_id: str, sandbox: str) -> None:
    with pytest.raises(InternalError):
        state.store(org_id, sandbox)


async def test_every_statement_about_rows_names_their_owner(state: State) -> None:
    """The lock behind the lock: whatever a store runs, both owner columns stand in it."""
    store, seen = state.store("a@AdobeOrg", "prod"), list[str]()
    await state._database.read(lambda connection: connection.set_trace_callback(seen.append))
    await store.add_audience(_audience("2", "two"))
    await store.add_audience(_audience("1", "one"), uses=["2"])
    await store.audiences(AudienceQuery(BY_NAME, 0, 10, platform_only=True, methods=("batch",)))
    await store.audiences(AudienceQuery(BY_NAME, 0, 10, keep=lambda _: True))
    await store.audience("1")
    await store.change_audience("1", lambda stored: stored, uses=[])
    await store.add_work("job", "w", "NEW", {"status": "NEW"}, now_ms=1)
    await store.work("job", "w")
    await store.works("job", WorkQuery((SortKey("creationTime", descending=True),), 0, 10))
    await store.works_in_state("job", ["NEW"])
    await store.change_work("job", "w", lambda stored: stored, state_member="status", now_ms=2)
    await store.finish_job("job", "w", lambda stored: {**stored, "status": "DONE"}, {"1": {}}, now_ms=3)
    await store.set_metrics("recordMetrics", {"1": {}})
    await store.metrics(["1"])
    await store.count_audiences()
    await store.audiences_by_key("aam", ["1"])
    await store.add_audit_event({}, at_ms=1, keep_from_ms=0)
    await store.audit_events(from_ms=0, to_ms=2)
    await store.delete_work("job", "w")
    await store.delete_audience("1")
    await state._database.read(lambda connection: connection.set_trace_callback(None))
    statements = [text for text in seen if not text.startswith(("BEGIN", "COMMIT"))]
    assert len(statements) > 20
    for text in statements:
        assert "a@AdobeOrg" in text, text
        assert "'prod'" in text, text


async def test_names_are_unique_among_definitions_of_one_place(state: State) -> None:
    store = state.store("a@AdobeOrg", "prod")
    await store.add_audience(_audience("1", "same"))
    with pytest.raises(Conflict):
        await store.add_audience(_audience("2", "same"))
    await state.store("a@AdobeOrg", "dev").add_audience(_audience("1", "same"))
    await state.store("b@AdobeOrg", "prod").add_audience(_audience("1", "same"))
    external = _audience("3", "same", type="ExternalSegment", evaluationInfo=None)
    await store.add_audience(external)


async def test_a_refused_change_leaves_everything_as_it_was(state: State) -> None:
    store = state.store("a@AdobeOrg", "prod")
    await store.add_audience(_audience("1", "one"))
    await store.add_audience(_audience("2", "two"))
    with pytest.raises(Conflict):
        await store.change_audience("2", lambda stored: {**stored, "name": "one"}, uses=["1"])
    with pytest.raises(NotFound):
        await store.change_audience("3", lambda stored: stored)
    found = await store.audience("2")
    assert found is not None
    assert (found["name"], found["dependencies"]) == ("two", [])


async def test_dependents_stand_in_the_way_of_deletion(state: State) -> None:
    store = state.store("a@AdobeOrg", "prod")
    await store.add_audience(_audience("used", "used"))
    await store.add_audience(_audience("user", "user"), uses=["used"])
    used, user = await store.audience("used"), await store.audience("user")
    assert used is not None
    assert user is not None
    assert (used["dependents"], used["dependencies"]) == (["user"], [])
    assert (user["dependents"], user["dependencies"]) == ([], ["used"])
    with pytest.raises(Conflict, match="user"):
        await store.delete_audience("used")
    await store.delete_audience("user")
    await store.delete_audience("used")


async def test_what_is_used_must_be_there_and_must_not_use_the_user(state: State) -> None:
    store = state.store("a@AdobeOrg", "prod")
    with pytest.raises(InvalidRequest, match="not found: 9"):
        await store.add_audience(_audience("0", "zero"), uses=["9"])
    assert await store.audience("0") is None
    await store.add_audience(_audience("0", "0"))
    for number in range(1, 6):
        await store.add_audience(_audience(f"{number}", f"{number}"), uses=[f"{number - 1}"])
    with pytest.raises(InvalidRequest, match="5 deep"):
        await store.add_audience(_audience("6", "6"), uses=["5"])
    for used in ("0", "3", "5"):
        with pytest.raises(InvalidRequest, match="its own audience"):
            await store.change_audience("0", lambda stored: stored, uses=[used])


async def test_pages_never_overlap_when_times_are_equal(state: State) -> None:
    store = state.store("a@AdobeOrg", "prod")
    for number in range(9):
        await store.add_audience(_audience(f"{number}", f"name {number}"))
    by_time = (SortKey("creationTime", descending=True),)
    pages = [await store.audiences(AudienceQuery(by_time, offset, 2)) for offset in range(0, 10, 2)]
    ids = [document["id"] for page, _ in pages for document in page]
    assert sorted(ids) == [f"{number}" for number in range(9)]
    assert {total for _, total in pages} == {9}


async def test_metrics_of_deleted_segments_are_not_kept(state: State) -> None:
    store = state.store("a@AdobeOrg", "prod")
    await store.add_work("job", "w", "NEW", {"status": "NEW"}, now_ms=1)
    await store.finish_job(
        "job",
        "w",
        lambda stored: {**stored, "status": "DONE"},
        {"gone": {"data": {}}},
        now_ms=2,
    )
    assert await store.metrics(["gone"]) == {}


async def test_revoked_tokens_are_forgotten_when_they_are_over(state: State) -> None:
    await state.revoke_token("old", expires_ms=10, now_ms=5)
    await state.revoke_token("new", expires_ms=100, now_ms=20)
    assert await state.revoked_tokens() == {"new"}


async def test_a_file_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    state = State(tmp_path / FILE_NAME)
    await state.revoke_token("kept", 10, 0)
    state.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        for table in ("setting", "audit_event", "audience_metric"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    state = State(tmp_path / FILE_NAME)
    await state.set_setting("clock", b"x")
    assert (await state.revoked_tokens(), await state.setting("clock")) == ({"kept"}, b"x")
    await state.set_setting("clock", None)
    assert await state.setting("clock") is None
    state.close()


async def test_listeners_hear_of_every_change_of_an_audience_and_of_none_that_failed(state: State) -> None:
    heard: list[AudienceChange] = []

    async def fail(_change: AudienceChange) -> None:
        raise RuntimeError("a listener broke")

    async def hear(change: AudienceChange) -> None:
        heard.append(change)

    state.listen_to_audiences(fail)
    state.listen_to_audiences(hear)
    store = state.store("a@AdobeOrg", "prod")
    await store.add_audience(_audience("1", "one"))
    with pytest.raises(Conflict):
        await store.add_audience(_audience("2", "one"))
    await store.change_audience("1", lambda stored: stored)
    with pytest.raises(NotFound):
        await store.delete_audience("2")
    await store.delete_audience("1")
    change = AudienceChange("a@AdobeOrg", "prod", "1")
    assert heard == [change, change, replace(change, is_deleted=True)]
