"""Adobe's permission names around segmentation, and which of them include others.

Source: Adobe's access-control pages and the low-level table of the access-control API (read December 2025):
*Manage Profiles* carries read, write and delete on segments and write on segment jobs; *View Profiles* carries read
on segments. ``MANAGE_TENANTS`` is the gateway's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Permission(StrEnum):
    """A permission by the name that Adobe's user interface shows."""

    MANAGE_PROFILES = "Manage Profiles"
    VIEW_PROFILES = "View Profiles"
    MANAGE_SEGMENTS = "Manage Segments"
    VIEW_SEGMENTS = "View Segments"
    EVALUATE_SEGMENT = "Evaluate a Segment to an Audience"
    EXPORT_AUDIENCE = "Export Audience for Segment"
    MANAGE_MERGE_POLICIES = "Manage Merge Policies"
    VIEW_MERGE_POLICIES = "View Merge Policies"
    MANAGE_SANDBOXES = "Manage Sandboxes"
    VIEW_SANDBOXES = "View Sandboxes"
    VIEW_USER_ACTIVITY_LOG = "View User Activity Log"
    MANAGE_TENANTS = "Manage Tenants"

    @property
    def api_name(self) -> str:
        """The kebab-case name that the access-control API uses: ``manage-profiles``."""
        return _API_NAMES.get(self, self.value.lower().replace(" ", "-"))


_API_NAMES = {
    Permission.EVALUATE_SEGMENT: "evaluate-segment-to-an-audience",
    Permission.EXPORT_AUDIENCE: "export-audience-for-segment",
}

_INCLUDES: dict[Permission, frozenset[Permission]] = {
    Permission.MANAGE_PROFILES: frozenset(
        {
            Permission.VIEW_PROFILES,
            Permission.MANAGE_SEGMENTS,
            Permission.VIEW_SEGMENTS,
            Permission.EVALUATE_SEGMENT,
        }
    ),
    Permission.VIEW_PROFILES: frozenset({Permission.VIEW_SEGMENTS}),
    Permission.MANAGE_SEGMENTS: frozenset({Permission.VIEW_SEGMENTS}),
    Permission.MANAGE_MERGE_POLICIES: frozenset({Permission.VIEW_MERGE_POLICIES}),
    Permission.MANAGE_SANDBOXES: frozenset({Permission.VIEW_SANDBOXES}),
}


def with_implied(granted: Iterable[Permission]) -> frozenset[Permission]:
    """Return the granted permissions and all that they include."""
    result: set[Permission] = set()
    for permission in granted:
        result.add(permission)
        result |= _INCLUDES.get(permission, frozenset())
    return frozenset(result)
