"""Whom rules are evaluated over: for each sandbox its own sample, and the engine that counts in it.

The engine works in threads of its own, so every method here leaves the event loop free; a cancelled call stops its
query.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from pyroaring import BitMap

from app.aep.times import epoch_ms
from app.emulator.clock import Clock
from app.emulator.organizations import EmulatedSandbox, Organization, Organizations
from app.emulator.rules import Rule
from app.emulator.settings import EmulatorSettings
from app.emulator.state import AudienceChange
from app.errors import InternalError
from app.evaluation import documents, sampling
from app.evaluation.arrivals import Placed, Record
from app.evaluation.batch.job import OnProgress
from app.evaluation.dataset import Connection, Dataset
from app.evaluation.dataset import Progress as BuildProgress
from app.evaluation.engine import Engine, Estimate
from app.evaluation.luma import SampleSpec
from app.evaluation.memberships import Memberships, Replaced
from app.evaluation.selection import Counts
from app.evaluation.write_behind import WriteBehind

T = TypeVar("T")
Progress = Callable[[str, float], None]
"""Told what is being made, and the share of it that is done, 0 to 1."""

FOLDER: Final = "samples"
MEMBERSHIP_FOLDER: Final = "memberships"
_DEVELOPMENT_SHARE: Final = 10
_MINIMUM_PROFILES: Final = 10


@dataclass(frozen=True, slots=True)
class Reading:
    """What an estimate knows at some moment. ``by_namespace`` counts matches by namespace id.

    The size lies between ``low`` and ``high`` with a confidence of 95%.
    """

    estimated_size: int
    standard_error: int
    rows_to_read: int
    rows_read: int
    rows_matched: int
    rows_total: int
    by_namespace: Mapping[str, int]
    low: int
    high: int

    def to_document(self) -> dict[str, Any]:
        """Return the reading as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Reading:
        """Read what :meth:`to_document` wrote."""
        size = document["estimated_size"]
        return cls(**{"low": size, "high": size, **document})  # the bounds came with a later release


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A segment's exact result. ``by_namespace`` counts by namespace code, in lower case."""

    count: int
    by_namespace: Mapping[str, int]
    members: BitMap = field(repr=False)


