"""What each of Adobe's permissions lets its holder do with each kind of resource, and the bodies that say so.

Source: the low-level table of Adobe's access-control API, read December 2025.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from app.context.permissions import Permission
from app.errors import InvalidRequest

_ALL: Final = ("read", "write", "delete")
_GRANTS: Final[dict[Permission, dict[str, tuple[str, ...]]]] = {
    Permission.MANAGE_PROFILES: {"profiles": _ALL, "segments": _ALL, "segment-jobs": ("write",)},
    Permission.VIEW_PROFILES: {"profiles": ("read",), "segments": ("read",)},
    Permission.MANAGE_SEGMENTS: {"segments": _ALL},
    Permission.VIEW_SEGMENTS: {"segments": ("read",)},
    Permission.EVALUATE_SEGMENT: {"segment-jobs": ("read", "write", "delete")},
    Permission.EXPORT_AUDIENCE: {"export-jobs": ("read", "write", "delete")},
    Permission.MANAGE_MERGE_POLICIES: {"profile-configs": _ALL},
    Permission.VIEW_MERGE_POLICIES: {"profile-configs": ("read",)},
    Permission.MANAGE_SANDBOXES: {"sandboxes": _ALL},
    Permission.VIEW_SANDBOXES: {"sandboxes": ("read",)},
    Permission.VIEW_USER_ACTIVITY_LOG: {"audit-events": ("read",)},
}
_RESOURCE_TYPES: Final = {
    resource: tuple(action for action in _ALL if any(action in grants.get(resource, ()) for grants in _GRANTS.values()))
    for resource in sorted({resource for grants in _GRANTS.values() for resource in grants})
}
_PERMISSION_PATH: Final = "/permissions/"
_RESOURCE_PATH: Final = "/resource-types/"


def reference_body() -> dict[str, Any]:
    """Return the reference: every permission and every kind of resource with their actions."""
    permissions = {
        permission.api_name: {resource: list(actions) for resource, actions in grants.items()}
        for permission, grants in _GRANTS.items()
    }
    types = {resource: list(actions) for resource, actions in _RESOURCE_TYPES.items()}
    return {"permissions": permissions, "resource-types": types}


def policies_body(asked: Sequence[str], held: Collection[Permission]) -> dict[str, Any]:
    """Return what a holder of ``held`` may do with what is ``asked`` for.

    Asked for are paths: ``/permissions/manage-profiles`` or ``/resource-types/segments``. What is not known is left
    out; a kind of resource that the holder may not touch has no actions.
    """
    by_name = {permission.api_name: grants for permission, grants in _GRANTS.items() if permission in held}
    policies: dict[str, list[str]] = {}
    for path in asked:
        resource = path.removeprefix(_RESOURCE_PATH)
        if path.startswith(_PERMISSION_PATH):
            for name, actions in by_name.get(path.removeprefix(_PERMISSION_PATH), {}).items():
                policies[f"{_RESOURCE_PATH}{name}"] = list(actions)
        elif path.startswith(_RESOURCE_PATH) and resource in _RESOURCE_TYPES:
            granted = {action for grants in by_name.values() for action in grants.get(resource, ())}
            policies[path] = [action for action in _RESOURCE_TYPES[resource] if action in granted]
    return {"policies": policies}


def read_asked(body: Any) -> list[str]:
    """Return the paths that a body asks for. Raises InvalidRequest."""
    if not isinstance(body, list) or not all(isinstance(one, str) for one in body):
        raise InvalidRequest("The body must be a list of texts", hint='Send ["/resource-types/segments"].')
    return body
