"""The access-control reference: which permissions there are, and what a caller may do with a kind of resource.

What a technical account holds stands in the organizations' file; there is no administration of roles here.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from app.aep import paths
from app.aep.access_control import policies_body, read_asked, reference_body
from app.emulator.answers import json_answer
from app.emulator.gate import Call, Gate


class AccessControl:
    """The calls under ``/data/foundation/access-control``."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def routes(self) -> list[Route]:
        """Return the paths of this resource."""
        reference = self._gate.guard(self._reference, in_sandbox=False)
        policies = self._gate.guard(self._effective_policies)
        return [
            Route(paths.ACCESS_CONTROL_REFERENCE, reference, methods=["GET"]),
            Route(paths.ACCESS_CONTROL_POLICIES, policies, methods=["POST"]),
        ]

    async def _reference(self, _call: Call) -> Response:
        return json_answer(reference_body())

    async def _effective_policies(self, call: Call) -> Response:
        return json_answer(policies_body(read_asked(await call.json()), call.credential.held_permissions()))
