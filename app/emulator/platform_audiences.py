"""Writing audiences that the platform evaluates, for both ``/segment/definitions`` and ``/audiences``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.aep import models
from app.aep.errors import ErrorCode
from app.emulator.answers import Refusal
from app.emulator.documents import changed_platform_audience, method_of, new_platform_audience
from app.emulator.gate import Call
from app.emulator.guardrails import GuardrailControl
from app.emulator.merge_policies import merge_policies
from app.emulator.rules import RuleBook
from app.errors import Conflict, NotFound

Document = dict[str, Any]


class _ExpressionMoved(Exception):
    """The stored expression changed between the check and the write; check again."""


class PlatformAudiences:
    """Checks rules, then writes. Bodies were validated as ``SegmentDefinitionCreate`` or ``...Patch``."""

    def __init__(self, rules: RuleBook, guardrails: GuardrailControl) -> None:
        self._rules = rules
        self._guardrails = guardrails

    async def create(self, call: Call, body: Mapping[str, Any]) -> Document:
        """Store a new audience and return it. Raises Refusal, and Conflict when the name is taken."""
        _check_merge_policy(call, body)
        rule = self._rules.check(call, body)
        document = new_platform_audience(call, body, rule)
        await self._guardrails.check_room(call.store, models.enabled_method(document), is_new=True)
        await call.store.add_audience(document, uses=rule.uses)
        return {**document, "dependencies": sorted(rule.uses), "dependents": []}

    async def change(self, call: Call, identifier: str, body: Mapping[str, Any], *, replace: bool = False) -> Document:
        """Merge ``body`` into a stored audience, or overwrite it. Raises NotFound, Refusal, Conflict."""
        _check_merge_policy(call, body)
        while True:
            try:
                return await self._change_once(call, identifier, body, replace)
            except _ExpressionMoved:
                continue

    async def _change_once(self, call: Call, identifier: str, body: Mapping[str, Any], replace: bool) -> Document:
        stored = await call.store.audience(identifier)
        if stored is None:
            raise NotFound(f"There is no audience {identifier}")
        rule = self._rules.check(call, {**stored, **body})

        wanted = rule.allowed_method(method_of(body if body.get("evaluationInfo") is not None else stored))
        if wanted != models.enabled_method(stored):
            await self._guardrails.check_room(call.store, wanted, is_new=False)

        def change(latest: Document) -> Document:
            # The rule was checked outside the transaction. Had somebody else changed it since, a body that leaves
            # the expression alone would put the old one back.
            if "expression" not in body and latest["expression"] != stored["expression"]:
                raise _ExpressionMoved
            check_lifecycle_change(latest, body)
            return changed_platform_audience(call, latest, body, rule, replace=replace)

        return await call.store.change_audience(identifier, change, uses=rule.uses)


def check_lifecycle_change(stored: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    """Refuse to make an audience inactive while others use it. Raises Refusal."""
    if body.get("lifecycleState") == "inactive" and stored["dependents"]:
        users = ", ".join(stored["dependents"])
        message = f"The audience {stored['id']} cannot become inactive: it is used by {users}."
        raise Refusal(400, message, code=ErrorCode.AUDIENCE_INVALID)


def refuse_used(conflict: Conflict) -> Refusal:
    """Return the answer for a deletion that dependents stand in the way of."""
    return Refusal(400, f"{conflict.detail}. {conflict.hint}", code=ErrorCode.HAS_DEPENDENTS)


def _check_merge_policy(call: Call, body: Mapping[str, Any]) -> None:
    wanted = body.get("mergePolicyId")
    known = [policy["id"] for policy in merge_policies(call)]
    if wanted and wanted not in known:
        raise Refusal(400, f"The merge policy {wanted} is not found. The sandbox has: {', '.join(known)}.")
