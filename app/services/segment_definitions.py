"""Segment definitions: read from the cache, written through the door."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.aep.models import SegmentDefinitionCreate, SegmentDefinitionPatch, with_text_expression
from app.audit.actions import Action
from app.audit.recorder import Operation, Resource
from app.context import RequestContext
from app.errors import NotFound, UpstreamRefused, UpstreamUnavailable
from app.services.aep_calls import or_not_found, target_of
from app.services.attribution import author_of
from app.services.bodies import read_body
from app.services.door import Change, Stored, WriteDoor, Written
from app.services.freshness import Freshness, FreshnessService, is_too_old
from app.services.idempotency import Memory, from_answer
from app.services.paging import Page, PageArgs, to_page, to_window
from app.services.permissions import require
from app.services.rules import RuleService
from app.services.versions import Document, Seen, Versioned
from app.store.database import Database, WriteUnit
from app.store.idempotency_keys import KeyScope
from app.store.paging import Position
from app.store.revisions import Origin
from app.store.rows import SegmentDefinitionRow
from app.store.snapshots import from_snapshot, snapshot
from app.store.sync_states import Cached
from app.upstream import segment_definitions as upstream
from app.upstream.client import AEPClient, Reply

RESOURCE = "segment_definition"

_CHANGES = {
    "update_segment_definition": Action.SEGMENT_DEFINITION_UPDATE,
    "delete_segment_definition": Action.SEGMENT_DEFINITION_DELETE,
}
_VERSIONS_LOOKED_AT = 100
_MEMORY = Memory(snapshot, lambda kept, _reply: from_snapshot(SegmentDefinitionRow, kept))


class DefinitionOrderField(StrEnum):
    """What a list of definitions can be ordered by; the value is AEP's attribute."""

    NAME = "name"
    CREATED_AT = "creationTime"
    UPDATED_AT = "updateTime"


@dataclass(frozen=True, slots=True)
class DefinitionOrder:
    """Order of a list of definitions; ties are broken by id."""

    field: DefinitionOrderField = DefinitionOrderField.UPDATED_AT
    descending: bool = True

    @property
    def cursor_key(self) -> str:
        """What a cursor of this order remembers it by."""
        return f"{self.field.value}:{'desc' if self.descending else 'asc'}"


@dataclass(frozen=True, slots=True)
class DefinitionFilter:
    """Which definitions to list. ``name_contains`` looks for a part of the name in any letter case."""

    name_contains: str | None = None


class NameTaken(UpstreamRefused):
    """The sandbox already has a definition of this name."""

    code = "NAME_TAKEN"
    title = "Name taken"


