"""The calls under ``/config/mergePolicies``: how the fragments of a profile become one.

Attributes are merged when a record arrives: the one that came last wins, as with ``timestampOrdered``, and there is no
way back to the single fragments. So every policy gives the same profiles, and ``dataSetPrecedence`` is only kept. What
counts is that a ``mergePolicyId`` means something, that each class of entities has a default of its own, and that
streaming and edge need a policy that is active on edge. Each sandbox begins with one policy for profiles, which is the
default until another one is made the default, and which cannot be deleted. The first policy for accounts is theirs.
Source: Adobe's merge-policy reference (read December 2025).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field, model_validator
from starlette.responses import Response
from starlette.routing import Route

from app.aep import errors as aep_errors
from app.aep import models, paging, paths
from app.aep.models import AEPModel, Name
from app.emulator import deeds
from app.emulator.answers import Refusal, json_answer
from app.emulator.bulk import bulk_answer
from app.emulator.gate import Call, Gate, place_members
from app.emulator.guardrails import GuardrailControl
from app.emulator.json_patch import read_patch
from app.emulator.organizations import EmulatedSandbox, Organization
from app.emulator.state import AudienceQuery, Store, WorkQuery
from app.errors import InvalidRequest, NotFound

KIND: Final = "merge_policy"
_FIRST_EPOCH: Final = 1_764_547_200
_OLDEST_FIRST: Final = (paging.SortKey("creationTime", descending=False),)
_ORDERS: Final = ("updateEpoch", "name", "default")
_PATCHABLE: Final = frozenset(
    {"name", "identityGraph.type", "attributeMerge.type", "attributeMerge.order", "schema.name", "version"}
    | {"default", "isActiveOnEdge"}
)

Document = dict[str, Any]


class IdentityGraph(AEPModel):
    """Which identities belong to one profile: its own, or those of the private graph."""

    type: Literal["none", "pdg"]


class AttributeMerge(AEPModel):
    """Which fragment wins: the newest, or the one of the data set that stands first in ``order``."""

    type: Literal["timestampOrdered", "dataSetPrecedence"]
    order: list[str] | None = None

    @model_validator(mode="after")
    def _has_order(self) -> AttributeMerge:
        if self.type == "dataSetPrecedence" and not self.order:
            raise ValueError("must have an order of data sets")
        return self


class ProfileClass(AEPModel):
    """The class of the merged entities: people, or the accounts of account audiences."""

    name: Literal["_xdm.context.profile", "_xdm.context.account"]


class MergePolicyBody(AEPModel):
    """Body of a creation or replacement."""

    schema_: ProfileClass = Field(alias="schema")
    identity_graph: IdentityGraph
    attribute_merge: AttributeMerge
    name: Name = "Merge policy"
    default: bool = False
    is_active_on_edge: bool = False


def first_merge_policy_id(sandbox_id: str) -> str:
    """Return the id of the policy that a sandbox begins with; it follows from the sandbox's own id."""
    return str(uuid.uuid5(uuid.UUID(sandbox_id), "default merge policy"))


async def merge_policies(store: Store, organization: Organization, sandbox: EmulatedSandbox) -> list[Document]:
    """Return the policies of a sandbox as the service shows them, oldest first. Each class has one default."""
    stored = await _stored(store, organization, sandbox)
    defaults: dict[str, Document] = {}
    for one in stored:
        best = defaults.setdefault(one["schema"]["name"], one)
        if one["_rank"] > best["_rank"]:
            defaults[one["schema"]["name"]] = one
    return [_view(one) | {"default": one is defaults[one["schema"]["name"]]} for one in stored]


async def _stored(store: Store, organization: Organization, sandbox: EmulatedSandbox) -> list[Document]:
    """Return the policies with their ranks: the default is the one of the highest, that became it last."""
    stored, _ = await store.works(KIND, WorkQuery(_OLDEST_FIRST, 0, 1_000))
    first = first_merge_policy_id(sandbox.id)
    if not any(one["id"] == first for one in stored):
        stored.insert(0, _first(first, place_members(organization, sandbox)))
    return stored


