"""The admin path of scenarios: what an emulator holds, as a scenario that another one can begin with.

    GET /emulator/scenario                                  the scenario, without secrets and without records
    GET /emulator/scenario/profiles/{organization}/{name}   a sandbox's profiles with their events, as JSON lines

A sample that was generated stands in the scenario as its size and seed. Records that were loaded or came in later are
in the second call only, whose header ``x-total-profiles`` tells how many lines will come; a scenario that uses its
answer as a file of ``profiles`` begins with no sample. Jobs, schedules and memberships are not exported: a segment job
brings memberships back. No part of AEP: it takes no token.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.aep import paging
from app.emulator.answers import json_answer
from app.emulator.documents import PLATFORM_TYPE, audience_view, definition_view
from app.emulator.fault_control import told
from app.emulator.organizations import Credential
from app.emulator.state import AudienceQuery
from app.emulator.workplaces import Workplace, Workplaces
from app.errors import NotFound

PATH: Final = "/emulator/scenario"
TOTAL: Final = "x-total-profiles"
_OLDEST_FIRST: Final = (paging.SortKey("creationTime", descending=False),)
_OF_THE_PLACE: Final = frozenset({"imsOrgId", "sandbox", "_etag", "mergePolicyId", "lastModifiedBy", "isSystem"})
_CHUNK: Final = 1_000

Document = dict[str, Any]


class ScenarioControl:
    """The two calls."""

    def __init__(self, workplaces: Workplaces) -> None:
        self._workplaces = workplaces

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            Route(PATH, told(self._export), methods=["GET"]),
            Route(PATH + "/profiles/{organization}/{name}", told(self._profiles), methods=["GET"]),
        ]

    async def _export(self, _request: Request) -> Response:
        organizations: dict[str, Document] = {}
        for place in self._workplaces.all():
            known = organizations.setdefault(place.organization.slug, _organization(place))
            known["sandboxes"].append(await _sandbox(place))
        return json_answer({"organizations": list(organizations.values())})

    async def _profiles(self, request: Request) -> Response:
        wanted = (request.path_params["organization"], request.path_params["name"])
        for place in self._workplaces.all():
            if wanted == (place.organization.slug, place.sandbox.name):
                total = {TOTAL: str(place.population.total_profiles)}
                return StreamingResponse(_json_lines(place), headers=total, media_type="application/x-ndjson")
        raise NotFound(f"There is no sandbox {wanted[0]}/{wanted[1]}")


def _organization(place: Workplace) -> Document:
    organization = place.organization
    return {
        "slug": organization.slug,
        "orgId": organization.org_id,
        "namespace": organization.namespace,
        "region": organization.region,
        "credentials": [_credential(one) for one in organization.credentials],
        "sandboxes": [],
    }


def _credential(credential: Credential) -> Document:
    document: Document = {"clientId": credential.client_id, "scopes": list(credential.scopes)}
    if credential.permissions is not None:
        document["permissions"] = [str(one) for one in credential.permissions]
    if credential.labels is not None:
        document["labels"] = list(credential.labels)
    return document


async def _sandbox(place: Workplace) -> Document:
    sandbox, population = place.sandbox, place.population
    found, _ = await place.store.audiences(AudienceQuery(_OLDEST_FIRST, 0, 1_000_000))
    platform = [one for one in found if one["type"] == PLATFORM_TYPE]
    return {
        "name": sandbox.name,
        "title": sandbox.title,
        "type": sandbox.type,
        "default": sandbox.default,
        "id": sandbox.id,
        "sample": {"profiles": population.sample_profiles, "seed": population.sample_seed},
        "definitions": [
            {**_portable(definition_view(one)), "lifecycleState": one["lifecycleState"]}
            for one in _users_last(platform)
        ],
        "audiences": [_portable(audience_view(one)) for one in found if one["type"] != PLATFORM_TYPE],
    }


def _portable(document: Document) -> Document:
    """Return an object without what belongs to its place."""
    return {name: value for name, value in document.items() if name not in _OF_THE_PLACE}


def _users_last(documents: list[Document]) -> list[Document]:
    """Return audiences so that each comes after those that it uses."""
    by_id = {one["id"]: one for one in documents}
    ordered: dict[str, Document] = {}

    def add(document: Document) -> None:
        for used in document["dependencies"]:
            if used in by_id and used not in ordered:
                add(by_id[used])
        ordered[document["id"]] = document

    for document in documents:
        if document["id"] not in ordered:
            add(document)
    return list(ordered.values())


async def _json_lines(place: Workplace) -> AsyncIterator[bytes]:
    total = place.population.total_profiles
    for begin in range(0, total, _CHUNK):
        found = await place.population.documents(range(begin, min(begin + _CHUNK, total)))
        yield b"".join(msgspec.json.encode(found[number]) + b"\n" for number in sorted(found))
