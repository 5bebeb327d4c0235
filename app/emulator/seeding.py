"""Puts a scenario's content into an emulator: records, definitions, audiences, memberships.

Everything is stored as if a client had sent it, so a rule that is wrong or a record that no field can hold is refused
with its file and line. A scenario is put in once; a later start with the same one finds it done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import ValidationError
from starlette.requests import Request

from app.aep import headers, models
from app.aep.times import epoch_ms
from app.emulator import organizations as organizations_file
from app.emulator.answers import Refusal
from app.emulator.audiences import new_external
from app.emulator.clock import Clock
from app.emulator.documents import new_platform_audience
from app.emulator.gate import Call
from app.emulator.merge_policies import merge_policy
from app.emulator.populations import Progress
from app.emulator.rules import RuleBook
from app.emulator.scenario import MembershipPart, SandboxPart, ScenarioFile, organizations_of
from app.emulator.state import State
from app.emulator.tokens import TokenOffice
from app.emulator.workplaces import Workplace, Workplaces
from app.errors import InvalidRequest, PublicError
from app.evaluation import record_files
from app.evaluation.arrivals import Record

log = structlog.get_logger(__name__)

_SETTING: Final = "scenario"
_BATCH: Final = 1_000
_KEPT_MEMBERS: Final = ("id", "creationTime", "updateTime", "updateEpoch", "createEpoch", "createdBy")

Document = dict[str, Any]
Where = tuple[str | int, ...]
ToRecord = Callable[[Document], Record]


def prepare(state_dir: Path, file: ScenarioFile) -> None:
    """Make the organizations of a scenario the emulator's own. Raises InvalidRequest when it has others already."""
    wanted = organizations_of(file.scenario)
    path = state_dir / organizations_file.FILE_NAME
    if not path.exists():
        organizations_file.save(state_dir, wanted)
        return
    known = {one.org_id for one in organizations_file.read(path)}
    for organization in wanted:
        # Its sandboxes may be others since; that another scenario filled them is found when this one is put in.
        if organization.org_id not in known:
            raise InvalidRequest(
                f"{state_dir} belongs to another scenario: {organization.slug} is not in it.",
                hint="Use another --state-dir, or remove this one to begin anew.",
            )


