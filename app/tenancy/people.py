"""People whom an identity provider vouches for: made known on first sight, with the groups that it puts them into."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.aep.headers import new_request_id
from app.audit.actions import Action, Phase
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.context import Actor, ActorKind, Entrance
from app.errors import Unauthenticated
from app.store.database import Database, ReadUnit, WriteUnit
from app.store.rows import PersonRow


@dataclass(frozen=True, slots=True)
class Asserted:
    """What a provider says of a person; one of whose groups it says nothing is in none."""

    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    groups: tuple[str, ...]
    at: datetime

    @property
    def name(self) -> str:
        """What people read in the audit."""
        return self.email or self.stand_in

    @property
    def stand_in(self) -> str:
        """The name of somebody whose address is not known."""
        return f"{self.subject} at {self.issuer}"


class NameTaken(Unauthenticated):
    """The e-mail address belongs to a person who signs in otherwise."""

    code = "NAME_TAKEN"
    title = "The address belongs to another log-in"


class People:
    """Finds the person behind a provider's word in one tenant."""

    def __init__(self, database: Database, recorder: AuditRecorder) -> None:
        self._database = database
        self._recorder = recorder

    async def actor(self, tenant_id: UUID, asserted: Asserted) -> Actor:
        """Return the person, whom this makes known if need be.

        Raises `Unauthenticated` for a person who was disabled, and `NameTaken`. Writes only on first sight, when
        the groups have changed, and when an address becomes known.
        """
        async with self._database.read(tenant_id) as unit:
            person = await unit.identity_providers.person(asserted.issuer, asserted.subject)
            renamed = person is not None and await _has_free_address(unit, person, asserted)
        if person is None or renamed or _has_other_groups(person, asserted):
            person = await self._learn(tenant_id, asserted)
        if person.disabled_at is not None:
            raise Unauthenticated("The person is not active here.", hint="Ask an administrator of the organization.")
        return Actor(ActorKind.PERSON, person.id, person.email, tenant_id, asserted.issuer, asserted.subject)

    async def _learn(self, tenant_id: UUID, asserted: Asserted) -> PersonRow:
        async with self._database.write(tenant_id) as unit:
            people = unit.identity_providers
            claimed = added = False
            person = await people.person(asserted.issuer, asserted.subject)
            if person is None:
                claimed = await _claim(unit, asserted)
                added = not claimed and await people.add_person(asserted.name, asserted.issuer, asserted.subject)
                person = await people.person(asserted.issuer, asserted.subject)
            if person is None:
                raise NameTaken(
                    "Another person of this organization already has this e-mail address.",
                    hint="Ask an administrator of the organization to remove the one that is not used any more.",
                )
            await people.set_groups(person.id, asserted.groups, at=asserted.at)
            if claimed or added:
                await self._record(unit, person, asserted, Action.PERSON_ADD if added else Action.PERSON_CLAIM)
            elif asserted.email is not None and await _has_free_address(unit, person, asserted):
                await self._record(unit, person, asserted, Action.PERSON_RENAME)
                person.email = asserted.email
        return person

    async def _record(self, unit: WriteUnit, person: PersonRow, asserted: Asserted, action: Action) -> None:
        actor = Actor(ActorKind.PERSON, person.id, person.email, unit.tenant_id)
        about = Resource("person", str(person.id), person.email)
        operation = Operation(action, about, actor, Entrance.SIGN_IN, new_request_id())
        detail: dict[str, Any] = {
            "issuer": asserted.issuer,
            "subject": asserted.subject,
            "groups": list(asserted.groups),
        }
        if action is Action.PERSON_RENAME:
            detail["name"] = asserted.name
        await self._recorder.record(unit, operation, Phase.RECORDED, detail=detail)


async def _claim(unit: WriteUnit, asserted: Asserted) -> bool:
    # An address that the provider did not verify proves nothing: anybody could write an administrator's there.
    if asserted.email is None or not asserted.email_verified:
        return False
    return await unit.identity_providers.claim_person(asserted.email, asserted.issuer, asserted.subject)


async def _has_free_address(unit: ReadUnit, person: PersonRow, asserted: Asserted) -> bool:
    """Tell whether somebody who was known by a stand-in has an address now that nobody else has."""
    if asserted.email is None or person.email != asserted.stand_in:
        return False
    return not await unit.identity_providers.is_name_taken(asserted.email)


def _has_other_groups(person: PersonRow, asserted: Asserted) -> bool:
    if set(asserted.groups) == set(person.groups):
        return False
    # Of two tokens the newer one counts, so that an old one does not bring back a group that was taken away.
    return person.groups_at is None or person.groups_at < asserted.at