async def merge_policy(call: Call, wanted: str | None) -> Document:
    """Return the policy for profiles with an id, or the default one. Raises Refusal."""
    known = [
        one
        for one in await merge_policies(call.store, call.organization, call.sandbox)
        if one["schema"]["name"] == models.PROFILE_CLASS
    ]
    found = next((one for one in known if (one["id"] == wanted if wanted else one["default"])), None)
    if found is None:
        ids = ", ".join(one["id"] for one in known)
        raise Refusal(400, f"The merge policy {wanted} is not found. The sandbox has: {ids}.")
    return found


class MergePolicies:
    """The calls of this resource."""

    def __init__(self, gate: Gate, guardrails: GuardrailControl) -> None:
        self._gate = gate
        self._guardrails = guardrails

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        guard, one = self._gate.guard, f"{paths.MERGE_POLICIES}/{{id}}"
        bulk_get = guard(self._bulk_get, any_body_type=True, deed=deeds.MERGE_POLICY_READ)
        return [
            Route(paths.MERGE_POLICIES, guard(self._list, deed=deeds.MERGE_POLICY_READ), methods=["GET"]),
            Route(paths.MERGE_POLICIES, guard(self._create, deed=deeds.MERGE_POLICY_CREATE), methods=["POST"]),
            Route(paths.MERGE_POLICIES_BULK_GET, bulk_get, methods=["POST"]),
            Route(one, guard(self._get, deed=deeds.MERGE_POLICY_READ), methods=["GET"]),
            Route(one, guard(self._put, deed=deeds.MERGE_POLICY_UPDATE), methods=["PUT"]),
            Route(one, guard(self._patch, deed=deeds.MERGE_POLICY_UPDATE), methods=["PATCH"]),
            Route(one, guard(self._delete, deed=deeds.MERGE_POLICY_DELETE), methods=["DELETE"]),
        ]

    async def _list(self, call: Call) -> Response:
        query = call.request.query_params
        request = paging.parse_p2({**query, "sort": "updateEpoch:desc"}, sortable={"updateEpoch"})
        schema = query.get("schema.name", models.PROFILE_CLASS)
        default = paging.boolean(query, "default")
        shown = [
            policy
            for policy in await _all(call)
            if policy["schema"]["name"] == schema and default in {None, policy["default"]}
        ]
        _sort(shown, query.get("orderby"))
        page = shown[request.offset : request.offset + request.limit]
        following = {"next": str(request.index + 1)} if request.offset + len(page) < len(shown) and page else {}
        # One public client indexes `_links.next` without asking; the count is called `count` here.
        return json_answer({"_page": {"count": len(page), **following}, "children": page, "_links": {"next": {}}})

    async def _get(self, call: Call) -> Response:
        return json_answer(await _find(call))

    async def _bulk_get(self, call: Call) -> Response:
        async def find(ids: list[str]) -> dict[str, Any]:
            return {one["id"]: one for one in await _all(call) if one["id"] in ids}

        return await bulk_answer(call, find)

    async def _create(self, call: Call) -> Response:
        given = models.read_model(MergePolicyBody, await call.json())
        limit, known = self._guardrails.current.merge_policies, await _all(call)
        if len(known) >= limit:
            raise Refusal(400, f"The sandbox has {len(known)} merge policies, and its limit is {limit}. Delete one.")
        document = {
            "id": str(uuid.uuid4()),
            **call.place,
            **_members(given),
            "version": 1,
            "updateEpoch": call.now_ms // 1000,
            "_rank": await _next_rank(call) if given.default else -1,
        }
        await call.store.add_work(KIND, document["id"], "kept", document, now_ms=call.now_ms)
        call.touches(document["id"], given.name)
        return json_answer(await _find(call, document["id"]))

    async def _put(self, call: Call) -> Response:
        given = models.read_model(MergePolicyBody, await call.json())
        return await self._change(call, given)

    async def _patch(self, call: Call) -> Response:
        changes = read_patch(await call.json(), members=_PATCHABLE, removable=())
        stored = await _find(call)
        body = {name: stored[name] for name in ("schema", "identityGraph", "attributeMerge", "name", "default")}
        body["isActiveOnEdge"] = stored["isActiveOnEdge"]
        for path, value in changes.items():
            outer, _, inner = path.partition(".")
            body[outer] = {**body[outer], inner: value} if inner else value
        body.pop("version", None)
        return await self._change(call, models.read_model(MergePolicyBody, body))

    async def _change(self, call: Call, given: MergePolicyBody) -> Response:
        stored = await _find(call)
        call.touches(stored["id"], given.name)
        if given.schema_.name != stored["schema"]["name"]:
            raise Refusal(400, "The class of a merge policy cannot be changed. Make another policy for that class.")
        if stored["default"] and not given.default:
            raise Refusal(400, "The default merge policy stays the default until another one is made the default.")
        changed = {
            **_members(given),
            "version": stored["version"] + 1,
            "updateEpoch": call.now_ms // 1000,
        }
        if given.default and not stored["default"]:
            changed["_rank"] = await _next_rank(call)
        if stored["id"] == first_merge_policy_id(call.sandbox.id):
            await _keep_first(call)
        await call.store.change_work(
            KIND, stored["id"], lambda latest: {**latest, **changed}, state_member="state", now_ms=call.now_ms
        )
        return json_answer(await _find(call))

    async def _delete(self, call: Call) -> Response:
        stored = await _find(call)
        identifier = stored["id"]
        call.touches(identifier, stored["name"])
        others = [one for one in await _all(call) if one["schema"] == stored["schema"] and one["id"] != identifier]
        is_needed = stored["default"] and bool(others)
        if is_needed or identifier == first_merge_policy_id(call.sandbox.id):
            raise Refusal(400, "The default merge policy, and the one that a sandbox begins with, cannot be deleted.")
        used = AudienceQuery(_OLDEST_FIRST, 0, 1, keep=lambda one: one.get("mergePolicyId") == identifier)
        if (await call.store.audiences(used))[1]:
            raise Refusal(400, f"The merge policy {identifier} is used by audiences. Change or delete those first.")
        if not await call.store.delete_work(KIND, identifier):
            raise NotFound(f"There is no merge policy {identifier}")
        return json_answer(aep_errors.message_body(f"Merge policy with id '{identifier}' has been deleted"))