class Seeding:
    """Puts content into the places of an emulator."""

    def __init__(
        self,
        workplaces: Workplaces,
        rules: RuleBook,
        tokens: TokenOffice,
        state: State,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._workplaces = workplaces
        self._rules = rules
        self._tokens = tokens
        self._state = state
        self._clock = clock
        self._progress = progress

    async def apply(self, file: ScenarioFile) -> None:
        """Put a scenario in, unless that was done. Raises InvalidRequest that names the file and the line.

        A start that is cut short leaves a part; the next one is refused rather than putting that part in twice.
        """
        done = await self._state.setting(_SETTING)
        if done == file.digest.encode():
            return
        if done is not None:
            raise InvalidRequest(
                "The state folder was seeded by another scenario, or the seeding was cut short.",
                hint="Use another --state-dir, or remove this one to begin anew.",
            )
        places = {(place.organization.slug, place.sandbox.name): place for place in self._workplaces.all()}
        for organization in file.scenario.organizations:
            for sandbox in organization.sandboxes:
                if (organization.slug, sandbox.name) not in places:
                    raise InvalidRequest(
                        f"The state folder has no sandbox {sandbox.name} of {organization.slug}.",
                        hint="Use another --state-dir, or remove this one to begin anew.",
                    )
        await self._state.set_setting(_SETTING, b"unfinished")
        for number, organization in enumerate(file.scenario.organizations):
            for index, sandbox in enumerate(organization.sandboxes):
                where = ("organizations", number, "sandboxes", index)
                await self._fill(file, where, places[organization.slug, sandbox.name], sandbox)
        await self._state.set_setting(_SETTING, file.digest.encode())

    async def _fill(self, file: ScenarioFile, where: Where, place: Workplace, part: SandboxPart) -> None:
        folder = file.path.parent
        for name in part.profiles:
            await self._load(place, folder / name, record_files.profile_record)
        for name in part.events:
            await self._load(place, folder / name, record_files.event_record)
        for index, body in enumerate(part.definitions):
            await self._told(file, (*where, "definitions", index), self._definition, place, body)
        for index, body in enumerate(part.audiences):
            await self._told(file, (*where, "audiences", index), self._audience, place, body)
        for index, membership in enumerate(part.memberships):
            await self._told(file, (*where, "memberships", index), self._membership, place, membership)
        log.info("emulator.seeded", organization=place.organization.slug, sandbox=place.sandbox.name)

    async def _told(self, file: ScenarioFile, where: Where, store: Any, place: Workplace, body: Any) -> None:
        """Store something; say where it stands in the file when it cannot be stored."""
        try:
            await store(place, body)
        except ValidationError as fault:
            raise file.fault(where, "; ".join(text for _, text in models.validation_messages(fault))) from fault
        except PublicError as fault:
            raise file.fault(where, fault.detail, fault.hint) from fault
        except Refusal as fault:
            raise file.fault(where, str(fault)) from fault

    async def _load(self, place: Workplace, path: Path, to_record: ToRecord) -> None:
        what = f"{place.organization.slug}/{place.sandbox.name}: {path.name}"
        total, done = await asyncio.to_thread(record_files.count, path), 0
        records = _records(path, to_record)
        while batch := list(islice(records, _BATCH)):
            try:
                await place.population.append([record for _, record in batch])
            except InvalidRequest:
                await self._find_fault(place, batch)
            done += len(batch)
            self._progress(what, min(1.0, done / total) if total else 1.0)

    async def _find_fault(self, place: Workplace, batch: list[tuple[str, Record]]) -> None:
        """Put the records of a refused batch in one by one, to name the one that is wrong."""
        for where, record in batch:
            try:
                await place.population.append([record])
            except InvalidRequest as fault:
                raise InvalidRequest(f"{where}: {fault.detail}", hint=fault.hint) from fault

    async def _definition(self, place: Workplace, body: Document) -> None:
        models.read_model(models.SegmentDefinitionCreate, body)
        call = self._call(place)
        rule = self._rules.check(call, body)
        policy = await merge_policy(call, body.get("mergePolicyId"))
        document = new_platform_audience(call, models.with_current_words(body), rule, policy) | _kept(body)
        await place.store.add_audience({**document, "audienceId": document["id"]}, uses=rule.uses)

    async def _audience(self, place: Workplace, body: Document) -> None:
        models.read_model(models.ExternalAudienceCreate, {"type": "ExternalSegment", **body})
        document = new_external(self._call(place), models.with_current_words(body)) | _kept(body)
        await place.store.add_audience(document)

    async def _membership(self, place: Workplace, part: MembershipPart) -> None:
        wanted: dict[str, set[str]] = {}
        for identity in part.realized:
            wanted.setdefault(identity.namespace, set()).add(identity.id)
        if await place.store.audience(part.segment) is None:
            raise InvalidRequest(f"There is no segment {part.segment} in this sandbox.", hint="Name it by its id.")
        members = await place.population.with_identities(wanted)
        now_ms = epoch_ms(self._clock.now())
        await place.population.put(part.segment, members, run_id="scenario", at_ms=now_ms)

    def _call(self, place: Workplace) -> Call:
        """Return a call of the organization's first account, which nobody has sent."""
        organization, credential = place.organization, place.organization.credentials[0]
        token = self._tokens.read(self._tokens.issue(organization, credential, credential.scopes))
        if token is None:
            raise InvalidRequest("The clock of the emulator is wrong.", hint="Reset it with PUT /emulator/clock.")
        request = Request({"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""})
        now_ms = epoch_ms(self._clock.now())
        request_id = headers.new_request_id()
        return Call(request, organization, credential, token, request_id, now_ms, place.sandbox, place.store)


def _records(path: Path, to_record: ToRecord) -> Iterator[tuple[str, Record]]:
    for where, document in record_files.read(path):
        try:
            yield where, to_record(document)
        except InvalidRequest as fault:
            raise InvalidRequest(f"{where}: {fault.detail}", hint=fault.hint) from fault


def _kept(body: Document) -> Document:
    """Return what of an exported object stays as it was."""
    return {name: body[name] for name in _KEPT_MEMBERS if name in body}
