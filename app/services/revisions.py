"""The versions of segment definitions: what changed when, by whom; as of a moment; and back again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import pql
from app.aep.models import EDITABLE, edited_members
from app.audit.differences import MemberChange, changes_between
from app.context import RequestContext
from app.errors import InvalidRequest, NotFound, PQLError
from app.services.attribution import Attribution, made_by
from app.services.door import Written
from app.services.paging import Page, PageArgs, number_cursor, to_number_window
from app.services.permissions import require
from app.services.segment_definitions import SegmentDefinitionService
from app.store.database import Database, ReadUnit
from app.store.rows import SegmentDefinitionRevisionRow, SegmentDefinitionRow

MOST_BLAMED: Final = 500
"""Versions that blame goes back."""
_CURSOR_KEY: Final = "version"
_VERSIONS: Final = range(2**31)
# A PATCH leaves absent members as they are; these say "none" of members that a version did not have.
_NOTHING: Final[dict[str, Any]] = {"description": "", "tags": [], "labels": [], "dataGovernancePolicy": {}}


@dataclass(frozen=True, slots=True)
class Revision:
    """A version with the one before it, of which it is a change; ``None`` before the first."""

    row: SegmentDefinitionRevisionRow
    before: SegmentDefinitionRevisionRow | None

    @property
    def author(self) -> Attribution:
        """Who made the version."""
        return made_by(self.row)


@dataclass(frozen=True, slots=True)
class RevisionChanges:
    """What a version changed.

    ``clauses`` are the changes of the rule; ``None`` when one of the two rules cannot be read or there is no version
    before. ``same_meaning`` is true for a rule that is only spelled otherwise.
    """

    clauses: tuple[pql.Change, ...] | None
    same_meaning: bool | None
    members: tuple[MemberChange, ...]


@dataclass(frozen=True, slots=True)
class Blame:
    """A clause of a definition's rule, and the version that brought it."""

    clause: pql.Clause
    revision: SegmentDefinitionRevisionRow

    @property
    def author(self) -> Attribution:
        """Who brought the clause."""
        return made_by(self.revision)


class RevisionService:
    """Lists, finds, compares and restores versions of the request's sandbox."""

    def __init__(self, database: Database, definitions: SegmentDefinitionService) -> None:
        self._database = database
        self._definitions = definitions

    async def page(
        self, ctx: RequestContext, aep_id: str, page: PageArgs = PageArgs(), *, with_total: bool = False
    ) -> Page[Revision]:
        """Return one page of a definition's versions, newest first. Raises `NotFound` when there never was one."""
        require(ctx, "get_segment_definition")
        window = to_number_window(page, _CURSOR_KEY, _VERSIONS)
        async with self._database.read(ctx.tenant.id) as unit:
            found = await unit.revisions.window(ctx.sandbox.id, aep_id, window)
            if not found.rows and await unit.revisions.first(ctx.sandbox.id, aep_id) is None:
                raise _not_found(aep_id)
            total = await unit.revisions.count(ctx.sandbox.id, aep_id) if with_total else None
            revisions = tuple(await _with_before(unit, ctx.sandbox.id, found.rows))
        cursors = tuple(number_cursor(_CURSOR_KEY, one.row.version) for one in revisions)
        return Page(revisions, cursors, found.has_next, found.has_previous, total)

    async def get(self, ctx: RequestContext, aep_id: str, version: int) -> Revision:
        """Return one version. Raises `NotFound`."""
        require(ctx, "get_segment_definition")
        async with self._database.read(ctx.tenant.id) as unit:
            row = await unit.revisions.get(ctx.sandbox.id, aep_id, version)
            if row is None:
                raise NotFound(
                    f"There is no version {version} of a segment definition {aep_id} in this sandbox.",
                    hint="List the definition's revisions.",
                )
            return (await _with_before(unit, ctx.sandbox.id, [row]))[0]

    async def by_id(self, ctx: RequestContext, row_id: UUID) -> Revision:
        """Return one version by the gateway's id. Raises `NotFound`."""
        require(ctx, "get_segment_definition")
        async with self._database.read(ctx.tenant.id) as unit:
            row = await unit.revisions.by_id(ctx.sandbox.id, row_id)
            if row is None:
                raise NotFound(f"There is no version {row_id} in this sandbox.")
            return (await _with_before(unit, ctx.sandbox.id, [row]))[0]

    async def as_of(self, ctx: RequestContext, aep_id: str, moment: datetime) -> Revision:
        """Return the version of a definition that was in force at a moment.

        Raises `NotFound` when the definition was not there, or nothing is known of it from that time.
        """
        require(ctx, "get_segment_definition")
        async with self._database.read(ctx.tenant.id) as unit:
            row = await unit.revisions.as_of(ctx.sandbox.id, aep_id, moment)
            if row is None:
                first = await unit.revisions.first(ctx.sandbox.id, aep_id)
                raise _not_found(aep_id) if first is None else _unknown_then(aep_id, first.at)
            if row.deleted:
                raise NotFound(f"The segment definition {aep_id} was deleted by {row.at.isoformat()}.")
            return (await _with_before(unit, ctx.sandbox.id, [row]))[0]

    async def blame(self, ctx: RequestContext, aep_id: str) -> tuple[Blame, ...]:
        """Return the clauses of a definition's newest rule, each with the version that brought it.

        Empty for a rule that cannot be read. Raises `NotFound`.
        """
        require(ctx, "get_segment_definition")
        async with self._database.read(ctx.tenant.id) as unit:
            rows = await unit.revisions.history(ctx.sandbox.id, aep_id, limit=MOST_BLAMED)
        if not rows:
            raise _not_found(aep_id)
        found = pql.blame([read_rule(row.document) for row in rows])
        return tuple(Blame(one.clause, rows[one.index]) for one in found)

    async def restore(self, ctx: RequestContext, aep_id: str, version: int) -> Written[SegmentDefinitionRow]:
        """Bring a version back as a new one, through the door.

        Raises `NotFound`, `InvalidRequest` when the definition is as it was in that version, and what an update
        raises.
        """
        attempt = await self._definitions.authorise(ctx, "update_segment_definition", aep_id)
        try:
            wanted = (await self.get(ctx, aep_id, version)).row.document
            current = (await self._definitions.get(ctx, aep_id=aep_id)).document
        except NotFound as missing:
            raise await self._definitions.turned_away(attempt, missing) from None
        changes = edited_members(current, wanted)
        # Under an idempotency key the change may have been made already, and is to be answered as before.
        if not changes and ctx.idempotency_key is None:
            raise InvalidRequest(
                f"The definition is as it was in version {version}; there is nothing to restore.", path=("version",)
            )
        # Everything is sent and not what differs now, so that the same restore is always the same body.
        patch = {name: wanted[name] for name in EDITABLE if wanted.get(name) is not None}
        patch |= {name: nothing for name, nothing in _NOTHING.items() if name in changes and name not in patch}
        return await self._definitions.update(ctx, aep_id, patch, restored_from=version)


