"""The feed of membership changes: in order, taken up again, and bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
from starlette.requests import Request

from app.emulator import membership_feed
from app.emulator.membership_feed import MembershipFeed
from app.evaluation.memberships import MembershipChange

ORG = "0123456789ABCDEF01234567@AdobeOrg"


def change(number: int) -> MembershipChange:
    return MembershipChange("segment", number, "realized", 1_772_366_400_000)


async def connect(feed: MembershipFeed, query: str = "", last_id: str = "") -> AsyncIterator[str]:
    headers = [(b"last-event-id", last_id.encode())] if last_id else []
    scope = {"type": "http", "query_string": query.encode(), "headers": headers}
    response = await feed._serve(Request(scope))
    return cast("AsyncIterator[str]", response.body_iterator)


def parsed(event: str) -> tuple[str, str, dict[str, Any]]:
    lines = dict(line.split(": ", 1) for line in event.strip().splitlines())
    return lines["event"], lines.get("id", ""), msgspec.json.decode(lines["data"])


async def test_changes_come_in_order_with_what_a_profile_lookup_shows() -> None:
    feed = MembershipFeed()
    events = await connect(feed)
    assert await anext(events) == ": listening\n\n"
    feed.publish(ORG, "prod", [change(1), change(2)])
    first, second = parsed(await anext(events)), parsed(await anext(events))
    assert first[0] == "membership"
    assert first[2] == {
        "imsOrgId": ORG,
        "sandboxName": "prod",
        "segmentId": "segment",
        "profileNumber": 1,
        "status": "realized",
        "lastQualificationTime": "2026-03-01T12:00:00.000Z",
    }
    assert second[2]["profileNumber"] == 2


async def test_a_client_that_comes_back_gets_what_it_missed() -> None:
    feed = MembershipFeed()
    feed.publish(ORG, "prod", [change(1)])
    events = await connect(feed)
    await anext(events)
    feed.publish(ORG, "prod", [change(2), change(3)])
    _, identifier, _ = parsed(await anext(events))
    again = await connect(feed, last_id=identifier)
    await anext(again)
    assert parsed(await anext(again))[2]["profileNumber"] == 3


async def test_a_client_of_another_process_is_told_of_the_gap() -> None:
    events = await connect(MembershipFeed(), last_id="other-5")
    name, _, data = parsed(await anext(events))
    assert name == "gap"
    assert data["lastEventId"] == "other-5"


async def test_only_the_wanted_sandbox_is_told() -> None:
    feed = MembershipFeed()
    events = await connect(feed, query="sandbox=dev")
    await anext(events)
    feed.publish(ORG, "prod", [change(1)])
    feed.publish(ORG, "dev", [change(2)])
    assert parsed(await anext(events))[2]["profileNumber"] == 2


async def test_a_client_that_does_not_keep_up_is_let_go_with_the_reason() -> None:
    feed = MembershipFeed()
    events = await connect(feed)
    await anext(events)
    feed.publish(ORG, "prod", [change(number) for number in range(membership_feed._BUFFERED + 1)])
    received = [parsed(event) async for event in events]
    assert [name for name, _, _ in received[:-1]] == ["membership"] * membership_feed._BUFFERED
    assert received[-1][0] == "dropped"
    assert "Last-Event-ID" in received[-1][2]["reason"]


async def test_a_quiet_feed_says_that_it_is_still_there_and_ends_when_it_is_closed() -> None:
    feed = MembershipFeed(heartbeat_s=0.001)
    events = await connect(feed)
    await anext(events)
    assert await anext(events) == ": still here\n\n"
    feed.close()
    assert [event async for event in events] == []
