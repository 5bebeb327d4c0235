"""Segment jobs and schedules from the cache: the answer while AEP is away, which says that it is stale."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import replace
from typing import Final

from app.aep import paging
from app.context import RequestContext
from app.errors import InvalidRequest, UpstreamUnavailable
from app.services.freshness import FreshnessService
from app.store.database import Database
from app.store.sync_states import Cached
from app.upstream.client import Reply

_ANSWERABLE: Final = frozenset({"start", "limit", "status", "sort"})
_ORDER: Final = "creationTime:desc"


class KeptObjectService:
    """Answers reads of AEP that failed, as far as the cache can."""

    def __init__(self, database: Database, freshness: FreshnessService) -> None:
        self._database = database
        self._freshness = freshness

    async def page_or_kept(
        self,
        ctx: RequestContext,
        resource: Cached,
        asked: Awaitable[Reply],
        params: tuple[tuple[str, str], ...],
        path: str,
    ) -> Reply:
        """Return AEP's page, or with AEP away the cache's, newest first.

        Raises what the call raised when the query is one that the cache cannot answer, or nothing was ever read.
        """
        try:
            return await asked
        except UpstreamUnavailable as problem:
            query = dict(params)
            if not set(query) <= _ANSWERABLE or len(query) < len(params) or query.get("sort", _ORDER) != _ORDER:
                raise
            headers = await self._headers(ctx, resource, problem)
            try:
                page = paging.parse_p2(query, sortable={"creationTime"}, default_sort=_ORDER)
            except InvalidRequest:
                raise problem from None  # it is AEP's to refuse
        async with self._database.read(ctx.tenant.id) as unit:
            rows, total = await unit.cached_objects.page(
                ctx.sandbox.id, resource, offset=page.offset, limit=page.limit, status=query.get("status")
            )
        repeated = [pair for pair in params if pair[0] not in {"start", "limit"}]
        body = paging.p2_body([row.document for row in rows], total, page, path=path, filters=repeated)
        return Reply(200, body, headers)

    async def one_or_kept(self, ctx: RequestContext, resource: Cached, asked: Awaitable[Reply], aep_id: str) -> Reply:
        """Return AEP's object, or with AEP away the cache's. Raises what the call raised when there is none."""
        try:
            return await asked
        except UpstreamUnavailable as problem:
            headers = await self._headers(ctx, resource, problem)
            async with self._database.read(ctx.tenant.id) as unit:
                row = await unit.cached_objects.get(ctx.sandbox.id, resource, aep_id)
            if row is None:
                raise
            return Reply(200, row.document, headers)

    async def _headers(self, ctx: RequestContext, resource: Cached, problem: UpstreamUnavailable) -> dict[str, str]:
        found = await self._freshness.of(ctx, resource)
        if found.synced_at is None:
            raise problem
        return replace(found, stale=True).headers
