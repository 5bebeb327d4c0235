"""Says of each thing that a gateway needs whether it is in order, and how to cure what is not."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import httpx

from app.audit.chain import first_break
from app.audit.recorder import AuditRecorder
from app.errors import GatewayError
from app.store.database import Database
from app.tenancy.canary import Canary
from app.tenancy.key_rotation import KeyRotation
from app.tenancy.sealing import Sealer
from app.upstream.probe import Finding, StepFailed, Verdict, clock_skew_s

MOST_SKEW_S = 30.0
STALE_AFTER = timedelta(hours=1)
LEAST_FREE_BYTES = 1_000_000_000
TAIL = 200


class Doctor:
    """The checks, in the order in which they make sense."""

    def __init__(
        self, database: Database, sealer: Sealer, http: httpx.AsyncClient, *, state_dir: Path, revision: str
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._http = http
        self._state_dir = state_dir
        self._revision = revision

    async def examine(self) -> list[Finding]:
        """Return what each check found; without a database only the disk is looked at."""
        findings = [await _check("disk", self._disk), await _check("database, role, policies, revision", self._verify)]
        if findings[-1].verdict is not Verdict.OK:
            return findings
        checks = {
            "isolation": self._isolation,
            "keys": self._keys,
            "sync": self._sync,
            "audit chain": self._audit,
            "Adobe and clock": self._upstream,
        }
        return findings + [await _check(name, work) for name, work in checks.items()]

    async def _disk(self) -> str:
        folder = next(one for one in (self._state_dir, *self._state_dir.resolve().parents) if one.exists())
        free = shutil.disk_usage(folder).free
        if free < LEAST_FREE_BYTES:
            raise StepFailed(f"{free / 1e9:.1f} GB are free at {folder}", "Make room, or move the state folder.")
        return f"{free / 1e9:.0f} GB are free at {folder}"

    async def _verify(self) -> str:
        await self._database.verify(self._revision)
        return f"revision {self._revision}, policies forced, the role cannot bypass them"

    async def _isolation(self) -> str:
        if leaking := await Canary(self._database).look():
            raise StepFailed(
                f"tenants see foreign rows in {', '.join(leaking)}",
                "Stop the gateway, then restore the policies of these tables from the migrations.",
            )
        return "no tenant sees foreign rows in any table"

    async def _keys(self) -> str:
        numbers = await KeyRotation(self._database, self._sealer, AuditRecorder()).numbers()
        unknown = {key_id.hex(): number for key_id, number in numbers.items() if key_id not in self._sealer.key_ids}
        if unknown:
            raise StepFailed(
                f"{sum(unknown.values())} secrets are sealed under keys that are not here: {', '.join(unknown)}",
                "Start with those master keys as well, or enter the secrets again.",
            )
        old = sum(number for key_id, number in numbers.items() if key_id != self._sealer.current_id)
        return f"{sum(numbers.values())} secrets open, {old} of them with an old key"

    async def _sync(self) -> str:
        oldest, now = timedelta(0), datetime.now(UTC)
        async with self._database.directory() as directory:
            tenants = await directory.tenants()
        for tenant in tenants:
            async with self._database.read(tenant.id) as unit:
                for sandbox in await unit.tenancy.sandboxes():
                    states = await unit.sync_states.all(sandbox.id)
                    read_at = min((one.succeeded_at for one in states if one.succeeded_at), default=None)
                    if read_at is None or now - read_at > STALE_AFTER:
                        raise StepFailed(
                            f"{tenant.slug}/{sandbox.name} was last read {read_at or 'never'}",
                            f"Run 'segment-gateway tenant check {tenant.slug}', and look at the sync's log.",
                        )
                    oldest = max(oldest, now - read_at)
        return f"{len(tenants)} tenants, the oldest sandbox was read {oldest.total_seconds():.0f} s ago"

    async def _audit(self) -> str:
        async with self._database.directory() as directory:
            tenants = await directory.tenants()
        for tenant in tenants:
            async with self._database.read(tenant.id) as unit:
                span = await unit.audit_events.span()
                if span is None:
                    continue
                events = await unit.audit_events.chain(after_sequence=max(0, span[1] - TAIL - 1), limit=TAIL + 1)
            first, *rest = events
            broken = first_break(rest, previous=first)
            if broken is not None:
                raise StepFailed(
                    f"the chain of {tenant.slug} is broken at {broken}",
                    f"Run 'segment-gateway audit verify --tenant {tenant.slug}', and keep a copy of the database.",
                )
        return f"the last {TAIL} events of {len(tenants)} chains follow from each other"

    async def _upstream(self) -> str:
        async with self._database.directory() as directory:
            tenants = await directory.tenants()
        urls = sorted({url for tenant in tenants for url in (tenant.platform_url, tenant.ims_url)})
        for url in urls:
            skew_s = await clock_skew_s(self._http, url)
            if skew_s is not None and abs(skew_s) > MOST_SKEW_S:
                raise StepFailed(f"this clock is {skew_s:+.0f} s off {url}'s", "Set this machine's clock (NTP).")
        return f"{len(urls)} hosts answer, the clocks agree"


async def _check(name: str, work: Callable[[], Awaitable[str]]) -> Finding:
    begun = perf_counter()
    try:
        async with asyncio.timeout(60):
            return Finding(name, Verdict.OK, await work(), seconds=perf_counter() - begun)
    except StepFailed as problem:
        detail, cure = problem.detail, problem.cure
    except GatewayError as problem:
        detail, cure = problem.detail, problem.hint or "Look at the gateway's log."
    except TimeoutError:
        detail, cure = "no result within 60 s", "Look at the load of the database."
    return Finding(name, Verdict.FAILED, detail, cure, perf_counter() - begun)