def _first(identifier: str, place: Mapping[str, Any]) -> Document:
    return {
        "id": identifier,
        "name": "Default timebased",
        **place,
        "schema": {"name": models.PROFILE_CLASS},
        "version": 1,
        "identityGraph": {"type": "pdg"},
        "attributeMerge": {"type": "timestampOrdered"},
        "isActiveOnEdge": True,
        "updateEpoch": _FIRST_EPOCH,
        "state": "kept",
        "_rank": 0,
    }


async def _next_rank(call: Call) -> int:
    ranks: list[int] = [one["_rank"] for one in await _stored(call.store, call.organization, call.sandbox)]
    return 1 + max(ranks)


async def _keep_first(call: Call) -> None:
    """Store the policy that a sandbox begins with, before it is changed for the first time."""
    identifier = first_merge_policy_id(call.sandbox.id)
    if await call.store.work(KIND, identifier) is None:
        await call.store.add_work(KIND, identifier, "kept", _first(identifier, call.place), now_ms=0)


def _members(given: MergePolicyBody) -> Document:
    body = given.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {
        **{name: body[name] for name in ("name", "schema", "identityGraph", "attributeMerge", "isActiveOnEdge")},
        "state": "kept",
    }


async def _all(call: Call) -> list[Document]:
    return await merge_policies(call.store, call.organization, call.sandbox)


async def _find(call: Call, identifier: str | None = None) -> Document:
    wanted = identifier or call.path("id")
    found = next((policy for policy in await _all(call) if policy["id"] == wanted), None)
    if found is None:
        raise Refusal(404, f"The merge policy {wanted} is not found.")
    return found


def _sort(policies: list[Document], order: str | None) -> None:
    for one in reversed((order or "").split(",")):
        name = one.strip().lstrip("+-")
        if name and name not in _ORDERS:
            raise InvalidRequest(f"orderby cannot be {order!r}", hint=f"Use {', '.join(_ORDERS)}.", path=("orderby",))
        if name:
            policies.sort(key=lambda policy: policy[name], reverse=one.strip().startswith("-"))


def _view(document: Mapping[str, Any]) -> Document:
    return {name: value for name, value in document.items() if name != "state" and not name.startswith("_")}
