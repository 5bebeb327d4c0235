"""Sandboxes at AEP (``/data/foundation/sandbox-management/sandboxes``): making, renaming, resetting, deleting.

They concern the organization; the header with the request's sandbox is sent as with every call, and AEP passes over it.
"""

from __future__ import annotations

from typing import Any

from app.aep import paths
from app.upstream.client import Call


def create_sandbox(body: Any) -> Call:
    """Describe the creation of a sandbox."""
    return Call("create_sandbox", "POST", paths.SANDBOXES, body=body, safety="once")


def update_sandbox(name: str, body: Any) -> Call:
    """Describe the change of a sandbox's title."""
    return Call("update_sandbox", "PATCH", _path(name), body=body, safety="once")


def reset_sandbox(name: str, body: Any) -> Call:
    """Describe the reset of a sandbox, which empties it."""
    return Call("reset_sandbox", "PUT", _path(name), body=body, safety="once")


def delete_sandbox(name: str) -> Call:
    """Describe the deletion of a sandbox with all that is in it."""
    return Call("delete_sandbox", "DELETE", _path(name), safety="once")


def _path(name: str) -> str:
    return paths.resource(paths.SANDBOXES, name)
