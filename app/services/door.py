"""The one write door. Every change at AEP, from every entry point, walks these steps in this order:

    permission -> replay of an idempotency key -> rule check -> lease and version check -> intent (committed) -> AEP
        -> outcome, row and revision (one transaction) -> answer

An attempt without the permission, or on an object that is not here, is recorded as
denied, and nothing is sent. A key is claimed with the intent, and settled or given back with the outcome
(`app.services.idempotency`). An object that has versions is changed by one writer at a time
(`app.services.versions`). From the moment the intent is committed, exactly one of these follows it in
the audit: ``succeeded``, ``failed``, or ``unknown`` when AEP did not answer and may have acted all the same. The walk
is not cut short when the caller hangs up. From the intent to the outcome the change stands among the open operations;
when its process dies or AEP does not answer, the reconciler of `app.sync` finds out what became of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any, Generic, NoReturn, Protocol, TypeVar
from uuid import UUID

import msgspec
import structlog

from app.audit.actions import Action, Phase
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.context import RequestContext
from app.errors import Forbidden, NotFound, ObjectBusy, PublicError, UpstreamRefused, UpstreamUnavailable
from app.services.aep_calls import target_of
from app.services.attribution import author_of
from app.services.idempotency import (
    REPLY_MEMORY,
    Claim,
    Memory,
    claim_of,
    earlier,
    from_answer,
    in_flight,
    to_answer,
)
from app.services.permissions import require
from app.services.versions import Versioned, is_conditional, require_version
from app.settings import WriteSettings
from app.store.database import Database, WriteUnit
from app.store.rows import AuditEventRow, OpenOperationRow
from app.telemetry import Metrics
from app.upstream import mutations
from app.upstream.client import AEPClient, Call, Reply

log = structlog.get_logger(__name__)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Stored(Generic[Value]):
    """What a finished change left behind: the value for the caller and the resource as it is now known."""

    value: Value
    resource: Resource


@dataclass(frozen=True, slots=True)
class Written(Generic[Value]):
    """The answer of the door. ``body`` is AEP's reply as received.

    ``replayed`` says that the change was made earlier, under the same idempotency key.
    """

    value: Value
    audit_event: AuditEventRow
    body: Any
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Change(Generic[Value]):
    """One change at AEP.

    ``call`` is what is sent. ``store`` keeps the result in the transaction that also records the outcome;
    ``on_refusal`` may correct the cache in the transaction that records the failure. ``check`` looks at the rule
    before anything is recorded or sent. ``detail`` goes into the intent. ``memory`` keeps the value for a replay.
    ``versioned`` tells of the object, when it is one that has versions; ``before`` is what the cache had of it, with
    its ``document``.
    """

    operation: str
    action: Action
    resource: Resource
    call: Call
    store: Callable[[WriteUnit, Reply], Awaitable[Stored[Value]]]
    check: Callable[[], Awaitable[None]] | None = None
    on_refusal: Callable[[WriteUnit, UpstreamRefused], Awaitable[None]] | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    memory: Memory[Value] = REPLY_MEMORY
    versioned: Versioned | None = None
    before: dict[str, Any] | None = None


class DryRunEnded(Exception):
    """A dry run has come as far as it may: everything was checked, and nothing is recorded or sent.

    No error: the entrance completes it (`app.services.dry_run`) and answers with that.
    """

    def __init__(self, operation: str, call: Call, resource: Resource, before: dict[str, Any] | None) -> None:
        super().__init__(operation)
        self.operation = operation
        self.call = call
        self.resource = resource
        self.before = before


class Step(StrEnum):
    """The places of the walk at which a process may die; tests let it die at each of them."""

    PERMITTED = "permitted"
    LEASED = "leased"
    INTENT_WRITTEN = "intent written, not committed"
    INTENT_COMMITTED = "intent committed, nothing sent"
    ANSWERED = "AEP has answered"
    OUTCOME_WRITTEN = "outcome written, not committed"
    OUTCOME_COMMITTED = "outcome committed, caller not answered"


def _walk_on(_step: Step) -> None:
    return


class AnswerLost(UpstreamUnavailable):
    """AEP accepted a change, and what it answered is not what its contract says, or could not be stored."""

    code = "ANSWER_LOST"
    title = "The answer of Adobe Experience Platform could not be kept"
    retryable = False


class ChangeListener(Protocol):
    """Whoever wants to know that a sandbox has changed: the sync worker reads it again soon."""

    def changed(self, tenant_id: UUID, sandbox_id: UUID) -> None:
        """Take note; must return at once."""
        ...


class WriteDoor:
    """Carries changes out."""

    def __init__(
        self,
        database: Database,
        client: AEPClient,
        recorder: AuditRecorder,
        metrics: Metrics,
        settings: WriteSettings,
        listener: ChangeListener | None = None,
        on_step: Callable[[Step], None] = _walk_on,
    ) -> None:
        self._database = database
        self._client = client
        self._recorder = recorder
        self._metrics = metrics
        self._key_lifetime = timedelta(seconds=settings.idempotency_lifetime_s)
        self._lease_s = settings.write_lease_s
        self._wait_s = settings.write_wait_s
        self._listener = listener
        self._on_step = on_step
        self._running: set[asyncio.Task[Any]] = set()

    async def carry_out(self, ctx: RequestContext, change: Change[Value]) -> Written[Value]:
        """Carry a change out.

        Raises `Forbidden`, `KeyReused`, `RequestInFlight`, what ``change.check`` raises, `ObjectBusy`,
        `VersionConflict`, `UpstreamRefused`, `UpstreamUnavailable` or `AnswerLost`; for a dry run `DryRunEnded`.
        """
        operation = Operation.of(ctx, change.action, change.resource)
        await self.authorise(ctx, change.operation, operation)
        self._on_step(Step.PERMITTED)
        claim = claim_of(ctx, change.operation, change.call)
        if ctx.dry_run:
            await self._rehearse(ctx, change)
        if claim is not None and (replay := await self._replay(ctx, change, claim)) is not None:
            return replay
        await self._check(change, operation)
        # A task of its own, so that a caller who hangs up cannot leave an intent without an outcome.
        task = asyncio.create_task(self._alone(ctx, change, operation, claim))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait until every change under way has its outcome; part of an orderly stop."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    async def authorise(self, ctx: RequestContext, name: str, operation: Operation) -> None:
        """Raise `Forbidden`, and record it, unless the actor may carry out the operation called ``name``."""
        try:
            require(ctx, name)
        except Forbidden as denial:
            await self.deny(operation, denial)
            raise

    async def deny(self, operation: Operation, problem: Forbidden | NotFound) -> None:
        """Record an attempt that was turned away: a permission is missing, or the object is not here."""
        self._metrics.writes.labels(operation.action.value, Phase.DENIED.value).inc()
        permission = problem.permission if isinstance(problem, Forbidden) else None
        detail = {"reason": problem.detail, "permission": permission}
        async with self._database.write(operation.actor.tenant_id) as unit:
            await self._recorder.record(unit, operation, Phase.DENIED, detail=detail)

    async def _check(self, change: Change[Value], operation: Operation) -> None:
        if change.check is None:
            return
        try:
            await change.check()
        except NotFound as missing:
            await self.deny(operation, missing)
            raise

    async def _rehearse(self, ctx: RequestContext, change: Change[Any]) -> NoReturn:
        """Check a change as if it were to be made, and end there."""
        if change.check is not None:
            await change.check()
        if change.versioned is not None and is_conditional(ctx):
            await require_version(ctx, await change.versioned.read())
        before = change.before.get("document") if change.before is not None else None
        raise DryRunEnded(change.operation, change.call, change.resource, before)

    async def _replay(self, ctx: RequestContext, change: Change[Value], claim: Claim) -> Written[Value] | None:
        """Return the answer that the key already has, ``None`` when the key is free."""
        async with self._database.read(ctx.tenant.id) as unit:
            row = await earlier(unit, claim)
            event = None if row is None else await unit.audit_events.newest_of(row.operation_id)
        if row is None or row.answer is None or event is None:
            return None
        kept, reply = from_answer(row.answer)
        return Written(change.memory.recall(kept, reply), event, reply.body, replayed=True)

    async def _alone(
        self, ctx: RequestContext, change: Change[Value], operation: Operation, claim: Claim | None
    ) -> Written[Value]:
        """Carry a change out while nobody else changes the same object."""
        if change.versioned is None:
            return await self._beyond_intent(ctx, change, operation, claim)
        await self._lease(ctx, change.versioned, operation)
        self._on_step(Step.LEASED)
        try:
            if is_conditional(ctx):
                await require_version(ctx, await change.versioned.read())
            return await self._beyond_intent(ctx, change, operation, claim)
        finally:
            async with self._database.write(ctx.tenant.id) as unit:
                await unit.object_leases.release(operation.id)

    async def _lease(self, ctx: RequestContext, versioned: Versioned, operation: Operation) -> None:
        """Take the lease of an object, or raise `ObjectBusy` when another change does not end soon."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wait_s
        while True:
            async with self._database.write(ctx.tenant.id) as unit:
                leases, lease_s = unit.object_leases, self._lease_s
                if await leases.take(ctx.sandbox.id, versioned.object_id, operation.id, lease_s=lease_s):
                    return
            if loop.time() >= deadline:
                raise ObjectBusy(
                    "Another change of this object is under way.", hint="Try again shortly.", retry_after_s=1.0
                )
            await asyncio.sleep(random.uniform(0.02, 0.08))  # noqa: S311 - so that two who wait do not ask in step

    async def _beyond_intent(
        self, ctx: RequestContext, change: Change[Value], operation: Operation, claim: Claim | None
    ) -> Written[Value]:
        if not await self._record_intent(ctx, change, operation, claim):
            # Somebody has claimed the key since we looked.
            replay = None if claim is None else await self._replay(ctx, change, claim)
            if replay is None:
                raise in_flight()
            return replay
        self._on_step(Step.INTENT_COMMITTED)
        try:
            reply = await self._send_in_time(ctx, change.call)
        except (UpstreamRefused, UpstreamUnavailable) as problem:
            await self._record_failure(ctx, change, operation, problem)
            raise
        self._on_step(Step.ANSWERED)
        try:
            written = await self._record_success(ctx, change, operation, reply)
        except Exception as problem:
            # AEP has acted; what it answered could not be kept. An intent must not stay without an outcome.
            await self._record_lost_answer(ctx, change, operation, reply, problem)
            raise AnswerLost(
                "Adobe Experience Platform carried the change out, but its answer could not be kept"
                + (f": {problem.detail}" if isinstance(problem, PublicError) else "."),
                hint="Look the object up before you repeat the call.",
                outcome_unknown=True,
            ) from problem
        self._on_step(Step.OUTCOME_COMMITTED)
        if self._listener is not None:
            self._listener.changed(ctx.tenant.id, ctx.sandbox.id)
        return written

    async def _record_intent(
        self, ctx: RequestContext, change: Change[Value], operation: Operation, claim: Claim | None
    ) -> bool:
        """Commit the intent and the claim; false when the key is another's by now."""
        async with self._database.write(ctx.tenant.id) as unit:
            if claim is not None:
                await unit.idempotency_keys.prune()
                keys, lifetime = unit.idempotency_keys, self._key_lifetime
                if not await keys.claim(claim.scope, claim.request_hash, operation.id, lifetime=lifetime):
                    return False
            if change.versioned is not None:
                object_id, lease_s = change.versioned.object_id, self._lease_s
                if not await unit.object_leases.take(ctx.sandbox.id, object_id, operation.id, lease_s=lease_s):
                    raise ObjectBusy("The change took too long to begin.", hint="Try again.", retry_after_s=1.0)
            await unit.open_operations.begin(_to_row(ctx, change, operation), lease_s=self._lease_s)
            await self._recorder.record(unit, operation, Phase.INTENT, detail=change.detail)
            self._on_step(Step.INTENT_WRITTEN)
        return True

    async def _send_in_time(self, ctx: RequestContext, call: Call) -> Reply:
        """Send a change. After the lease nothing may be on its way any more: others go by that."""
        try:
            async with asyncio.timeout(self._lease_s):
                return await mutations.send(self._client, target_of(ctx), call)
        except TimeoutError:
            raise UpstreamUnavailable(
                "Adobe Experience Platform did not answer in time, so it is not known whether the change was made.",
                hint="Look the object up before you repeat the call.",
                outcome_unknown=True,
            ) from None

    async def _record_success(
        self, ctx: RequestContext, change: Change[Value], operation: Operation, reply: Reply
    ) -> Written[Value]:
        async with self._database.write(ctx.tenant.id) as unit:
            stored = await change.store(unit, reply)
            if ctx.idempotency_key is not None:
                answer = to_answer(change.memory.keep(stored.value), reply)
                await unit.idempotency_keys.settle(operation.id, answer)
            closed = await unit.open_operations.close(operation.id)
            event = None if closed else await unit.audit_events.newest_of(operation.id)
            if event is None or event.phase != Phase.SUCCEEDED.value:
                event = await self._recorder.record(
                    unit,
                    operation,
                    Phase.SUCCEEDED,
                    resource=stored.resource,
                    detail={"upstreamStatus": reply.status, **change.detail},
                    upstream_request_id=reply.request_id,
                )
            self._on_step(Step.OUTCOME_WRITTEN)
        self._count(change, Phase.SUCCEEDED)
        return Written(stored.value, event, reply.body)

    async def _record_lost_answer(
        self, ctx: RequestContext, change: Change[Value], operation: Operation, reply: Reply, problem: Exception
    ) -> None:
        log.error("door.answer_lost", action=change.action.value, exc_info=problem)
        reason = problem.detail if isinstance(problem, PublicError) else "AEP's answer could not be kept."
        async with self._database.write(ctx.tenant.id) as unit:
            if not await unit.open_operations.doubt(operation.id):
                return
            await unit.idempotency_keys.doubt(operation.id)
            await self._recorder.record(
                unit,
                operation,
                Phase.UNKNOWN,
                detail={"reason": reason, "upstreamStatus": reply.status, **change.detail},
                upstream_request_id=reply.request_id,
            )
        self._count(change, Phase.UNKNOWN)

    async def _record_failure(
        self, ctx: RequestContext, change: Change[Value], operation: Operation, problem: PublicError
    ) -> None:
        unknown = isinstance(problem, UpstreamUnavailable) and problem.outcome_unknown
        phase = Phase.UNKNOWN if unknown else Phase.FAILED
        detail: dict[str, Any] = {"reason": problem.detail, **change.detail}
        upstream_request_id = problem.upstream_request_id if isinstance(problem, UpstreamUnavailable) else None
        if isinstance(problem, UpstreamRefused):
            detail |= {"upstreamStatus": problem.status, "upstreamCode": problem.upstream_code}
            upstream_request_id = problem.upstream_request_id
        async with self._database.write(ctx.tenant.id) as unit:
            operations = unit.open_operations
            if not await (operations.doubt(operation.id) if unknown else operations.close(operation.id)):
                return  # the reconciler has found out what became of it
            if isinstance(problem, UpstreamRefused) and change.on_refusal is not None:
                await change.on_refusal(unit, problem)
            if ctx.idempotency_key is not None:
                keys = unit.idempotency_keys
                await (keys.doubt(operation.id) if unknown else keys.release(operation.id))
            await self._recorder.record(unit, operation, phase, detail=detail, upstream_request_id=upstream_request_id)
        self._count(change, phase)
        log.warning("door.not_written", action=change.action.value, phase=phase.value, code=problem.code)

    def _count(self, change: Change[Value], phase: Phase) -> None:
        self._metrics.writes.labels(change.action.value, phase.value).inc()


def _to_row(ctx: RequestContext, change: Change[Any], operation: Operation) -> OpenOperationRow:
    return OpenOperationRow(
        operation_id=operation.id,
        sandbox_id=ctx.sandbox.id,
        sandbox_name=ctx.sandbox.name,
        call=change.operation,
        action=change.action.value,
        actor=author_of(ctx),
        entrance=ctx.entrance.value,
        request_id=ctx.request_id,
        resource_type=change.resource.type,
        resource_id=change.resource.id,
        resource_name=change.resource.name,
        sent=msgspec.json.encode(change.call.body).decode(),
        before=None if change.before is None else msgspec.json.encode(change.before).decode(),
    )
