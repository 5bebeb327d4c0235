"""Change notifications between processes, by PostgreSQL's LISTEN and NOTIFY.

Whoever changes a cached object says so with `Notices.add` on the session of its unit of work; repositories do that, so
no caller can forget it. `Notices.send` puts them on the channel right before the commit. PostgreSQL delivers them when,
and only when, the transaction is committed, in the order of the commits.

Whoever wants to know asks the process's one `NotificationListener`:

* ``listener.add_handler(handle)`` calls ``handle(notice)`` for every notice of every tenant, at once and in order. It
  must not wait: a result cache drops entries here.
* ``async with listener.subscribe(tenant_id) as feed: async for notice in feed`` gets one tenant's notices through a
  queue of bounded size: a subscription of one caller.

Delivery is at most once. A notice that may have been lost (the connection broke, a queue was full) is replaced by one
of kind ``RESYNC``, after which a reader must take nothing that it knows for granted. ``listener.live`` is false while
nothing is heard; a cache must not answer from what it holds then.

A notice names an object and holds nothing of it: the channel is open to every role of the database, so readers look
the object up through a unit of work bound to the tenant. Commits with notices wait for each other for a moment, in
PostgreSQL; that is why many changes of one transaction are told as one (``id`` is then ``None``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import structlog
from asyncpg.exceptions import InterfaceError, PostgresError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)

CHANNEL: Final = "segment_gateway_changes"
MOST_NAMED: Final = 100
"""Above this number of changes of one kind in one transaction, they are told as one notice without an id."""
QUEUE_SIZE: Final = 1000
_PROBE: Final = "probe:"
_PENDING: Final = "notices"


class Kind(StrEnum):
    """What a notice is about; new ones may come, so readers ignore those that they do not know."""

    SEGMENT_DEFINITION = "segment_definition"
    AUDIENCE = "audience"
    SEGMENT_JOB = "segment_job"
    SCHEDULE = "schedule"
    SCHEMAS = "schemas"
    SYNC = "sync"
    UPSTREAM = "upstream"
    RESYNC = "resync"


class Verb(StrEnum):
    """What happened to the object."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Notice:
    """One change. ``id`` is AEP's id of the object, ``None`` for any number of objects of the kind.

    ``version`` is the object's version after the change, where it has versions. ``tenant_id`` is ``None`` only for a
    ``RESYNC``, which is meant for everybody; ``sandbox_id`` is ``None`` for what belongs to no sandbox.
    """

    tenant_id: UUID | None
    kind: Kind
    verb: Verb = Verb.UPDATED
    sandbox_id: UUID | None = None
    id: str | None = None
    version: int | None = None

    def encode(self) -> str:
        """Return the payload: a JSON object without the members that are ``None``; far below 8,000 bytes."""
        members = {
            "tenant": self.tenant_id and str(self.tenant_id),
            "sandbox": self.sandbox_id and str(self.sandbox_id),
            "kind": self.kind.value,
            "verb": self.verb.value,
            "id": self.id,
            "version": self.version,
        }
        return json.dumps({name: value for name, value in members.items() if value is not None})

    @classmethod
    def decode(cls, payload: str) -> Notice | None:
        """Read a payload; ``None`` for one that another release wrote and this one does not understand."""
        try:
            members = json.loads(payload)
            sandbox = members.get("sandbox")
            return cls(
                UUID(members["tenant"]),
                Kind(members["kind"]),
                Verb(members["verb"]),
                UUID(sandbox) if sandbox else None,
                members.get("id"),
                members.get("version"),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


RESYNC: Final = Notice(None, Kind.RESYNC)
Handler = Callable[[Notice], None]


class Notices:
    """What one transaction will tell when it commits."""

    @staticmethod
    def add(session: AsyncSession, notice: Notice) -> None:
        """Tell ``notice`` if and when the session's transaction commits."""
        session.info.setdefault(_PENDING, []).append(notice)

    @staticmethod
    async def send(session: AsyncSession) -> None:
        """Hand all notices of the session to PostgreSQL; it keeps them back until the commit."""
        pending = session.info.pop(_PENDING, ())
        payloads = list(dict.fromkeys(notice.encode() for notice in _joined(pending)))
        if payloads:
            statement = text("SELECT pg_notify(:channel, payload) FROM unnest(CAST(:payloads AS text[])) AS payload")
            await session.execute(statement, {"channel": CHANNEL, "payloads": payloads})


def _joined(pending: Iterable[Notice]) -> list[Notice]:
    """Return the notices, those of a kind and sandbox as one where they are too many to be named."""
    notices = list(pending)
    numbers = Counter((notice.tenant_id, notice.sandbox_id, notice.kind) for notice in notices)
    return [
        notice
        if numbers[notice.tenant_id, notice.sandbox_id, notice.kind] <= MOST_NAMED
        else Notice(notice.tenant_id, notice.kind, sandbox_id=notice.sandbox_id)
        for notice in notices
    ]


@dataclass(slots=True)
class _Feed:
    """A queue and what may go into it; when it is full, everything in it makes room for a ``RESYNC``."""

    tenant_id: UUID
    sandbox_id: UUID | None
    kinds: frozenset[Kind] | None
    queue: asyncio.Queue[Notice]

    def offer(self, notice: Notice) -> None:
        if not self._fits(notice):
            return
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            notice = RESYNC
        self.queue.put_nowait(notice)

    def _fits(self, notice: Notice) -> bool:
        if notice.kind is Kind.RESYNC:
            return True
        in_sandbox = self.sandbox_id is None or notice.sandbox_id in {None, self.sandbox_id}
        return notice.tenant_id == self.tenant_id and in_sandbox and (self.kinds is None or notice.kind in self.kinds)

    async def __aiter__(self) -> AsyncIterator[Notice]:
        while True:
            yield await self.queue.get()


class NotificationListener:
    """One connection that listens, for as long as `run` does.

    The address must lead to PostgreSQL itself or to a pooler in session mode: one in transaction mode does not pass
    notices on. That is found out by a notice to ourselves, and ``live`` stays false.
    """

    def __init__(self, url: str, *, probe_interval_s: float = 15.0, retry_s: float = 1.0) -> None:
        # asyncpg knows neither SQLAlchemy's name of the driver nor needs it.
        self._url = url.replace("postgresql+asyncpg://", "postgresql://", 1)
        self._probe_interval_s = probe_interval_s
        self._retry_s = retry_s
        self._handlers: list[Handler] = []
        self._feeds: list[_Feed] = []
        self._live = asyncio.Event()
        self._heard = asyncio.Event()
        self._probe = ""

    @property
    def live(self) -> bool:
        """Whether notices arrive now."""
        return self._live.is_set()

    async def wait_live(self) -> None:
        """Wait until notices arrive."""
        await self._live.wait()

    def add_handler(self, handler: Handler) -> Callable[[], None]:
        """Call ``handler`` for every notice, of every tenant, from now on; returns what takes it away again."""
        self._handlers.append(handler)
        return lambda: self._handlers.remove(handler)

    @contextlib.asynccontextmanager
    async def subscribe(
        self, tenant_id: UUID, *, sandbox_id: UUID | None = None, kinds: Iterable[Kind] | None = None
    ) -> AsyncIterator[AsyncIterator[Notice]]:
        """Open a feed of one tenant's notices, of one sandbox and of some kinds when these are given."""
        wanted = None if kinds is None else frozenset(kinds)
        feed = _Feed(tenant_id, sandbox_id, wanted, asyncio.Queue(QUEUE_SIZE))
        self._feeds.append(feed)
        try:
            yield aiter(feed)
        finally:
            self._feeds.remove(feed)

    async def run(self) -> None:
        """Listen until cancelled; a connection that is lost is made again."""
        while True:
            try:
                await self._listen()
            except (OSError, TimeoutError, PostgresError, InterfaceError) as problem:
                log.warning("notifications.lost", error=type(problem).__name__)
            finally:
                self._live.clear()
            await asyncio.sleep(self._retry_s)

    async def _listen(self) -> None:
        connect: Callable[..., Awaitable[Any]] = asyncpg.connect
        connection = await connect(self._url, timeout=10, server_settings={"application_name": "gateway-notices"})
        try:
            ended = asyncio.Event()
            connection.add_termination_listener(lambda _connection: ended.set())
            await connection.add_listener(CHANNEL, self._receive)
            while not ended.is_set():
                await self._hear_ourselves(connection)
                if not self._live.is_set():
                    self._live.set()
                    # What was told while nobody listened is lost.
                    self._spread(RESYNC)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._probe_interval_s):
                        await ended.wait()
        finally:
            # No farewell: it would wait for a server that may be gone.
            connection.terminate()

    async def _hear_ourselves(self, connection: Any) -> None:
        """Raise TimeoutError unless a notice of our own comes back."""
        self._heard.clear()
        self._probe = f"{_PROBE}{uuid4()}"
        async with asyncio.timeout(10):
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, self._probe)
            await self._heard.wait()

    def _receive(self, _connection: Any, _pid: int, _channel: str, payload: Any) -> None:
        if payload.startswith(_PROBE):
            if payload == self._probe:
                self._heard.set()
            return
        notice = Notice.decode(payload)
        if notice is not None:
            self._spread(notice)

    def _spread(self, notice: Notice) -> None:
        for handler in tuple(self._handlers):
            try:
                handler(notice)
            except Exception:
                # One reader's fault must not keep the news from the others.
                log.exception("notifications.handler_failed", kind=notice.kind.value)
        for feed in self._feeds:
            feed.offer(notice)
