"""At every instant a profile is a member where the reference says so, however records and time come."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app import pql
from app.evaluation.streaming.engine import StreamingEngine
from app.evaluation.streaming.fields import to_us
from app.evaluation.streaming.rules import Rules
from app.pql.reference import matches
from tests.evaluation.streaming.rules import START, Step, checked, rules, steps

Documents = dict[str, dict[str, Any]]


@given(texts=st.lists(rules, min_size=1, max_size=6), walk=steps)
@example(
    texts=['not (xEvent[eventType = "commerce.checkouts" and timestamp occurs <= 24 hours before now])'],
    walk=[("event", "ann", "event-0", {"eventType": "other"}, -1, timedelta(0))],
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_memberships_are_those_of_the_reference_at_every_step(texts: list[str], walk: list[Step]) -> None:
    definitions = {f"segment-{number}": checked(text) for number, text in enumerate(texts)}
    engine = StreamingEngine(Rules(definitions), to_us(START))
    documents: Documents = {}
    now = START
    told: dict[str, set[str]] = {segment_id: set() for segment_id in definitions}
    for step in [*walk, *passing(walk)]:
        now = take(engine, documents, step, now)
        for change in engine.take_changes():
            for segment_id, is_member in change.segments():
                (set.add if is_member else set.remove)(told[segment_id], change.profile)
        assert memberships(engine, definitions) == expected(definitions, documents, now), texts
        assert told == memberships(engine, definitions)


def passing(walk: list[Step]) -> list[Step]:
    """Let the time pass after a walk, past the ends of the windows of its last events."""
    pauses = (
        timedelta(minutes=minutes, seconds=1) for minutes in (29, 30, 30, 29, 60, 240, 600, 59, 360, 59, 1, 1, 1440)
    )
    return [("advance", pause) for pause in pauses] if walk else []


def take(engine: StreamingEngine, documents: Documents, step: Step, now: datetime) -> datetime:
    match step:
        case ("advance", by):
            now += by
            engine.advance(to_us(now))
        case ("profile", key, attributes):
            documents[key] = {**attributes, "xEvent": documents.get(key, {}).get("xEvent", [])}
            engine.put_profile(key, attributes, to_us(now))
        case ("event", key, event_id, members, sign, by):
            event = {"_id": event_id, "timestamp": (now + sign * by).isoformat(), **members}
            known = documents.setdefault(key, {"xEvent": []})["xEvent"]
            before = next((one for one in known if one["_id"] == event_id), None)
            if before is None:
                known.append(event)
                engine.put_event(key, event, to_us(now))
            elif datetime.fromisoformat(before["timestamp"]) > now - timedelta(days=1):
                # Ids of events that no window can hold any more are left to the tables to remember.
                assert not engine.put_event(key, event, to_us(now))
    return now


def memberships(engine: StreamingEngine, definitions: dict[str, pql.Checked]) -> dict[str, set[str]]:
    return {segment_id: engine.members(segment_id) for segment_id in definitions}


def expected(definitions: dict[str, pql.Checked], documents: Documents, now: datetime) -> dict[str, set[str]]:
    return {
        segment_id: {key for key, document in documents.items() if matches(rule, document, now)}
        for segment_id, rule in definitions.items()
    }
