"""What became of a change that AEP did not answer, found out by reading AEP.

What counts as proof, and nothing else does:

create  done: exactly one object of that name and rule exists, was created while the change may have been under way,
        and no other change of ours made it. Not done: a complete list has no object of the name that was created then
        and is nobody else's of ours, and none of the same rule that may be it under another name.
update  done: every member that was sent is at AEP as it was sent, and AEP's time of the last change is later than that
        of the version before. Not done: that time is still the same.
delete  done: the object is gone. Not done: it is still there.

That something has *not* come about counts only when it has been quiet for a while: until then AEP may still be busy
with it. Everything else stays undecided. AEP's clock may be off ours by up to `CLOCK_SKEW_MS`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final
from uuid import UUID

import msgspec

from app.aep.models import DEFINITION_MEMBERS, edited_members
from app.errors import UpstreamRefused
from app.store.database import Database
from app.store.rows import OpenOperationRow
from app.upstream import audiences, segment_definitions
from app.upstream.client import AEPClient
from app.upstream.connection import Target
from app.upstream.listing import Listed

Document = dict[str, Any]

CLOCK_SKEW_MS: Final = 300_000


class Finding(Enum):
    """What is known about a change."""

    DONE = "done"
    NOT_DONE = "not done"
    UNDECIDED = "undecided"
    UNDECIDABLE = "undecidable"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a change, and why we think so. ``document`` is the object as AEP has it, when it was done."""

    finding: Finding
    evidence: str
    document: Document | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A change to judge. ``settled`` tells whether it has been quiet long enough for absence to count."""

    operation: OpenOperationRow
    target: Target
    settled: bool

    @property
    def sent(self) -> Any:
        """The body that was sent."""
        return msgspec.json.decode(self.operation.sent)

    @property
    def before(self) -> Document | None:
        """The object before the change, as the cache had it."""
        before = self.operation.before
        return None if before is None else msgspec.json.decode(before)["document"]

    @property
    def earliest_ms(self) -> float:
        """The earliest time by AEP's clock at which the change can have been made."""
        return self.operation.started_at.timestamp() * 1000 - CLOCK_SKEW_MS

    @property
    def latest_ms(self) -> float:
        """The latest time by AEP's clock at which the change can have been made."""
        return self.operation.quiet_since.timestamp() * 1000 + CLOCK_SKEW_MS

    def absent(self, evidence: str) -> Verdict:
        """Return what it means that nothing came about."""
        return Verdict(Finding.NOT_DONE if self.settled else Finding.UNDECIDED, evidence)


