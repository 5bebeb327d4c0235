"""Who may do what: each call of every entrance, the operation that it carries out, and the permissions for that.

There are two tables. `CALLS` names every root field of GraphQL, every REST route and every command; `REQUIRED` names
the permissions of every operation. A call or an operation that is not there is refused to everybody. The entrances ask
`is_listed`, services ask `require`, so that an operation needs the same through every entrance.

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
    "get_access_control": frozenset(),
    "list_sandboxes": frozenset(),
    "create_sandbox": frozenset({P.MANAGE_SANDBOXES}),
    "update_sandbox": frozenset({P.MANAGE_SANDBOXES}),
    "reset_sandbox": frozenset({P.MANAGE_SANDBOXES}),
    "delete_sandbox": frozenset({P.MANAGE_SANDBOXES}),
    "list_audit_events": frozenset({P.VIEW_USER_ACTIVITY_LOG}),
    "convert_pql": frozenset({P.VIEW_SEGMENTS}),
    "validate_pql": frozenset({P.VIEW_SEGMENTS}),
    "get_audit_event": frozenset({P.VIEW_USER_ACTIVITY_LOG}),
    "viewer": frozenset(),
    # A person's own keys; they carry no right that he has not.
    "list_own_access_keys": frozenset(),
    "issue_own_access_key": frozenset(),
    "revoke_own_access_key": frozenset(),
    # Every root field asks for its own. A browser gets the page of GraphiQL without a credential.
    "graphql": frozenset(),
    # Any member may ask; whether he may see what the id names is asked again for the kind of object that it is.
    "node": frozenset(),
    "get_sync_status": frozenset(),
}

PUBLIC = "anybody"
"""Stands for an operation of calls that need no credential, or that bring the credential which is asked about."""
OPERATOR = "operator"
"""Stands for an operation of commands for whoever holds the database's address and the master key."""
LOCAL = "this machine"
"""Stands for an operation of commands that read what they are given and reach no organization."""

