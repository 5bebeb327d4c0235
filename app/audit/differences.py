"""What people changed between two versions of a definition, for conflicts, revisions and what was seen upstream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app import pql
from app.aep.models import edited_members
from app.errors import PQLError

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MemberChange:
    """One difference between two versions.

    For the rule, ``before`` and ``after`` are the texts of one clause; for other members they are the whole value as
    JSON.
    """

    member: str
    kind: Literal["added", "removed", "changed"]
    before: Any
    after: Any


def changes_between(before: Document, after: Document) -> tuple[MemberChange, ...]:
    """Return what people changed between two versions: the rule clause by clause, other members as a whole."""
    found: list[MemberChange] = []
    for member in edited_members(before, after):
        clauses = _clauses(before.get(member), after.get(member)) if member == "expression" else None
        found += clauses or [_whole(member, before.get(member), after.get(member))]
    return tuple(found)


def _whole(member: str, before: Any, after: Any) -> MemberChange:
    kind: Literal["added", "removed", "changed"] = (
        "added" if before is None else "removed" if after is None else "changed"
    )
    return MemberChange(member, kind, before, after)


def _clauses(before: Any, after: Any) -> list[MemberChange] | None:
    """Return the clauses that changed; ``None`` when a rule cannot be read or only its spelling changed."""
    try:
        queries = [pql.parse_expression(str(one["format"]), str(one["value"])) for one in (before, after)]
        changes = pql.difference(*queries).changes
    except (PQLError, KeyError, TypeError):
        return None
    return [
        MemberChange("expression", one.kind, one.before and one.before.text, one.after and one.after.text)
        for one in changes
    ]
