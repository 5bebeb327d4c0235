"""Writing audiences that the platform evaluates, for both ``/segment/definitions`` and ``/audiences``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.aep import models
from app.aep.errors import ErrorCode
from app.emulator.answers import Refusal
from app.emulator.documents import allowed_method, changed_platform_audience, method_of, new_platform_audience
from app.emulator.gate import Call
from app.emulator.guardrails import GuardrailControl
from app.emulator.merge_policies import merge_policy
from app.emulator.rules import RuleBook
from app.errors import Conflict, NotFound

Document = dict[str, Any]


class _Moved(Exception):
    """What the rule was checked with changed between the check and the write; check again."""


class PlatformAudiences:
    """Checks rules, then writes. Bodies were validated as ``SegmentDefinitionCreate`` or ``...Patch``."""

    def __init__(self, rules: RuleBook, guardrails: GuardrailControl) -> None:
        self._rules = rules
        self._guardrails = guardrails

    async def create(self, call: Call, body: Mapping[str, Any]) -> Document:
        """Store a new audience and return it. Raises Refusal, and Conflict when the name is taken."""
        policy = await merge_policy(call, body.get("mergePolicyId"))
        rule = self._rules.check(call, body)
        document = new_platform_audience(call, body, rule, policy)
        await self._guardrails.check_room(call.store, models.enabled_method(document), is_new=True)
        await call.store.add_audience(document, uses=rule.uses)
        return {**document, "dependencies": sorted(rule.uses), "dependents": []}

    async def change(self, call: Call, identifier: str, body: Mapping[str, Any], *, replace: bool = False) -> Document:
        """Merge ``body`` into a stored audience, or overwrite it. Raises NotFound, Refusal, Conflict."""
        while True:
            try:
                return await self._change_once(call, identifier, body, replace)
            except _Moved:
                continue

    async def _change_once(self, call: Call, identifier: str, body: Mapping[str, Any], replace: bool) -> Document:
        stored = await call.store.audience(identifier)
        if stored is None:
            raise NotFound(f"There is no audience {identifier}")
        rule = self._rules.check(call, {**stored, **body})
        policy = await merge_policy(call, body.get("mergePolicyId", stored["mergePolicyId"]))
        given = body if body.get("evaluationInfo") is not None else stored
        wanted = allowed_method(rule, method_of(given), policy)
        if wanted != models.enabled_method(stored):
            await self._guardrails.check_room(call.store, wanted, is_new=False)

        def change(latest: Document) -> Document:
            # The rule was checked outside the transaction. Had somebody else changed it since, a body that leaves
            # it alone would put the old one back.
            if any(name not in body and latest[name] != stored[name] for name in ("expression", "mergePolicyId")):
                raise _Moved
            check_lifecycle_change(latest, body)
            return changed_platform_audience(call, latest, body, rule, policy, replace=replace)

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