# Call: a root field (Query.viewer), a route (GET /v1/viewer) or a command (segment-gateway serve).
CALLS: dict[str, str] = {
    "Query.viewer": "viewer",
    "Query.node": "node",
    "Query.nodes": "node",
    "Query.segmentDefinition": "get_segment_definition",
    "Query.segmentDefinitions": "list_segment_definitions",
    "Query.segmentDefinitionRevision": "get_segment_definition",
    "Query.audience": "get_audience",
    "Query.audiences": "list_audiences",
    "Query.syncStatus": "get_sync_status",
    "Query.estimate": "get_estimate",
    "Query.auditEvents": "list_audit_events",
    "Query.validatePql": "validate_pql",
    "Query.convertPql": "convert_pql",
    "Mutation.createSegmentDefinition": "create_segment_definition",
    "Mutation.updateSegmentDefinition": "update_segment_definition",
    "Mutation.restoreSegmentDefinition": "update_segment_definition",
    "Mutation.deleteSegmentDefinition": "delete_segment_definition",
    "Mutation.estimateSegment": "create_estimate",
    "POST /data/core/ups/segment/definitions/bulk-get": "bulk_get_segment_definitions",
    "GET /data/core/ups/segment/definitions": "list_segment_definitions",
    "POST /data/core/ups/segment/definitions": "create_segment_definition",
    "GET /data/core/ups/segment/definitions/{id}": "get_segment_definition",
    "PATCH /data/core/ups/segment/definitions/{id}": "update_segment_definition",
    "DELETE /data/core/ups/segment/definitions/{id}": "delete_segment_definition",
    "POST /data/core/ups/segment/conversion": "convert_segment_definition",
    "POST /data/core/ups/audiences/bulk-get": "get_audience",
    "POST /data/core/ups/audiences/bulk-patch-metric": "update_audience_metrics",
    "GET /data/core/ups/audiences": "list_audiences",
    "POST /data/core/ups/audiences": "create_audience",
    "GET /data/core/ups/audiences/{id}": "get_audience",
    "PATCH /data/core/ups/audiences/{id}": "update_audience",
    "PUT /data/core/ups/audiences/{id}": "replace_audience",
    "DELETE /data/core/ups/audiences/{id}": "delete_audience",
    "POST /data/core/ups/preview": "create_preview",
    "GET /data/core/ups/preview/{id}": "get_preview",
    "DELETE /data/core/ups/preview/{id}": "delete_preview",
    "GET /data/core/ups/estimate/{id}": "get_estimate",
    "POST /data/core/ups/segment/jobs/bulk-get": "bulk_get_segment_jobs",
    "GET /data/core/ups/segment/jobs": "list_segment_jobs",
    "POST /data/core/ups/segment/jobs": "create_segment_job",
    "GET /data/core/ups/segment/jobs/{id}": "get_segment_job",
    "DELETE /data/core/ups/segment/jobs/{id}": "cancel_segment_job",
    "GET /data/core/ups/export/jobs": "list_export_jobs",
    "POST /data/core/ups/export/jobs": "create_export_job",
    "GET /data/core/ups/export/jobs/{id}": "get_export_job",
    "DELETE /data/core/ups/export/jobs/{id}": "cancel_export_job",
    "POST /data/core/ups/config/schedules/add-audiences": "add_schedule_audiences",
    "POST /data/core/ups/config/schedules/remove-audiences": "remove_schedule_audiences",
    "POST /data/core/ups/config/schedules/audience-map": "map_schedule_audiences",
    "POST /data/core/ups/config/schedules/trigger": "trigger_schedule",
    "GET /data/core/ups/config/schedules": "list_schedules",
    "POST /data/core/ups/config/schedules": "create_schedule",
    "GET /data/core/ups/config/schedules/{id}": "get_schedule",
    "PATCH /data/core/ups/config/schedules/{id}": "update_schedule",
    "DELETE /data/core/ups/config/schedules/{id}": "delete_schedule",
    "POST /data/core/ups/config/mergePolicies/bulk-get": "bulk_get_merge_policies",
    "GET /data/core/ups/config/mergePolicies": "list_merge_policies",
    "POST /data/core/ups/config/mergePolicies": "create_merge_policy",
    "GET /data/core/ups/config/mergePolicies/{id}": "get_merge_policy",
    "PATCH /data/core/ups/config/mergePolicies/{id}": "update_merge_policy",
    "PUT /data/core/ups/config/mergePolicies/{id}": "replace_merge_policy",
    "DELETE /data/core/ups/config/mergePolicies/{id}": "delete_merge_policy",
    "GET /data/core/ups/search/namespaces": "search_namespaces",
    "GET /data/core/ups/search/entities": "search_entities",
    "GET /data/core/ups/search/taxonomy": "search_taxonomy",
    "GET /data/core/ups/access/entities": "get_profile_entities",
    "GET /data/core/ups/previewsamplestatus": "get_preview_sample_status",
    "GET /data/core/ups/previewsamplestatus/report/namespace": "get_preview_sample_namespaces",
    "GET /data/foundation/sandbox-management": "list_sandboxes",
    "GET /data/foundation/sandbox-management/sandboxTypes": "list_sandboxes",
    "GET /data/foundation/sandbox-management/sandboxes": "list_sandboxes",
    "GET /data/foundation/sandbox-management/sandboxes/{name}": "list_sandboxes",
    "POST /data/foundation/sandbox-management/sandboxes": "create_sandbox",
    "PATCH /data/foundation/sandbox-management/sandboxes/{name}": "update_sandbox",
    "PUT /data/foundation/sandbox-management/sandboxes/{name}": "reset_sandbox",
    "DELETE /data/foundation/sandbox-management/sandboxes/{name}": "delete_sandbox",
    "GET /data/foundation/access-control/acl/reference": "get_access_control",
    "POST /data/foundation/access-control/acl/effective-policies": "get_access_control",
    "GET /data/foundation/schemaregistry/tenant/unions": "list_schema_unions",
    "GET /data/foundation/schemaregistry/tenant/unions/{id:path}": "get_schema_union",
    "GET /data/foundation/audit/events": "list_audit_events",
    "GET /data/foundation/audit/export": "list_audit_events",
    "GET /data/foundation/audit/export/files/{query}": "list_audit_events",
    "GET /v1/viewer": "viewer",
    "GET /v1/sync": "get_sync_status",
    "GET /v1/viewer/access-keys": "list_own_access_keys",
    "POST /v1/viewer/access-keys": "issue_own_access_key",
    "DELETE /v1/viewer/access-keys/{id}": "revoke_own_access_key",
    "GET /v1/segment-definitions/{id}": "get_segment_definition",
    "GET /v1/segment-definitions/{id}/revisions": "get_segment_definition",
    "GET /v1/segment-definitions/{id}/revisions/{version}": "get_segment_definition",
    "GET /v1/segment-definitions/{id}/blame": "get_segment_definition",
    "POST /v1/segment-definitions/{id}/restore": "update_segment_definition",
    "GET /v1/audit-events": "list_audit_events",
    "GET /v1/audit-events/{id}/proof": "list_audit_events",
    "POST /data/core/ais/external-audience": "create_external_audience",
    "POST /data/core/ais/external-audience/submit": "create_external_audience",
    "GET /data/core/ais/external-audience/operations/{id}": "get_external_audience_operation",
    "GET /data/core/ais/external-audience/task/{id}": "get_external_audience_operation",
    "PATCH /data/core/ais/external-audience/{id}": "update_external_audience",
    "DELETE /data/core/ais/external-audience/{id}": "delete_external_audience",
    "POST /data/core/ais/external-audience/{id}/runs": "create_external_audience_run",
    "POST /data/core/ais/external-audience/{id}/run": "create_external_audience_run",
    "GET /data/core/ais/external-audience/{id}/runs": "list_external_audience_runs",
    "GET /data/core/ais/external-audience/{id}/runs/{run}": "get_external_audience_run",
    "GET /graphql": "graphql",
    "POST /graphql": "graphql",
    "POST /ims/token": PUBLIC,
    "POST /ims/token/v1": PUBLIC,
    "POST /ims/token/v2": PUBLIC,
    "POST /ims/token/v3": PUBLIC,
    "POST /ims/exchange/jwt": PUBLIC,
    "POST /ims/validate_token/v1": PUBLIC,
    "POST /ims/invalidate_token/v2": PUBLIC,
    "GET /ims/organizations/v6": PUBLIC,
    "GET /.well-known/jwks.json": PUBLIC,
    "GET /healthz": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /metrics": PUBLIC,
    "GET /console/static": PUBLIC,
    "GET /login": PUBLIC,
    "GET /callback": PUBLIC,
    "GET /session": PUBLIC,
    "POST /logout": PUBLIC,
    "segment-gateway demo": LOCAL,
    "segment-gateway serve": OPERATOR,
    "segment-gateway emulate": LOCAL,
    "segment-gateway export-scenario": LOCAL,
    "segment-gateway migrate": OPERATOR,
    "segment-gateway permissions": LOCAL,
    "segment-gateway reconcile": OPERATOR,
    "segment-gateway settings": LOCAL,
    "segment-gateway sync": OPERATOR,
    "segment-gateway pql check": LOCAL,
    "segment-gateway pql format": LOCAL,
    "segment-gateway pql convert": LOCAL,
    "segment-gateway pql fields": LOCAL,
    "segment-gateway pql explain": LOCAL,
    "segment-gateway pql diff": LOCAL,
    "segment-gateway pql sql": LOCAL,
    "segment-gateway audit export": OPERATOR,
    "segment-gateway audit key": OPERATOR,
    "segment-gateway audit verify": OPERATOR,
    "segment-gateway identity-provider list": OPERATOR,
    "segment-gateway identity-provider trust": OPERATOR,
    "segment-gateway identity-provider withdraw": OPERATOR,
    "segment-gateway doctor": OPERATOR,
    "segment-gateway keys drop": OPERATOR,
    "segment-gateway keys list": OPERATOR,
    "segment-gateway keys rotate": OPERATOR,
    "segment-gateway tenant allow-origins": OPERATOR,
    "segment-gateway tenant check": OPERATOR,
    "segment-gateway tenant credentials": OPERATOR,
    "segment-gateway tenant rotate-credential": OPERATOR,
    "segment-gateway tenant retire-credential": OPERATOR,
}


def is_listed(call: str) -> bool:
    """Return whether a call stands in the table; one that does not is refused to everybody."""
    return call in CALLS


def not_listed(call: str) -> Forbidden:
    """Return the refusal of a call that does not stand in the table."""
    return Forbidden(f"{call} is not offered to anybody.", hint="It has no entry in the table of permissions.")


def permissions_table() -> str:
    """Return the table as Markdown: each call, its operation, and what it needs."""
    lines = ["| call | operation | permissions |", "|---|---|---|"]
    for call, operation in sorted(CALLS.items()):
        needed = REQUIRED.get(operation)
        names = operation if needed is None else " and ".join(sorted(needed)) or "any member"
        lines.append(f"| `{call}` | {f'`{operation}`' if needed is not None else '-'} | {names} |")
    return "\n".join(lines)


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