class SegmentDefinitionService:
    """Lists, finds, creates, changes and deletes segment definitions of the request's sandbox."""

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
        filter: DefinitionFilter = DefinitionFilter(),
        order: DefinitionOrder = DefinitionOrder(),
        page: PageArgs = PageArgs(),
        with_total: bool = False,
    ) -> Page[SegmentDefinitionRow]:
        """Return one page of definitions; ``total`` is counted only when asked for."""
        require(ctx, "list_segment_definitions")
        await self._freshness.ensure(ctx, Cached.SEGMENT_DEFINITIONS)
        window = to_window(page, order.cursor_key)
        async with self._database.read(ctx.tenant.id) as unit:
            found = await unit.segment_definitions.window(
                ctx.sandbox.id,
                window,
                order=order.field.value,
                descending=order.descending,
                name_contains=filter.name_contains,
            )
            total = None
            if with_total:
                total = await unit.segment_definitions.count(ctx.sandbox.id, name_contains=filter.name_contains)
        return to_page(found, order.cursor_key, lambda row: _position(row, order.field), total=total)

    async def offset_page(
        self,
        ctx: RequestContext,
        *,
        offset: int,
        limit: int,
        sort: Sequence[tuple[str, bool]],
        evaluation: str | None = None,
    ) -> tuple[Sequence[SegmentDefinitionRow], int]:
        """Return ``limit`` definitions from ``offset`` and the total, as AEP pages.

        ``sort`` lists (AEP's attribute, descending); ``evaluation`` keeps those with that method enabled
        (``batch``, ``continuous`` or ``synchronous``).
        """
        require(ctx, "list_segment_definitions")
        await self._freshness.ensure(ctx, Cached.SEGMENT_DEFINITIONS)
        async with self._database.read(ctx.tenant.id) as unit:
            rows = await unit.segment_definitions.offset_page(
                ctx.sandbox.id, offset=offset, limit=limit, sort=sort, evaluation=evaluation
            )
            total = await unit.segment_definitions.count(ctx.sandbox.id, evaluation=evaluation)
        return rows, total

    async def list_upstream(self, ctx: RequestContext, params: tuple[tuple[str, str], ...]) -> Reply:
        """Return a page as AEP answers it now, for questions that the cache cannot answer."""
        call = upstream.query_segment_definitions(params)
        require(ctx, call.operation)
        return await self._client.read(target_of(ctx), call)

    async def get(
        self,
        ctx: RequestContext,
        id: UUID | None = None,
        *,
        aep_id: str | None = None,
    ) -> SegmentDefinitionRow:
        """Return one definition by the gateway's id or by AEP's. Raises `NotFound`."""
        require(ctx, "get_segment_definition")
        async with self._database.read(ctx.tenant.id) as unit:
            if id is not None:
                row = await unit.segment_definitions.get(ctx.sandbox.id, id)
            else:
                row = await unit.segment_definitions.by_aep_id(ctx.sandbox.id, aep_id or "")
        if row is not None and is_too_old(ctx, row.synced_at):
            row = await self._read_through(ctx, row.aep_id) or row
        elif row is None and aep_id is not None:
            row = await self._read_through(ctx, aep_id)
        if row is None:
            raise _not_found(aep_id or str(id))
        return row

    async def _read_through(self, ctx: RequestContext, aep_id: str) -> SegmentDefinitionRow | None:
        """Ask AEP for a definition that the cache does not have yet, and keep it.

        One that was made a moment ago, through ``/audiences`` or in Adobe's own pages, is there before the next sync
        has seen it. Raises `NotFound`. With AEP away, what the cache has must do.
        """
        try:
            document = await or_not_found(
                upstream.get_segment_definition(self._client, target_of(ctx), aep_id), _not_found(aep_id)
            )
        except UpstreamUnavailable:
            return None
        return await self._store_read(ctx, document)

    async def _store_read(self, ctx: RequestContext, document: dict[str, Any]) -> SegmentDefinitionRow:
        """Keep a definition that AEP has just sent; what is new in it was done behind the gateway's back."""
        async with self._database.write(ctx.tenant.id) as unit:
            state = await unit.sync_states.get(ctx.sandbox.id, Cached.SEGMENT_DEFINITIONS)
            # Before the first sync everything is new to us, and nobody's doing behind our back.
            origin = Origin(drift=state is not None and state.succeeded_at is not None)
            return await unit.segment_definitions.put(ctx.sandbox.id, document, now=datetime.now(UTC), origin=origin)

    async def authorise(self, ctx: RequestContext, operation: str, named: str) -> Operation:
        """Return the attempt to change the definition of this id. Raises `Forbidden`, and records it."""
        attempt = Operation.of(ctx, _CHANGES[operation], Resource(RESOURCE, named))
        await self._door.authorise(ctx, operation, attempt)
        return attempt

    async def turned_away(self, attempt: Operation, missing: NotFound) -> NotFound:
        """Record an attempt on something that is not here, and return the error to raise."""
        await self._door.deny(attempt, missing)
        return missing

    async def aep_id_for(self, ctx: RequestContext, id: UUID, operation: str) -> str:
        """Return AEP's id of the definition that a change names by the gateway's id. Raises `Forbidden` or `NotFound`.

        Both are recorded as denied, so that guessed ids leave a trace. A deletion that is repeated under its
        idempotency key names a definition that is gone: the key remembers it.
        """
        attempt = await self.authorise(ctx, operation, str(id))
        async with self._database.read(ctx.tenant.id) as unit:
            row = await unit.segment_definitions.get(ctx.sandbox.id, id)
            if row is None and ctx.idempotency_key is not None:
                scope = KeyScope(ctx.sandbox.id, ctx.actor.id, operation, ctx.idempotency_key)
                key = await unit.idempotency_keys.find(scope)
                row = None if key is None or key.answer is None else _MEMORY.recall(*from_answer(key.answer))
        if row is None or row.id != id:
            raise await self.turned_away(attempt, _not_found(str(id)))
        return row.aep_id

    async def get_many(self, ctx: RequestContext, aep_ids: Sequence[str]) -> dict[str, SegmentDefinitionRow]:
        """Return the definitions that exist among these ids of AEP."""
        require(ctx, "bulk_get_segment_definitions")
        async with self._database.read(ctx.tenant.id) as unit:
            rows = await unit.segment_definitions.by_aep_ids(ctx.sandbox.id, aep_ids)
        return {row.aep_id: row for row in rows}

    async def freshness(self, ctx: RequestContext) -> Freshness:
        """Return how old the cached definitions of the sandbox are."""
        return await self._freshness.of(ctx, Cached.SEGMENT_DEFINITIONS)

    async def convert(self, ctx: RequestContext, document: dict[str, Any]) -> Reply:
        """Return a definition in the other format, as AEP converts it."""
        require(ctx, "convert_segment_definition")
        return await upstream.convert_segment_definition(self._client, target_of(ctx), document)

    async def create(self, ctx: RequestContext, document: dict[str, Any]) -> Written[SegmentDefinitionRow]:
        """Create a definition; ``document`` is the body of AEP's create call.

        Raises `InvalidRequest`, `PQLError`, `Forbidden`, `NameTaken`, `UpstreamRefused` or `UpstreamUnavailable`.
        """
        document = with_text_expression(document)

        async def check() -> None:
            wanted = read_body(SegmentDefinitionCreate, document)
            await self._rules.require_valid(ctx, wanted.expression)

        async def store(unit: WriteUnit, reply: Reply) -> Stored[SegmentDefinitionRow]:
            return await self._keep(unit, ctx, reply.body, created=True)

        name = document.get("name")
        change = Change(
            operation="create_segment_definition",
            action=Action.SEGMENT_DEFINITION_CREATE,
            resource=Resource(RESOURCE, name=name if isinstance(name, str) else None),
            call=upstream.create_segment_definition(document),
            check=check,
            store=store,
            detail={"sent": document},
            memory=_MEMORY,
        )
        try:
            return await self._door.carry_out(ctx, change)
        except UpstreamRefused as refusal:
            if refusal.status not in {409, 422}:
                raise
            raise NameTaken(
                refusal.detail,
                status=refusal.status,
                upstream_code=refusal.upstream_code,
                upstream_request_id=refusal.upstream_request_id,
                hint="Choose another name, or update the definition that has it.",
            ) from refusal

    async def update(
        self, ctx: RequestContext, aep_id: str, patch: dict[str, Any], *, restored_from: int | None = None
    ) -> Written[SegmentDefinitionRow]:
        """Change a definition; members present in ``patch`` replace the stored ones, members absent stay.

        ``restored_from`` is the number of the version that the patch brings back, if it does. Raises what `create`
        raises, and `NotFound`.
        """
        current = await self._cached(ctx, aep_id)
        patch = with_text_expression(patch)

        async def check() -> None:
            wanted = read_body(SegmentDefinitionPatch, patch)
            if wanted.expression is not None:
                await self._rules.require_valid(ctx, wanted.expression)
            if current is None:
                raise _not_found(aep_id)

        async def store(unit: WriteUnit, reply: Reply) -> Stored[SegmentDefinitionRow]:
            return await self._keep(unit, ctx, reply.body, restored_from=restored_from)

        change = Change(
            operation="update_segment_definition",
            action=Action.SEGMENT_DEFINITION_UPDATE if restored_from is None else Action.SEGMENT_DEFINITION_RESTORE,
            resource=Resource(RESOURCE, aep_id, current.name if current else None),
            call=upstream.update_segment_definition(aep_id, patch),
            check=check,
            store=store,
            on_refusal=self._forget_when_gone(ctx, aep_id),
            detail={"sent": patch} | ({} if restored_from is None else {"restoredFrom": restored_from}),
            memory=_MEMORY,
            versioned=self._versioned(ctx, aep_id),
            before=snapshot(current) if current else None,
        )
        return await or_not_found(self._door.carry_out(ctx, change), _not_found(aep_id))

    async def delete(self, ctx: RequestContext, aep_id: str) -> Written[SegmentDefinitionRow]:
        """Delete a definition and return it as it last was.

        Raises `NotFound`, `Forbidden`, `UpstreamRefused` (other audiences use it) or `UpstreamUnavailable`.
        """
        current = await self._cached(ctx, aep_id)

        async def check() -> None:
            if current is None:
                raise _not_found(aep_id)

        async def store(unit: WriteUnit, _reply: Reply) -> Stored[SegmentDefinitionRow]:
            row = await unit.segment_definitions.by_aep_id(ctx.sandbox.id, aep_id)
            origin = Origin(author_of(ctx))
            if row is not None:
                await unit.segment_definitions.remove(row, now=datetime.now(UTC), origin=origin)
            else:
                await unit.revisions.claim_end(ctx.sandbox.id, aep_id, origin)
            await unit.audiences.remove(ctx.sandbox.id, aep_id)
            # The sync may have seen the deletion before AEP's answer came; the definition is what it was before.
            row = row or current
            if row is None:
                raise _not_found(aep_id)
            return Stored(row, Resource(RESOURCE, row.aep_id, row.name))

        change = Change(
            operation="delete_segment_definition",
            action=Action.SEGMENT_DEFINITION_DELETE,
            resource=Resource(RESOURCE, aep_id, current.name if current else None),
            call=upstream.delete_segment_definition(aep_id),
            check=check,
            store=store,
            on_refusal=self._forget_when_gone(ctx, aep_id),
            memory=_MEMORY,
            versioned=self._versioned(ctx, aep_id),
            before=snapshot(current) if current else None,
        )
        return await or_not_found(self._door.carry_out(ctx, change), _not_found(aep_id))

    async def _keep(
        self,
        unit: WriteUnit,
        ctx: RequestContext,
        body: Any,
        *,
        created: bool = False,
        restored_from: int | None = None,
    ) -> Stored[SegmentDefinitionRow]:
        if not isinstance(body, dict) or not isinstance(body.get("id"), str):
            raise UpstreamUnavailable(
                "Adobe Experience Platform's answer has no definition in it.", outcome_unknown=True
            )
        now = datetime.now(UTC)
        origin = Origin(author_of(ctx), restored_from)
        row = await unit.segment_definitions.put(ctx.sandbox.id, body, now=now, origin=origin, created=created)
        await _carry_over(unit, ctx, body, now)
        return Stored(row, Resource(RESOURCE, row.aep_id, row.name))

    def _versioned(self, ctx: RequestContext, aep_id: str) -> Versioned:
        async def read() -> Seen:
            known = await self._cached(ctx, aep_id)
            document = await or_not_found(
                upstream.get_segment_definition(self._client, target_of(ctx), aep_id), _not_found(aep_id)
            )
            row = await self._store_read(ctx, document)
            return Seen(
                known=known.document if known else None,
                known_version=known.version if known else None,
                current=document,
                current_version=row.version,
                find=find,
            )

        async def find(wanted: Callable[[Document, int], bool]) -> tuple[Document, int] | None:
            async with self._database.read(ctx.tenant.id) as unit:
                rows = await unit.revisions.history(ctx.sandbox.id, aep_id, limit=_VERSIONS_LOOKED_AT)
            return next(((row.document, row.version) for row in rows if wanted(row.document, row.version)), None)

        return Versioned(aep_id, read)

    def _forget_when_gone(self, ctx: RequestContext, aep_id: str) -> Any:
        async def forget(unit: WriteUnit, refusal: UpstreamRefused) -> None:
            row = await unit.segment_definitions.by_aep_id(ctx.sandbox.id, aep_id)
            if refusal.status == 404 and row is not None:
                origin = Origin(drift=True)
                await unit.segment_definitions.remove(row, now=datetime.now(UTC), origin=origin)
                await unit.audiences.remove(ctx.sandbox.id, aep_id)

        return forget

    async def _cached(self, ctx: RequestContext, aep_id: str) -> SegmentDefinitionRow | None:
        async with self._database.read(ctx.tenant.id) as unit:
            return await unit.segment_definitions.by_aep_id(ctx.sandbox.id, aep_id)


async def _carry_over(unit: WriteUnit, ctx: RequestContext, definition: dict[str, Any], now: datetime) -> None:
    """Let the cached audience of a changed definition show the change before the next sync does."""
    audience = await unit.audiences.by_aep_id(ctx.sandbox.id, definition["id"])
    if audience is not None:
        await unit.audiences.put(ctx.sandbox.id, {**audience.document, **definition}, now=now)


def _position(row: SegmentDefinitionRow, field: DefinitionOrderField) -> Position:
    values = {
        DefinitionOrderField.NAME: row.name_lower,
        DefinitionOrderField.CREATED_AT: row.created_at,
        DefinitionOrderField.UPDATED_AT: row.updated_at,
    }
    return Position(values[field], row.id)


def _not_found(identifier: str) -> NotFound:
    return NotFound(
        f"There is no segment definition {identifier} in this sandbox.",
        hint="Check the id and the sandbox; a definition made in Adobe's own pages appears after the next sync.",
    )
