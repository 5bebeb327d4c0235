"""Merge policies: AEP's answers passed through; every change goes through the door."""

from __future__ import annotations

from typing import Any

from app.audit.actions import Action
from app.audit.recorder import Resource
from app.context import RequestContext
from app.errors import NotFound
from app.services.door import Written
from app.services.relay import Relay, named
from app.upstream import merge_policies as upstream
from app.upstream.client import Call, Reply

RESOURCE = "merge_policy"


class MergePolicyService:
    """Lists, reads and changes merge policies of the request's sandbox."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def list(self, ctx: RequestContext, params: tuple[tuple[str, str], ...] = ()) -> Reply:
        """Return one page of policies, with AEP's own query."""
        return await self._relay.read(ctx, upstream.list_merge_policies(params))

    async def get(self, ctx: RequestContext, policy_id: str) -> Reply:
        """Return one policy. Raises `NotFound`."""
        return await self._relay.read(ctx, upstream.get_merge_policy(policy_id), missing=_not_found(policy_id))

    async def bulk_get(self, ctx: RequestContext, body: Any) -> Reply:
        """Return several policies by id."""
        return await self._relay.read(ctx, upstream.bulk_get_merge_policies(body))

    async def create(self, ctx: RequestContext, body: Any) -> Written[Reply]:
        """Create a policy with the body of AEP's call."""
        call = upstream.create_merge_policy(body)
        resource = Resource(RESOURCE, name=named(body))
        return await self._relay.change(ctx, call, Action.MERGE_POLICY_CREATE, resource, id_member="id")

    async def update(self, ctx: RequestContext, policy_id: str, operations: Any) -> Written[Reply]:
        """Change a policy by JSON Patch. Raises `NotFound` and what the door raises."""
        call = upstream.update_merge_policy(policy_id, operations)
        return await self._change(ctx, call, Action.MERGE_POLICY_UPDATE, policy_id)

    async def replace(self, ctx: RequestContext, policy_id: str, body: Any) -> Written[Reply]:
        """Replace a policy. Raises `NotFound` and what the door raises."""
        call = upstream.replace_merge_policy(policy_id, body)
        return await self._change(ctx, call, Action.MERGE_POLICY_REPLACE, policy_id)

    async def delete(self, ctx: RequestContext, policy_id: str) -> Written[Reply]:
        """Delete a policy. Raises `NotFound` and what the door raises."""
        return await self._change(ctx, upstream.delete_merge_policy(policy_id), Action.MERGE_POLICY_DELETE, policy_id)

    async def _change(self, ctx: RequestContext, call: Call, action: Action, policy_id: str) -> Written[Reply]:
        resource = Resource(RESOURCE, policy_id)
        return await self._relay.change(ctx, call, action, resource, missing=_not_found(policy_id))


def _not_found(policy_id: str) -> NotFound:
    return NotFound(f"There is no merge policy {policy_id} in this sandbox.")
