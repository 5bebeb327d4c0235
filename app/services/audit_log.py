"""The gateway's audit in AEP's shape, for tools that read ``/data/foundation/audit``.

AEP's own log knows one technical account; here ``userEmail`` is the person or the integration. An operation is one
event: the permission decision as the core event, what came of it inside. An operation under way has nothing inside
yet; one whose end is unknown is told as a failure with the code ``UNKNOWN``. ``app.services.audit`` tells all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from app.aep import audit_log as shape
from app.aep.times import epoch_ms, from_epoch_ms
from app.audit.actions import Action, Phase
from app.context import RequestContext
from app.services.permissions import require
from app.store.audit_events import AuditEventFilter
from app.store.database import Database
from app.store.paging import NumberWindow
from app.store.rows import AuditEventRow

Parameters = Iterable[tuple[str, str]]
Document = dict[str, Any]

_DENIED: Final = "Deny"
_ALLOWED: Final = "Allow"
_FAILED: Final = frozenset({Phase.FAILED, Phase.UNKNOWN})
# What AEP's log calls a segment, or has no word for and is about segments.
_SEGMENTS: Final = {
    *("audience", "audience_metrics", "external_audience", "external_audience_run", "segment_definition"),
    *("segment_job", "export_job", "preview", "schedule"),
}
# AEP's words, where its log and ours differ; a segment job evaluates and an export job exports.
_ACTIONS: Final = {
    Action.SEGMENT_JOB_CREATE: "Evaluate",
    Action.EXPORT_JOB_CREATE: "Export",
}
_VERBS: Final = {"replace": "Update", "restore": "Update", "set": "Update", "issue": "Create"}
# Which column of a row tells what a filter is about.
_COLUMNS: Final = {
    "user": "actor_name",
    "assetId": "resource_id",
    "assetName": "resource_name",
    "requestId": "request_id",
}


class AuditLogService:
    """Lists and exports the audit of the actor's organization as AEP does."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database = database
        self._clock = clock

    async def events(self, ctx: RequestContext, parameters: Parameters) -> tuple[list[Document], shape.Query]:
        """Return the newest events of 90 days that were asked for, and the query that repeats the answer.

        Raises `Forbidden` and `InvalidRequest`.
        """
        require(ctx, "list_audit_events")
        query = shape.Query.read(parameters)
        now_ms = epoch_ms(self._clock())
        found, up_to = await self._find(ctx, query, (now_ms - shape.WINDOW_MS, now_ms + 1), shape.MAX_LISTED)
        return found, msgspec.structs.replace(query, up_to=up_to)

    async def export(self, ctx: RequestContext, parameters: Parameters) -> tuple[list[Document], shape.Query]:
        """Return up to 10,000 events of at most 90 of the last 365 days, and the query that repeats the answer.

        Raises `Forbidden` and `InvalidRequest`.
        """
        require(ctx, "list_audit_events")
        query = shape.Query.read(parameters)
        bounds = query.export_bounds(epoch_ms(self._clock()))
        found, up_to = await self._find(ctx, query, bounds, shape.MAX_EXPORTED)
        return found, msgspec.structs.replace(query, up_to=up_to)

    async def _find(
        self, ctx: RequestContext, query: shape.Query, bounds: tuple[int, int], limit: int
    ) -> tuple[list[Document], int]:
        """Return the newest matching events in the query's order, and the number of the last event that counts."""
        wanted = _filter_of(query, *bounds)
        async with self._database.read(ctx.tenant.id) as unit:
            span = await unit.audit_events.span()
            newest = span[1] if span else 0
            last = newest if query.up_to is None else min(query.up_to, newest)
            rows = (await unit.audit_events.window(replace(wanted, up_to=last), NumberWindow(limit))).rows
            sandboxes = {one.name: one.aep_id for one in await unit.tenancy.sandboxes()}
        found = [(epoch_ms(row.at), _document(ctx, row, sandboxes)) for row in rows]
        query.sort(found)
        return [document for _, document in found], last


