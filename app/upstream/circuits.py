"""How much is asked of AEP: for each tenant and endpoint a circuit breaker, a limit of calls at once, and an order.

* After `FAILURES_TO_OPEN` failures in a row nothing is sent for a pause, which doubles with each call that is let
  through to try and fails; then one call of one process may try. Callers get an error at once and not a time-out.
* The number of calls at once falls by half when AEP says 429, and grows by one for each round of successes. A
  ``Retry-After`` holds back everybody, not only the call that got it.
* Callers who wait for an answer go before the sync, which leaves one place free for them.
* Repeats come out of a budget that calls fill: at most one for five calls, and `SPARE_REPEATS` at a time.

Processes share a circuit in a `CircuitStore`, which is asked when a circuit is first used and written when its state
changes, not with every call. `Circuits.forget` makes this process look again; it is called when another tells of a
change.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Final, Protocol
from uuid import UUID

import structlog

from app.errors import GatewayError, UpstreamPaused
from app.upstream.connection import Target

log = structlog.get_logger(__name__)

FAILURES_TO_OPEN: Final = 5
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
LONGEST_WAIT_S: Final = 10.0
"""Longest time that a call waits for a place, or for AEP's ``Retry-After`` to end; then it is refused."""
HALVED_FOR_S: Final = 1.0
"""Time after a 429 in which others count as the same sign."""
TRIAL_S: Final = 30.0
"""Time that a process has for the one call that tries; another may try when it is over."""
SPARE_REPEATS: Final = 10.0
_REPEATS_PER_CALL: Final = 0.2
_TWO_LEVELS: Final = frozenset({"segment", "export", "config", "search", "access"})


@dataclass(frozen=True, slots=True)
class SharedCircuit:
    """A circuit as processes hand it on: ``opens`` pauses in a row (0 when it is closed), and the rest of the last."""

    opens: int
    paused_for_s: float
    limit: float | None


class CircuitStore(Protocol):
    """What processes share."""

    async def get(self, tenant_id: UUID, endpoint: str) -> SharedCircuit | None:
        """Return a circuit that was not always closed."""
        ...

    async def put(self, tenant_id: UUID, endpoint: str, circuit: SharedCircuit) -> None:
        """Keep a circuit and tell the other processes."""
        ...

    async def try_one(self, tenant_id: UUID, endpoint: str, lease_s: float) -> bool:
        """Take the right to send the one call that tries; false when another process has it."""
        ...


class OneProcess:
    """The store of a process that shares nothing, such as a command."""

    async def get(self, _tenant_id: UUID, _endpoint: str) -> SharedCircuit | None:
        """Know nothing."""
        return None

    async def put(self, _tenant_id: UUID, _endpoint: str, _circuit: SharedCircuit) -> None:
        """Tell nobody."""

    async def try_one(self, _tenant_id: UUID, _endpoint: str, _lease_s: float) -> bool:
        """Let the call go."""
        return True


def endpoint_of(path: str) -> str:
    """Return the part of AEP that a path belongs to, without ids: ``segment/definitions``, ``audiences``."""
    parts = [part for part in path.split("/") if part]
    parts = parts[2:] if parts[:1] == ["data"] else parts
    if parts[:1] == ["ups"]:
        parts = parts[1:]
    return "/".join(parts[: 2 if parts[:1] and parts[0] in _TWO_LEVELS else 1]) or "/"


@dataclass(slots=True)
class _Circuit:
    """What this process knows of a circuit. Times are of the process's clock."""

    limit: float
    known: bool = False
    opens: int = 0
    paused_until: float = 0.0
    failures: int = 0
    trying: bool = False
    halved_at: float = float("-inf")
    repeats: float = SPARE_REPEATS
    active: int = 0
    waiting: list[tuple[int, int, asyncio.Future[None]]] = field(default_factory=list)

    def has_room(self, *, background: bool) -> bool:
        """Tell whether one more call may go; the sync leaves a place to callers who wait."""
        places = max(1, int(self.limit))
        return self.active < (max(1, places - 1) if background else places)


