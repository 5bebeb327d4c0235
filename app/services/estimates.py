"""Previews and estimates. AEP computes them; starting one goes through the door, so the audit knows who asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from app.aep.models import PROFILE_CLASS, Expression, PreviewRequest
from app.audit.actions import Action
from app.audit.recorder import Resource
from app.context import RequestContext
from app.errors import NotFound, UpstreamUnavailable
from app.services.aep_calls import or_not_found, target_of
from app.services.bodies import read_body
from app.services.door import Change, Stored, WriteDoor, Written
from app.services.idempotency import NO_MEMORY, Memory
from app.services.permissions import require
from app.services.rules import RuleService
from app.store.database import WriteUnit
from app.upstream import estimates as upstream
from app.upstream.client import AEPClient, Reply

RESOURCE = "preview"


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many profiles a rule would have, as far as AEP knows by now.

    ``state`` is ``NEW``, ``RUNNING``, ``RESULT_READY`` or ``FAILED``. Sizes count profiles: ``rows_read`` of
    ``rows_total`` were looked at. ``standard_error`` is in profiles, ``confidence_interval`` a text such as ``95%``.
    """

    preview_id: str
    state: str
    estimated_size: int | None
    standard_error: float | None
    confidence_interval: str | None
    rows_read: int | None
    rows_total: int | None
    as_of: datetime
    document: dict[str, Any]


_MEMORY: Memory[Estimate] = Memory(msgspec.to_builtins, lambda kept, _reply: msgspec.convert(kept, Estimate))


class EstimateService:
    """Starts, reads and ends estimates of the request's sandbox."""

    def __init__(self, client: AEPClient, door: WriteDoor, rules: RuleService) -> None:
        self._client = client
        self._door = door
        self._rules = rules

    async def start(self, ctx: RequestContext, expression: str) -> Written[Estimate]:
        """Start estimating a rule in PQL text. Raises `PQLError`, `Forbidden` and what the door raises."""
        body = {
            "predicateExpression": expression,
            "predicateType": "pql/text",
            "predicateModel": PROFILE_CLASS,
            "graphType": "none",
        }
        return await self._start(ctx, body, "create_estimate")

    async def start_preview(self, ctx: RequestContext, body: dict[str, Any]) -> Written[Estimate]:
        """Start a preview with the body of AEP's call; its estimate has the same id."""
        return await self._start(ctx, body, "create_preview")

    async def _start(self, ctx: RequestContext, body: dict[str, Any], operation: str) -> Written[Estimate]:
        async def check() -> None:
            wanted = read_body(PreviewRequest, body)
            rule = Expression(type="PQL", format=wanted.predicate_type, value=wanted.predicate_expression)
            await self._rules.require_valid(ctx, rule)

        async def store(_unit: WriteUnit, reply: Reply) -> Stored[Estimate]:
            preview_id = reply.body.get("previewId") if isinstance(reply.body, dict) else None
            if not isinstance(preview_id, str):
                raise UpstreamUnavailable("Adobe Experience Platform's answer has no preview in it.")
            return Stored(_to_estimate(preview_id, reply.body), Resource(RESOURCE, preview_id))

        expression = body.get("predicateExpression")
        change = Change(
            operation=operation,
            action=Action.PREVIEW_CREATE,
            resource=Resource(RESOURCE),
            call=upstream.create_preview(body),
            check=check,
            store=store,
            detail={"expression": expression if isinstance(expression, str) else None},
            memory=_MEMORY,
        )
        return await self._door.carry_out(ctx, change)

    async def get(self, ctx: RequestContext, preview_id: str) -> Estimate:
        """Return how an estimate stands. Raises `NotFound`, `UpstreamUnavailable`."""
        return _to_estimate(preview_id, (await self.get_document(ctx, preview_id)).body)

    async def get_document(self, ctx: RequestContext, preview_id: str) -> Reply:
        """Return AEP's answer about an estimate as it came."""
        require(ctx, "get_estimate")
        return await or_not_found(
            upstream.get_estimate(self._client, target_of(ctx), preview_id), _not_found(preview_id)
        )

    async def get_preview(
        self, ctx: RequestContext, preview_id: str, params: tuple[tuple[str, str], ...] = ()
    ) -> Reply:
        """Return AEP's answer about a preview, with sample profiles, as it came."""
        require(ctx, "get_preview")
        return await or_not_found(
            upstream.get_preview(self._client, target_of(ctx), preview_id, params), _not_found(preview_id)
        )

    async def delete_preview(self, ctx: RequestContext, preview_id: str) -> Written[None]:
        """End a preview and its estimate. Raises `NotFound` and what the door raises."""

        async def store(_unit: WriteUnit, _reply: Reply) -> Stored[None]:
            return Stored(None, Resource(RESOURCE, preview_id))

        change = Change(
            operation="delete_preview",
            action=Action.PREVIEW_DELETE,
            resource=Resource(RESOURCE, preview_id),
            call=upstream.delete_preview(preview_id),
            store=store,
            memory=NO_MEMORY,
        )
        return await or_not_found(self._door.carry_out(ctx, change), _not_found(preview_id))


def _not_found(preview_id: str) -> NotFound:
    return NotFound(
        f"There is no preview or estimate {preview_id} in this sandbox.",
        hint="Start one with estimateSegment or POST /preview; AEP forgets old ones.",
    )


def _to_estimate(preview_id: str, document: dict[str, Any]) -> Estimate:
    """Read an estimate or the reply to a new preview, whose members have other names."""
    state = document.get("state") or document.get("previewQueryStatus") or "NEW"
    return Estimate(
        preview_id=preview_id,
        state="FAILED" if state == "ERROR" else state,
        estimated_size=document.get("estimatedSize"),
        standard_error=document.get("standardError"),
        confidence_interval=document.get("confidenceInterval"),
        rows_read=document.get("profilesReadSoFar"),
        rows_total=document.get("totalRows"),
        as_of=datetime.now(UTC),
        document=document,
    )
