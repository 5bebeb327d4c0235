"""What the tables of sandboxes have in common: every statement says whose rows it means."""

from __future__ import annotations

from app.emulator.state.database import Database
from app.errors import InternalError


class SandboxRows:
    """The rows of one (organization, sandbox). Nothing reaches a row without being one of these."""

    def __init__(self, database: Database, org_id: str, sandbox: str) -> None:
        if not org_id or not sandbox:
            raise InternalError("a store needs an organization and a sandbox")
        self._database = database
        self._owner = (org_id, sandbox)
        self.org_id = org_id
        self.sandbox = sandbox
