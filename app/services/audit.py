"""Reading the audit: one entry for each operation, with its newest phase."""

from __future__ import annotations

from app.context import RequestContext
from app.errors import InvalidRequest
from app.services.paging import Page, PageArgs, decode_cursor, encode_cursor, page_size
from app.services.permissions import require
from app.store.audit_events import AuditEventFilter, SequenceWindow
from app.store.database import Database
from app.store.rows import AuditEventRow

_CURSOR_KEY = "audit"


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
        limit, backward = page_size(page)
        window = SequenceWindow(
            limit=limit,
            after=_sequence(page.after, "after"),
            before=_sequence(page.before, "before"),
            backward=backward,
        )
        async with self._database.read(ctx.tenant.id) as unit:
            found = await unit.audit_events.window(filter, window)
            total = await unit.audit_events.count(filter) if with_total else None
        cursors = tuple(encode_cursor([_CURSOR_KEY, row.sequence]) for row in found.rows)
        return Page(found.rows, cursors, found.has_next, found.has_previous, total)


def _sequence(cursor: str | None, argument: str) -> int | None:
    if cursor is None:
        return None
    match decode_cursor(cursor, argument):
        case [str(key), int(sequence)] if key == _CURSOR_KEY and 0 < sequence < 2**63:
            return sequence
    raise InvalidRequest(f"{argument} is not a cursor of this list.", path=(argument,))
