"""Merge policies at AEP (``/config/mergePolicies``)."""

from __future__ import annotations

from typing import Any

from app.aep import paths
from app.upstream.client import Call


def list_merge_policies(params: tuple[tuple[str, str], ...]) -> Call:
    """Describe a page of the sandbox's merge policies, with AEP's own query."""
    return Call("list_merge_policies", "GET", paths.MERGE_POLICIES, params)


def get_merge_policy(policy_id: str) -> Call:
    """Describe one merge policy."""
    return Call("get_merge_policy", "GET", _path(policy_id))


def bulk_get_merge_policies(body: Any) -> Call:
    """Describe several merge policies by id."""
    return Call("bulk_get_merge_policies", "POST", paths.MERGE_POLICIES_BULK_GET, body=body, safety="repeatable")


def create_merge_policy(body: Any) -> Call:
    """Describe the creation of a merge policy."""
    return Call("create_merge_policy", "POST", paths.MERGE_POLICIES, body=body, safety="once")


def update_merge_policy(policy_id: str, operations: Any) -> Call:
    """Describe a change by JSON Patch."""
    return Call("update_merge_policy", "PATCH", _path(policy_id), body=operations, safety="once")


def replace_merge_policy(policy_id: str, body: Any) -> Call:
    """Describe the replacement of a merge policy."""
    return Call("replace_merge_policy", "PUT", _path(policy_id), body=body, safety="once")


def delete_merge_policy(policy_id: str) -> Call:
    """Describe the deletion of a merge policy."""
    return Call("delete_merge_policy", "DELETE", _path(policy_id), safety="once")


def _path(policy_id: str) -> str:
    return paths.resource(paths.MERGE_POLICIES, policy_id)
