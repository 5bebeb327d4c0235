"""Memberships: what jobs and single changes say is kept, with its times, over restarts and kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyroaring import BitMap

from app.errors import InternalError
from app.evaluation import memberships as store
from app.evaluation.memberships import MembershipChange, Memberships, Replaced, Standing, Status

Open = Callable[[], Memberships]


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Open]:
    """Open the file, after closing the one that was open."""
    opened: list[Memberships] = []

    def again() -> Memberships:
        for one in opened:
            one.close()
        opened.append(Memberships(tmp_path / "place" / "memberships.sqlite3"))
        return opened[-1]

    yield again
    for one in opened:
        one.close()


def change(segment_id: str, profile_no: int, status: Status, at_ms: int) -> MembershipChange:
    return MembershipChange(segment_id, profile_no, status, at_ms)


def test_a_segment_that_was_never_evaluated_has_no_members(reopen: Open) -> None:
    kept = reopen()
    members = kept.members("a")
    assert (set(members.realized), set(members.exited), members.run_id) == (set(), set(), "")
    assert kept.standing("a", 1) is None
    assert kept.of_profile(1) == {}
    assert kept.segment_ids() == ()


def test_a_job_tells_who_entered_and_who_left(reopen: Open) -> None:
    kept = reopen()
    assert kept.replace({"a": BitMap([1, 2, 3])}, run_id="r1", at_ms=100) == {
        "a": Replaced(3, BitMap([1, 2, 3]), BitMap())
    }
    assert kept.replace({"a": BitMap([3, 4])}, run_id="r2", at_ms=200) == {
        "a": Replaced(2, BitMap([4]), BitMap([1, 2]))
    }
    members = reopen().members("a")
    assert (set(members.realized), set(members.exited)) == ({3, 4}, {1, 2})
    assert (members.run_id, members.evaluated_ms) == ("r2", 200)


def test_times_are_those_of_the_latest_change_of_status(reopen: Open) -> None:
    kept = reopen()
    for at_ms, found in ((100, [1, 2]), (200, [2, 3]), (300, [1, 2]), (400, [1, 2])):
        kept.replace({"a": BitMap(found)}, run_id=str(at_ms), at_ms=at_ms)
    kept = reopen()
    assert kept.standing("a", 1) == Standing("realized", 300)
    assert kept.standing("a", 2) == Standing("realized", 100)
    assert kept.standing("a", 3) == Standing("exited", 300)
    assert kept.standing("a", 4) is None


def test_a_run_that_is_repeated_changes_nothing_and_reports_the_same(reopen: Open) -> None:
    kept = reopen()
    kept.replace({"a": BitMap([1, 2])}, run_id="r1", at_ms=100)
    first = kept.replace({"a": BitMap([2, 3])}, run_id="r2", at_ms=200)
    version = kept.version
    kept = reopen()
    assert kept.replace({"a": BitMap([9])}, run_id="r2", at_ms=250) == first
    assert (kept.version, set(kept.members("a").realized)) == (version, {2, 3})
    unchanged = kept.replace({"a": BitMap([2, 3])}, run_id="r3", at_ms=300)
    assert unchanged == kept.replace({"a": BitMap()}, run_id="r3", at_ms=300) == {"a": Replaced(2, BitMap(), BitMap())}


def test_single_changes_that_change_nothing_are_left_out(reopen: Open) -> None:
    kept = reopen()
    joined, left = change("a", 1, "realized", 10), change("a", 1, "exited", 20)
    assert kept.apply([change("a", 1, "exited", 5), joined, change("a", 1, "realized", 11), left, left]) == [
        joined,
        left,
    ]
    assert reopen().standing("a", 1) == Standing("exited", 20)


def test_single_changes_come_on_top_of_the_last_job(reopen: Open) -> None:
    kept = reopen()
    kept.replace({"a": BitMap([1, 2])}, run_id="r1", at_ms=100)
    kept.apply([change("a", 2, "exited", 150), change("a", 3, "realized", 160), change("b", 3, "realized", 160)])
    kept = reopen()
    assert (set(kept.members("a").realized), set(kept.members("a").exited)) == ({1, 3}, {2})
    assert kept.of_profile(3) == {"a": Standing("realized", 160), "b": Standing("realized", 160)}
    assert kept.of_profile(2) == {"a": Standing("exited", 150)}
    assert kept.segment_ids() == ("a", "b")


def test_a_job_overtakes_earlier_single_changes_and_keeps_later_ones(reopen: Open) -> None:
    kept = reopen()
    kept.apply([change("a", 1, "realized", 10), change("a", 2, "realized", 20)])
    began = kept.version
    kept.apply([change("a", 3, "realized", 30), change("a", 4, "realized", 30), change("a", 4, "exited", 40)])
    replaced = kept.replace({"a": BitMap([2, 4, 5])}, run_id="r1", at_ms=50, since=began)
    assert replaced == {"a": Replaced(3, BitMap([5]), BitMap([1]))}
    kept = reopen()
    assert kept.of_profile(1) == {"a": Standing("exited", 50)}
    assert kept.of_profile(2) == {"a": Standing("realized", 20)}
    assert kept.of_profile(3) == {"a": Standing("realized", 30)}
    assert kept.of_profile(4) == {"a": Standing("exited", 40)}
    assert kept.of_profile(5) == {"a": Standing("realized", 50)}


def test_what_was_read_does_not_change_and_cannot_change_what_is_kept(reopen: Open) -> None:
    kept = reopen()
    kept.replace({"a": BitMap([1, 2])}, run_id="r1", at_ms=100)
    members = kept.members("a")
    kept.apply([change("a", 2, "exited", 150)])
    members.realized.add(7)
    assert set(members.realized) == {1, 2, 7}
    assert set(kept.members("a").realized) == {1}


def test_deleted_segments_are_forgotten(reopen: Open) -> None:
    kept = reopen()
    kept.replace({"a": BitMap([1]), "b": BitMap([1])}, run_id="r1", at_ms=100)
    kept.apply([change("a", 2, "realized", 110)])
    kept.delete(["a", "unknown"])
    assert kept.of_profile(1) == {"b": Standing("realized", 100)}
    assert reopen().segment_ids() == ("b",)


def test_many_runs_keep_times_and_a_bounded_number_of_strata(reopen: Open) -> None:
    kept, draw = reopen(), random.Random(7)
    since: dict[int, Standing] = {}
    for run in range(1, 100):
        found = {profile for profile in range(60) if draw.random() < 0.5}
        for profile in range(60):
            status = "realized" if profile in found else "exited"
            if (profile in found or profile in since) and since.get(profile, Standing("exited", 0)).status != status:
                since[profile] = Standing(status, run)
        kept.replace({"a": BitMap(found)}, run_id=str(run), at_ms=run)
    assert {profile: kept.standing("a", profile) for profile in since} == since
    rows = kept._connection.execute("SELECT count(*) FROM stratum").fetchone()[0]
    assert rows <= store._MAX_STRATA


def test_segments_beyond_the_cache_are_read_again(reopen: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_CACHE_BYTES", 100)
    kept = reopen()
    sets = {str(number): BitMap(range(number, 3 * number)) for number in range(150)}
    kept.replace(sets, run_id="r1", at_ms=1)
    assert len(kept._records) < 10
    assert {segment: kept.members(segment).realized for segment in sets} == sets


def test_a_failed_write_changes_nothing_in_memory_either(reopen: Open) -> None:
    kept = reopen()
    kept.replace({"a": BitMap([1])}, run_id="r1", at_ms=1)
    kept._connection.execute("CREATE TRIGGER full BEFORE INSERT ON change BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(Exception, match="disk full"):
        kept.apply([change("a", 2, "realized", 2)])
    assert set(kept.members("a").realized) == {1}


def test_threads_that_change_at_once_lose_nothing(reopen: Open) -> None:
    kept = reopen()

    def join(first: int) -> None:
        for number in range(first, first + 200):
            kept.apply([change("a", number, "realized", number)])

    threads = [threading.Thread(target=join, args=(first,)) for first in range(0, 800, 200)]
    for thread in threads:
        thread.start()
    for run in range(20):
        kept.replace({"b": BitMap(range(run))}, run_id=str(run), at_ms=run)
    for thread in threads:
        thread.join()
    assert set(reopen().members("a").realized) == set(range(800))


def test_a_killed_process_loses_nothing_that_was_acknowledged(reopen: Open, tmp_path: Path) -> None:
    path = tmp_path / "place" / "memberships.sqlite3"
    program = f"""
