"""Changes of membership as they happen, for whoever listens: server-sent events.

    GET /emulator/membership-changes[?imsOrgId=...&sandbox=...]     text/event-stream

Each change is an event ``membership`` with an id; a client that comes back with ``Last-Event-ID`` gets what it missed,
or first an event ``gap`` when that is not kept any more (so many changes later, or another process): it then reads the
memberships anew. A comment every 15 s keeps the connection up. A client that does not keep up with what is sent is let
go with an event ``dropped`` that says so. No part of AEP: it takes no token, as the whole emulator is its user's own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from app.aep.times import from_epoch_ms
from app.evaluation.memberships import MembershipChange

PATH: Final = "/emulator/membership-changes"
_HEARTBEAT_S: Final = 15.0
_KEPT: Final = 10_000
_BUFFERED: Final = 2_000


@dataclass(frozen=True, slots=True)
class _Told:
    number: int
    org_id: str
    sandbox: str
    data: dict[str, Any]


class _Listener:
    def __init__(self, org_id: str | None, sandbox: str | None) -> None:
        self._org_id = org_id
        self._sandbox = sandbox
        self.waiting: deque[_Told] = deque()
        self.fell_behind = False
        self.news = asyncio.Event()

    def wants(self, told: _Told) -> bool:
        return self._org_id in (None, told.org_id) and self._sandbox in (None, told.sandbox)

    def tell(self, told: _Told) -> None:
        if len(self.waiting) >= _BUFFERED:
            self.fell_behind = True
        elif self.wants(told):
            self.waiting.append(told)
        self.news.set()


class MembershipFeed:
    """The feed and its path."""

    def __init__(self, *, heartbeat_s: float = _HEARTBEAT_S) -> None:
        self._epoch = secrets.token_hex(4)
        self._heartbeat_s = heartbeat_s
        self._last = 0
        self._kept: deque[_Told] = deque(maxlen=_KEPT)
        self._listeners: set[_Listener] = set()
        self._closed = False

    def routes(self) -> list[Route]:
        """Return the path."""
        return [Route(PATH, self._serve, methods=["GET"])]

    def publish(self, org_id: str, sandbox: str, changes: Iterable[MembershipChange]) -> None:
        """Tell listeners of changes that are on disk."""
        for change in changes:
            self._last += 1
            told = _Told(self._last, org_id, sandbox, _document(org_id, sandbox, change))
            self._kept.append(told)
            for listener in self._listeners:
                listener.tell(told)

    def close(self) -> None:
        """End every connection; clients come back with the last id that they saw."""
        self._closed = True
        for listener in self._listeners:
            listener.news.set()

    async def _serve(self, request: Request) -> StreamingResponse:
        query = request.query_params
        listener = _Listener(query.get("imsOrgId"), query.get("sandbox"))
        first = self._catch_up(listener, request.headers.get("last-event-id", ""))
        self._listeners.add(listener)
        return StreamingResponse(
            self._events(listener, first), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    def _catch_up(self, listener: _Listener, last_id: str) -> str:
        """Give a listener what it missed and return how its stream begins."""
        epoch, _, number = last_id.partition("-")
        if not last_id:
            return ": listening\n\n"
        oldest = self._kept[0].number if self._kept else self._last + 1
        if epoch != self._epoch or not number.isdigit() or int(number) < oldest - 1:
            reason = "Changes between that event and now are not kept. Read the memberships again."
            return _event("gap", {"lastEventId": last_id, "reason": reason}, self._id(self._last))
        for told in self._kept:
            if told.number > int(number) and listener.wants(told):
                listener.waiting.append(told)
        return ": listening\n\n"

    async def _events(self, listener: _Listener, first: str) -> AsyncIterator[str]:
        try:
            yield first
            while not self._closed:
                while listener.waiting:
                    told = listener.waiting.popleft()
                    yield _event("membership", told.data, self._id(told.number))
                if listener.fell_behind:
                    reason = f"More than {_BUFFERED} changes were waiting. Connect again with Last-Event-ID."
                    yield _event("dropped", {"reason": reason}, None)
                    return
                listener.news.clear()
                try:
                    async with asyncio.timeout(self._heartbeat_s):
                        await listener.news.wait()
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._listeners.discard(listener)

    def _id(self, number: int) -> str:
        return f"{self._epoch}-{number}"


def _document(org_id: str, sandbox: str, change: MembershipChange) -> dict[str, Any]:
    at = from_epoch_ms(change.at_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "imsOrgId": org_id,
        "sandboxName": sandbox,
        "segmentId": change.segment_id,
        "profileNumber": change.profile_no,
        "status": change.status,
        "lastQualificationTime": at,
    }


def _event(name: str, data: dict[str, Any], identifier: str | None) -> str:
    line = "" if identifier is None else f"id: {identifier}\n"
    return f"event: {name}\n{line}data: {msgspec.json.encode(data).decode()}\n\n"
