"""What an organization that is licensed for flexible audience evaluation may ask for: few runs, of few audiences.

Only people audiences that the platform evaluates in batch; the runs of a day are counted from 00:00 UTC, those of a
year by the calendar (the documents say "contract year", which begins at a date that only Adobe knows).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from app.aep import models, paging
from app.aep.times import epoch_ms, from_epoch_ms
from app.emulator.answers import Refusal
from app.emulator.gate import Call
from app.emulator.guardrails import Guardrails
from app.emulator.segment_job_work import KIND
from app.emulator.state import WorkQuery

_ANY_ORDER: Final = (paging.SortKey("creationTime", descending=True),)


async def check_on_demand(call: Call, limits: Guardrails, definitions: Sequence[dict[str, Any]]) -> None:
    """Raises Refusal when a job over these definitions is more than the licence allows."""
    if len(definitions) > limits.on_demand_ids:
        raise Refusal(400, f"An on-demand job takes at most {limits.on_demand_ids} audiences, not {len(definitions)}.")
    others = [one["id"] for one in definitions if models.enabled_method(one) != "batch"]
    if others:
        raise Refusal(400, f"These audiences are not evaluated in batch: {', '.join(others)}.")
    now = from_epoch_ms(call.now_ms)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    runs = await _runs_since(call, today.replace(month=1, day=1))
    a_year = limits.on_demand_runs_a_year_development
    if call.sandbox.type == "production":
        a_year = limits.on_demand_runs_a_year_production
    for limit, counted, word in (
        (limits.on_demand_runs_a_day, sum(one >= epoch_ms(today) for one in runs), "day"),
        (a_year, len(runs), "year"),
    ):
        if counted >= limit:
            raise Refusal(
                429, f"The sandbox has had its {limit} on-demand runs of this {word}. Wait for the next {word}."
            )


async def _runs_since(call: Call, since: datetime) -> list[int]:
    begin_ms = epoch_ms(since)

    def keep(job: dict[str, Any]) -> bool:
        return bool(job["source"] == "api" and begin_ms <= job["creationTime"] <= call.now_ms)

    found, _ = await call.store.works(KIND, WorkQuery(_ANY_ORDER, 0, 1_000_000, keep))
    return [job["creationTime"] for job in found]