from pathlib import Path
from pyroaring import BitMap
from app.evaluation.memberships import MembershipChange, Memberships
kept = Memberships(Path({str(path)!r}))
kept.replace({{"a": BitMap([1, 2])}}, run_id="r1", at_ms=100)
for number in range(3, 100000):
    kept.apply([MembershipChange("a", number, "realized", number)])
    print(number, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(50)]
        os.kill(process.pid, signal.SIGKILL)
        said += [int(line) for line in process.stdout.read().split("\n")[:-1] if line]
    members = reopen().members("a").realized
    assert set(said) | {1, 2} <= set(members)
    assert len(members) <= len(said) + 3


@pytest.mark.parametrize("content", [b"not a database" * 100, None])
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "odd"
    held = Memberships(path) if content is None else None
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InternalError, match="cannot be used"):
        Memberships(path)
    if held is not None:
        held.close()


def test_the_times_of_many_profiles_are_those_of_each(reopen: Open) -> None:
    kept = reopen()
    kept.replace({"a": BitMap([1, 2, 3, 7])}, run_id="r1", at_ms=100)
    kept.replace({"a": BitMap([3, 4, 7])}, run_id="r2", at_ms=200)
    kept.apply([change("a", 3, "exited", 300), change("a", 9, "realized", 300)])
    everybody = BitMap(range(12))
    found = {number: at_ms for at_ms, profiles in kept.times_of("a", everybody) for number in profiles}
    standings = {number: kept.standing("a", number) for number in everybody}
    assert found == {number: one.at_ms for number, one in standings.items() if one is not None}
    assert found == {1: 200, 2: 200, 3: 300, 4: 200, 7: 100, 9: 300}
    assert kept.times_of("a", BitMap([7, 9])) == [(100, BitMap([7])), (300, BitMap([9]))]
    assert kept.times_of("unknown", everybody) == []
