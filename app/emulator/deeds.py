"""What calls do: which permission each needs, and how the audit log calls it.

Source: Adobe's access-control and audit-log pages (read December 2025). For segments Adobe's log lists Create, Delete,
Segment Activate and Segment Remove only; Update, Evaluate and Export are recorded here as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.aep.errors import ErrorCode
from app.context.permissions import Permission
from app.emulator.answers import Refusal

PermissionType = Literal["READ", "WRITE", "DELETE"]


@dataclass(frozen=True, slots=True)
class Deed:
    """One kind of call. It ``needs`` all of its permissions. A deed without an ``action`` is recorded when denied."""

    resource: str
    type: PermissionType
    needs: tuple[Permission, ...]
    action: str = ""


@dataclass(frozen=True, slots=True)
class Asset:
    """What a call acted on."""

    id: str
    name: str


_VIEW = (Permission.VIEW_SEGMENTS,)
_MANAGE = (Permission.MANAGE_SEGMENTS,)
_EVALUATE = (Permission.EVALUATE_SEGMENT,)
_EXPORT = (Permission.EXPORT_AUDIENCE,)
_MERGE = (Permission.MANAGE_MERGE_POLICIES,)
_SANDBOXES = (Permission.MANAGE_SANDBOXES,)

SEGMENT_READ: Final = Deed("Segment", "READ", _VIEW)
SEGMENT_CREATE: Final = Deed("Segment", "WRITE", _MANAGE, "Create")
SEGMENT_UPDATE: Final = Deed("Segment", "WRITE", _MANAGE, "Update")
SEGMENT_DELETE: Final = Deed("Segment", "DELETE", _MANAGE, "Delete")
SEGMENT_CONVERT: Final = Deed("Segment", "WRITE", _MANAGE)
SEGMENT_PREVIEW: Final = Deed("Segment", "READ", (Permission.VIEW_SEGMENTS, Permission.VIEW_PROFILES))
SEGMENT_EVALUATE: Final = Deed("Segment", "WRITE", _EVALUATE, "Evaluate")
JOB_CANCEL: Final = Deed("Segment Job", "DELETE", _EVALUATE, "Delete")
SCHEDULE_CREATE: Final = Deed("Schedule", "WRITE", _EVALUATE, "Create")
SCHEDULE_UPDATE: Final = Deed("Schedule", "WRITE", _EVALUATE, "Update")
SCHEDULE_DELETE: Final = Deed("Schedule", "DELETE", _EVALUATE, "Delete")
SEGMENT_EXPORT: Final = Deed("Segment", "WRITE", _EXPORT, "Export")
EXPORT_CANCEL: Final = Deed("Export Job", "DELETE", _EXPORT, "Delete")
EXPORT_READ: Final = Deed("Export Job", "READ", _VIEW)
MERGE_POLICY_READ: Final = Deed("Merge Policy", "READ", (Permission.VIEW_MERGE_POLICIES,))
MERGE_POLICY_CREATE: Final = Deed("Merge Policy", "WRITE", _MERGE, "Create")
MERGE_POLICY_UPDATE: Final = Deed("Merge Policy", "WRITE", _MERGE, "Update")
MERGE_POLICY_DELETE: Final = Deed("Merge Policy", "DELETE", _MERGE, "Delete")
SANDBOX_CREATE: Final = Deed("Sandbox", "WRITE", _SANDBOXES, "Create")
SANDBOX_UPDATE: Final = Deed("Sandbox", "WRITE", _SANDBOXES, "Update")
SANDBOX_RESET: Final = Deed("Sandbox", "WRITE", _SANDBOXES, "Reset")
SANDBOX_DELETE: Final = Deed("Sandbox", "DELETE", _SANDBOXES, "Delete")
PROFILE_READ: Final = Deed("Profile", "READ", (Permission.VIEW_PROFILES,))
AUDIT_READ: Final = Deed("AuditEvent", "READ", (Permission.VIEW_USER_ACTIVITY_LOG,))


def check_permissions(deed: Deed, held: frozenset[Permission]) -> None:
    """Raises Refusal when one of the needed permissions is not held."""
    missing = [permission.value for permission in deed.needs if permission not in held]
    if missing:
        raise Refusal(403, f"The caller lacks the permission {' and '.join(missing)} in this sandbox.")


def missing_labels(document: Mapping[str, Any], held: Sequence[str] | None) -> list[str]:
    """Return the labels of an object that its reader's roles do not hold; ``held`` of None means all."""
    return [] if held is None else [label for label in document.get("labels") or [] if label not in held]


def label_denial(org_id: str, sandbox: str, document: Mapping[str, Any], action: Literal["READ", "WRITE"]) -> Refusal:
    """Return the refusal of attribute-based access control, whose message carries the resource as JSON."""
    uri = f"/orgs/{org_id}/sandboxes/{sandbox}/segments/{document['id']}"
    said = f'[{{"resource":{{"uri":"{uri}","labels":[]}},"action":"{action}"}}]'
    return Refusal(403, f"Access to the audience is denied. errorMessage={said}", code=ErrorCode.LABEL_DENIED)
