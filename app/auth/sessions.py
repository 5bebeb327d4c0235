"""Sessions of people who signed in by browser.

The browser holds 256 random bits, the database their hash: a dump opens no session. A session ends by itself after a
time without use, and after an absolute time whatever its use; signing out ends it in every process at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from app.audit.actions import Action, Phase
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.auth.last_use import LastUse, Used
from app.context import Actor, ActorKind, Entrance
from app.errors import Unauthenticated
from app.store.database import Database
from app.store.rows import SessionRow
from app.tenancy.access_keys import hash_of

COOKIE = "segment_gateway_session"


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """A new session: what the browser keeps, and for how long at most."""

    token: str = field(repr=False)
    lifetime_s: int


class SessionEnded(Unauthenticated):
    """The browser's session is over, or never was."""

    code = "SESSION_ENDED"
    title = "The session has ended"


class Sessions:
    """Opens, reads and ends sessions. ``idle_s`` and ``lifetime_s`` are seconds."""

    def __init__(
        self,
        database: Database,
        recorder: AuditRecorder,
        last_use: LastUse,
        *,
        idle_s: int,
        lifetime_s: int,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._last_use = last_use
        self._idle = timedelta(seconds=idle_s)
        self._lifetime_s = lifetime_s
        self._clock = clock

    async def open(self, actor: Actor, request_id: str) -> OpenedSession:
        """Begin a session of a person, always with a new token."""
        token, now = secrets.token_urlsafe(32), self._clock()
        row = SessionRow(
            id=uuid4(),
            tenant_id=actor.tenant_id,
            person_id=actor.id,
            token_hash=hash_of(token),
            created_at=now,
            seen_at=now,
            expires_at=now + timedelta(seconds=self._lifetime_s),
        )
        async with self._database.write(actor.tenant_id) as unit:
            await unit.sessions.remove_ended(now)
            unit.sessions.add(row)
            await unit.flush()
            operation = _operation(Action.SESSION_OPEN, actor, row, request_id)
            await self._recorder.record(unit, operation, Phase.RECORDED, detail={"issuer": actor.issuer})
        return OpenedSession(token, self._lifetime_s)

    async def actor(self, token: str) -> Actor:
        """Return whose session it is. Raises `SessionEnded`."""
        row, now = await self._row(token), self._clock()
        if row is None or row.expires_at <= now or row.seen_at + self._idle <= now:
            raise _ended()
        async with self._database.read(row.tenant_id) as unit:
            person = await unit.tenancy.person(row.person_id)
        if person is None or person.disabled_at is not None:
            raise _ended()
        self._last_use.note(Used.SESSION, row.tenant_id, row.id, now)
        return Actor(ActorKind.PERSON, person.id, person.email, person.tenant_id, person.issuer, person.subject)

    async def close(self, token: str, request_id: str) -> None:
        """End a session; one that is over already is no error."""
        row = await self._row(token)
        if row is None:
            return
        async with self._database.write(row.tenant_id) as unit:
            person = await unit.tenancy.person(row.person_id)
            if await unit.sessions.remove(row.token_hash) and person is not None:
                actor = Actor(ActorKind.PERSON, person.id, person.email, person.tenant_id)
                operation = _operation(Action.SESSION_CLOSE, actor, row, request_id)
                await self._recorder.record(unit, operation, Phase.RECORDED)

    async def _row(self, token: str) -> SessionRow | None:
        wanted = hash_of(token)
        async with self._database.lookup(wanted.hex()) as directory:
            return await directory.session(wanted)


def _operation(action: Action, actor: Actor, row: SessionRow, request_id: str) -> Operation:
    return Operation(action, Resource("session", str(row.id), actor.name), actor, Entrance.SIGN_IN, request_id)


def _ended() -> SessionEnded:
    return SessionEnded("The session has ended.", hint="Sign in again at /login.")
