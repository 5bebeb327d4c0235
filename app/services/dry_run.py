"""What a change would do, without making it: what would be sent, and what it would mean.

The write door walks a dry run through permission, rule check and version check, and then ends it with `DryRunEnded`
instead of sending anything; so every change of every resource can be tried, and none can forget to stop. The entrance
that asked completes it here with what is known of the rules: their remarks, their estimated sizes, how they may be
evaluated, and what uses the object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from app import pql
from app.audit.recorder import Resource
from app.context import RequestContext
from app.errors import GatewayError, PublicError, UpstreamRefused, UpstreamUnavailable
from app.services.aep_calls import target_of
from app.services.door import DryRunEnded
from app.services.estimates import Estimate, EstimateService
from app.services.permissions import require
from app.services.rules import RuleDiagnostic, RuleReport, RuleService
from app.store.database import Database
from app.upstream import audiences
from app.upstream.client import AEPClient

ESTIMATE_WAIT_S: Final = 3.0
_FINAL: Final = {"RESULT_READY", "FAILED"}
_PAUSE_S: Final = 0.1
_USABLE: Final = {"segment_definition", "audience"}
"""Kinds of objects that rules of others can refer to."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a change would do.

    ``before`` and ``after`` are about the rule that the object has and the one that it would have; each is ``None``
    where there is no such rule. ``dependents`` are AEP's ids of what uses the object.
    """

    operation: str
    method: str
    path: str
    body: Any
    resource_id: str | None
    resource_name: str | None
    diagnostics: tuple[RuleDiagnostic, ...]
    estimate_before: Estimate | None
    estimate_after: Estimate | None
    estimate_problem: str | None
    eligibility_before: pql.Eligibility | None
    eligibility_after: pql.Eligibility | None
    dependents: tuple[str, ...]

    @property
    def eligibility_changed(self) -> bool:
        """Whether the rule could be evaluated by other methods than before."""
        return _methods(self.eligibility_before) != _methods(self.eligibility_after)


class DryRunService:
    """Completes dry runs."""

    def __init__(self, database: Database, client: AEPClient, rules: RuleService, estimates: EstimateService) -> None:
        self._database = database
        self._client = client
        self._rules = rules
        self._estimates = estimates

    async def complete(self, ctx: RequestContext, ended: DryRunEnded) -> DryRun:
        """Return what a change would do. Its estimates are asked of AEP, which changes nothing there."""
        old, new = _rule_of(ended.before), _rule_after(ended)
        before, after = await self._report(ctx, old), await self._report(ctx, new)
        sizes, problem = await self._sizes(ctx, before, after)
        return DryRun(
            operation=ended.operation,
            method=ended.call.method,
            path=ended.call.path,
            body=ended.call.body,
            resource_id=ended.resource.id,
            resource_name=ended.resource.name,
            diagnostics=after.diagnostics if after is not None else (),
            estimate_before=sizes.get(before.hash) if before is not None else None,
            estimate_after=sizes.get(after.hash) if after is not None else None,
            estimate_problem=problem,
            eligibility_before=before.eligibility if before is not None else None,
            eligibility_after=after.eligibility if after is not None else None,
            dependents=await self._dependents(ctx, ended.resource),
        )

    async def _report(self, ctx: RequestContext, rule: Mapping[str, Any] | None) -> RuleReport | None:
        if rule is None:
            return None
        return await self._rules.check(ctx, str(rule.get("value", "")), str(rule.get("format", pql.TEXT)))

    async def _sizes(
        self, ctx: RequestContext, *reports: RuleReport | None
    ) -> tuple[dict[str | None, Estimate], str | None]:
        """Return the estimates of rules by their hash, and why one is missing. Rules of one meaning share one."""
        texts = {one.hash: one.canonical for one in reports if one is not None and one.canonical is not None}
        # A start of its own: it is neither the caller's change nor repeated under his key.
        own = replace(ctx, dry_run=False, idempotency_key=None, if_match=None, expected_version=None)
        found = await asyncio.gather(*(self._size(own, text) for text in texts.values()), return_exceptions=True)
        sizes: dict[str | None, Estimate] = {}
        problem = None
        for rule_hash, one in zip(texts, found, strict=True):
            if isinstance(one, Estimate):
                sizes[rule_hash] = one
            elif isinstance(one, PublicError):
                problem = one.detail
            elif isinstance(one, GatewayError):
                problem = "The estimate failed."
            else:
                raise one
        return sizes, problem

    async def _size(self, ctx: RequestContext, text: str) -> Estimate:
        """Return the estimate of a rule, as far as it has come when the wait is over."""
        estimate = (await self._estimates.start(ctx, text)).value
        loop = asyncio.get_running_loop()
        deadline = loop.time() + ESTIMATE_WAIT_S
        while estimate.state not in _FINAL and loop.time() < deadline:
            await asyncio.sleep(_PAUSE_S)
            estimate = await self._estimates.get(ctx, estimate.preview_id)
        return estimate

    async def _dependents(self, ctx: RequestContext, resource: Resource) -> tuple[str, ...]:
        aep_id = resource.id
        if aep_id is None or resource.type not in _USABLE:
            return ()
        require(ctx, "get_audience")
        try:
            # Read afresh: a definition that began to use this one a moment ago counts.
            document = await audiences.get_audience(self._client, target_of(ctx), aep_id)
        except (UpstreamRefused, UpstreamUnavailable):
            async with self._database.read(ctx.tenant.id) as unit:
                row = await unit.audiences.by_aep_id(ctx.sandbox.id, aep_id)
            document = row.document if row is not None else {}
        found = document.get("dependents")
        return tuple(str(one) for one in found) if isinstance(found, list) else ()


def _methods(found: pql.Eligibility | None) -> tuple[bool, bool] | None:
    return None if found is None else (found.streaming, found.edge)


def _rule_of(document: Any) -> Mapping[str, Any] | None:
    rule = document.get("expression") if isinstance(document, Mapping) else None
    return rule if isinstance(rule, Mapping) else None


def _rule_after(ended: DryRunEnded) -> Mapping[str, Any] | None:
    """Return the rule that the object would have."""
    body = ended.call.body
    if ended.call.method == "DELETE":
        return None
    if isinstance(body, list):  # JSON Patch
        values = [one.get("value") for one in body if isinstance(one, Mapping) and one.get("path") == "/expression"]
        return _rule_of({"expression": values[-1]}) if values else _rule_of(ended.before)
    return _rule_of(body) or _rule_of(ended.before)
