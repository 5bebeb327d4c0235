"""The only way to change something at AEP. The write door of `app.services` alone may import this module."""

from __future__ import annotations

from app.upstream.client import AEPClient, Call, Reply
from app.upstream.connection import Target


async def send(client: AEPClient, target: Target, call: Call) -> Reply:
    """Send a change to AEP, once.

    Raises `UpstreamRefused` when AEP says no and `UpstreamUnavailable` when no usable answer comes; the latter's
    ``outcome_unknown`` tells whether the change may have been made all the same.
    """
    if call.safety != "once":
        raise ValueError(f"{call.operation} changes nothing: it belongs to AEPClient.read")
    return await client._perform(target, call)
