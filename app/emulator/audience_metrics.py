"""``POST /audiences/bulk-patch-metric``: the owner of an audience says how many profiles or records it has.

Source: Adobe's audience documentation (read December 2025); no machine-readable description has this call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from app.aep import errors as aep_errors
from app.aep import models
from app.aep.models import AEPModel
from app.emulator.deeds import label_denial
from app.emulator.gate import Call
from app.emulator.state import MetricKind

Document = dict[str, Any]

_KINDS: Mapping[str, MetricKind] = {"/metrics/data": "metrics", "/recordMetrics/data": "recordMetrics"}


class MetricOperation(AEPModel):
    """One change: ``/metrics/data`` takes ``totalProfiles``, ``/recordMetrics/data`` takes ``recordCount``."""

    op: Literal["add", "replace"]
    path: Literal["/metrics/data", "/recordMetrics/data"]
    value: dict[Literal["totalProfiles", "recordCount"], Annotated[int, Field(ge=0)]] = Field(min_length=1)


class MetricResource(AEPModel):
    """An audience by the name that its maker gave it."""

    audience_id: str
    namespace: str
    operations: list[MetricOperation] = Field(min_length=1)


class MetricPatch(AEPModel):
    """The body."""

    job_id: str
    job_type: Literal["export", "AO"]
    resources: list[MetricResource] = Field(min_length=1, max_length=models.BULK_GET_MAX)


def read_metric_patch(body: Any) -> MetricPatch:
    """Read the body. Raises pydantic's ValidationError."""
    return models.read_model(MetricPatch, body)


async def patch_metrics(call: Call, patch: MetricPatch, resource: MetricResource) -> Document:
    """Carry out what is asked for one audience, and return its part of the answer."""
    name = {"audienceId": resource.audience_id, "namespace": resource.namespace}
    found = await call.store.audiences_by_key(resource.namespace, [resource.audience_id])
    identifier = found.get(resource.audience_id)
    document = None if identifier is None else await call.store.audience(identifier)
    if document is None:
        return {**name, "status": 404, **aep_errors.item_error(404, "Not found.", request_id=call.request_id)}
    if not call.may_see(document):
        said = str(label_denial(call.organization.org_id, call.sandbox.name, document, "WRITE"))
        return {**name, "status": 403, **aep_errors.item_error(403, said, request_id=call.request_id)}
    call.touches(document["id"], document["name"])
    now_s = call.now_ms // 1000
    for operation in resource.operations:
        metric = {
            **call.place,
            "jobId": patch.job_id,
            "type": patch.job_type,
            "id": document["id"],
            "data": dict(operation.value),
            "createEpoch": now_s,
            "updateEpoch": now_s,
        }
        await call.store.set_metrics(_KINDS[operation.path], {document["id"]: metric})
    return {**name, "status": 200}
