"""The time as the emulator sees it: one object, passed everywhere, that can be set, moved on, quickened and reset.

    virtual time = what the source says, until the clock is changed; then
                   set time + (source now - source when it was set) * rate

A change is kept in the state file before it holds, so a restart finds the clock as it was; real time that passes while
the process is down passes here as well, at the same rate. Who must act when time jumps listens: schedules that have
become due, windows that have ended. :meth:`Clock.change` returns when every listener has acted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import msgspec
import structlog

from app.emulator.state import State
from app.errors import InvalidRequest

log = structlog.get_logger(__name__)

MAX_RATE: Final = 100_000.0
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
_SETTING: Final = "clock"


class TimeSource(Protocol):
    """Tells a time that this process cannot change."""

    def now(self) -> datetime:
        """Return the present time, aware, UTC."""
        ...


class SystemTime:
    """The time of the machine. No other module of the emulator reads it."""

    def now(self) -> datetime:
        """Return the present time, aware, UTC."""
        return datetime.now(tz=UTC)


class Setting(msgspec.Struct, frozen=True):
    """Where a changed clock stood, and what the source said then; ``rate`` is virtual seconds a second."""

    moment: datetime
    source: datetime
    rate: float


@dataclass(frozen=True, slots=True)
class Jump:
    """A change of the time that was not its passing. Back in time, ``after`` is the earlier one."""

    before: datetime
    after: datetime


Listener = Callable[[Jump], Awaitable[None]]


class Clock:
    """Tells the time. Without a state (in tests of single parts) changes last as long as the object."""

    def __init__(self, source: TimeSource | None = None, state: State | None = None) -> None:
        self._source = source or SystemTime()
        self._state = state
        self._setting: Setting | None = None
        self._listeners: list[Listener] = []
        self._changing = asyncio.Lock()

    @classmethod
    async def open(cls, source: TimeSource | None, state: State) -> Clock:
        """Return the clock of a state, as it was left."""
        clock = cls(source, state)
        kept = await state.setting(_SETTING)
        clock._setting = None if kept is None else msgspec.json.decode(kept, type=Setting)
        return clock

    def now(self) -> datetime:
        """Return the present time, aware, UTC. A quickened clock stands still at the end of its range."""
        real = self._source.now()
        if self._setting is None:
            return real
        passed_s = (real - self._setting.source).total_seconds() * self._setting.rate
        left_s = (LATEST - self._setting.moment).total_seconds()
        return self._setting.moment + timedelta(seconds=min(passed_s, left_s))

    @property
    def rate(self) -> float:
        """Virtual seconds in one second of the source; 0 when the clock stands still."""
        return 1.0 if self._setting is None else self._setting.rate

    @property
    def is_virtual(self) -> bool:
        """Whether the clock was changed and does not follow its source any more."""
        return self._setting is not None

    def listen(self, listener: Listener) -> None:
        """Have ``listener`` called, in the order of registration, after each jump. A fault of it is only logged."""
        self._listeners.append(listener)

    async def change(
        self, *, moment: datetime | None = None, advance: timedelta = timedelta(), rate: float | None = None
    ) -> Jump:
        """Set the clock to ``moment`` (aware), move it by ``advance``, let it go on at ``rate``; each is optional.

        Returns when the change is on disk and every listener has acted. Raises InvalidRequest for a time before 2000
        or after 2099 and for a rate that is negative or above `MAX_RATE`; nothing is changed then.
        """
        async with self._changing:
            before = self.now()
            setting = Setting(_moved(moment or before, advance), self._source.now(), _rate(rate, self.rate))
            return await self._put(setting, before)

    async def reset(self) -> Jump:
        """Follow the source again."""
        async with self._changing:
            return await self._put(None, self.now())

    async def _put(self, setting: Setting | None, before: datetime) -> Jump:
        if self._state is not None:
            await self._state.set_setting(_SETTING, None if setting is None else msgspec.json.encode(setting))
        self._setting = setting
        jump = Jump(before, self.now())
        log.info("emulator.clock_changed", before=jump.before.isoformat(), after=jump.after.isoformat(), rate=self.rate)
        for listener in self._listeners:
            try:
                await listener(jump)
            except Exception as fault:
                log.error("emulator.clock_listener_failed", exc_info=fault)
        return jump

    def document(self) -> dict[str, Any]:
        """Return what the clock says, as JSON."""
        return {"now": self.now().isoformat(), "rate": self.rate, "virtual": self.is_virtual}


def _moved(moment: datetime, advance: timedelta) -> datetime:
    try:
        result = moment.astimezone(UTC) + advance
    except OverflowError:
        result = None
    if result is None or not EARLIEST <= result < LATEST:
        raise InvalidRequest("The clock can be set to the years 2000 to 2099 only")
    return result


def _rate(wanted: float | None, present: float) -> float:
    if wanted is None:
        return present
    if not 0 <= wanted <= MAX_RATE:
        raise InvalidRequest(f"rate must be between 0 (stand still) and {MAX_RATE:,.0f}", path=("rate",))
    return float(wanted)