class Circuits:
    """The circuits of one process."""

    def __init__(
        self,
        store: CircuitStore | None = None,
        *,
        concurrency: int = 16,
        clock: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store or OneProcess()
        self._concurrency = concurrency
        self._clock = clock
        self._sleep = sleep
        self._circuits: dict[tuple[UUID, str], _Circuit] = {}
        self._numbers = count()

    def forget(self, tenant_id: UUID | None = None, endpoint: str | None = None) -> None:
        """Look at the store again before the next call; at all circuits' states without arguments."""
        for (its_tenant, its_endpoint), circuit in self._circuits.items():
            if tenant_id in {None, its_tenant} and endpoint in {None, its_endpoint}:
                circuit.known = False

    @contextlib.asynccontextmanager
    async def place(self, target: Target, endpoint: str) -> AsyncIterator[None]:
        """Wait for a place among the calls at once. Raises `UpstreamPaused` while nothing may be sent."""
        key = (target.tenant_id, endpoint)
        circuit = self._circuits.setdefault(key, _Circuit(float(self._concurrency)))
        await self._learn(key, circuit)
        await self._admit(key, circuit)
        trial = circuit.trying
        try:
            await self._enter(circuit, background=target.background)
            try:
                if circuit.opens and not trial:
                    # It opened while this call waited for its place.
                    raise _paused(max(FIRST_PAUSE_S, circuit.paused_until - self._clock()))
                circuit.repeats = min(SPARE_REPEATS, circuit.repeats + _REPEATS_PER_CALL)
                yield
            finally:
                circuit.active -= 1
        finally:
            circuit.trying = circuit.trying and not trial
            self._wake(circuit)

    def may_repeat(self, target: Target, endpoint: str) -> bool:
        """Take one repeat from the budget; false when it is used up or nothing may be sent."""
        circuit = self._circuits[target.tenant_id, endpoint]
        if circuit.opens or circuit.repeats < 1:
            return False
        circuit.repeats -= 1
        return True

    async def succeeded(self, target: Target, endpoint: str) -> None:
        """Take note of an answer, whether it was a yes or a no."""
        key = (target.tenant_id, endpoint)
        circuit = self._circuits[key]
        circuit.failures = 0
        circuit.limit = min(float(self._concurrency), circuit.limit + 1 / circuit.limit)
        if circuit.opens:
            log.info("upstream.circuit_closed", tenant_id=str(key[0]), endpoint=endpoint)
            circuit.opens, circuit.paused_until = 0, 0.0
            await self._share(key, circuit)

    async def failed(self, target: Target, endpoint: str) -> None:
        """Take note of a call without a usable answer."""
        key = (target.tenant_id, endpoint)
        circuit = self._circuits[key]
        circuit.failures += 1
        closed = circuit.opens == 0
        if (closed and circuit.failures < FAILURES_TO_OPEN) or (not closed and not circuit.trying):
            return
        circuit.opens += 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (circuit.opens - 1))
        circuit.paused_until = self._clock() + pause_s
        log.warning("upstream.circuit_opened", tenant_id=str(key[0]), endpoint=endpoint, pause_s=pause_s)
        await self._share(key, circuit)

    async def throttled(self, target: Target, endpoint: str, retry_after_s: float) -> None:
        """Take note of a 429: fewer calls at once, and none before AEP wants one."""
        key = (target.tenant_id, endpoint)
        circuit = self._circuits[key]
        now, pause_before = self._clock(), circuit.paused_until
        circuit.paused_until = max(pause_before, now + retry_after_s)
        # Calls that were under way together get their 429s together: that is one sign and not many.
        halved = now - circuit.halved_at >= HALVED_FOR_S
        if halved:
            circuit.limit, circuit.halved_at = max(1.0, circuit.limit / 2), now
        if not halved and circuit.paused_until - pause_before < HALVED_FOR_S:
            return
        log.info("upstream.throttled", tenant_id=str(key[0]), endpoint=endpoint, calls_at_once=int(circuit.limit))
        await self._share(key, circuit)

    async def _learn(self, key: tuple[UUID, str], circuit: _Circuit) -> None:
        if circuit.known:
            return
        circuit.known = True
        try:
            shared = await self._store.get(*key)
        except GatewayError:
            # Without the store this process goes by what it sees itself.
            return
        if shared is None:
            circuit.opens, circuit.paused_until = 0, 0.0
        else:
            circuit.opens = shared.opens
            circuit.paused_until = self._clock() + shared.paused_for_s
            circuit.limit = min(circuit.limit, shared.limit or circuit.limit)
            circuit.failures = circuit.failures if shared.opens else 0

    async def _admit(self, key: tuple[UUID, str], circuit: _Circuit) -> None:
        wait_s = circuit.paused_until - self._clock()
        if circuit.opens == 0:
            if wait_s > LONGEST_WAIT_S:
                raise _paused(wait_s)
            if wait_s > 0:
                await self._sleep(wait_s)
            return
        if wait_s > 0 or circuit.trying:
            raise _paused(max(wait_s, FIRST_PAUSE_S))
        circuit.trying = True
        try:
            alone = await self._store.try_one(*key, TRIAL_S)
        except GatewayError:
            alone = True
        if not alone:
            circuit.trying = False
            circuit.paused_until = self._clock() + FIRST_PAUSE_S
            circuit.known = False
            raise _paused(FIRST_PAUSE_S)

    async def _enter(self, circuit: _Circuit, *, background: bool) -> None:
        if not circuit.waiting and circuit.has_room(background=background):
            circuit.active += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(circuit.waiting, (int(background), next(self._numbers), turn))
        self._wake(circuit)
        try:
            async with asyncio.timeout(None if background else LONGEST_WAIT_S):
                await turn
        except BaseException as problem:
            if turn.done() and not turn.cancelled():
                circuit.active -= 1  # the place came, and nobody is here to take it
                self._wake(circuit)
            turn.cancel()
            if isinstance(problem, TimeoutError):
                raise _paused(FIRST_PAUSE_S) from problem
            raise

    def _wake(self, circuit: _Circuit) -> None:
        """Give free places to those who wait, callers before the sync, and first come first served."""
        while circuit.waiting:
            background, _, turn = circuit.waiting[0]
            if turn.done():
                heapq.heappop(circuit.waiting)
                continue
            if not circuit.has_room(background=bool(background)):
                return
            heapq.heappop(circuit.waiting)
            circuit.active += 1
            turn.set_result(None)

    async def _share(self, key: tuple[UUID, str], circuit: _Circuit) -> None:
        paused_for_s = max(0.0, circuit.paused_until - self._clock())
        try:
            await self._store.put(*key, SharedCircuit(circuit.opens, paused_for_s, circuit.limit))
        except GatewayError as problem:
            log.warning("upstream.circuit_not_shared", reason=problem.detail)


def _paused(wait_s: float) -> UpstreamPaused:
    return UpstreamPaused(
        "Adobe Experience Platform does not answer reliably at the moment, so nothing was sent to it.",
        hint="Try again later; what the gateway has in its cache it still answers.",
        retry_after_s=wait_s,
    )
