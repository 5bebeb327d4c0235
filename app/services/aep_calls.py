"""What services that call AEP share: whom a request's calls are about, and what AEP's 404 means."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from app.context import RequestContext
from app.errors import NotFound, UpstreamRefused
from app.upstream.connection import Target

Answer = TypeVar("Answer")


def target_of(ctx: RequestContext) -> Target:
    """Return the tenant and sandbox that the request's calls to AEP are about."""
    return Target(ctx.tenant.id, ctx.sandbox.name, ctx.request_id)


async def or_not_found(answer: Awaitable[Answer], missing: NotFound) -> Answer:
    """Return AEP's answer; raise ``missing`` when it is a 404."""
    try:
        return await answer
    except UpstreamRefused as refusal:
        if refusal.status == 404:
            raise missing from refusal
        raise
