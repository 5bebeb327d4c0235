"""JSON Patch as AEP understands it: ``add`` overwrites, ``replace`` does the same, ``remove`` clears optional members.

Only whole members are patched (``/name``, ``/labels``), never parts of them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from app.errors import InvalidRequest

_OPERATIONS = ("add", "replace", "remove")


def read_patch(body: Any, *, members: Collection[str], removable: Collection[str]) -> dict[str, Any]:
    """Return the members that a patch sets, with None for those that it removes. Raises InvalidRequest.

    ``members`` are those that may be set, ``removable`` those that may be removed.
    """
    if not isinstance(body, list) or not body:
        raise InvalidRequest(
            "The body must be a JSON Patch array", hint='Send [{"op": "add", "path": "/name", "value": "..."}].'
        )
    changes: dict[str, Any] = {}
    for number, operation in enumerate(body):
        member, value = _read_operation(operation, number, members, removable)
        changes[member] = value
    return changes


def _read_operation(
    operation: Any, number: int, members: Collection[str], removable: Collection[str]
) -> tuple[str, Any]:
    place = (str(number),)
    if not isinstance(operation, dict):
        raise InvalidRequest(f"Operation {number} must be an object with op, path and value", path=place)
    op, path = operation.get("op"), operation.get("path")
    if op not in _OPERATIONS:
        raise InvalidRequest(f"Operation {number}: op must be one of {', '.join(_OPERATIONS)}, not {op!r}", path=place)
    allowed = removable if op == "remove" else members
    member = path[1:] if isinstance(path, str) and path.startswith("/") else None
    if member is None or member not in allowed:
        names = ", ".join(f"/{name}" for name in sorted(allowed))
        raise InvalidRequest(f"Operation {number}: path cannot be {path!r} here", hint=f"Use {names}.", path=place)
    if op == "remove":
        return member, None
    if operation.get("value") is None:
        raise InvalidRequest(f"Operation {number}: value is missing", path=place)
    return member, operation["value"]
