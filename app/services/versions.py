"""Lost updates: whoever changes an object may say which version he has seen, and is refused when there is a newer one.

A version is named by its entity tag on REST (``ETag``, ``If-Match``) and by its number in GraphQL
(``expectedVersion``). AEP has no preconditions, so the gateway reads the object afresh right before it sends the
change, under a lease of the object that keeps every other writer of the gateway out. What is changed in Adobe's own
pages between that read and the change, milliseconds later, cannot be seen by anybody.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

from app.aep.models import edited_members
from app.audit.chain import keepable
from app.audit.differences import MemberChange, changes_between
from app.context import RequestContext
from app.errors import InvalidRequest, PublicError

Document = Mapping[str, Any]

_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e]*)"\s*')


@dataclass(frozen=True, slots=True)
class Seen:
    """An object right before its change.

    ``known`` is what the cache had, which is what callers have seen; ``current`` is what AEP has. Versions count from 1
    and are ``None`` where the gateway counts none. ``find`` looks for an older version by number or entity tag.
    """

    known: Document | None
    known_version: int | None
    current: Document
    current_version: int | None
    find: Callable[[Callable[[Document, int], bool]], Awaitable[tuple[Document, int] | None]] | None = None


@dataclass(frozen=True, slots=True)
class Versioned:
    """The object of a change: ``object_id`` is what is leased, ``read`` asks AEP for it now."""

    object_id: str
    read: Callable[[], Awaitable[Seen]]


@dataclass(frozen=True, slots=True)
class VersionDifference:
    """Both versions of a conflict. ``expected`` is ``None`` when the gateway has no such version."""

    expected_version: int | None
    expected: Document | None
    current_version: int | None
    current: Document
    current_etag: str
    changes: tuple[MemberChange, ...]


class VersionConflict(PublicError):
    """The object has changed since the caller saw it; ``difference`` shows how."""

    code = "VERSION_CONFLICT"
    title = "Changed in the meantime"

    def __init__(self, detail: str, difference: VersionDifference, *, hint: str | None = None) -> None:
        super().__init__(detail, hint=hint)
        self.difference = difference


def etag_of(document: Document) -> str:
    """Return the strong entity tag of a document: it changes with every member, in quotes as the header wants it."""
    return f'"{hashlib.sha256(rfc8785.dumps(keepable(document))).hexdigest()[:32]}"'


def is_conditional(ctx: RequestContext) -> bool:
    """Tell whether the caller said which version he means."""
    return ctx.if_match is not None or ctx.expected_version is not None


async def require_version(ctx: RequestContext, seen: Seen) -> None:
    """Raise `VersionConflict` unless the object is as the caller expects it, `InvalidRequest` for a bad ``If-Match``.

    A difference in members that nobody writes, such as the time of the last change, is no conflict.
    """
    expected = _expectation(ctx)
    if expected is None:
        return
    if expected(seen.current, seen.current_version or 0):
        return
    untouched = seen.known is not None and not edited_members(seen.known, seen.current)
    if untouched and seen.known is not None and expected(seen.known, seen.known_version or 0):
        return
    found = await seen.find(expected) if seen.find is not None else None
    if found is None and seen.known is not None and expected(seen.known, seen.known_version or 0):
        found = (seen.known, seen.known_version or 0)
    base, version = found if found is not None else (None, ctx.expected_version)
    difference = VersionDifference(
        expected_version=version or None,
        expected=base,
        current_version=seen.current_version,
        current=seen.current,
        current_etag=etag_of(seen.current),
        changes=() if base is None else changes_between(base, seen.current),
    )
    raise VersionConflict(
        "The object was changed since you read it, so nothing was written.",
        difference,
        hint="Look at the changes, put yours on top of them, and send it with the current version.",
    )


def _expectation(ctx: RequestContext) -> Callable[[Document, int], bool] | None:
    if ctx.expected_version is not None:
        wanted = ctx.expected_version
        return lambda _document, version: version == wanted
    if ctx.if_match is None:
        return None
    tags = _tags(ctx.if_match)
    return lambda document, _version: tags is None or etag_of(document) in tags


def _tags(header: str) -> set[str] | None:
    """Return the strong tags of an ``If-Match``; ``None`` for ``*``. Weak ones never match (RFC 9110, 13.1.1)."""
    if header.strip() == "*":
        return None
    tags, position = set(), 0
    while found := _TAG.match(header, position):
        if found[1] is None:
            tags.add(f'"{found[2]}"')
        position = found.end()
        if position == len(header):
            return tags
        if header[position] != ",":
            break
        position += 1
    raise InvalidRequest(
        "If-Match is not a list of entity tags.", hint="Send the ETag of a read as it came, in quotes."
    )
