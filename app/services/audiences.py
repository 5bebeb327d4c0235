"""Audiences: read from the cache. Writing them comes through their segment definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from app.context import RequestContext
from app.errors import NotFound
from app.services.freshness import Freshness, freshness_of
from app.services.paging import Page, PageArgs, to_page, to_window
from app.services.permissions import require
from app.store.database import Database
from app.store.paging import Position
from app.store.rows import AudienceRow
from app.store.sync_states import Cached

_CURSOR_KEY = "audience-name:asc"


class AudienceService:
    """Lists and finds audiences of the request's sandbox."""

    def __init__(self, database: Database, *, stale_after: timedelta) -> None:
        self._database = database
        self._stale_after = stale_after

    async def page(
        self,
        ctx: RequestContext,
        *,
        name_contains: str | None = None,
        page: PageArgs = PageArgs(),
        with_total: bool = False,
    ) -> Page[AudienceRow]:
        """Return one page of audiences by name."""
        require(ctx, "list_audiences")
        window = to_window(page, _CURSOR_KEY)
        async with self._database.read(ctx.tenant.id) as unit:
            found = await unit.audiences.window(ctx.sandbox.id, window, name_contains=name_contains)
            total = None
            if with_total:
                total = await unit.audiences.count(ctx.sandbox.id, name_contains=name_contains)
        return to_page(found, _CURSOR_KEY, lambda row: Position(row.name_lower, row.id), total=total)

    async def offset_page(
        self,
        ctx: RequestContext,
        *,
        offset: int,
        limit: int,
        name_contains: str | None = None,
        description_contains: str | None = None,
        exact: Mapping[str, str] | None = None,
    ) -> tuple[Sequence[AudienceRow], int]:
        """Return ``limit`` audiences from ``offset`` and the total, as AEP pages; newest change first."""
        require(ctx, "list_audiences")
        async with self._database.read(ctx.tenant.id) as unit:
            rows = await unit.audiences.offset_page(
                ctx.sandbox.id,
                offset=offset,
                limit=limit,
                name_contains=name_contains,
                description_contains=description_contains,
                exact=exact,
            )
            total = await unit.audiences.count(
                ctx.sandbox.id,
                name_contains=name_contains,
                description_contains=description_contains,
                exact=exact,
            )
        return rows, total

    async def get(
        self,
        ctx: RequestContext,
        id: UUID | None = None,
        *,
        aep_id: str | None = None,
    ) -> AudienceRow:
        """Return one audience by the gateway's id or by AEP's ``id``. Raises `NotFound`."""
        require(ctx, "get_audience")
        async with self._database.read(ctx.tenant.id) as unit:
            if id is not None:
                row = await unit.audiences.get(ctx.sandbox.id, id)
            else:
                row = await unit.audiences.by_aep_id(ctx.sandbox.id, aep_id or "")
        if row is None:
            raise NotFound(
                f"There is no audience {aep_id or id} in this sandbox.", hint="Check the id and the sandbox."
            )
        return row

    async def get_many(self, ctx: RequestContext, aep_ids: Sequence[str]) -> dict[str, AudienceRow]:
        """Return the audiences that exist among these ids of AEP."""
        require(ctx, "get_audience")
        async with self._database.read(ctx.tenant.id) as unit:
            rows = await unit.audiences.by_aep_ids(ctx.sandbox.id, aep_ids)
        return {row.aep_id: row for row in rows}

    async def freshness(self, ctx: RequestContext) -> Freshness:
        """Return how old the cached audiences of the sandbox are."""
        async with self._database.read(ctx.tenant.id) as unit:
            return await freshness_of(unit, ctx.sandbox.id, Cached.AUDIENCES, stale_after=self._stale_after)
