"""The admin path of the clock: reading, setting, advancing, quickening and resetting it.

    GET /emulator/clock                                      {"now": "...", "rate": 1.0, "virtual": false}
    PUT /emulator/clock  {"set": "2026-03-01T00:00:00Z"}     go to a time
    PUT /emulator/clock  {"advance": "P1DT2H"} or {"advance": 3600}   move on by an ISO 8601 duration or by seconds
    PUT /emulator/clock  {"rate": 60}                        a minute passes in a second; 0 stands still
    PUT /emulator/clock  {"reset": true}                     follow the machine again

``set``, ``advance`` and ``rate`` may stand together. The answer comes when the schedules and windows that a jump makes
due have been looked after. No part of AEP: it takes no token, as the whole emulator is its user's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.aep import headers
from app.emulator.answers import error_answer, json_answer, read_json
from app.emulator.clock import Clock
from app.errors import InvalidRequest

PATH: Final = "/emulator/clock"
_MEMBERS: Final = ("set", "advance", "rate", "reset")


class ClockControl:
    """The two calls."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return the path."""
        return [
            Route(PATH, self._get, methods=["GET"]),
            Route(PATH, self._put, methods=["PUT"]),
        ]

    async def _get(self, _request: Request) -> Response:
        return json_answer(self._clock.document())

    async def _put(self, request: Request) -> Response:
        try:
            await self._change(await read_json(request))
        except InvalidRequest as fault:
            return error_answer(fault, headers.request_id_or_new(request.headers.get(headers.REQUEST_ID)))
        return json_answer(self._clock.document())

    async def _change(self, body: Any) -> None:
        if not isinstance(body, Mapping) or not body or not set(body) <= set(_MEMBERS):
            raise InvalidRequest(
                f"The body must be an object with one or more of {', '.join(_MEMBERS)}",
                hint='Send {"advance": 3600} to move the clock on by an hour.',
            )
        if "reset" in body:
            if body["reset"] is not True or len(body) > 1:
                raise InvalidRequest("reset must be true and stand alone", path=("reset",))
            await self._clock.reset()
            return
        moment = _moment(body["set"]) if "set" in body else None
        advance = _duration(body["advance"]) if "advance" in body else timedelta()
        await self._clock.change(moment=moment, advance=advance, rate=_number(body, "rate"))


def _moment(value: Any) -> datetime:
    try:
        moment = msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidRequest("set must be an RFC 3339 time with a zone", path=("set",))
    return moment


def _duration(value: Any) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _bad_duration()
    try:
        return timedelta(seconds=value) if isinstance(value, int | float) else msgspec.convert(value, timedelta)
    except (msgspec.ValidationError, OverflowError, ValueError) as fault:
        raise _bad_duration() from fault


def _bad_duration() -> InvalidRequest:
    return InvalidRequest(
        "advance must be a number of seconds or an ISO 8601 duration such as P1DT2H", path=("advance",)
    )


def _number(body: Mapping[str, Any], name: str) -> float | None:
    if name not in body:
        return None
    value = body[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(f"{name} must be a number", path=(name,))
    return float(value)
