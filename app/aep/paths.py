"""Where AEP's and IMS's calls live, below whatever host serves them.

A trailing slash means the same resource: clients call ``/export/jobs/`` and ``/external-audience/``.
Source: Adobe's segmentation, sandbox, access-control and schema-registry references (read December 2025).
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

UPS: Final = "/data/core/ups"
AIS: Final = "/data/core/ais"
FOUNDATION: Final = "/data/foundation"

SEGMENT_DEFINITIONS: Final = f"{UPS}/segment/definitions"
SEGMENT_DEFINITIONS_BULK_GET: Final = f"{SEGMENT_DEFINITIONS}/bulk-get"
SEGMENT_CONVERSION: Final = f"{UPS}/segment/conversion"
SEGMENT_JOBS: Final = f"{UPS}/segment/jobs"
SEGMENT_JOBS_BULK_GET: Final = f"{SEGMENT_JOBS}/bulk-get"
AUDIENCES: Final = f"{UPS}/audiences"
AUDIENCES_BULK_GET: Final = f"{AUDIENCES}/bulk-get"
AUDIENCES_BULK_PATCH_METRIC: Final = f"{AUDIENCES}/bulk-patch-metric"
PREVIEW: Final = f"{UPS}/preview"
ESTIMATE: Final = f"{UPS}/estimate"
EXPORT_JOBS: Final = f"{UPS}/export/jobs"
SCHEDULES: Final = f"{UPS}/config/schedules"
MERGE_POLICIES: Final = f"{UPS}/config/mergePolicies"
SCHEDULES_ADD_AUDIENCES: Final = f"{SCHEDULES}/add-audiences"
SCHEDULES_REMOVE_AUDIENCES: Final = f"{SCHEDULES}/remove-audiences"
SCHEDULES_AUDIENCE_MAP: Final = f"{SCHEDULES}/audience-map"
SCHEDULES_TRIGGER: Final = f"{SCHEDULES}/trigger"
MERGE_POLICIES_BULK_GET: Final = f"{MERGE_POLICIES}/bulk-get"
PROFILE_ENTITIES: Final = f"{UPS}/access/entities"
PREVIEW_SAMPLE_STATUS: Final = f"{UPS}/previewsamplestatus"
PREVIEW_SAMPLE_NAMESPACES: Final = f"{PREVIEW_SAMPLE_STATUS}/report/namespace"
SEARCH_NAMESPACES: Final = f"{UPS}/search/namespaces"
SEARCH_ENTITIES: Final = f"{UPS}/search/entities"
SEARCH_TAXONOMY: Final = f"{UPS}/search/taxonomy"
EXTERNAL_AUDIENCES: Final = f"{AIS}/external-audience"
EXTERNAL_AUDIENCE_OPERATIONS: Final = f"{EXTERNAL_AUDIENCES}/operations"

SANDBOX_MANAGEMENT: Final = f"{FOUNDATION}/sandbox-management"
SANDBOXES: Final = f"{SANDBOX_MANAGEMENT}/sandboxes"
SANDBOX_TYPES: Final = f"{SANDBOX_MANAGEMENT}/sandboxTypes"
SCHEMA_REGISTRY: Final = f"{FOUNDATION}/schemaregistry"
SCHEMA_UNIONS: Final = f"{SCHEMA_REGISTRY}/tenant/unions"
ACCESS_CONTROL_REFERENCE: Final = f"{FOUNDATION}/access-control/acl/reference"
ACCESS_CONTROL_POLICIES: Final = f"{FOUNDATION}/access-control/acl/effective-policies"
AUDIT_EVENTS: Final = f"{FOUNDATION}/audit/events"
AUDIT_EXPORT: Final = f"{FOUNDATION}/audit/export"

COLLECTION: Final = "/collection"
COLLECTION_BATCH: Final = f"{COLLECTION}/batch"

IMS_TOKEN: Final = "/ims/token"  # noqa: S105 - a path
IMS_TOKEN_V1: Final = "/ims/token/v1"  # noqa: S105 - a path
IMS_TOKEN_V2: Final = "/ims/token/v2"  # noqa: S105 - a path
IMS_TOKEN_V3: Final = "/ims/token/v3"  # noqa: S105 - a path
IMS_VALIDATE_TOKEN: Final = "/ims/validate_token/v1"  # noqa: S105 - a path
IMS_INVALIDATE_TOKEN: Final = "/ims/invalidate_token/v2"  # noqa: S105 - a path
IMS_ORGANIZATIONS: Final = "/ims/organizations/v6"
IMS_EXCHANGE_JWT: Final = "/ims/exchange/jwt"
JWKS: Final = "/.well-known/jwks.json"

PROFILE_UNION: Final = "https://ns.adobe.com/xdm/context/profile__union"
EXPERIENCE_EVENT_UNION: Final = "https://ns.adobe.com/xdm/context/experienceevent__union"


def resource(collection: str, identifier: str) -> str:
    """Return the path of one object of a collection; the identifier is an opaque text and is escaped whole."""
    return f"{collection}/{quote(identifier, safe='')}"


def class_name(class_id: str) -> str:
    """Return the name by which rules call an XDM class: ``_xdm.context.product``.

    The Schema Registry calls it ``https://ns.adobe.com/xdm/context/product``.
    """
    return "_" + class_id.removeprefix("https://ns.adobe.com/").strip("/").replace("/", ".")
