"""The journal: a process that ends without a word loses nothing, and the next one goes on as if it had not."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.errors import InternalError
from app.evaluation.streaming.fields import instant_us, to_us
from app.evaluation.streaming.journal import Input, Kind
from app.evaluation.streaming.rules import Rules
from app.evaluation.streaming.stream import Stream, attributes_input
from tests.evaluation.streaming.rules import START, checked

RULES = {
    "buyers": 'xEvent[eventType = "commerce.checkouts" and timestamp occurs <= 24 hours before now]',
    "quiet": 'not (xEvent[eventType = "commerce.checkouts" and timestamp occurs <= 1 hours before now])',
    "twice": 'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "commerce.checkouts") WHEN(<= 24 hours before now) COUNT(2)])',
    "women": 'person.gender = "female"',
}
NOW = to_us(START)
HOUR = to_us(START + timedelta(hours=1)) - NOW


def rules(**texts: str) -> Rules:
    return Rules({segment_id: checked(text) for segment_id, text in (texts or RULES).items()})


def event(event_id: str, at: int, profile: str = "ann") -> Input:
    moment = (START + timedelta(microseconds=at - NOW)).isoformat()
    document: dict[str, Any] = {"_id": event_id, "eventType": "commerce.checkouts", "timestamp": moment}
    return Input(profile, Kind.EVENT, at, instant_us(moment) or 0, msgspec.json.encode(document), document)


def woman(at: int, profile: str = "ann") -> Input:
    document = {"person": {"gender": "female"}}
    return attributes_input(profile, document, msgspec.json.encode(document), at)


def test_what_was_written_is_there_after_a_process_that_was_killed(tmp_path: Path) -> None:
    stream = Stream.open(tmp_path / "journal", rules(), NOW)
    stream.take([woman(NOW), event("1", NOW)])
    stream.take([event("2", NOW + HOUR)])
    stream.advance(NOW + 2 * HOUR)
    killed = tmp_path / "killed"
    for path in tmp_path.glob("journal*"):
        shutil.copy(path, killed.with_name(path.name.replace("journal", "killed")))
    again = Stream.open(killed, rules(), NOW + 2 * HOUR)
    assert again.standings("ann") == stream.standings("ann")
    assert again.changes_since_kill()
    assert again.take([event("2", NOW + 2 * HOUR)]) == []
    again.close()
    stream.close()


def test_a_stream_that_was_closed_goes_on_with_saved_profiles(tmp_path: Path) -> None:
    stream = Stream.open(tmp_path / "journal", rules(), NOW)
    stream.take([woman(NOW), event("1", NOW), event("2", NOW, "bob")])
    before = {key: stream.standings(key) for key in ("ann", "bob")}
    stream.close()
    again = Stream.open(tmp_path / "journal", rules(), NOW)
    assert {key: again.standings(key) for key in ("ann", "bob")} == before
    assert again.changes_since_kill() == []
    left = again.advance(NOW + 30 * HOUR)
    assert {(one.profile, *segment) for one in left for segment in one.segments()} == {
        ("ann", "buyers", False),
        ("bob", "buyers", False),
        ("ann", "quiet", True),
        ("bob", "quiet", True),
    }
    again.close()


def test_a_new_definition_finds_the_events_that_came_before_it(tmp_path: Path) -> None:
    stream = Stream.open(tmp_path / "journal", rules(women=RULES["women"]), NOW)
    stream.take([woman(NOW), event("1", NOW)])
    changes = stream.rebuild(rules(), NOW + HOUR)
    assert [segment for one in changes for segment in one.segments()] == [("buyers", True)]
    assert stream.standings("ann")["women"].since == NOW
    stream.close()


def test_a_clock_that_is_set_back_brings_memberships_back(tmp_path: Path) -> None:
    stream = Stream.open(tmp_path / "journal", rules(), NOW)
    stream.take([event("1", NOW)])
    stream.advance(NOW + 25 * HOUR)
    assert stream.members("buyers") == set()
    stream.rebuild(stream.rules, NOW + HOUR)
    assert stream.members("buyers") == {"ann"}
    stream.close()
    again = Stream.open(tmp_path / "journal", rules(), NOW + HOUR)
    assert again.members("buyers") == {"ann"}
    again.close()


def test_inputs_that_no_window_can_ask_about_are_forgotten(tmp_path: Path) -> None:
    stream = Stream.open(tmp_path / "journal", rules(), NOW)
    stream.take([woman(NOW), event("1", NOW), event("2", NOW + 200 * HOUR)])
    stream.close()
    again = Stream.open(tmp_path / "journal", rules(), NOW + 200 * HOUR)
    assert again.prune() == 2
    assert [one.document["_id"] for _, one in again.journal.inputs()] == ["2"]
    again.close()


def test_a_journal_that_another_process_has_open_is_refused(tmp_path: Path) -> None:
    stream = Stream.open(tmp_path / "journal", rules(), NOW)
    with pytest.raises(InternalError):
        Stream.open(tmp_path / "journal", rules(), NOW)
    stream.close()
