"""Who made or changed an object, as far as anybody knows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.context import ActorKind, RequestContext
from app.store.rows import SegmentDefinitionRevisionRow, SegmentDefinitionRow

UPSTREAM_USER = ActorKind.UPSTREAM.value
"""Kind of an author whom only AEP's own log names."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who made or last changed an object.

    ``source`` is ``gateway`` when one of our actors did it; then ``kind``, ``id`` and ``name`` tell who. It is
    ``upstream`` for a change that was first seen at AEP, which knows technical accounts; ``kind`` is ``upstream`` and
    ``name`` Adobe's name of the user where AEP's audit log had one.
    """

    source: str
    kind: str | None
    id: str | None
    name: str | None
    technical_account: str | None
    at: datetime


def author_of(ctx: RequestContext) -> dict[str, Any]:
    """Return the request's actor as the document that rows and revisions keep."""
    return {"kind": ctx.actor.kind.value, "id": str(ctx.actor.id), "name": ctx.actor.name}


def created_by(row: SegmentDefinitionRow) -> Attribution:
    """Tell who made a definition."""
    return _attribution(row.created_by, row.document.get("createdBy"), row.created_at)


def updated_by(row: SegmentDefinitionRow) -> Attribution:
    """Tell who last changed a definition; that is who made it while there was no change."""
    author = row.created_by if row.version == 1 else row.updated_by
    account = row.document.get("lastModifiedBy") or row.document.get("createdBy")
    return _attribution(author, account, row.updated_at)


def made_by(revision: SegmentDefinitionRevisionRow) -> Attribution:
    """Tell who made a version of a definition."""
    document = revision.document
    account = document.get("lastModifiedBy") or (document.get("createdBy") if revision.version == 1 else None)
    return _attribution(revision.author, account, revision.at)


def _attribution(author: dict[str, Any] | None, account: Any, at: datetime) -> Attribution:
    technical_account = account if isinstance(account, str) else None
    if author is None:
        return Attribution("upstream", None, None, None, technical_account, at)
    source = "upstream" if author["kind"] == UPSTREAM_USER else "gateway"
    return Attribution(source, author["kind"], author.get("id"), author["name"], technical_account, at)