def _document(ctx: RequestContext, row: AuditEventRow, sandboxes: Mapping[str, str]) -> Document:
    action, phase = Action(row.action), Phase(row.phase)
    about = {
        "action": _action_of(action),
        "timestamp": shape.timestamp(epoch_ms(row.at)),
        "assetType": _asset_type_of(action),
        "assetId": row.resource_id or "",
        "assetName": row.resource_name or "",
        "permissionResource": _asset_type_of(action),
        "requestId": row.request_id,
    }
    outcome = {
        **about,
        "id": str(row.id),
        "status": "Failure" if phase in _FAILED else "Success",
        "failureCode": _failure_of(row) if phase in _FAILED else "",
        "permissionType": "Write",
    }
    return {
        **about,
        "id": str(row.operation_id),
        "version": "1.0",
        "imsOrgId": ctx.tenant.ims_org_id,
        "sandboxName": row.sandbox_name or "",
        "sandboxId": sandboxes.get(row.sandbox_name or "", ""),
        "region": "",
        "authId": "" if row.actor_id is None else str(row.actor_id),
        "permissionType": "WRITE",
        "status": _status_of(phase),
        "failureCode": _failure_of(row) if phase is Phase.DENIED else "",
        "userEmail": row.actor_name,
        "userIpAddresses": [],
        "enhancedEvents": [] if phase in {Phase.DENIED, Phase.INTENT} else [outcome],
    }


def _failure_of(row: AuditEventRow) -> str:
    told = row.detail.get("upstreamCode") or row.detail.get("upstreamStatus") or row.detail.get("permission")
    return str(told or row.phase.upper())


def _status_of(phase: Phase) -> str:
    return _DENIED if phase is Phase.DENIED else _ALLOWED


def _asset_type_of(action: Action) -> str:
    subject = action.value.split(":")[1]
    return "Segment" if subject in _SEGMENTS else subject.replace("_", " ").title()


def _action_of(action: Action) -> str:
    verb = action.value.split(":")[2]
    return _ACTIONS.get(action) or _VERBS.get(verb) or verb.replace("_", " ").title()


def _filter_of(query: shape.Query, from_ms: int, to_ms: int) -> AuditEventFilter:
    """Return the filter of the operations of ``from_ms`` to before ``to_ms`` that a query is about."""
    actions, phases = set(Action), set(Phase)
    any_of: dict[str, frozenset[str]] = {}
    for one in query.filters():
        if one.name in _COLUMNS:
            column = _COLUMNS[one.name]
            any_of[column] = any_of.get(column, one.values) & one.values
        elif one.name == "status":
            phases = {phase for phase in phases if _status_of(phase).lower() in one.values}
        elif one.name == "action":
            actions = {action for action in actions if _action_of(action).lower() in one.values}
        elif one.name in {"type", "assetType"}:
            actions = {action for action in actions if _asset_type_of(action).lower() in one.values}
        else:
            from_ms, to_ms = _narrowed(one, from_ms, to_ms)
    if len(actions) < len(Action):
        any_of["action"] = frozenset(action.value for action in actions)
    if len(phases) < len(Phase):
        any_of["phase"] = frozenset(phase.value for phase in phases)
    return AuditEventFilter(since=from_epoch_ms(from_ms), until=from_epoch_ms(max(from_ms, to_ms)), any_of=any_of)


def _narrowed(one: shape.Property, from_ms: int, to_ms: int) -> tuple[int, int]:
    """Return the span of milliseconds, from and before, that a filter of times leaves of another."""
    # A far time would be no time of the database, and nothing lies there.
    moment = min(one.moment, to_ms)
    match one.operator:
        case "==":
            return max(from_ms, moment), min(to_ms, moment + 1)
        case ">":
            return max(from_ms, moment + 1), to_ms
        case ">=":
            return max(from_ms, moment), to_ms
        case "<":
            return from_ms, min(to_ms, moment)
        case _:
            return from_ms, min(to_ms, moment + 1)
