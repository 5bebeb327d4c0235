"""What happens to a membership as records come and windows pass, in examples that a person can follow."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.evaluation.streaming.conditions import NotStreamable
from app.evaluation.streaming.engine import Standing, StreamingEngine
from app.evaluation.streaming.fields import to_us
from app.evaluation.streaming.rules import Rules
from app.evaluation.streaming.windows import Window, window_of
from app.pql import ir
from tests.evaluation.streaming.rules import NAMESPACE, START, checked

CHECKOUT = 'xEvent[eventType = "commerce.checkouts" and timestamp occurs <= 24 hours before now]'
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SMALLEST = timedelta(microseconds=1)


def engine_for(**rules: str) -> StreamingEngine:
    return StreamingEngine(Rules({name: checked(rule) for name, rule in rules.items()}), to_us(START))


def send(
    engine: StreamingEngine,
    event_id: str,
    at: datetime,
    now: datetime,
    kind: str = "commerce.checkouts",
    **members: Any,
) -> bool:
    event = {"_id": event_id, "eventType": kind, "timestamp": at.isoformat(), **members}
    return engine.put_event("ann", event, to_us(now))


def changes(engine: StreamingEngine) -> list[tuple[int, str, bool]]:
    return [(one.at, *segment) for one in engine.take_changes() for segment in one.segments()]


def test_a_profile_joins_with_the_event_and_leaves_when_the_window_has_passed_it() -> None:
    engine = engine_for(buyers=CHECKOUT)
    send(engine, "1", START, START)
    assert changes(engine) == [(to_us(START), "buyers", True)]
    engine.advance(to_us(START + DAY))
    assert changes(engine) == []
    engine.advance(to_us(START + 30 * HOUR))
    left_at = to_us(START + DAY + SMALLEST)
    assert changes(engine) == [(left_at, "buyers", False)]
    assert engine.standings("ann") == {"buyers": Standing(is_member=False, since=left_at)}


def test_a_later_event_keeps_the_profile_in_and_an_older_one_does_not_shorten_that() -> None:
    engine = engine_for(buyers=CHECKOUT)
    send(engine, "2", START, START)
    send(engine, "1", START - 20 * HOUR, START + HOUR)
    engine.advance(to_us(START + 10 * HOUR))
    assert changes(engine) == [(to_us(START), "buyers", True)]
    assert engine.members("buyers") == {"ann"}


def test_a_late_event_leaves_before_those_that_came_earlier() -> None:
    window = "timestamp occurs <= 24 hours before now"
    engine = engine_for(a=f'xEvent[eventType = "a" and {window}]', b=f'xEvent[eventType = "b" and {window}]')
    send(engine, "1", START, START, "a")
    send(engine, "2", START - HOUR, START, "b")
    engine.advance(to_us(START + 2 * DAY))
    assert changes(engine)[2:] == [
        (to_us(START + DAY - HOUR + SMALLEST), "b", False),
        (to_us(START + DAY + SMALLEST), "a", False),
    ]


def test_an_event_that_comes_too_late_changes_nothing() -> None:
    engine = engine_for(buyers=CHECKOUT)
    send(engine, "1", START - DAY - SMALLEST, START)
    assert changes(engine) == []


def test_an_event_of_the_future_counts_from_its_own_time() -> None:
    engine = engine_for(buyers=CHECKOUT)
    send(engine, "1", START + HOUR, START)
    assert changes(engine) == []
    engine.advance(to_us(START + 26 * HOUR))
    assert changes(engine) == [
        (to_us(START + HOUR), "buyers", True),
        (to_us(START + HOUR + DAY + SMALLEST), "buyers", False),
    ]


def test_an_event_with_an_id_that_was_there_is_dropped() -> None:
    engine = engine_for(twice='CHAIN(xEvent, timestamp, [A: WHAT(eventType = "a") WHEN(today) COUNT(2)])')
    assert send(engine, "1", START, START, "a")
    assert not send(engine, "1", START + SMALLEST, START + SMALLEST, "a")
    assert engine.members("twice") == set()
    assert send(engine, "2", START, START + SMALLEST, "a")
    assert engine.members("twice") == {"ann"}


def test_a_chain_wants_strict_order() -> None:
    rule = (
        'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "a") WHEN(<= 24 hours before now), '
        'B: WHAT(eventType = "b") WHEN(<= 24 hours before now)])'
    )
    engine = engine_for(ordered=rule)
    send(engine, "b", START, START, "b")
    send(engine, "a", START, START, "a")
    assert engine.members("ordered") == set()
    send(engine, "earlier", START - SMALLEST, START, "a")
    assert engine.members("ordered") == {"ann"}


def test_what_did_not_happen_after_the_basket_can_still_happen() -> None:
    rule = (
        'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "commerce.productListAdds") WHEN(<= 24 hours before now), '
        'B: not WHAT(eventType = "commerce.purchases") WHEN(<= 24 hours before now)])'
    )
    engine = engine_for(forgotten=rule)
    send(engine, "1", START, START, "commerce.productListAdds")
    send(engine, "2", START + HOUR, START + HOUR, "commerce.purchases")
    assert [(segment, is_in) for _, segment, is_in in changes(engine)] == [("forgotten", True), ("forgotten", False)]


def test_what_happened_after_the_basket_is_over_when_its_own_window_is() -> None:
    rule = (
        'CHAIN(xEvent, timestamp, [A: WHAT(eventType = "a") WHEN(<= 24 hours before now), '
        'B: not WHAT(eventType = "b") WHEN(<= 1 hours before now)])'
    )
    engine = engine_for(calm=rule)
    send(engine, "1", START, START, "a")
    send(engine, "2", START + HOUR, START + HOUR, "b")
    engine.advance(to_us(START + 30 * HOUR))
    assert changes(engine) == [
        (to_us(START), "calm", True),
        (to_us(START + HOUR), "calm", False),
        (to_us(START + 2 * HOUR + SMALLEST), "calm", True),
        (to_us(START + DAY + SMALLEST), "calm", False),
    ]


def test_attributes_count_as_soon_as_they_are_known() -> None:
    engine = engine_for(gold=f'{NAMESPACE}.loyalty.level = "gold" and {CHECKOUT}')
    send(engine, "1", START, START)
    assert engine.members("gold") == set()
    engine.put_profile("ann", {NAMESPACE: {"loyalty": {"level": "gold"}}}, to_us(START))
    assert engine.members("gold") == {"ann"}
    engine.put_profile("ann", {NAMESPACE: {"loyalty": {"level": "silver"}}}, to_us(START + HOUR))
    assert engine.members("gold") == set()


def test_a_hot_profile_holds_one_entry_for_events_that_say_the_same() -> None:
    engine = engine_for(buyers=CHECKOUT)
    for number in range(5_000):
        at = START + number * timedelta(seconds=1)
        send(engine, f"e{number}", at, at)
    profile = engine.profile("ann")
    assert profile is not None
    assert sum(map(len, profile.held.values())) == 1
    assert engine.timers == 1
    engine.advance(to_us(START + 3 * DAY))
    assert len(changes(engine)) == 2


def test_what_no_window_can_hold_any_more_is_forgotten() -> None:
    engine = engine_for(buyers=CHECKOUT)
    send(engine, "1", START, START)
    send(engine, "2", START + 3 * DAY, START + 3 * DAY)
    profile = engine.profile("ann")
    assert profile is not None
    assert [event.event_id for event in profile.history] == ["2"]


def test_a_profile_that_is_put_back_goes_on_where_it_stood_without_a_change() -> None:
    before = engine_for(buyers=CHECKOUT, others=f"not ({CHECKOUT})")
    send(before, "1", START, START + HOUR)
    profile = before.profile("ann")
    assert profile is not None
    after = engine_for(others=f"not ({CHECKOUT})", buyers=CHECKOUT)
    raw = [event.raw for event in profile.history]
    after.restore("ann", profile.attributes, before.standings("ann"), raw, to_us(START + HOUR))
    assert after.take_changes() == []
    assert after.standings("ann") == before.standings("ann")
    after.advance(to_us(START + 2 * DAY))
    assert [(segment, is_in) for _, segment, is_in in changes(after)] == [("buyers", False), ("others", True)]


def test_literals_of_a_rule_are_compared_and_never_run() -> None:
    hostile = '__import__(\\"os\\").abort()'
    rule = f'xEvent[eventType.contains("{hostile}") and timestamp occurs today]'
    engine = engine_for(hostile=rule)
    send(engine, "1", START, START, '__import__("os").abort()')
    assert engine.members("hostile") == {"ann"}


@pytest.mark.parametrize(
    "rule",
    [
        'inSegment("x") and ' + CHECKOUT,
        'xEvent.exists(productListItems.exists(SKU@{_xdm.context.product}._wwfovlab011.category = "Gear"))',
    ],
)
def test_a_rule_that_asks_for_more_than_the_profile_is_refused(rule: str) -> None:
    with pytest.raises(NotStreamable):
        Rules({"one": checked(rule)})


@pytest.mark.parametrize("spec", ["this month", "= 1 hour before now", "!= 2 days before now", "<= 1 month before now"])
def test_windows_without_a_short_form_are_left_to_the_reference(spec: str) -> None:
    rule = checked(f"xEvent.exists(timestamp occurs {spec})")
    (occurs,) = [node for node in ir.walk(rule.root) if isinstance(node, ir.Occurs)]
    assert window_of(occurs.test) is None


def test_a_window_without_bounds_holds_at_any_time() -> None:
    assert Window().holds(0, to_us(START))
