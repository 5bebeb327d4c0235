"""Reading the audit: one entry for each operation, with its newest phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.audit.export import document_of
from app.audit.proofs import leaves_of, prove_consistency, prove_inclusion
from app.context import RequestContext
from app.errors import Conflict, InvalidRequest, NotFound
from app.services.paging import Page, PageArgs, number_cursor, to_number_window
from app.services.permissions import require
from app.store.audit_events import AuditEventFilter
from app.store.database import Database
from app.store.rows import AuditCheckpointRow, AuditEventRow

_CURSOR_KEY = "audit"
_SEQUENCES = range(1, 2**63)


@dataclass(frozen=True, slots=True)
class EventProof:
    """An event as it was hashed, and the nodes (hex) that lead from it to the root of a signed checkpoint.

    ``consistency`` leads from the older checkpoint that was asked about to this one; ``None`` when none was.
    """

    event: dict[str, Any]
    checkpoint: AuditCheckpointRow
    inclusion: list[str]
    consistency: list[str] | None = None


class AuditService:
    """Lists the audit of the actor's tenant, all sandboxes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        ctx: RequestContext,
        *,
        filter: AuditEventFilter = AuditEventFilter(),
        page: PageArgs = PageArgs(),
        with_total: bool = False,
    ) -> Page[AuditEventRow]:
        """Return one page of operations, newest first."""
        require(ctx, "list_audit_events")
        window = to_number_window(page, _CURSOR_KEY, _SEQUENCES)
        async with self._database.read(ctx.tenant.id) as unit:
            found = await unit.audit_events.window(filter, window)
            total = await unit.audit_events.count(filter) if with_total else None
        cursors = tuple(number_cursor(_CURSOR_KEY, row.sequence) for row in found.rows)
        return Page(found.rows, cursors, found.has_next, found.has_previous, total)

    async def get(self, ctx: RequestContext, id: UUID) -> AuditEventRow:
        """Return one event of the tenant. Raises `Forbidden` or `NotFound`."""
        require(ctx, "get_audit_event")
        async with self._database.read(ctx.tenant.id) as unit:
            event = await unit.audit_events.get(id)
        if event is None:
            raise NotFound(f"There is no audit event {id}.")
        return event

    async def proof(self, ctx: RequestContext, event_id: str, *, consistent_from: int | None = None) -> EventProof:
        """Prove that an event is under the newest checkpoint, and that this one continues an older one.

        Raises `Forbidden`, `NotFound` for the event or the older checkpoint, `Conflict` before there is a checkpoint.
        """
        require(ctx, "list_audit_events")
        async with self._database.read(ctx.tenant.id) as unit:
            event = await unit.audit_events.get(_event_id(event_id))
            if event is None:
                raise NotFound(f"There is no audit event {event_id}.")
            newest = await unit.audit_checkpoints.newest()
            if newest is None or newest.size < event.sequence:
                raise Conflict(
                    f"Event {event.sequence} is not under a checkpoint yet.",
                    hint="The gateway signs one every few minutes; ask again then.",
                )
            if consistent_from is not None and await unit.audit_checkpoints.of_size(consistent_from) is None:
                raise NotFound(f"There is no checkpoint over {consistent_from} events.")
            leaves = await leaves_of(unit, newest.size)
        if len(leaves) != newest.size:
            raise Conflict(
                f"Event {len(leaves) + 1} is missing from the chain: nothing can be proved.",
                hint="Run 'segment-gateway audit verify' and keep the database as it is.",
            )
        path = await prove_inclusion(leaves, event.sequence - 1, newest.size)
        steps = None if consistent_from is None else await prove_consistency(leaves, consistent_from, newest.size)
        return EventProof(document_of(event), newest, path, steps)


def read_actor_id(text: str | None, *path: str) -> UUID | None:
    """Return the actor that a filter names at ``path``. Raises `InvalidRequest`."""
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest("actorId must be the id that an event gives.", path=path) from None


def _event_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"There is no audit event {text}.") from None
