"""What is stored of an audience, and the two views of it.

A segment definition *is* an audience that the platform evaluates: one stored document, shown in full under
``/audiences`` and with fewer members under ``/segment/definitions``.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from app.aep import ids, models, times
from app.emulator.gate import Call
from app.emulator.rules import Rule

Document = dict[str, Any]

PLATFORM_TYPE: Final = "SegmentDefinition"
EXTERNAL_TYPE: Final = "ExternalSegment"

_DEFINED_ON: Final = [
    {
        "meta:resourceType": "unions",
        "meta:containerId": "tenant",
        "$ref": "https://ns.adobe.com/xdm/context/profile__union",
    }
]


def definition_view(document: Mapping[str, Any]) -> Document:
    """Return a stored platform audience as a segment definition."""
    return {name: document[name] for name in models.DEFINITION_MEMBERS if name in document}


def audience_view(document: Mapping[str, Any]) -> Document:
    """Return a stored audience as ``/audiences`` shows it: only a platform audience tells what uses it."""
    hidden = () if document["type"] == PLATFORM_TYPE else ("dependencies", "dependents")
    return {name: value for name, value in document.items() if name not in hidden}


def new_platform_audience(call: Call, body: Mapping[str, Any], rule: Rule, policy: Mapping[str, Any]) -> Document:
    """Return the document of a new definition; ``body`` was validated, ``rule`` is its checked expression."""
    identifier = str(uuid.uuid4())
    document: Document = {
        "id": identifier,
        "audienceId": identifier,
        "schema": body["schema"],
        "profileInstanceId": body.get("profileInstanceId") or "ups",
        **call.place,
        "isSystem": False,
        "name": body["name"],
        "expression": rule.expression(),
        "mergePolicyId": policy["id"],
        "evaluationInfo": models.evaluation_info(allowed_method(rule, method_of(body), policy)),
        "dataGovernancePolicy": body.get("dataGovernancePolicy") or {"excludeOptOut": True},
        **times.creation_members(call.now_ms),
        "createEpoch": call.now_ms // 1000,
        "_etag": ids.new_etag(call.now_ms // 1000),
        "definedOn": _DEFINED_ON,
        "type": PLATFORM_TYPE,
        "originName": "REAL_TIME_CUSTOMER_PROFILE",
        "overridePerformanceWarnings": False,
        "createdBy": call.token.user_id,
        "lifecycleState": body.get("lifecycleState") or "published",
        "namespace": "AEPSegments",
    }
    for name in ("description", "ttlInDays", "payloadSchema", "tags", "labels"):
        if body.get(name) is not None:
            document[name] = body[name]
    return document


_PATCHABLE: Final = (
    "name",
    "description",
    "schema",
    "profileInstanceId",
    "ttlInDays",
    "dataGovernancePolicy",
    "payloadSchema",
    "tags",
    "labels",
    "lifecycleState",
)


def changed_platform_audience(
    call: Call,
    stored: Mapping[str, Any],
    body: Mapping[str, Any],
    rule: Rule,
    policy: Mapping[str, Any],
    *,
    replace: bool = False,
) -> Document:
    """Return a definition with the members of ``body`` put in the places of the stored ones.

    ``rule`` and ``policy`` are those that hold afterwards. A member that is null goes back to its default. With
    ``replace``, editable members that the body leaves out go as well.
    """
    document = dict(stored)
    for name in _PATCHABLE:
        if name in body and body[name] is not None:
            document[name] = body[name]
        elif name in body or (replace and name != "lifecycleState"):
            document.pop(name, None)
    document.setdefault("profileInstanceId", "ups")
    document["mergePolicyId"] = policy["id"]
    document.setdefault("dataGovernancePolicy", {"excludeOptOut": True})
    document.setdefault("lifecycleState", "published")
    document["expression"] = rule.expression()
    wanted = method_of(body) if body.get("evaluationInfo") is not None else method_of(stored)
    document["evaluationInfo"] = models.evaluation_info(allowed_method(rule, wanted, policy))
    return touched(call, document)


def allowed_method(rule: Rule, wanted: models.EvaluationMethod, policy: Mapping[str, Any]) -> models.EvaluationMethod:
    """Return the evaluation method that a definition gets: streaming and edge need a policy that is active on edge."""
    return rule.allowed_method(wanted) if policy["isActiveOnEdge"] else "batch"


def touched(call: Call, document: Document) -> Document:
    """Return a document with the marks of a change at the time of the call."""
    return {
        **document,
        **times.update_members(call.now_ms),
        "_etag": ids.new_etag(call.now_ms // 1000),
        "lastModifiedBy": call.token.user_id,
    }


def method_of(body: Mapping[str, Any]) -> models.EvaluationMethod:
    """Return the evaluation method that a body asks for; batch when it says nothing."""
    given = body.get("evaluationInfo")
    return models.EvaluationInfo.model_validate(given).method if given is not None else "batch"