class Population:
    """The profiles of one sandbox."""

    def __init__(self, organization: Organization, dataset: Dataset, memberships: Memberships) -> None:
        self.organization = organization
        self.memberships = memberships
        self.arriving = WriteBehind(dataset)
        self._dataset = dataset
        self._engine = Engine(dataset, stored=lambda segment_id: memberships.members(segment_id).realized)

    @property
    def total_profiles(self) -> int:
        """Number of profiles."""
        return self.arriving.profiles

    def nothing_read(self) -> Reading:
        """Return the reading of an estimate that has not begun."""
        total = self.total_profiles
        return Reading(0, 0, total, 0, 0, total, {}, 0, total)

    async def estimates(self, rule: Rule, now: datetime) -> AsyncIterator[Reading]:
        """Estimate from a hundredth of the profiles, then from more, last from the whole sample.

        The last one is exact below a million profiles.
        """
        await self.arriving.flush()
        for rows in sampling.rows_of_steps(self.total_profiles):
            yield _reading(await self._engine.estimate(rule.checked, now, rows=rows))

    async def rows(self, rule: Rule, now: datetime, offset: int, limit: int) -> list[tuple[str, list[str]]]:
        """Return a page of members as (XID, other identities), in a stable order."""
        await self.arriving.flush()
        members = await self._engine.members(rule.checked, now, offset=offset, limit=limit)
        return [(member.profile_id, [identity for _, identity in member.identities]) for member in members]

    async def evaluate(
        self, rules: Mapping[str, Rule], now: datetime, *, on_progress: OnProgress | None = None
    ) -> dict[str, Evaluation]:
        """Evaluate rules together over every profile, by the ids of their segments.

        A rule that asks for another segment of them gets that one's new members, of any other its stored ones.
        ``on_progress`` gets steps done and steps in all. Raises InvalidRequest when rules use each other in a circle.
        """
        await self.arriving.flush()
        outcome = await self._engine.evaluate(
            {segment_id: rule.checked for segment_id, rule in rules.items()},
            now,
            on_progress=on_progress,
        )
        return {one: _evaluation(outcome.counts[one], outcome.members[one]) for one in rules}

    async def keep(
        self, results: Mapping[str, Evaluation], *, run_id: str, at_ms: int, since: int
    ) -> dict[str, Replaced]:
        """Store the members that a job found, and return what that changed: see `Memberships.replace`."""
        found = {segment_id: result.members for segment_id, result in results.items()}
        return await asyncio.to_thread(self.memberships.replace, found, run_id=run_id, at_ms=at_ms, since=since)

    async def with_events_since(self, since: datetime) -> list[int]:
        """Return the numbers of the profiles that have an event at an instant or later."""
        return await self._run(lambda connection: documents.numbers_with_events_since(connection, since))

    async def documents(self, numbers: range | Sequence[int], *, as_written: bool = False) -> dict[int, dict[str, Any]]:
        """Return the profiles of some numbers as XDM documents with their events, by number.

        ``as_written`` leaves out what arrived a moment ago and is not in the tables yet.
        """
        namespace = self._dataset.namespace
        run = self._dataset.run if as_written else self._run
        return await run(lambda connection: documents.profiles(connection, namespace, numbers))

    async def with_identities(self, identities: Mapping[str, Collection[str]]) -> BitMap:
        """Return the profiles that have one of some identities, which are given by the code of their namespace.

        Codes are compared in any letter case; namespaces that nobody has find nobody.
        """
        return BitMap(await self._run(lambda connection: documents.numbers_by_identity(connection, identities)))

    async def _run(self, work: Callable[[Connection], T]) -> T:
        """Read the tables, with all that arrived in them."""
        await self.arriving.flush()
        return await self._dataset.run(work)

    @property
    def made_ms(self) -> int:
        """The moment that the sample was made for, in milliseconds since 1970."""
        return epoch_ms(self._dataset.spec.as_of)

    @property
    def sample_profiles(self) -> int:
        """Number of profiles that the sample was made with; those with higher numbers came in later."""
        return self._dataset.spec.profiles

    @property
    def sample_seed(self) -> int:
        """What the sample was drawn from."""
        return self._dataset.spec.seed

    @property
    def rows_to_read(self) -> int:
        """How many profiles an estimate reads."""
        return sampling.rows_to_read(self.total_profiles)

    async def by_namespace(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return how many profiles have an identity of each namespace, of all and of those that estimates read."""
        sample, total = self.rows_to_read, self.total_profiles
        whole = await self._run(lambda connection: documents.profiles_by_namespace(connection, total))
        if sample >= total:
            return whole, whole
        return whole, await self._run(lambda connection: documents.profiles_by_namespace(connection, sample))

    async def profile_of_number(self, number: int) -> tuple[int, str, dict[str, Any]] | None:
        """Return a profile's number, XID and document; None when there is none."""
        namespace = self._dataset.namespace
        return await self._run(lambda connection: documents.profile_by_number(connection, namespace, number))

    async def profile_of_xid(self, profile_id: str) -> tuple[int, str, dict[str, Any]] | None:
        """Return a profile's number, XID and document; None when there is none."""
        number = await self._run(lambda connection: documents.number_of(connection, profile_id))
        return None if number is None else await self.profile_of_number(number)

    async def append(self, records: Sequence[Record]) -> list[Placed]:
        """Store records that arrive. Raises InvalidRequest for one that cannot be kept; then none of them is."""
        return await self.arriving.append(records)

    async def put(self, segment_id: str, members: BitMap, *, run_id: str, at_ms: int) -> None:
        """Store who is in an audience that no rule decides."""
        await asyncio.to_thread(self.memberships.replace, {segment_id: members}, run_id=run_id, at_ms=at_ms)

    async def close(self) -> None:
        """Wait for running queries and close the files."""
        try:
            await self.arriving.flush()
        finally:
            await self._dataset.close()
        await asyncio.to_thread(self.memberships.close)


class Populations:
    """All populations of an emulator."""

    def __init__(self, settings: EmulatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._by_place: dict[tuple[str, str], Population] = {}

    @classmethod
    async def open(
        cls, settings: EmulatorSettings, organizations: Organizations, clock: Clock, progress: Progress
    ) -> Populations:
        """Open the samples of all sandboxes, making those that are not there.

        A sample that was made with another size or seed is made anew. ``progress`` is called on the event loop.
        """
        populations = cls(settings, clock)
        try:
            for organization in organizations.all():
                for sandbox in organization.active_sandboxes():
                    await populations.add(organization, sandbox, progress)
        except BaseException:
            await populations.close()
            raise
        return populations

    async def add(
        self, organization: Organization, sandbox: EmulatedSandbox, progress: Progress = lambda _what, _share: None
    ) -> None:
        """Open the sample of one sandbox, making it when it is not there."""
        population = await _open(self._settings, organization, sandbox, self._clock, progress)
        self._by_place[organization.org_id, sandbox.name] = population

    async def add_copy(self, organization: Organization, sandbox: EmulatedSandbox) -> None:
        """Open a new sandbox's sample, copied from one that was made before for its size and seed: in a moment."""
        spec = SampleSpec(_size(self._settings, sandbox), organization.sample_seed(sandbox), self._clock.now())
        name = f"{organization.slug}-{spec.profiles}-{spec.seed}.duckdb"
        template = self._settings.state_dir / FOLDER / "templates" / name
        if not template.exists():
            dataset = await Dataset.create(template, organization.namespace, spec)
            await dataset.close()
        path, _ = _files(self._settings, organization, sandbox)
        await asyncio.to_thread(shutil.copyfile, template, path)
        await self.add(organization, sandbox)

    async def remove(self, organization: Organization, sandbox: EmulatedSandbox) -> None:
        """Close the sample of a sandbox, when it is open, and remove its files."""
        population = self._by_place.pop((organization.org_id, sandbox.name), None)
        if population is not None:
            await population.close()
        await asyncio.to_thread(_remove_files, self._settings, organization, sandbox)

    def spec_of(self, organization: Organization, sandbox: EmulatedSandbox) -> tuple[int, int]:
        """Return the size and the seed of a sandbox's sample."""
        return _size(self._settings, sandbox), organization.sample_seed(sandbox)

    async def forget_deleted(self, change: AudienceChange) -> None:
        """Forget who was in an audience that is gone."""
        population = self._by_place.get((change.org_id, change.sandbox))
        if change.is_deleted and population is not None:
            await asyncio.to_thread(population.memberships.delete, [change.audience_id])

    def of(self, organization: Organization, sandbox: EmulatedSandbox) -> Population:
        """Return the population of a sandbox."""
        try:
            return self._by_place[organization.org_id, sandbox.name]
        except KeyError:
            raise InternalError(f"there is no sample for {organization.slug}/{sandbox.name}") from None

    async def close(self) -> None:
        """Close every sample."""
        for population in self._by_place.values():
            await population.close()


async def _open(
    settings: EmulatorSettings,
    organization: Organization,
    sandbox: EmulatedSandbox,
    clock: Clock,
    progress: Progress,
) -> Population:
    what = f"{organization.slug}/{sandbox.name}"
    spec = SampleSpec(_size(settings, sandbox), organization.sample_seed(sandbox), clock.now())

    def tell(step: BuildProgress) -> None:
        progress(what, step.done / step.total)

    path, kept = _files(settings, organization, sandbox)
    await asyncio.to_thread(_take_over, settings, organization, sandbox)
    dataset = await Dataset.open_or_create(path, organization.namespace, spec, writable=True, on_progress=tell)
    try:
        return Population(organization, dataset, await asyncio.to_thread(Memberships, kept))
    except BaseException:
        await dataset.close()
        raise


def _files(settings: EmulatorSettings, organization: Organization, sandbox: EmulatedSandbox) -> tuple[Path, Path]:
    """Return where a sandbox keeps its profiles and its memberships."""
    # Both names may have dashes in them, so another mark parts them: two places never share a file.
    name = f"{organization.slug}.{sandbox.name}"
    return (
        settings.state_dir / FOLDER / f"{name}.duckdb",
        settings.state_dir / MEMBERSHIP_FOLDER / f"{name}.sqlite3",
    )


def _take_over(settings: EmulatorSettings, organization: Organization, sandbox: EmulatedSandbox) -> None:
    """Rename the files of a state folder whose names were parted by a dash."""
    for path in _files(settings, organization, sandbox):
        if not path.exists():
            old = f"{organization.slug}-{sandbox.name}{path.suffix}"
            for file in list(path.parent.glob(f"{old}*")):
                file.rename(path.parent / f"{path.name}{file.name.removeprefix(old)}")


def _remove_files(settings: EmulatorSettings, organization: Organization, sandbox: EmulatedSandbox) -> None:
    for path in _files(settings, organization, sandbox):
        for file in path.parent.glob(f"{path.name}*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()


def _size(settings: EmulatorSettings, sandbox: EmulatedSandbox) -> int:
    if sandbox.profiles is not None:
        return sandbox.profiles
    size = settings.profiles if sandbox.type == "production" else settings.profiles // _DEVELOPMENT_SHARE
    return max(_MINIMUM_PROFILES, size)


def _evaluation(counts: Counts, members: BitMap) -> Evaluation:
    # Counters of jobs write the namespaces in lower case; estimates use their numbers.
    return Evaluation(
        counts.matched, {one.namespace.code.lower(): one.profiles for one in counts.by_namespace}, members
    )


def _reading(estimate: Estimate) -> Reading:
    return Reading(
        estimated_size=estimate.estimated_size,
        standard_error=estimate.standard_error,
        rows_to_read=estimate.rows_to_read,
        rows_read=estimate.rows_read,
        rows_matched=estimate.matched,
        rows_total=estimate.rows_total,
        by_namespace={str(one.namespace.number): one.profiles for one in estimate.by_namespace},
        low=estimate.interval.low,
        high=estimate.interval.high,
    )
