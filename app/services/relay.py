"""AEP's own calls, passed on: reads after a permission check, changes through the door.

What a service adds to a call is who may make it, what the audit calls it, and what a 404 is about. The name of the
call's operation is the key in the table of permissions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from app.audit.actions import Action
from app.audit.recorder import Resource
from app.context import RequestContext
from app.errors import NotFound, UpstreamUnavailable
from app.services.aep_calls import or_not_found, target_of
from app.services.door import Change, Stored, WriteDoor, Written
from app.services.permissions import require
from app.store.database import WriteUnit
from app.upstream.client import AEPClient, Call, Reply


class Relay:
    """Passes calls on for the services of resources that the gateway does not keep itself."""

    def __init__(self, client: AEPClient, door: WriteDoor) -> None:
        self._client = client
        self._door = door

    async def read(self, ctx: RequestContext, call: Call, *, missing: NotFound | None = None) -> Reply:
        """Return AEP's answer as it came.

        ``missing`` is what a 404 means. Raises `Forbidden`, `NotFound`, `UpstreamRefused`, `UpstreamUnavailable`.
        """
        require(ctx, call.operation)
        answer = self._client.read(target_of(ctx), call)
        return await (answer if missing is None else or_not_found(answer, missing))

    async def change(
        self,
        ctx: RequestContext,
        call: Call,
        action: Action,
        resource: Resource,
        *,
        id_member: str | None = None,
        missing: NotFound | None = None,
        check: Callable[[], Awaitable[None]] | None = None,
    ) -> Written[Reply]:
        """Carry a change out through the door; the body that is sent stands in the audit.

        ``id_member`` names the member of AEP's answer that holds the id of a new object; an answer without it is lost.
        Raises what the door raises.
        """

        async def store(_unit: WriteUnit, reply: Reply) -> Stored[Reply]:
            return Stored(reply, _known(resource, reply.body, id_member))

        change = Change(
            operation=call.operation,
            action=action,
            resource=resource,
            call=call,
            store=store,
            check=check,
            detail={} if call.body is None else {"sent": call.body},
        )
        written = self._door.carry_out(ctx, change)
        return await (written if missing is None else or_not_found(written, missing))


def _known(resource: Resource, body: Any, id_member: str | None) -> Resource:
    """Return the resource with what AEP's answer adds to what was known before the call."""
    if id_member is None:
        return resource
    name = body.get("name") if isinstance(body, dict) else None
    return Resource(resource.type, id_in(body, id_member), name if isinstance(name, str) else resource.name)


def id_in(body: Any, member: str = "id") -> str:
    """Return the id in AEP's answer to a creation: text, or a whole number as text.

    Raises `UpstreamUnavailable` when there is none: something may have been made, and nobody knows what it is called.
    """
    found = body.get(member) if isinstance(body, dict) else None
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if not isinstance(found, str) or not found:
        raise UpstreamUnavailable(
            f"Adobe Experience Platform's answer has no {member} of what was made.", outcome_unknown=True
        )
    return found


def named(body: Any) -> str | None:
    """Return the name that a body gives to what it creates, if it gives one."""
    name = body.get("name") if isinstance(body, dict) else None
    return name if isinstance(name, str) else None
