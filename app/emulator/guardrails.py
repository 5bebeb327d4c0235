"""The limits that AEP sets: hard ones hold always, soft ones and those of single products when they are switched on.

    GET /emulator/guardrails                       what holds
    PUT /emulator/guardrails  {"soft": true}       changes members and leaves the others; kept over restarts

Limits that belong to one call (100 ids in a bulk-get, 1 to 90 days of an external audience, one run of a schedule a
day) stand with that call and cannot be switched. Source: Adobe's guardrail pages (read December 2025).
"""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.aep import headers
from app.emulator.answers import Refusal, error_answer, json_answer, read_json
from app.emulator.state import State, Store
from app.errors import InvalidRequest, QuotaExceeded

PATH: Final = "/emulator/guardrails"
_SETTING: Final = "guardrails"
_MINUTE_MS: Final = 60_000

Limit = Annotated[int, msgspec.Meta(ge=0)]


class Guardrails(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds. ``soft`` enforces the numbers of audiences in a sandbox, which AEP only warns of.

    ``on_demand`` plays an organization that is licensed for flexible audience evaluation: a job takes
    ``on_demand_ids`` ids, and a sandbox gets ``on_demand_runs_a_day``, counted from 00:00 UTC.
    ``calls_a_minute`` and ``profile_reads_a_minute`` are limits for each client; 0 means none, since Adobe
    publishes none.
    """

    soft: bool = False
    audiences: Limit = 4_000
    streaming_audiences: Limit = 500
    edge_audiences: Limit = 150
    merge_policies: Limit = 5
    sandboxes: Limit = 75
    schedules: Limit = 4
    on_demand: bool = False
    on_demand_ids: Limit = 20
    on_demand_runs_a_day: Limit = 2
    on_demand_runs_a_year_production: Limit = 50
    on_demand_runs_a_year_development: Limit = 100
    calls_a_minute: Limit = 0
    profile_reads_a_minute: Limit = 0


class GuardrailControl:
    """The guardrails that hold now, and the path that changes them."""

    def __init__(self, state: State, current: Guardrails) -> None:
        self._state = state
        self.current = current
        self._calls: dict[tuple[str, str], deque[int]] = {}

    @classmethod
    async def open(cls, state: State) -> GuardrailControl:
        """Return the guardrails as a state has them."""
        kept = await state.setting(_SETTING)
        return cls(state, Guardrails() if kept is None else msgspec.json.decode(kept, type=Guardrails))

    def routes(self) -> list[Route]:
        """Return the path."""
        return [Route(PATH, self._get, methods=["GET"]), Route(PATH, self._put, methods=["PUT"])]

    def count_call(self, client_id: str, now_ms: int) -> None:
        """Count a call of a client. Raises QuotaExceeded when it made too many within a minute."""
        self._count("calls", client_id, now_ms, self.current.calls_a_minute)

    def count_profile_read(self, client_id: str, now_ms: int) -> None:
        """Count a profile read of a client. Raises QuotaExceeded when it made too many within a minute."""
        self._count("profile reads", client_id, now_ms, self.current.profile_reads_a_minute)

    async def check_room(self, store: Store, method: str, *, is_new: bool) -> None:
        """Raises Refusal when the sandbox has no room for a new audience, or for one more of an evaluation method."""
        limits = self.current
        if not limits.soft:
            return
        by_method = await store.count_audiences()
        total = sum(by_method.values())
        if is_new and total >= limits.audiences:
            raise Refusal(400, f"The sandbox has {total} audiences, and its limit is {limits.audiences}. Delete some.")
        of_method = {"continuous": limits.streaming_audiences, "synchronous": limits.edge_audiences}
        limit = of_method.get(method)
        if limit is not None and by_method.get(method, 0) >= limit:
            word = "streaming" if method == "continuous" else "edge"
            raise Refusal(
                400,
                f"The sandbox has {by_method[method]} {word} audiences, and its limit is {limit}. "
                "Delete some, or have this one evaluated in batch.",
            )

    def _count(self, what: str, client_id: str, now_ms: int, limit: int) -> None:
        if not limit:
            return
        times = self._calls.setdefault((what, client_id), deque())
        # A clock that was set back would keep old calls for ever.
        while times and not now_ms - _MINUTE_MS < times[0] <= now_ms:
            times.popleft()
        if len(times) >= limit:
            retry_after_s = (times[0] + _MINUTE_MS - now_ms) / 1000
            raise QuotaExceeded(f"More than {limit} {what} within a minute", retry_after_s=retry_after_s)
        times.append(now_ms)

    async def _get(self, _request: Request) -> Response:
        return json_answer(msgspec.to_builtins(self.current))

    async def _put(self, request: Request) -> Response:
        try:
            changed = _merged(self.current, await read_json(request))
        except InvalidRequest as fault:
            return error_answer(fault, headers.request_id_or_new(request.headers.get(headers.REQUEST_ID)))
        await self._state.set_setting(_SETTING, msgspec.json.encode(changed))
        self.current = changed
        return json_answer(msgspec.to_builtins(changed))


def _merged(current: Guardrails, body: Any) -> Guardrails:
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object")
    try:
        return msgspec.convert({**msgspec.to_builtins(current), **body}, Guardrails)
    except msgspec.ValidationError as fault:
        raise InvalidRequest(f"The guardrails cannot be changed so: {fault}") from fault
