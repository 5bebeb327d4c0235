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
from app.evaluation.streaming.profiles import Held, KeptEvent, Mark, Profile
from app.evaluation.streaming.rules import Chain, InWindow, Match, Rules, lanes_of
from app.evaluation.streaming.timers import LookAgain, Reason, Starts, Timers
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
        # Without events only those chains can hold that need none.
        changed, chains = (0, ()) if profile else (self.rules.joined, self.rules.unneeding_chains)
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
        match = self.rules.match(event)
        self._take_in(profile, kept_event(at, event_id, event, raw or msgspec.json.encode(event), match), match)
        return True

    def _known(self, key: str) -> Profile:
        profile = self._new(key)
        profile.facts = self.rules.facts({})
        self._settle(profile, 0, self.rules.joined, self.rules.unneeding_chains)
        return profile

    def _new(self, key: str) -> Profile:
        profile = self._profiles[key] = Profile(key)
        if self._daily:
            self._timers.add(self.now // DAY_US * DAY_US + DAY_US, profile, LookAgain(()))
        return profile

    def _take_in(self, profile: Profile, kept: KeptEvent, match: Match) -> None:
        profile.forget_before(self.now - self._kept_us)
        if kept.at >= self.now - self._kept_us:
            is_latest = not profile.history or kept.at >= profile.history[-1].at
            events = profile.events | self._keep(profile, kept, match)
            chains = match.chains
            if is_latest:
                # A chain that holds is looked at again when its time is over, and finds this event then.
                lanes = match.lanes
                chains = tuple(
                    one
                    for one in match.decisive
                    if (events & one.needed == one.needed and not events & one.bit) or lanes & one.ending
                )
            self._settle_again(profile, events, chains)

    def _keep(self, profile: Profile, kept: KeptEvent, match: Match) -> int:
        """Remember an event and set the timers for it; return the lanes that it makes hold now."""
        profile.keep(kept)
        now, at, events = self.now, kept.at, 0
        for inside in match.windows:
            first, last = inside.window.span(at)
            if last < now or last < first:
                continue
            if first > now:
                self._timers.add(first, profile, Starts(inside, last, match.chains))
            else:
                events |= self._start(profile, inside, last)
        if at > now and (match.chains or self.rules.wholes):
            self._timers.add(at, profile, LookAgain(match.chains))
        if self._windows_of_wholes:
            self._watch_for_wholes(profile, at)
        return events

    def _start(self, profile: Profile, inside: InWindow, last: int) -> int:
        """Let lanes hold until ``last``; return them."""
        if inside.searched and last < NEVER:
            self._timers.add(last + 1, profile, LookAgain(inside.searched))
        held = profile.held.get(inside.window_no)
        if held is None:
            held = profile.held[inside.window_no] = Held()
        held.add(last, inside.lanes)
        if last < NEVER and (held.timed_at is None or last + 1 < held.timed_at):
            held.timed_at = last + 1
            self._timers.add(last + 1, profile, held)
        return inside.lanes

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
                self._settle_again(profile, profile.events, ())

    def _look_again(self, profile: Profile, reasons: list[Reason]) -> None:
        events = profile.events
        chains: tuple[Chain, ...] = ()
        started = 0
        for reason in reasons:
            if isinstance(reason, Held):
                events &= ~self._end(profile, reason)
            elif isinstance(reason, Chain):
                chains += self._chain_ends(profile, reason)
            elif isinstance(reason, Starts):
                started |= self._start(profile, reason.inside, reason.until)
                chains += reason.chains
            else:
                chains += reason.chains
        if self._daily and self.now % DAY_US == 0:
            self._timers.add(self.now + DAY_US, profile, LookAgain(()))
        self._settle_again(profile, events | started, chains)

    def _end(self, profile: Profile, held: Held) -> int:
        """Let go of what has left a window; return the lanes that do not hold any more."""
        if held.timed_at != self.now:
            # An earlier timer took the place of this one.
            return 0
        before = held.lanes
        until = held.next_end(self.now)
        held.timed_at = None
        if until is not None and until < NEVER:
            held.timed_at = until + 1
            self._timers.add(until + 1, profile, held)
        return before & ~held.lanes

    def _chain_ends(self, profile: Profile, chain: Chain) -> tuple[Chain, ...]:
        """Return the chain when its verdict is over; set its timer anew when later events have kept it up."""
        until, timed_at = profile.chains.get(chain, (0, 0))
        if timed_at != self.now:
            # An earlier timer took the place of this one.
            return ()
        if until >= self.now:
            self._timers.add(until + 1, profile, chain)
            profile.chains[chain] = (until, until + 1)
            return ()
        del profile.chains[chain]
        return (chain,)

    def _watch_chain(self, profile: Profile, chain: Chain, until: int) -> None:
        _, timed_at = profile.chains.get(chain, (0, NEVER))
        if until + 1 < timed_at:
            self._timers.add(until + 1, profile, chain)
            timed_at = until + 1
        profile.chains[chain] = (until, timed_at)

    # Outcome

    def _settle_again(self, profile: Profile, events: int, chains: tuple[Chain, ...]) -> None:
        """Settle a profile that was settled before: nothing follows where nothing has changed.

        A new profile is different: rules that say *not* hold for it before anything has.
        """
        if events != profile.events or chains or self.rules.wholes:
            self._settle(profile, events, 0, chains)

    def _settle(self, profile: Profile, events: int, changed_facts: int, chains: tuple[Chain, ...]) -> None:
        """Find out what follows from the lanes that hold now."""
        rules = self.rules
        for chain in chains:
            events = self._check_chain(profile, chain, events)
        if rules.wholes:
            events = self._ask_wholes(profile, events)
        changed = (events ^ profile.events | changed_facts) & rules.joined
        profile.events = events
        members = (events ^ rules.inverted | rules.eventless) & profile.facts & rules.simple
        if not changed:
            members |= profile.members & rules.others
        else:
            holding = (events | profile.facts) >> rules.first_joined
            affected, truths = rules.affected(changed >> rules.first_joined)
            members |= profile.members & rules.others & ~affected
            for bit, truth in truths:
                if truth(holding):
                    members |= bit
        flipped = members ^ profile.members
        if flipped:
            profile.members = members
            profile.mark(self.now, flipped)
            self._changes.append(Change(profile.key, self.now, flipped & members, flipped & ~members, rules))

    def _check_chain(self, profile: Profile, chain: Chain, events: int) -> int:
        test = chain.test
        if events & chain.needed != chain.needed:
            return events & ~chain.bit
        verdict = test.judge(profile.history, self.now)
        if test.is_ordered and verdict.until < NEVER:
            self._watch_chain(profile, chain, verdict.until)
        return events | chain.bit if verdict.holds else events & ~chain.bit

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
            for mark in profile.latest_marks()
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
            is_new = event["_id"] not in profile.ids
            if is_new and at is not None and at >= as_of - self._kept_us:
                holding |= self._keep(profile, kept_event(at, event["_id"], event, raw, match), match)
        chains = tuple(one for one in self.rules.chains if holding & one.needed == one.needed)
        self._settle(profile, holding, self.rules.joined, chains)
        self.now = present

    def _recall(self, profile: Profile, standings: Mapping[str, Standing]) -> None:
        by_instant: dict[int, int] = {}
        for segment_id, standing in standings.items():
            lane = self.rules.lanes.get(segment_id)
            if lane is not None:
                by_instant[standing.since] = by_instant.get(standing.since, 0) | 1 << lane
                profile.members |= int(standing.is_member) << lane
        profile.marks = [Mark(at, mask) for at, mask in sorted(by_instant.items())]


def kept_event(at: int, event_id: str, event: Mapping[str, Any], raw: bytes, match: Match) -> KeptEvent:
    """Return what is remembered of an event that meets what ``match`` says."""
    if not match.summed:
        return KeptEvent(at, match.lanes, event_id, raw)
    return KeptEvent(at, match.lanes, event_id, raw, {test: test.number(event) for test in match.summed})
