"""The admin path of sandboxes: making a fresh one in a moment, and taking it away with everything in it.

    POST   /emulator/sandboxes                      {"organization": "luma", "name": "test-1", "like": "prod"}
    DELETE /emulator/sandboxes/{organization}/{name}

A new sandbox has the same sample as the one that it is ``like`` and nothing else, so a test can have one to itself.
AEP's own calls are in `app.emulator.sandboxes`. No part of AEP: it takes no token.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.aep.times import epoch_ms
from app.emulator.answers import empty_answer, json_answer, read_json
from app.emulator.clock import Clock
from app.emulator.fault_control import told
from app.emulator.organizations import Organization, Organizations
from app.emulator.sandbox_lifecycle import SandboxLifecycle
from app.errors import InvalidRequest, NotFound

PATH: Final = "/emulator/sandboxes"


class SandboxControl:
    """The two calls."""

    def __init__(self, lifecycle: SandboxLifecycle, organizations: Organizations, clock: Clock) -> None:
        self._lifecycle = lifecycle
        self._organizations = organizations
        self._clock = clock

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
        organization = self._organization(body.get("organization"))
        like = body.get("like")
        sandbox = await self._lifecycle.create(
            organization.org_id,
            body.get("name"),
            like=organization.default_sandbox().name if like is None else str(like),
            now_ms=epoch_ms(self._clock.now()),
        )
        return json_answer(
            {"organization": organization.slug, "orgId": organization.org_id, **sandbox.reference()}, 201
        )

    async def _remove(self, request: Request) -> Response:
        organization = self._organization(request.path_params["organization"])
        now_ms = epoch_ms(self._clock.now())
        await self._lifecycle.delete(organization.org_id, request.path_params["name"], now_ms=now_ms)
        return empty_answer()

    def _organization(self, wanted: Any) -> Organization:
        for organization in self._organizations.all():
            if wanted in (organization.slug, organization.org_id):
                return organization
        known = ", ".join(organization.slug for organization in self._organizations.all())
        raise NotFound(f"There is no organization {wanted}", hint=f"There are {known}.")
