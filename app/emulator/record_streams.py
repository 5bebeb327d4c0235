"""The streams of records of all sandboxes; each begins to work when it is first needed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import structlog

from app.emulator import record_journal
from app.emulator.background import Background
from app.emulator.clock import Clock, Jump
from app.emulator.membership_feed import MembershipFeed
from app.emulator.organizations import EmulatedSandbox, Organization
from app.emulator.record_stream import RecordStream
from app.emulator.rules import RuleBook
from app.emulator.state import State
from app.emulator.state.audience_changes import AudienceChange
from app.emulator.workplaces import Workplace, Workplaces

log = structlog.get_logger(__name__)

FOLDER: Final = "streaming"
_KIND: Final = "record stream"
_METHOD: Final = "continuous"


def files(state_dir: Path, organization: Organization, sandbox: EmulatedSandbox) -> list[Path]:
    """Return what the stream of a sandbox keeps on disk, from when it is not running."""
    return list((state_dir / FOLDER).glob(f"{organization.slug}-{sandbox.id}.*"))


class RecordStreams:
    """Finds, and starts, the stream of a sandbox."""

    def __init__(
        self,
        workplaces: Workplaces,
        rules: RuleBook,
        clock: Clock,
        feed: MembershipFeed,
        background: Background,
        *,
        state_dir: Path,
        tick_s: float,
    ) -> None:
        self._workplaces = workplaces
        self._rules = rules
        self._clock = clock
        self._feed = feed
        self._background = background
        self._folder = state_dir / FOLDER
        self._tick_s = tick_s
        self._streams: dict[tuple[str, str], RecordStream] = {}

    async def recover(self) -> None:
        """Give the tables what a killed process had acknowledged, before anything else reads or writes them."""
        for place in self._workplaces.all():
            path = self._path(place)
            if path.exists():
                count = await record_journal.recover(path, place.population.arriving)
                if count:
                    log.info("emulator.records_recovered", place=path.stem, records=count)

    async def start(self, state: State) -> None:
        """Begin to listen, and take up the streams that there were."""
        state.listen_to_audiences(self._audience_changed)
        self._clock.listen(self._jumped)
        for place in self._workplaces.all():
            if self._path(place).exists():
                self.of(place)

    def of(self, place: Workplace) -> RecordStream:
        """Return the stream of a sandbox; it works in the background until the sandbox or the emulator ends."""
        owner = (place.store.org_id, place.store.sandbox)
        stream = self._streams.get(owner)
        if stream is None:
            stream = RecordStream(place, self._path(place), self._rules, self._clock, self._feed, tick_s=self._tick_s)
            self._streams[owner] = stream
            self._background.start(place.key(_KIND, place.sandbox.id), self._run(owner, stream))
        return stream

    async def _run(self, owner: tuple[str, str], stream: RecordStream) -> None:
        try:
            await stream.run()
        finally:
            self._streams.pop(owner, None)

    def _path(self, place: Workplace) -> Path:
        # A sandbox that is made anew under an old name has another id, and nothing of the old one.
        return self._folder / f"{place.organization.slug}-{place.sandbox.id}.sqlite3"

    async def _audience_changed(self, change: AudienceChange) -> None:
        place = next(
            (
                one
                for one in self._workplaces.all()
                if (one.store.org_id, one.store.sandbox) == (change.org_id, change.sandbox)
            ),
            None,
        )
        if place is None:
            return
        stream = self._streams.get((change.org_id, change.sandbox))
        if stream is None and not change.is_deleted:
            document = await place.store.audience(change.audience_id)
            info = (document or {}).get("evaluationInfo", {})
            if info.get(_METHOD, {}).get("enabled"):
                stream = self.of(place)
        if stream is not None:
            stream.definitions_changed()

    async def _jumped(self, jump: Jump) -> None:
        await asyncio.gather(*(stream.jumped(jump) for stream in list(self._streams.values())))
