"""Audiences: read from the cache, written through the door.

A platform audience is also a segment definition with the same id: a change of the one is a change of the other, and
both are kept with their author.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.aep.models import (
    DEFINITION_MEMBERS,
    Expression,
    ExternalAudienceCreate,
    PlatformAudienceCreate,
    with_text_expression,
)
from app.audit.actions import Action
from app.audit.recorder import Resource
from app.context import RequestContext
from app.errors import InvalidRequest, NotFound, UpstreamRefused, UpstreamUnavailable
from app.services.aep_calls import or_not_found, target_of
from app.services.attribution import author_of
from app.services.bodies import read_body
from app.services.door import Change, Stored, WriteDoor, Written
from app.services.freshness import Freshness, FreshnessService, is_too_old
from app.services.paging import Page, PageArgs, to_page, to_window
from app.services.permissions import require
from app.services.relay import named
from app.services.rules import RuleService
from app.services.versions import Seen, Versioned
from app.store.database import Database, WriteUnit
from app.store.paging import Position
from app.store.revisions import Origin
from app.store.rows import AudienceRow
from app.store.sync_states import Cached
from app.upstream import audiences as upstream
from app.upstream.client import AEPClient, Call, Reply

RESOURCE = "audience"
METRICS_RESOURCE = "audience_metrics"
PLATFORM_TYPE = "SegmentDefinition"
_CURSOR_KEY = "audience-name:asc"


class AudienceService:
    """Lists and finds audiences of the request's sandbox."""

    def __init__(
        self, database: Database, client: AEPClient, door: WriteDoor, rules: RuleService, freshness: FreshnessService
    ) -> None:
        self._database = database
        self._client = client
        self._door = door
        self._rules = rules
        self._freshness = freshness

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
        await self._freshness.ensure(ctx, Cached.AUDIENCES)
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
        await self._freshness.ensure(ctx, Cached.AUDIENCES)
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

    async def list_upstream(self, ctx: RequestContext, params: tuple[tuple[str, str], ...]) -> Reply:
        """Return a page as AEP answers it now, for questions that the cache cannot answer."""
        call = upstream.query_audiences(params)
        require(ctx, call.operation)
        return await self._client.read(target_of(ctx), call)

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
        if row is not None and is_too_old(ctx, row.synced_at):
            row = await self._read_through(ctx, row.aep_id) or row
        elif row is None and aep_id is not None:
            row = await self._read_through(ctx, aep_id)
        if row is None:
            raise _not_found(aep_id or str(id))
        return row

    async def _read_through(self, ctx: RequestContext, aep_id: str) -> AudienceRow | None:
        """Ask AEP for an audience that the cache does not have yet, and keep it. With AEP away there is none."""
        try:
            document = await or_not_found(
                upstream.get_audience(self._client, target_of(ctx), aep_id), _not_found(aep_id)
            )
        except UpstreamUnavailable:
            return None
        async with self._database.write(ctx.tenant.id) as unit:
            return await unit.audiences.put(ctx.sandbox.id, document, now=datetime.now(UTC))

    async def get_many(self, ctx: RequestContext, aep_ids: Sequence[str]) -> dict[str, AudienceRow]:
        """Return the audiences that exist among these ids of AEP."""
        require(ctx, "get_audience")
        async with self._database.read(ctx.tenant.id) as unit:
            rows = await unit.audiences.by_aep_ids(ctx.sandbox.id, aep_ids)
        return {row.aep_id: row for row in rows}

    async def freshness(self, ctx: RequestContext) -> Freshness:
        """Return how old the cached audiences of the sandbox are."""
        return await self._freshness.of(ctx, Cached.AUDIENCES)

    async def create(self, ctx: RequestContext, document: dict[str, Any]) -> Written[Reply]:
        """Create an audience, with a rule or made elsewhere; ``document`` is the body of AEP's call.

        Raises `InvalidRequest`, `PQLError`, `Forbidden`, `UpstreamRefused` or `UpstreamUnavailable`.
        """
        document = with_text_expression(document)

        async def check() -> None:
            if is_external(document):
                read_body(ExternalAudienceCreate, document)
            else:
                await self._rules.require_valid(ctx, read_body(PlatformAudienceCreate, document).expression)

        change = Change(
            operation="create_audience",
            action=Action.AUDIENCE_CREATE,
            resource=Resource(RESOURCE, name=named(document)),
            call=upstream.create_audience(document),
            check=check,
            store=self._keep(ctx, created=True),
            detail={"sent": document},
        )
        return await self._door.carry_out(ctx, change)

    async def update(self, ctx: RequestContext, aep_id: str, operations: Any) -> Written[Reply]:
        """Change an audience by JSON Patch. Raises what `create` raises, and `NotFound`."""

        async def check() -> None:
            if not isinstance(operations, list) or not operations:
                raise InvalidRequest(
                    "The body must be a JSON Patch array.",
                    hint='Send [{"op": "add", "path": "/name", "value": "..."}].',
                )
            for operation in operations:
                if isinstance(operation, dict) and operation.get("path") == "/expression" and "value" in operation:
                    await self._rules.require_valid(ctx, read_body(Expression, operation["value"]))

        call = upstream.update_audience(aep_id, operations)
        return await self._change(ctx, call, Action.AUDIENCE_UPDATE, aep_id, check)

    async def replace(self, ctx: RequestContext, aep_id: str, document: dict[str, Any]) -> Written[Reply]:
        """Replace the editable part of an audience. Raises what `create` raises, and `NotFound`."""
        document = with_text_expression(document)

        async def check() -> None:
            if isinstance(document.get("expression"), dict):
                await self._rules.require_valid(ctx, read_body(Expression, document["expression"]))

        call = upstream.replace_audience(aep_id, document)
        return await self._change(ctx, call, Action.AUDIENCE_REPLACE, aep_id, check)

    async def delete(self, ctx: RequestContext, aep_id: str) -> Written[Reply]:
        """Delete an audience, and its definition if it has one. Raises `NotFound` and what the door raises."""

        async def store(unit: WriteUnit, reply: Reply) -> Stored[Reply]:
            await self._forget(unit, ctx, aep_id, Origin(author_of(ctx)))
            return Stored(reply, Resource(RESOURCE, aep_id))

        change = Change(
            operation="delete_audience",
            action=Action.AUDIENCE_DELETE,
            resource=Resource(RESOURCE, aep_id),
            call=upstream.delete_audience(aep_id),
            store=store,
            on_refusal=self._forget_when_gone(ctx, aep_id),
            versioned=self._versioned(ctx, aep_id),
            before={"document": await self._cached(ctx, aep_id)},
        )
        return await or_not_found(self._door.carry_out(ctx, change), _not_found(aep_id))

    async def update_metrics(self, ctx: RequestContext, body: Any) -> Written[Reply]:
        """Set the metrics of several audiences with the body of AEP's ``bulk-patch-metric``."""

        async def store(_unit: WriteUnit, reply: Reply) -> Stored[Reply]:
            return Stored(reply, Resource(METRICS_RESOURCE))

        change = Change(
            operation="update_audience_metrics",
            action=Action.AUDIENCE_METRICS_UPDATE,
            resource=Resource(METRICS_RESOURCE),
            call=upstream.update_audience_metrics(body),
            store=store,
            detail={"sent": body},
        )
        return await self._door.carry_out(ctx, change)

    async def _change(
        self, ctx: RequestContext, call: Call, action: Action, aep_id: str, check: Callable[[], Awaitable[None]]
    ) -> Written[Reply]:
        change = Change(
            operation=call.operation,
            action=action,
            resource=Resource(RESOURCE, aep_id),
            call=call,
            check=check,
            store=self._keep(ctx),
            on_refusal=self._forget_when_gone(ctx, aep_id),
            versioned=self._versioned(ctx, aep_id),
            before={"document": await self._cached(ctx, aep_id)},
            detail={"sent": call.body},
        )
        return await or_not_found(self._door.carry_out(ctx, change), _not_found(aep_id))

    async def _cached(self, ctx: RequestContext, aep_id: str) -> dict[str, Any] | None:
        async with self._database.read(ctx.tenant.id) as unit:
            row = await unit.audiences.by_aep_id(ctx.sandbox.id, aep_id)
        return None if row is None else row.document

    def _versioned(self, ctx: RequestContext, aep_id: str) -> Versioned:
        async def read() -> Seen:
            known = await self._cached(ctx, aep_id)
            document = await or_not_found(
                upstream.get_audience(self._client, target_of(ctx), aep_id), _not_found(aep_id)
            )
            return Seen(known, None, document, None)

        return Versioned(aep_id, read)

    def _keep(
        self, ctx: RequestContext, *, created: bool = False
    ) -> Callable[[WriteUnit, Reply], Awaitable[Stored[Reply]]]:
        async def store(unit: WriteUnit, reply: Reply) -> Stored[Reply]:
            document = reply.body
            if not isinstance(document, dict) or not isinstance(document.get("id"), str):
                raise UpstreamUnavailable(
                    "Adobe Experience Platform's answer has no audience in it.", outcome_unknown=True
                )
            now = datetime.now(UTC)
            row = await unit.audiences.put(ctx.sandbox.id, document, now=now)
            if row.type == PLATFORM_TYPE:
                definition = {name: document[name] for name in DEFINITION_MEMBERS if name in document}
                origin = Origin(author_of(ctx))
                await unit.segment_definitions.put(ctx.sandbox.id, definition, now=now, origin=origin, created=created)
            return Stored(reply, Resource(RESOURCE, row.aep_id, row.name))

        return store

    def _forget_when_gone(
        self, ctx: RequestContext, aep_id: str
    ) -> Callable[[WriteUnit, UpstreamRefused], Awaitable[None]]:
        async def forget(unit: WriteUnit, refusal: UpstreamRefused) -> None:
            if refusal.status == 404:
                await self._forget(unit, ctx, aep_id, Origin(drift=True))

        return forget

    async def _forget(self, unit: WriteUnit, ctx: RequestContext, aep_id: str, origin: Origin) -> None:
        await unit.audiences.remove(ctx.sandbox.id, aep_id)
        definition = await unit.segment_definitions.by_aep_id(ctx.sandbox.id, aep_id)
        if definition is not None:
            await unit.segment_definitions.remove(definition, now=datetime.now(UTC), origin=origin)
        elif origin.author is not None:
            await unit.revisions.claim_end(ctx.sandbox.id, aep_id, origin)


def is_external(document: Mapping[str, Any]) -> bool:
    """Tell whether a create body is about an audience that was made elsewhere, as AEP decides it."""
    kind = document.get("type")
    return kind in {"ExternalSegment", "ExternalAudience"} or (kind is None and "expression" not in document)


def _not_found(identifier: str) -> NotFound:
    return NotFound(f"There is no audience {identifier} in this sandbox.", hint="Check the id and the sandbox.")
