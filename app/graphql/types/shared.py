"""Types that several resources use: `Node`, page info, diagnostics and user errors."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import TypeVar

import strawberry
from strawberry.scalars import JSON

from app.audit.differences import MemberChange as MemberChangeValue
from app.errors import InvalidRequest, PQLError, PublicError
from app.services.freshness import Freshness
from app.services.paging import Page
from app.services.rules import RuleDiagnostic
from app.services.versions import VersionConflict as VersionConflictError
from app.services.versions import VersionDifference

Item = TypeVar("Item")


@strawberry.interface(description="Anything that can be fetched again by its global id.")
class Node:
    """An object with a global id."""

    id: strawberry.ID = strawberry.field(description="Opaque id, unique over all types.")


@strawberry.type(description="Where a page of a connection stands in its list.")
class PageInfo:
    """Relay's page info."""

    has_next_page: bool = strawberry.field(description="Whether there are items after this page.")
    has_previous_page: bool = strawberry.field(description="Whether there are items before this page.")
    start_cursor: str | None = strawberry.field(description="Cursor of the first item of the page.")
    end_cursor: str | None = strawberry.field(description="Cursor of the last item of the page.")


def page_info(page: Page[Item]) -> PageInfo:
    """Return the page info of a page."""
    return PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=page.cursors[0] if page.cursors else None,
        end_cursor=page.cursors[-1] if page.cursors else None,
    )


@strawberry.enum(description="Direction of an order.")
class OrderDirection(Enum):
    """Ascending or descending."""

    ASC = "asc"
    DESC = "desc"


@strawberry.enum(description="How serious a remark about a rule is.")
class DiagnosticSeverity(Enum):
    """An error keeps a rule from being saved."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@strawberry.enum(description="How a rule is written.")
class ExpressionFormat(Enum):
    """The formats of a rule, by AEP's names."""

    PQL_TEXT = "pql/text"
    PQL_JSON = "pql/json"


@strawberry.type(description="A piece of a rule's text. Lines and columns count from 1, offsets from 0.")
class Span:
    """A place in a text."""

    start: int = strawberry.field(description="Offset of the first character.")
    end: int = strawberry.field(description="Offset after the last character.")
    line: int = strawberry.field(description="Line of the first character.")
    column: int = strawberry.field(description="Column of the first character.")


@strawberry.type(description="A remark about a rule.")
class Diagnostic:
    """What is wrong or doubtful in a rule."""

    severity: DiagnosticSeverity = strawberry.field(description="How serious it is.")
    code: str = strawberry.field(description="Stable code in kebab case, such as unknown-field.")
    message: str = strawberry.field(description="What is wrong.")
    hint: str | None = strawberry.field(description="What to do about it.")
    span: Span = strawberry.field(description="Where; for a rule in pql/json, in its canonical text.")
    place: str | None = strawberry.field(description="Where in the tree of a rule in pql/json: $.params[1].object.")


def to_diagnostic(found: RuleDiagnostic) -> Diagnostic:
    """Return a remark of the rule service as the schema's."""
    return Diagnostic(
        severity=DiagnosticSeverity(found.severity),
        code=found.code,
        message=found.message,
        hint=found.hint,
        span=_span(found),
        place=found.place,
    )


def _span(found: RuleDiagnostic) -> Span:
    return Span(start=found.start, end=found.end, line=found.line, column=found.column)


@strawberry.type(description="One difference between two versions of an object.")
class MemberChange:
    """A member, or a clause of the rule, that changed."""

    member: str = strawberry.field(description="The member of AEP's document, such as expression.")
    kind: str = strawberry.field(description="added, removed or changed.")
    before: JSON | None = strawberry.field(description="What was there; of a rule, the text of one clause.")
    after: JSON | None = strawberry.field(description="What is there now.")


@strawberry.type(description="Both versions of an object that was changed in the meantime.")
class VersionConflict:
    """What the caller has seen, and what AEP has."""

    expected_version: int | None = strawberry.field(description="The version that was expected.")
    expected: JSON | None = strawberry.field(description="Its document; null when the gateway has no such version.")
    current_version: int | None = strawberry.field(description="The version to expect next time.")
    current: JSON = strawberry.field(description="The document that AEP has now.")
    changes: list[MemberChange] = strawberry.field(description="What changed from the one to the other.")


def to_member_change(found: MemberChangeValue) -> MemberChange:
    """Return a difference as the schema's type."""
    return MemberChange(member=found.member, kind=found.kind, before=_json(found.before), after=_json(found.after))


def _to_conflict(found: VersionDifference) -> VersionConflict:
    return VersionConflict(
        expected_version=found.expected_version,
        expected=_json(found.expected),
        current_version=found.current_version,
        current=JSON(found.current),
        changes=[to_member_change(one) for one in found.changes],
    )


def _json(value: object) -> JSON | None:
    return None if value is None else JSON(value)


@strawberry.type(description="Why a mutation was not carried out, in words for the person who asked for it.")
class UserError:
    """An error that the caller can mend."""

    path: list[str] = strawberry.field(description="The input member at fault, outermost first.")
    code: str = strawberry.field(description="Stable code, such as FORBIDDEN, INVALID_PQL or NAME_TAKEN.")
    message: str = strawberry.field(description="What is wrong.")
    hint: str | None = strawberry.field(description="What to do next.")
    span: Span | None = strawberry.field(description="Where in the rule, for an INVALID_PQL.")
    conflict: VersionConflict | None = strawberry.field(
        default=None, description="Both versions, for a VERSION_CONFLICT."
    )


def user_errors(problem: PublicError) -> list[UserError]:
    """Return an error as what a payload shows; a rule has one entry for each thing that is wrong with it."""
    if isinstance(problem, PQLError):
        return [
            UserError(
                path=["input", "expression"], code=problem.code, message=one.message, hint=one.hint, span=_span(one)
            )
            for one in problem.diagnostics
            if one.severity == DiagnosticSeverity.ERROR.value
        ]
    path, conflict = ["input", *getattr(problem, "path", ())], None
    if isinstance(problem, VersionConflictError):
        path, conflict = ["input", "expectedVersion"], _to_conflict(problem.difference)
    error = UserError(
        path=path, code=problem.code, message=problem.detail, hint=problem.hint, span=None, conflict=conflict
    )
    return [error]


@strawberry.type(description="How old cached answers are.")
class CacheState:
    """The freshness of a list."""

    synced_at: str | None = strawberry.field(description="Start of the last complete read from AEP, in ISO 8601.")
    stale: bool = strawberry.field(description="Whether the cache may be behind AEP.")
    reason: str | None = strawberry.field(description="Why, when it may.")


def to_cache_state(found: Freshness) -> CacheState:
    """Return a freshness as the schema's type."""
    synced_at = found.synced_at.isoformat() if found.synced_at else None
    return CacheState(synced_at=synced_at, stale=found.stale, reason=found.reason)


def to_instant(moment: datetime, *path: str) -> datetime:
    """Return a moment that is one everywhere; ``path`` leads to the argument that it is the value of.

    Raises `InvalidRequest` without an offset or outside of the years 1 to 9999.
    """
    hint = "Write an instant such as 2026-01-31T08:00:00Z."
    if moment.tzinfo is None:
        raise InvalidRequest(f"{path[-1]} has no offset from UTC.", hint=hint, path=path)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest(f"{path[-1]} is out of range.", hint=hint, path=path) from None
