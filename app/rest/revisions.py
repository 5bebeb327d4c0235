"""``/v1/segment-definitions``: a definition with its author, now or at a time; its versions; blame; restoring."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app import pql
from app.context import RequestContext
from app.errors import InvalidRequest
from app.rest.plumbing import Routes, headers_of, json_answer, read_instant, read_number, read_object, with_freshness
from app.services.attribution import UPSTREAM_USER, Attribution, created_by, updated_by
from app.services.paging import PageArgs
from app.services.revisions import Blame, Revision, RevisionService, changes_of
from app.services.segment_definitions import SegmentDefinitionService
from app.store.rows import SegmentDefinitionRow

_PATH = "/v1/segment-definitions/{id}"


def add_revisions(routes: Routes, definitions: SegmentDefinitionService, revisions: RevisionService) -> None:
    """Add the five calls; ``id`` is AEP's."""

    async def get(request: Request, ctx: RequestContext) -> Response:
        aep_id = str(request.path_params["id"])
        moment = read_instant(request.query_params.get("asOf"), "asOf")
        if moment is not None:
            return json_answer(_revision(await revisions.as_of(ctx, aep_id, moment)))
        body = _definition(await definitions.get(ctx, aep_id=aep_id))
        found = await definitions.freshness(ctx)
        return with_freshness(json_answer(body | {"stale": found.stale}), found)

    async def list_all(request: Request, ctx: RequestContext) -> Response:
        query = request.query_params
        page = PageArgs(first=read_number(query.get("first"), "first"), after=query.get("after"))
        found = await revisions.page(ctx, str(request.path_params["id"]), page)
        following = found.cursors[-1] if found.has_next and found.cursors else None
        return json_answer({"revisions": [_revision(one) for one in found.items], "next": following})

    async def get_one(request: Request, ctx: RequestContext) -> Response:
        version = read_number(str(request.path_params["version"]), "version") or 0
        return json_answer(_revision(await revisions.get(ctx, str(request.path_params["id"]), version)))

    async def blame(request: Request, ctx: RequestContext) -> Response:
        found = await revisions.blame(ctx, str(request.path_params["id"]))
        return json_answer({"clauses": [_blamed(one) for one in found]})

    async def restore(request: Request, ctx: RequestContext) -> Response:
        version = (await read_object(request)).get("version")
        if not isinstance(version, int) or isinstance(version, bool) or not 0 < version < 2**31:
            raise InvalidRequest("version must be the number of a version.", path=("version",))
        written = await revisions.restore(ctx, str(request.path_params["id"]), version)
        body = _definition(written.value) | {"auditEvent": str(written.audit_event.id)}
        return json_answer(body, headers=headers_of(written))

    routes.add("GET", _PATH, get)
    routes.add("GET", _PATH + "/revisions", list_all)
    routes.add("GET", _PATH + "/revisions/{version}", get_one)
    routes.add("GET", _PATH + "/blame", blame)
    routes.add("POST", _PATH + "/restore", restore)


def _definition(row: SegmentDefinitionRow) -> dict[str, Any]:
    return {
        "id": row.aep_id,
        "version": row.version,
        "createdBy": _attribution(created_by(row)),
        "updatedBy": _attribution(updated_by(row)),
        "syncedAt": row.synced_at.isoformat(),
        "document": row.document,
    }


def _revision(found: Revision) -> dict[str, Any]:
    row, changes = found.row, changes_of(found)
    return {
        "id": row.aep_id,
        "version": row.version,
        "at": row.at.isoformat(),
        "seenAt": row.seen_at.isoformat(),
        "source": row.source,
        "author": _attribution(found.author),
        "deleted": row.deleted,
        "restoredFrom": row.restored_from,
        "ruleHash": row.rule_hash,
        "changes": {
            "sameMeaning": changes.same_meaning,
            "clauses": None if changes.clauses is None else [_clause(one) for one in changes.clauses],
            "members": [
                {"member": one.member, "kind": one.kind, "before": one.before, "after": one.after}
                for one in changes.members
            ],
        },
        "document": row.document,
    }


def _clause(change: pql.Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "before": change.before.text if change.before else None,
        "after": change.after.text if change.after else None,
        "among": change.among,
    }


def _blamed(found: Blame) -> dict[str, Any]:
    start, end = found.clause.span
    return {
        "text": found.clause.text,
        "span": {"start": start, "end": end},
        "version": found.revision.version,
        "at": found.revision.at.isoformat(),
        "source": found.revision.source,
        "author": _attribution(found.author),
    }


def _attribution(found: Attribution) -> dict[str, Any]:
    return {
        "source": found.source,
        "person": found.name if found.kind == "person" else None,
        "integration": found.name if found.kind == "integration" else None,
        "upstreamUser": found.name if found.kind == UPSTREAM_USER else None,
        "technicalAccount": found.technical_account,
        "at": found.at.isoformat(),
    }
