"""Data files: made whole or not at all, opened fast, closed to everything else, stopped on request."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from app.evaluation import luma
from app.evaluation.dataset import Connection, Dataset, Limits, Progress
from app.evaluation.errors import DatasetUnreadable, EvaluationTimedOut, EvaluationTooLarge
from app.evaluation.luma import SampleSpec, Step
from tests.evaluation.conftest import AS_OF, NAMESPACE

SMALL = SampleSpec(200, 3, AS_OF)
ENDLESS = "SELECT count(*) FROM range(1000000) AS a(x), range(1000000) AS b(y) WHERE (x * y) % 7 = 3"


def endless(connection: Connection) -> object:
    return connection.execute(ENDLESS).fetchall()


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_missing_file_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnreadable, match="no data set"):
        await Dataset.open(tmp_path / "none")
    assert entries(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"not a database", b"\x00" * 20_000])
async def test_a_file_that_is_no_data_set_cannot_be_opened(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd").write_bytes(content)
    with pytest.raises(DatasetUnreadable):
        await Dataset.open(tmp_path / "odd")


async def test_a_database_of_somebody_else_cannot_be_opened(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "theirs")) as connection:
        connection.execute("CREATE TABLE t (x INTEGER)")
    with pytest.raises(DatasetUnreadable, match="no description"):
        await Dataset.open(tmp_path / "theirs")


async def test_a_file_of_another_format_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "luma"
    await (await Dataset.create(path, NAMESPACE, SMALL)).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE description SET format = 0")
    with pytest.raises(DatasetUnreadable, match="another version"):
        await Dataset.open(path)
    dataset = await Dataset.open_or_create(path, NAMESPACE, SMALL)
    assert dataset.profiles == 200
    await dataset.close()


async def test_a_file_is_made_once_and_then_opened(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "luma"
    await (await Dataset.open_or_create(path, NAMESPACE, SMALL)).close()
    made = path.stat().st_mtime_ns
    later = replace(SMALL, as_of=AS_OF.replace(year=2026))
    dataset = await Dataset.open_or_create(path, NAMESPACE, later)
    assert (dataset.spec, path.stat().st_mtime_ns) == (SMALL, made)
    assert entries(path.parent) == ["luma"]
    await dataset.close()


@pytest.mark.parametrize(
    ("namespace", "spec"),
    [("_other", SMALL), (NAMESPACE, replace(SMALL, profiles=201)), (NAMESPACE, replace(SMALL, seed=4))],
)
async def test_a_sample_of_other_inputs_replaces_the_file(tmp_path: Path, namespace: str, spec: SampleSpec) -> None:
    path = tmp_path / "luma"
    await (await Dataset.create(path, NAMESPACE, SMALL)).close()
    dataset = await Dataset.open_or_create(path, namespace, spec)
    assert (dataset.namespace, dataset.spec) == (namespace, spec)
    await dataset.close()


async def test_progress_runs_from_nothing_to_all_on_the_event_loop(tmp_path: Path) -> None:
    seen: list[Progress] = []
    threads: set[int] = set()

    def note(progress: Progress) -> None:
        seen.append(progress)
        threads.add(threading.get_ident())

    await (await Dataset.create(tmp_path / "luma", NAMESPACE, SMALL, on_progress=note)).close()
    total = luma.count_steps(SMALL)
    assert [progress.done for progress in seen] == list(range(total + 1))
    assert {progress.total for progress in seen} == {total}
    assert threads == {threading.get_ident()}


async def test_a_build_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "luma"
    await (await Dataset.create(path, NAMESPACE, SMALL)).close()
    before = path.read_bytes()
    monkeypatch.setattr(luma, "steps", lambda spec: iter([Step("broken", "SELECT error('no room')")]))
    with pytest.raises(duckdb.InvalidInputException, match="no room"):
        await Dataset.create(path, NAMESPACE, SMALL)
    assert path.read_bytes() == before
    assert entries(tmp_path) == ["luma"]


async def test_a_cancelled_build_stops_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(luma, "steps", lambda spec: iter([Step("endless", ENDLESS)]))
    begun = asyncio.Event()
    build = asyncio.create_task(Dataset.create(tmp_path / "luma", NAMESPACE, SMALL, on_progress=lambda _: begun.set()))
    await begun.wait()
    build.cancel()
    with pytest.raises(asyncio.CancelledError):
        await build
    assert entries(tmp_path) == []


async def test_what_a_killed_build_left_is_no_obstacle(tmp_path: Path) -> None:
    leftover = tmp_path / "luma.building"
    leftover.mkdir()
    (leftover / "luma").write_bytes(b"half a file")
    await (await Dataset.create(tmp_path / "luma", NAMESPACE, SMALL)).close()
    assert entries(tmp_path) == ["luma"]


async def test_a_cancelled_query_has_ended_when_the_caller_goes_on(dataset: Dataset) -> None:
    loop, begun, ended = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def work(connection: Connection) -> object:
        loop.call_soon_threadsafe(begun.set)
        try:
            return endless(connection)
        finally:
            ended.set()

    query = asyncio.create_task(dataset.run(work))
    await begun.wait()
    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query
    assert ended.is_set()


async def test_cancelling_twice_still_waits_for_the_end(dataset: Dataset) -> None:
    loop, begun, ended = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def work(connection: Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        with contextlib.suppress(duckdb.InterruptException):
            endless(connection)
        time.sleep(0.05)
        ended.set()

    query = asyncio.create_task(dataset.run(work))
    await begun.wait()
    for _ in range(3):
        query.cancel()
        await asyncio.sleep(0.005)
    with pytest.raises(asyncio.CancelledError):
        await query
    assert ended.is_set()


async def test_a_query_that_waits_in_line_can_be_cancelled(tmp_path: Path) -> None:
    await (await Dataset.create(tmp_path / "luma", NAMESPACE, SMALL)).close()
    dataset = await Dataset.open(tmp_path / "luma", limits=Limits(concurrency=1))
    first = asyncio.create_task(dataset.run(endless))
    waiting = asyncio.create_task(dataset.run(lambda _: pytest.fail("ran although it was cancelled")))
    await asyncio.sleep(0.02)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not first.done()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await dataset.close()


async def test_the_event_loop_is_free_while_a_query_runs(dataset: Dataset) -> None:
    query = asyncio.create_task(dataset.run(endless))
    longest = 0.0
    for _ in range(20):
        before = time.perf_counter()
        await asyncio.sleep(0.005)
        longest = max(longest, time.perf_counter() - before)
    query.cancel()
    with pytest.raises(asyncio.CancelledError):
        await query
    assert longest < 0.5


async def test_a_query_over_its_time_is_stopped(dataset: Dataset) -> None:
    with pytest.raises(EvaluationTimedOut, match=r"stopped after 0\.05 s") as caught:
        await dataset.run(endless, timeout_s=0.05)
    assert (caught.value.code, caught.value.retryable) == ("EVALUATION_TIMED_OUT", True)


async def test_a_data_set_answers_after_a_query_was_stopped(dataset: Dataset) -> None:
    with pytest.raises(EvaluationTimedOut):
        await dataset.run(endless, timeout_s=0.02)
    assert await dataset.run(lambda connection: connection.execute("SELECT 1").fetchall()) == [(1,)]


async def test_a_query_over_its_memory_is_stopped(tmp_path: Path) -> None:
    await (await Dataset.create(tmp_path / "luma", NAMESPACE, SMALL)).close()
    dataset = await Dataset.open(tmp_path / "luma", limits=Limits(memory_mb=20))
    with pytest.raises(EvaluationTooLarge, match="20 MB"):
        await dataset.run(
            lambda connection: connection.execute("SELECT list(x) FROM range(20000000) AS r(x)").fetchall()
        )
    await dataset.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY profiles TO '/tmp/profiles.csv'",
        "ATTACH ':memory:' AS elsewhere; ATTACH '/tmp/elsewhere.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "DELETE FROM profiles",
        "CREATE TABLE mine (x INTEGER)",
    ],
)
async def test_statements_cannot_leave_the_file_or_change_it(dataset: Dataset, statement: str) -> None:
    with pytest.raises(duckdb.Error):
        await dataset.run(lambda connection: connection.execute(statement).fetchall())


async def test_two_data_sets_may_read_one_file(dataset: Dataset) -> None:
    other = await Dataset.open(dataset.path)
    assert other.profiles == dataset.profiles
    await other.close()
