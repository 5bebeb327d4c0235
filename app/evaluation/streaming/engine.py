"""Records and instants in, changes of membership out.

The engine holds the profiles that records were about. Time moves only forward: `advance` takes each instant at which a
window passes an event, in order, so a membership that came and went between two records was there in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from app.evaluation.streaming.fields import instant_us
from app.evaluation.streaming.profiles import KeptEvent, Mark, Profile
from app.evaluation.streaming.rules import Chain, Match, Rules, Slot, lanes_of
from app.evaluation.streaming.timers import LookAgain, Starts, Timers
from app.evaluation.streaming.windows import DAY_US, NEVER

KEPT_AT_LEAST_US: Final = 2 * DAY_US
"""Events are kept at least so long, so that a definition made later finds what its window can hold."""


@dataclass(frozen=True, slots=True)
class Change:
    """Memberships of a profile that began and ended at one instant; ``entered``, ``left`` are lanes of ``rules``."""

    profile: str
    at: int
    entered: int
    left: int
    rules: Rules

    def segments(self) -> Iterator[tuple[str, bool]]:
        """Yield each segment that changed, and whether the profile is a member now."""
        for mask, is_member in ((self.left, False), (self.entered, True)):
            for lane in lanes_of(mask):
                yield self.rules.segment_ids[lane], is_member


@dataclass(frozen=True, slots=True)
class Standing:
    """What a profile is to a segment: a member or a former one, since when (microseconds since 1970)."""

    is_member: bool
    since: int


class StreamingEngine:
    """Evaluates one set of rules over the profiles that it is told about.

    Every method that takes ``now`` first lets the time pass up to it; an earlier ``now`` counts as the present one.
    Changes are collected until `take_changes`.
    """

    def __init__(self, rules: Rules, now: int) -> None:
        self.rules = rules
        self.now = now
        self._profiles: dict[str, Profile] = {}
        self._timers = Timers()
        self._changes: list[Change] = []
        self._kept_us = max(rules.reach_us, KEPT_AT_LEAST_US)
        self._restless = any(whole.condition.restless for whole in rules.wholes)
        self._windows_of_wholes = tuple({one for whole in rules.wholes for one in whole.condition.windows})
        self._daily = any(whole.condition.daily for whole in rules.wholes)

    def __contains__(self, key: str) -> bool:
        return key in self._profiles

    def __len__(self) -> int:
        return len(self._profiles)

    @property
    def timers(self) -> int:
        """How many reasons to look at a profile again are waiting."""
        return len(self._timers)

    @property
    def next_change_at(self) -> int | None:
        """The next instant at which a membership may change by itself."""
        return self._timers.next_at

    def take_changes(self) -> list[Change]:
        """Return the changes since the last call, in order of time."""
        changes, self._changes = self._changes, []
        return changes

    # Records

    def put_profile(self, key: str, attributes: Mapping[str, Any], now: int) -> None:
        """Make a profile known, or give it other attributes."""
        self.advance(now)
        profile = self._profiles.get(key)
        changed, chains = (0, ()) if profile else (self.rules.joined, self.rules.chains)
        profile = profile or self._new(key)
        profile.attributes = msgspec.json.encode(attributes)
        facts = self.rules.facts(attributes)
        changed, profile.facts = changed | facts ^ profile.facts, facts
        self._settle(profile, profile.events, changed, chains)

    def put_event(self, key: str, event: Mapping[str, Any], now: int, *, raw: bytes | None = None) -> bool:
        """Take in an event of a profile; a profile that is not known has no attributes.

        Returns False, and does nothing, for an event whose ``_id`` was there before, or that has no instant. ``raw``
        is the event's JSON, when the caller has it.
        """
        self.advance(now)
        at = instant_us(event.get("timestamp"))
        event_id = event.get("_id")
        profile = self._profiles.get(key) or self._known(key)
        if at is None or not isinstance(event_id, str) or event_id in profile.ids:
            return False
        self._take_in(profile, KeptEvent(at, 0, event_id, raw or msgspec.json.encode(event)), self.rules.match(event))
        return True

    def _known(self, key: str) -> Profile:
        profile = self._new(key)
        profile.facts = self.rules.facts({})
        self._settle(profile, 0, self.rules.joined, self.rules.chains)
        return profile

    def _new(self, key: str) -> Profile:
        profile = self._profiles[key] = Profile(key)
        if self._daily:
            self._timers.add(self.now // DAY_US * DAY_US + DAY_US, profile, LookAgain(()))
        return profile

    def _take_in(self, profile: Profile, kept: KeptEvent, match: Match) -> None:
        kept.lanes = match.lanes
        profile.forget_before(self.now - self._kept_us)
        if kept.at >= self.now - self._kept_us:
            events = profile.events | self._keep(profile, kept, match)
            self._settle(profile, events, 0, match.chains)

    def _keep(self, profile: Profile, kept: KeptEvent, match: Match) -> int:
        """Remember an event and set the timers for it; return the lanes that it makes hold now."""
        profile.keep(kept)
        now, events = self.now, 0
        for slot in match.slots:
            first, last = slot.window.span(kept.at)
            if last < now or last < first:
                continue
            if first > now:
                self._timers.add(first, profile, Starts(slot, last))
            else:
                events |= self._start(profile, slot, last)
            if slot.chains and last < NEVER:
                self._timers.add(last + 1, profile, LookAgain(slot.chains))
        if kept.at > now and (match.chains or self.rules.wholes):
            self._timers.add(kept.at, profile, LookAgain(match.chains))
        self._watch_for_wholes(profile, kept.at)
        return events

    def _start(self, profile: Profile, slot: Slot, last: int) -> int:
        """Let the lanes of a slot hold until ``last``; return them."""
        of_window = profile.active.get(slot.window_no)
        if of_window is None:
            of_window = profile.active[slot.window_no] = {}
        until = of_window.get(slot)
        if until is None:
            of_window[slot] = last
            if last < NEVER:
                self._timers.add(last + 1, profile, slot)
        elif last > until:
            # The timer that is set already finds out, and is set again.
            of_window[slot] = last
        return slot.lanes

    def _watch_for_wholes(self, profile: Profile, at: int) -> None:
        for window in self._windows_of_wholes:
            for instant in (window.span(at)[0], window.span(at)[1] + 1):
                if self.now < instant < NEVER:
                    self._timers.add(instant, profile, LookAgain(()))

    # Time

    def advance(self, now: int) -> None:
        """Let the time pass up to ``now``."""
        if now <= self.now:
            return
        while (due := self._timers.due(now)) is not None:
            self.now, by_profile = due
            for profile, reasons in by_profile.items():
                self._look_again(profile, reasons)
        self.now = now
        if self._restless:
            for profile in self._profiles.values():
                self._settle(profile, profile.events, 0, ())

    def _look_again(self, profile: Profile, reasons: list[Slot | Starts | LookAgain]) -> None:
        events = profile.events
        chains: tuple[Chain, ...] = ()
        ended = [reason for reason in reasons if isinstance(reason, Slot)]
        for slot in ended:
            events &= ~self._end(profile, slot)
        for reason in reasons:
            if isinstance(reason, Starts):
                events |= self._start(profile, reason.slot, reason.until)
                chains += reason.slot.chains
            elif isinstance(reason, LookAgain):
                chains += reason.chains
        if self._daily and self.now % DAY_US == 0:
            self._timers.add(self.now + DAY_US, profile, LookAgain(()))
        self._settle(profile, events, 0, chains)

    def _end(self, profile: Profile, slot: Slot) -> int:
        """End a slot unless a later event holds it up; return the lanes that nothing else of its window holds up."""
        of_window = profile.active.get(slot.window_no, {})
        until = of_window.get(slot)
        if until is None:
            return 0
        if until >= self.now:
            if until < NEVER:
                self._timers.add(until + 1, profile, slot)
            return 0
        del of_window[slot]
        lanes = slot.lanes
        for other, other_until in of_window.items():
            if other_until >= self.now:
                lanes &= ~other.lanes
                if not lanes:
                    break
        return lanes

    # Outcome

    def _settle(self, profile: Profile, events: int, changed_facts: int, chains: tuple[Chain, ...]) -> None:
        """Find out what follows from the lanes that hold now."""
        rules = self.rules
        for chain in chains:
            events = self._check_chain(profile, chain, events)
        if rules.wholes:
            events = self._ask_wholes(profile, events)
        changed = (events ^ profile.events | changed_facts) & rules.joined
        profile.events = events
        members = (events | rules.eventless) & profile.facts & rules.simple | profile.members & rules.others
        if changed:
            holding = events | profile.facts
            for bit, truth in rules.affected(changed):
                members = members | bit if truth(holding) else members & ~bit
        flipped = members ^ profile.members
        if flipped:
            profile.members = members
            profile.mark(self.now, flipped)
            self._changes.append(Change(profile.key, self.now, flipped & members, flipped & ~members, rules))

    def _check_chain(self, profile: Profile, chain: Chain, events: int) -> int:
        test = chain.test
        holds = False
        if events & test.needed == test.needed:
            happened = [(one.at, one.lanes) for one in profile.history if one.lanes & test.lanes]
            holds = test.holds(happened, self.now)
        return events | chain.bit if holds else events & ~chain.bit

    def _ask_wholes(self, profile: Profile, events: int) -> int:
        document = profile.document()
        for whole in self.rules.wholes:
            events = events | whole.bit if whole.holds(document, self.now) else events & ~whole.bit
        return events

    # Reading

    def standings(self, key: str) -> dict[str, Standing]:
        """Return what a profile is to each segment that it is, or was, in; empty for a profile that is not known."""
        profile = self._profiles.get(key)
        if profile is None:
            return {}
        return {
            self.rules.segment_ids[lane]: Standing(bool(profile.members >> lane & 1), mark.at)
            for mark in profile.marks
            for lane in lanes_of(mark.lanes)
        }

    def profiles(self) -> Iterator[Profile]:
        """Yield every profile, to read."""
        yield from self._profiles.values()

    def profile(self, key: str) -> Profile | None:
        """Return a profile, to read."""
        return self._profiles.get(key)

    def members(self, segment_id: str) -> set[str]:
        """Return the known profiles that are in a segment now."""
        bit = 1 << self.rules.lanes[segment_id]
        return {profile.key for profile in self._profiles.values() if profile.members & bit}

    # Coming back

    def restore(
        self,
        key: str,
        attributes: bytes | None,
        standings: Mapping[str, Standing],
        events: Iterable[bytes],
        as_of: int,
    ) -> None:
        """Put back a profile as it stood at ``as_of``, with the JSON of the events that it had.

        What its rules say now and did not say then is a change. The time of the engine is left where it was, so that
        profiles of different instants can be put back one after the other.
        """
        present, self.now = self.now, as_of
        profile = self._new(key)
        profile.attributes = attributes
        profile.facts = self.rules.facts(msgspec.json.decode(attributes) if attributes else {})
        self._recall(profile, standings)
        holding = 0
        for raw in events:
            event = msgspec.json.decode(raw)
            at, match = instant_us(event["timestamp"]), self.rules.match(event)
            if at is not None and at >= as_of - self._kept_us:
                holding |= self._keep(profile, KeptEvent(at, match.lanes, event["_id"], raw), match)
        self._settle(profile, holding, self.rules.joined, self.rules.chains)
        self.now = present

    def _recall(self, profile: Profile, standings: Mapping[str, Standing]) -> None:
        by_instant: dict[int, int] = {}
        for segment_id, standing in standings.items():
            lane = self.rules.lanes.get(segment_id)
            if lane is not None:
                by_instant[standing.since] = by_instant.get(standing.since, 0) | 1 << lane
                profile.members |= int(standing.is_member) << lane
        profile.marks = tuple(Mark(at, mask) for at, mask in sorted(by_instant.items()))
