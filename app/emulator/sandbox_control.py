"""The admin path of sandboxes: making a fresh one in a moment, and taking it away with everything in it.

    POST   /emulator/sandboxes                      {"organization": "luma", "name": "test-1", "like": "prod"}
    DELETE /emulator/sandboxes/{organization}/{name}

A new sandbox has the same sample as the one that it is ``like`` and nothing else, so a test can have one to itself.
AEP makes sandboxes by another call, which takes minutes. No part of AEP: it takes no token.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.emulator import organizations as organizations_file
from app.emulator.answers import empty_answer, json_answer, read_json
from app.emulator.background import Background
from app.emulator.fault_control import told
from app.emulator.organizations import EmulatedSandbox, Organization, Organizations
from app.emulator.populations import Populations
from app.emulator.state import State
from app.errors import Conflict, InvalidRequest, NotFound

PATH: Final = "/emulator/sandboxes"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class SandboxControl:
    """The two calls."""

    def __init__(
        self,
        state_dir: Path,
        organizations: Organizations,
        state: State,
        populations: Populations,
        background: Background,
    ) -> None:
        self._state_dir = state_dir
        self._organizations = organizations
        self._state = state
        self._populations = populations
        self._background = background
        self._changing = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return the paths."""
        return [
            Route(PATH, told(self._create), methods=["POST"]),
            Route(PATH + "/{organization}/{name}", told(self._remove), methods=["DELETE"]),
        ]

    async def _create(self, request: Request) -> Response:
        body = await read_json(request)
        if not isinstance(body, dict) or not set(body) <= {"organization", "name", "like"}:
            raise InvalidRequest("The body must be an object with organization, name and perhaps like")
        name = body.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidRequest("name must be lower-case letters, digits and dashes", path=("name",))
        async with self._changing:
            organization = self._organization(body.get("organization"))
            if organization.sandbox(name) is not None:
                raise Conflict(f"{organization.slug} has a sandbox {name} already", hint="Choose another name.")
            sandbox = self._like(organization, name, body.get("like"))
            await self._populations.add_copy(organization, sandbox)
            changed = self._organizations.with_sandbox(organization.org_id, sandbox)
            await self._save()
        return json_answer({"organization": changed.slug, "orgId": changed.org_id, **sandbox.reference()}, 201)

    async def _remove(self, request: Request) -> Response:
        async with self._changing:
            organization = self._organization(request.path_params["organization"])
            sandbox = organization.sandbox(request.path_params["name"])
            if sandbox is None:
                raise NotFound(f"{organization.slug} has no sandbox {request.path_params['name']}")
            if sandbox.default:
                raise InvalidRequest("The default sandbox of an organization cannot be removed")
            # First out of sight, so that no call reaches what is about to go.
            self._organizations.without_sandbox(organization.org_id, sandbox.name)
            await self._save()
            await self._background.stop_place(organization.org_id, sandbox.name)
            await self._populations.remove(organization, sandbox)
            await self._state.forget(organization.org_id, sandbox.name)
        return empty_answer()

    def _organization(self, wanted: Any) -> Organization:
        for organization in self._organizations.all():
            if wanted in (organization.slug, organization.org_id):
                return organization
        known = ", ".join(organization.slug for organization in self._organizations.all())
        raise NotFound(f"There is no organization {wanted}", hint=f"There are {known}.")

    def _like(self, organization: Organization, name: str, like: Any) -> EmulatedSandbox:
        for source in organization.sandboxes:
            if source.name == like or (like is None and source.default):
                profiles, seed = self._populations.spec_of(organization, source)
                return EmulatedSandbox(name, name, "development", False, str(uuid.uuid4()), profiles, seed)
        raise NotFound(f"{organization.slug} has no sandbox {like}")

    async def _save(self) -> None:
        await asyncio.to_thread(organizations_file.save, self._state_dir, self._organizations.all())
