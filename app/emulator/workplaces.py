"""Where background work happens: one sandbox of one organization, with its state and its profiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.emulator.gate import Call, place_members
from app.emulator.organizations import EmulatedSandbox, Organization, Organizations
from app.emulator.populations import Population, Populations
from app.emulator.state import State, Store


@dataclass(frozen=True, slots=True)
class Workplace:
    """What work needs that outlives its call."""

    organization: Organization
    sandbox: EmulatedSandbox
    store: Store
    population: Population

    def members(self) -> dict[str, Any]:
        """Return the members that say where an object belongs."""
        return place_members(self.organization, self.sandbox)

    def key(self, kind: str, identifier: str) -> tuple[str, str, str, str]:
        """Return the key of a piece of background work of this place."""
        return (kind, self.store.org_id, self.store.sandbox, identifier)


class Workplaces:
    """Every workplace of an emulator."""

    def __init__(self, organizations: Organizations, state: State, populations: Populations) -> None:
        self._organizations = organizations
        self._state = state
        self._populations = populations

    def of(self, call: Call) -> Workplace:
        """Return the workplace of a call."""
        population = self._populations.of(call.organization, call.sandbox)
        return Workplace(call.organization, call.sandbox, call.store, population)

    def all(self) -> Iterator[Workplace]:
        """Return every workplace."""
        for organization in self._organizations.all():
            for sandbox in organization.active_sandboxes():
                store = self._state.store(organization.org_id, sandbox.name)
                yield Workplace(organization, sandbox, store, self._populations.of(organization, sandbox))