def changes_of(revision: Revision) -> RevisionChanges:
    """Return what a version changed; an end changed nothing but that the definition is gone."""
    if revision.before is None or revision.row.deleted:
        return RevisionChanges(None, None, ())
    found = _difference(revision.before, revision.row)
    others = [{**row.document, "expression": None} for row in (revision.before, revision.row)]
    return RevisionChanges(
        clauses=None if found is None else found.changes,
        same_meaning=None if found is None else found.same_meaning,
        members=changes_between(*others),
    )


def _difference(before: SegmentDefinitionRevisionRow, after: SegmentDefinitionRevisionRow) -> pql.Difference | None:
    if before.rule_hash is not None and before.rule_hash == after.rule_hash:
        return pql.Difference(())
    old, new = read_rule(before.document), read_rule(after.document)
    return None if old is None or new is None else pql.difference(old, new)


def read_rule(document: dict[str, Any]) -> pql.Query | None:
    """Return the rule of a definition; ``None`` for one that cannot be read."""
    expression = document.get("expression")
    if not isinstance(expression, dict):
        return None
    try:
        return pql.parse_expression(str(expression.get("format", pql.TEXT)), str(expression.get("value", "")))
    except PQLError:
        return None


async def _with_before(
    unit: ReadUnit,
    sandbox_id: UUID,
    rows: Sequence[SegmentDefinitionRevisionRow],
) -> list[Revision]:
    """Return versions with those before them, which are looked up at once where they are not among the rows."""
    known = {(row.aep_id, row.version): row for row in rows}
    missing = [(row.aep_id, row.version - 1) for row in rows if row.version > 1]
    known |= await unit.revisions.several(sandbox_id, [one for one in missing if one not in known])
    return [Revision(row, known.get((row.aep_id, row.version - 1))) for row in rows]


def _not_found(aep_id: str) -> NotFound:
    return NotFound(f"No version of a segment definition {aep_id} is known in this sandbox.")


def _unknown_then(aep_id: str, first: datetime) -> NotFound:
    return NotFound(
        f"Nothing is known of the segment definition {aep_id} from that time.",
        hint=f"Its oldest known version is from {first.isoformat()}.",
    )
