"""The answer to ``?dryRun=true``, the same on the facade and on ``/v1``."""

from __future__ import annotations

from typing import Any

import msgspec

from app import pql
from app.services.dry_run import DryRun
from app.services.estimates import Estimate


def dry_run_body(found: DryRun) -> dict[str, Any]:
    """Return a dry run as JSON."""
    return {
        "dryRun": True,
        "operation": found.operation,
        "resource": {"id": found.resource_id, "name": found.resource_name},
        "wouldSend": {"method": found.method, "path": found.path, "body": found.body},
        "diagnostics": [msgspec.to_builtins(one) for one in found.diagnostics],
        "estimate": {
            "before": _estimate(found.estimate_before),
            "after": _estimate(found.estimate_after),
            "problem": found.estimate_problem,
        },
        "eligibility": {
            "before": _eligibility(found.eligibility_before),
            "after": _eligibility(found.eligibility_after),
            "changed": found.eligibility_changed,
        },
        "dependents": list(found.dependents),
    }


def _estimate(found: Estimate | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "previewId": found.preview_id,
        "state": found.state,
        "estimatedSize": found.estimated_size,
        "standardError": found.standard_error,
        "confidenceInterval": found.confidence_interval,
    }


def _eligibility(found: pql.Eligibility | None) -> dict[str, Any] | None:
    if found is None:
        return None
    reasons = [{"code": one.code, "message": one.message, "methods": list(one.methods)} for one in found.reasons]
    return {"batch": found.batch, "streaming": found.streaming, "edge": found.edge, "reasons": reasons}
