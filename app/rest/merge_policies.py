"""``/data/core/ups/config/mergePolicies``, passed through to AEP."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.aep import paths
from app.context import RequestContext
from app.rest.plumbing import Routes, query_of, read_json, relay_answer, written_answer
from app.services.merge_policies import MergePolicyService


def add_merge_policies(routes: Routes, policies: MergePolicyService) -> None:
    """Add the calls of merge policies."""

    async def list_all(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await policies.list(ctx, query_of(request)))

    async def get(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await policies.get(ctx, request.path_params["id"]))

    async def bulk_get(request: Request, ctx: RequestContext) -> Response:
        return relay_answer(await policies.bulk_get(ctx, await read_json(request, any_type=True)))

    async def create(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await policies.create(ctx, await read_json(request)))

    async def update(request: Request, ctx: RequestContext) -> Response:
        policy_id, operations = request.path_params["id"], await read_json(request)
        return written_answer(await policies.update(ctx, policy_id, operations))

    async def replace(request: Request, ctx: RequestContext) -> Response:
        policy_id, body = request.path_params["id"], await read_json(request)
        return written_answer(await policies.replace(ctx, policy_id, body))

    async def delete(request: Request, ctx: RequestContext) -> Response:
        return written_answer(await policies.delete(ctx, request.path_params["id"]))

    one = paths.MERGE_POLICIES + "/{id}"
    routes.add("POST", paths.MERGE_POLICIES_BULK_GET, bulk_get)
    routes.add("GET", paths.MERGE_POLICIES, list_all)
    routes.add("POST", paths.MERGE_POLICIES, create)
    routes.add("GET", one, get)
    routes.add("PATCH", one, update)
    routes.add("PUT", one, replace)
    routes.add("DELETE", one, delete)
