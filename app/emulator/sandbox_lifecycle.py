"""How sandboxes come, change and go while the emulator runs, each with a state of its own.

A change that a kill cuts short is finished by the next start: the organizations' file says ``resetting`` or
``deleting`` before the first thing is taken away. A sandbox in such a state is not found by any call, and what is
inside is let out first, so nothing of before reaches what comes after under the same name.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from app.emulator import export_files, record_streams
from app.emulator import organizations as organizations_file
from app.emulator.background import Background
from app.emulator.organizations import EmulatedSandbox, Organization, Organizations
from app.emulator.populations import Populations
from app.emulator.presence import Presence
from app.emulator.state import State
from app.errors import Conflict, InvalidRequest, NotFound

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SandboxType = Literal["production", "development"]


class SandboxLifecycle:
    """Makes, changes, resets and deletes sandboxes, one change at a time."""

    def __init__(
        self,
        state_dir: Path,
        organizations: Organizations,
        state: State,
        populations: Populations,
        background: Background,
        presence: Presence,
    ) -> None:
        self._state_dir = state_dir
        self._organizations = organizations
        self._state = state
        self._populations = populations
        self._background = background
        self._presence = presence
        self._changing = asyncio.Lock()

    async def finish(self) -> None:
        """Finish what a start finds unfinished, before anything is read from those sandboxes."""
        async with self._changing:
            for organization in self._organizations.all():
                for sandbox in organization.sandboxes:
                    if sandbox.state != "active":
                        await self._take_away(organization, sandbox)

    async def create(
        self,
        org_id: str,
        name: object,
        *,
        title: str | None = None,
        type_: SandboxType = "development",
        like: str | None = None,
        actor: str = "system",
        now_ms: int,
        limit: int | None = None,
    ) -> EmulatedSandbox:
        """Make a sandbox: with the sample of the one that it is ``like``, or empty.

        ``limit`` is how many sandboxes the organization may have. Raises InvalidRequest for a name that cannot be one
        or when there are too many, Conflict when the name is taken, NotFound when there is nothing to be like.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidRequest(
                "name must be 1 to 63 lower-case letters, digits and dashes, and begin with no dash", path=("name",)
            )
        async with self._changing:
            organization = self._organization(org_id)
            if any(one.name == name for one in organization.sandboxes):
                raise Conflict(f"{organization.slug} has a sandbox {name} already", hint="Choose another name.")
            if limit is not None and len(organization.sandboxes) >= limit:
                raise InvalidRequest(
                    f"The organization has {len(organization.sandboxes)} sandboxes, and its limit is {limit}",
                    hint="Delete one.",
                )
            profiles, seed = (0, 0) if like is None else self._spec_of(organization, like)
            sandbox = EmulatedSandbox(
                name,
                title or name,
                type_,
                False,
                str(uuid.uuid4()),
                profiles,
                seed,
                created_ms=now_ms,
                changed_ms=now_ms,
                created_by=actor,
                modified_by=actor,
            )
            await self._populations.add_copy(organization, sandbox)
            self._organizations.with_sandbox(org_id, sandbox)
            await self._save()
        return sandbox

    async def retitle(self, org_id: str, name: str, title: str, *, actor: str, now_ms: int) -> EmulatedSandbox:
        """Give a sandbox another title. Raises NotFound."""
        async with self._changing:
            sandbox = self._sandbox(self._organization(org_id), name)
            changed = replace(_touched(sandbox, actor, now_ms), title=title)
            self._organizations.changed_sandbox(org_id, changed)
            await self._save()
        return changed

    async def reset(self, org_id: str, name: str, *, actor: str, now_ms: int) -> EmulatedSandbox:
        """Take everything out of a sandbox: what it is called and its id stay. Raises NotFound, InvalidRequest."""
        return await self._close_and_take_away(org_id, name, "resetting", actor, now_ms)

    async def delete(self, org_id: str, name: str, *, actor: str = "system", now_ms: int) -> EmulatedSandbox:
        """Delete a sandbox with everything in it. Raises NotFound, InvalidRequest for the default one."""
        return await self._close_and_take_away(org_id, name, "deleting", actor, now_ms)

    async def _close_and_take_away(
        self, org_id: str, name: str, state: Literal["resetting", "deleting"], actor: str, now_ms: int
    ) -> EmulatedSandbox:
        async with self._changing:
            organization = self._organization(org_id)
            sandbox = self._sandbox(organization, name)
            if sandbox.default:
                word = "reset" if state == "resetting" else "deleted"
                raise InvalidRequest(f"The default sandbox of an organization cannot be {word}")
            going = replace(_touched(sandbox, actor, now_ms), state=state)
            organization = self._organizations.changed_sandbox(org_id, going)
            await self._save()
            await self._take_away(organization, going)
        return going

    async def _take_away(self, organization: Organization, sandbox: EmulatedSandbox) -> None:
        place = (organization.org_id, sandbox.name)
        await self._background.stop_place(*place)
        await self._presence.left(*place)
        await self._background.stop_place(*place)  # the last calls may have begun some more
        await self._populations.remove(organization, sandbox)
        await asyncio.to_thread(_remove_files, self._state_dir, organization, sandbox)
        await self._state.forget(*place)
        if sandbox.state == "deleting":
            self._organizations.without_sandbox(organization.org_id, sandbox.name)
        else:
            empty = replace(sandbox, state="active", profiles=0, seed=0)
            await self._populations.add(organization, empty)
            self._organizations.changed_sandbox(organization.org_id, empty)
        await self._save()

    def _organization(self, org_id: str) -> Organization:
        organization = self._organizations.get(org_id)
        if organization is None:
            raise NotFound(f"There is no organization {org_id}")
        return organization

    def _sandbox(self, organization: Organization, name: str) -> EmulatedSandbox:
        sandbox = organization.sandbox(name)
        if sandbox is None:
            raise NotFound(f"{organization.slug} has no sandbox {name}")
        return sandbox

    def _spec_of(self, organization: Organization, like: str) -> tuple[int, int]:
        return self._populations.spec_of(organization, self._sandbox(organization, like))

    async def _save(self) -> None:
        await asyncio.to_thread(organizations_file.save, self._state_dir, self._organizations.all())


def _touched(sandbox: EmulatedSandbox, actor: str, now_ms: int) -> EmulatedSandbox:
    return replace(sandbox, etag=sandbox.etag + 1, changed_ms=now_ms, modified_by=actor)


def _remove_files(state_dir: Path, organization: Organization, sandbox: EmulatedSandbox) -> None:
    """Remove what a sandbox wrote, other than its sample. Uploads stay: they are their owner's cloud storage."""
    for path in record_streams.files(state_dir, organization, sandbox):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(export_files.folder(state_dir, organization.org_id, sandbox.name), ignore_errors=True)
