"""Which of Adobe's permissions each operation needs. An operation that is not in the table is refused.

Operations carry the vendor's published ids in snake case, and the gateway's own names where AEP has none. Source:
Adobe's access-control pages, read December 2025.
"""

from __future__ import annotations

from app.context import Entrance, RequestContext, Role
from app.context.permissions import Permission
from app.errors import Forbidden

P = Permission

# Every permission of the set is needed.
REQUIRED: dict[str, frozenset[Permission]] = {
    "list_segment_definitions": frozenset({P.VIEW_SEGMENTS}),
    "get_segment_definition": frozenset({P.VIEW_SEGMENTS}),
    "bulk_get_segment_definitions": frozenset({P.VIEW_SEGMENTS}),
    "convert_segment_definition": frozenset({P.MANAGE_SEGMENTS}),
    "create_segment_definition": frozenset({P.MANAGE_SEGMENTS}),
    "update_segment_definition": frozenset({P.MANAGE_SEGMENTS}),
    "delete_segment_definition": frozenset({P.MANAGE_SEGMENTS}),
    "list_audiences": frozenset({P.VIEW_SEGMENTS}),
    "get_audience": frozenset({P.VIEW_SEGMENTS}),
    "create_audience": frozenset({P.MANAGE_SEGMENTS}),
    "update_audience": frozenset({P.MANAGE_SEGMENTS}),
    "replace_audience": frozenset({P.MANAGE_SEGMENTS}),
    "delete_audience": frozenset({P.MANAGE_SEGMENTS}),
    "update_audience_metrics": frozenset({P.MANAGE_SEGMENTS}),
    "create_external_audience": frozenset({P.VIEW_SEGMENTS, P.MANAGE_SEGMENTS}),
    "update_external_audience": frozenset({P.VIEW_SEGMENTS, P.MANAGE_SEGMENTS}),
    "delete_external_audience": frozenset({P.VIEW_SEGMENTS, P.MANAGE_SEGMENTS}),
    "create_external_audience_run": frozenset({P.VIEW_SEGMENTS, P.MANAGE_SEGMENTS}),
    "get_external_audience_operation": frozenset({P.VIEW_SEGMENTS}),
    "list_external_audience_runs": frozenset({P.VIEW_SEGMENTS}),
    "get_external_audience_run": frozenset({P.VIEW_SEGMENTS}),
    "create_estimate": frozenset({P.VIEW_SEGMENTS}),
    "get_estimate": frozenset({P.VIEW_SEGMENTS}),
    "create_preview": frozenset({P.VIEW_SEGMENTS, P.VIEW_PROFILES}),
    "get_preview": frozenset({P.VIEW_SEGMENTS, P.VIEW_PROFILES}),
    "delete_preview": frozenset({P.VIEW_SEGMENTS}),
    "list_segment_jobs": frozenset({P.VIEW_SEGMENTS}),
    "get_segment_job": frozenset({P.VIEW_SEGMENTS}),
    "bulk_get_segment_jobs": frozenset({P.VIEW_SEGMENTS}),
    "create_segment_job": frozenset({P.EVALUATE_SEGMENT}),
    "cancel_segment_job": frozenset({P.EVALUATE_SEGMENT}),
    "list_export_jobs": frozenset({P.VIEW_SEGMENTS}),
    "get_export_job": frozenset({P.VIEW_SEGMENTS}),
    "create_export_job": frozenset({P.EXPORT_AUDIENCE}),
    "cancel_export_job": frozenset({P.EXPORT_AUDIENCE}),
    "list_schedules": frozenset({P.VIEW_SEGMENTS}),
    "get_schedule": frozenset({P.VIEW_SEGMENTS}),
    "map_schedule_audiences": frozenset({P.VIEW_SEGMENTS}),
    "create_schedule": frozenset({P.EVALUATE_SEGMENT}),
    "update_schedule": frozenset({P.EVALUATE_SEGMENT}),
    "delete_schedule": frozenset({P.EVALUATE_SEGMENT}),
    "add_schedule_audiences": frozenset({P.EVALUATE_SEGMENT}),
    "remove_schedule_audiences": frozenset({P.EVALUATE_SEGMENT}),
    "trigger_schedule": frozenset({P.EVALUATE_SEGMENT}),
    "search_namespaces": frozenset({P.VIEW_SEGMENTS}),
    "search_entities": frozenset({P.VIEW_SEGMENTS}),
    "search_taxonomy": frozenset({P.VIEW_SEGMENTS}),
    "list_merge_policies": frozenset({P.VIEW_MERGE_POLICIES}),
    "get_merge_policy": frozenset({P.VIEW_MERGE_POLICIES}),
    "bulk_get_merge_policies": frozenset({P.VIEW_MERGE_POLICIES}),
    "create_merge_policy": frozenset({P.MANAGE_MERGE_POLICIES}),
    "update_merge_policy": frozenset({P.MANAGE_MERGE_POLICIES}),
    "replace_merge_policy": frozenset({P.MANAGE_MERGE_POLICIES}),
    "delete_merge_policy": frozenset({P.MANAGE_MERGE_POLICIES}),
    "get_profile_entities": frozenset({P.VIEW_PROFILES}),
    "get_preview_sample_status": frozenset({P.VIEW_PROFILES}),
    "get_preview_sample_namespaces": frozenset({P.VIEW_PROFILES}),
    "list_schema_unions": frozenset({P.VIEW_SEGMENTS}),
    "get_schema_union": frozenset({P.VIEW_SEGMENTS}),
    "list_upstream_audit_events": frozenset({P.VIEW_USER_ACTIVITY_LOG}),
    "export_upstream_audit_events": frozenset({P.VIEW_USER_ACTIVITY_LOG}),
    "get_access_control": frozenset(),
    "list_sandboxes": frozenset(),
    "list_audit_events": frozenset({P.VIEW_USER_ACTIVITY_LOG}),
    "convert_pql": frozenset({P.VIEW_SEGMENTS}),
    "validate_pql": frozenset({P.VIEW_SEGMENTS}),
    "viewer": frozenset(),
}


def require(ctx: RequestContext, operation: str) -> None:
    """Raise `Forbidden` unless the actor may carry out ``operation`` in the request's sandbox."""
    needed = REQUIRED.get(operation)
    if needed is None:
        raise Forbidden(f"The operation {operation} is not offered to anybody.")
    if ctx.entrance is Entrance.FACADE and Role.DEVELOPER not in ctx.roles:
        raise Forbidden(
            "The REST facade is for members in the developer role.",
            hint="Use GraphQL, or ask an administrator for the developer role in a product profile.",
        )
    missing = sorted(needed - ctx.permissions)
    if missing:
        names = " and ".join(f"“{permission}”" for permission in missing)
        raise Forbidden(
            f"{ctx.actor.name} lacks {names} in sandbox {ctx.sandbox.name}.",
            hint="An administrator grants it with a product profile.",
            permission=missing[0].value,
        )
