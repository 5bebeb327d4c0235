"""The access-control reference: which permissions there are, and what a caller may do with a kind of resource.

What a technical account holds stands in the organizations' file; there is no administration of roles here.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from app.aep import paths
from app.context.permissions import Permission
from app.emulator.answers import json_answer
from app.emulator.gate import Call, Gate
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


class AccessControl:
    """The calls under ``/data/foundation/access-control``."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        reference = self._gate.guard(self._reference, in_sandbox=False)
        policies = self._gate.guard(self._effective_policies)
        return [
            Route(paths.ACCESS_CONTROL_REFERENCE, reference, methods=["GET"]),
            Route(paths.ACCESS_CONTROL_POLICIES, policies, methods=["POST"]),
        ]

    async def _reference(self, _call: Call) -> Response:
        permissions = {
            permission.api_name: {resource: list(actions) for resource, actions in grants.items()}
            for permission, grants in _GRANTS.items()
        }
        types = {resource: list(actions) for resource, actions in _RESOURCE_TYPES.items()}
        return json_answer({"permissions": permissions, "resource-types": types})

    async def _effective_policies(self, call: Call) -> Response:
        asked = await call.json()
        if not isinstance(asked, list) or not all(isinstance(one, str) for one in asked):
            raise InvalidRequest("The body must be a list of texts", hint='Send ["/resource-types/segments"].')
        return json_answer({"policies": _policies(asked, call.credential.held_permissions())})


def _policies(asked: list[str], held: frozenset[Permission]) -> dict[str, Any]:
    granted = {permission: grants for permission, grants in _GRANTS.items() if permission in held}
    by_name = {permission.api_name: grants for permission, grants in granted.items()}
    types = {
        resource: [one for one in actions if any(one in grants.get(resource, ()) for grants in granted.values())]
        for resource, actions in _RESOURCE_TYPES.items()
    }
    policies: dict[str, Any] = {}
    for path in asked:
        resource = path.removeprefix(_RESOURCE_PATH)
        if path.startswith(_PERMISSION_PATH):
            for name, actions in by_name.get(path.removeprefix(_PERMISSION_PATH), {}).items():
                policies[f"{_RESOURCE_PATH}{name}"] = list(actions)
        elif path.startswith(_RESOURCE_PATH) and resource in _RESOURCE_TYPES:
            policies[path] = types[resource]
    return policies
