"""The audit in AEP's shape: what an operation's phase is told as."""

from __future__ import annotations

import pytest

from app.audit.actions import Action, Phase
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.context.permissions import Permission
from app.services.audit_log import AuditLogService
from app.store.database import Database
from tests.factories import make_tenant


@pytest.mark.parametrize(
    ("phase", "decision", "execution"),
    [
        (Phase.INTENT, "Allow", []),
        (Phase.SUCCEEDED, "Allow", [("Success", "")]),
        (Phase.RECORDED, "Allow", [("Success", "")]),
        (Phase.OBSERVED, "Allow", [("Success", "")]),
        (Phase.FAILED, "Allow", [("Failure", "FAILED")]),
        (Phase.UNKNOWN, "Allow", [("Failure", "UNKNOWN")]),
        (Phase.DENIED, "Deny", []),
    ],
)
async def test_each_phase_is_told_as_a_decision_and_what_came_of_it(
    database: Database, phase: Phase, decision: str, execution: list[tuple[str, str]]
) -> None:
    luma = await make_tenant(database)
    auditor = luma.context(Permission.VIEW_USER_ACTIVITY_LOG)
    about = Resource("segment_definition", "id-1", "Gold")
    operation = Operation.of(auditor, Action.SEGMENT_DEFINITION_UPDATE, about)
    async with database.write(luma.id) as unit:
        await AuditRecorder().record(unit, operation, phase)
    (event,), _ = await AuditLogService(database).events(auditor, [("property", "assetId==id-1")])
    assert event["status"] == decision
    assert [(one["status"], one["failureCode"]) for one in event["enhancedEvents"]] == execution