class Judge:
    """Reads AEP to find out what became of changes."""

    def __init__(self, database: Database, client: AEPClient) -> None:
        self._database = database
        self._client = client
        self._by_call: dict[str, Callable[[Case], Awaitable[Verdict]]] = {
            "create_segment_definition": self._created_definition,
            "update_segment_definition": self._updated_definition,
            "delete_segment_definition": self._deleted_definition,
            "create_audience": self._created_audience,
            "update_audience": self._updated_audience,
            "replace_audience": self._updated_audience,
            "delete_audience": self._deleted_audience,
        }

    async def judge(self, case: Case) -> Verdict:
        """Return what became of a change. Raises `UpstreamUnavailable` or `UpstreamRefused` when AEP cannot be read."""
        judge = self._by_call.get(case.operation.call)
        if judge is None:
            return Verdict(Finding.UNDECIDABLE, "AEP shows nothing by which a change of this kind could be told.")
        return await judge(case)

    async def _created_definition(self, case: Case) -> Verdict:
        # Newest first: what is deleted meanwhile moves the rest by a place, and so only what is older can be missed.
        pages = segment_definitions.list_segment_definitions(self._client, case.target, sort="creationTime:desc")
        return await self._created(case, pages, by="creationTime")

    async def _created_audience(self, case: Case) -> Verdict:
        pages = audiences.list_audiences(self._client, case.target, sort="updateTime:desc")
        return await self._created(case, pages, by="updateTime")

    async def _created(self, case: Case, pages: AsyncIterator[Listed], *, by: str) -> Verdict:
        """Judge a create by a list that is ordered by a time, newest first; it is read as far as it can matter."""
        name, rule = case.sent.get("name"), _rule(case.sent)
        named: dict[str, Document] = {}
        renamed: set[str] = set()
        async for page in pages:
            for one in page.items:
                if one.get("name") == name:
                    named[one["id"]] = one
                elif rule is not None and _rule(one) == rule and self._is_new(case, one):
                    # Somebody may have given ours another name since.
                    renamed |= {one["id"]} if one.get("updateTime") != one.get("creationTime") else set()
            if page.items and (page.items[-1].get(by) or 0) < case.earliest_ms:
                break
        ours = await self._made_by_others(case.operation.tenant_id, [*named, *renamed])
        fresh = [one for key, one in named.items() if self._is_new(case, one) and key not in ours]
        if not fresh and renamed - ours:
            return Verdict(Finding.UNDECIDED, "A new object has the rule under another name.")
        if not fresh:
            return case.absent("AEP has no object of this name that was made since.")
        if len(fresh) > 1 or (rule is not None and _rule(fresh[0]) != rule):
            return Verdict(Finding.UNDECIDED, "AEP has an object of this name that somebody else may have made.")
        return Verdict(Finding.DONE, "AEP has the object, made since, and no other change made it.", fresh[0])

    @staticmethod
    def _is_new(case: Case, document: Document) -> bool:
        created = document.get("creationTime")
        return isinstance(created, int | float) and case.earliest_ms <= created <= case.latest_ms

    async def _made_by_others(self, tenant_id: UUID, aep_ids: list[str]) -> set[str]:
        async with self._database.read(tenant_id) as unit:
            return await unit.audit_events.created(aep_ids)

    async def _updated_definition(self, case: Case) -> Verdict:
        aep_id = case.operation.resource_id or ""
        document = await _or_none(segment_definitions.get_segment_definition(self._client, case.target, aep_id))
        return _updated(case, document)

    async def _updated_audience(self, case: Case) -> Verdict:
        aep_id = case.operation.resource_id or ""
        return _updated(case, await _or_none(audiences.get_audience(self._client, case.target, aep_id)))

    async def _deleted_definition(self, case: Case) -> Verdict:
        aep_id = case.operation.resource_id or ""
        document = await _or_none(segment_definitions.get_segment_definition(self._client, case.target, aep_id))
        return _deleted(case, document)

    async def _deleted_audience(self, case: Case) -> Verdict:
        aep_id = case.operation.resource_id or ""
        return _deleted(case, await _or_none(audiences.get_audience(self._client, case.target, aep_id)))


async def _or_none(answer: Awaitable[Document]) -> Document | None:
    try:
        return await answer
    except UpstreamRefused as refusal:
        if refusal.status == 404:
            return None
        raise


def _updated(case: Case, document: Document | None) -> Verdict:
    before = case.before
    if document is None:
        return Verdict(Finding.UNDECIDED, "The object is gone by now.")
    if before is None:
        return Verdict(Finding.UNDECIDED, "It is not known what the object was before.")
    changed = document.get("updateTime") or document.get("creationTime") or 0
    earlier = before.get("updateTime") or before.get("creationTime") or 0
    if changed == earlier and not edited_members(before, document):
        return case.absent("The object at AEP is still what it was before.")
    if changed > earlier and changed >= case.earliest_ms and _has_all(document, case.sent):
        return Verdict(Finding.DONE, "The object at AEP has all that was sent, and was changed since.", document)
    return Verdict(Finding.UNDECIDED, "The object at AEP is neither what it was nor what was sent.")


def _deleted(case: Case, document: Document | None) -> Verdict:
    if document is None:
        return Verdict(Finding.DONE, "The object is gone.")
    return case.absent("The object is still there.")


def _rule(document: Mapping[str, Any]) -> Any:
    expression = document.get("expression")
    return (expression.get("format"), expression.get("value")) if isinstance(expression, Mapping) else None


def _has_all(document: Document, sent: Any) -> bool:
    """Tell whether a document has what a patch (a JSON object or a JSON Patch) put there."""
    if isinstance(sent, Mapping):
        editable = {name: value for name, value in sent.items() if name not in _AEP_WRITES}
        return _contains(document, editable)
    return all(_came_about(document, operation) for operation in sent)


_AEP_WRITES: Final = {"id", "imsOrgId", "sandbox", "createdBy", "creationTime", "updateTime", "updateEpoch"} & {
    *DEFINITION_MEMBERS
}


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(_contains(found.get(name), one) for name, one in wanted.items())
    return bool(found == wanted)


def _came_about(document: Document, operation: Mapping[str, Any]) -> bool:
    """Tell whether one operation of a JSON Patch shows; ``move``, ``copy`` and places in arrays are not looked at."""
    at: Any = document
    for part in str(operation.get("path", "")).split("/")[1:]:
        at = at.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(at, Mapping) else None
    match operation.get("op"):
        case "add" | "replace":
            return _contains(at, operation.get("value"))
        case "remove":
            return at is None
    return False
