"""What can be read into the cache: for each resource how AEP lists it and where it is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID

from app.store.database import ReadUnit, WriteUnit
from app.store.sync_states import Cached
from app.upstream import audiences, schedules, segment_definitions, segment_jobs
from app.upstream.client import AEPClient
from app.upstream.connection import Target
from app.upstream.listing import Listed

Document = dict[str, Any]
ByID = Callable[[AEPClient, Target, Sequence[str]], Awaitable[Mapping[str, Document]]]
FINAL_STATUSES: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


@dataclass(frozen=True, slots=True)
class Scope:
    """Where and when a read writes.

    ``began`` is when its list was begun: what was touched since is newer. ``drift`` says whether the audit has to tell
    of what is new or gone.
    """

    sandbox_id: UUID
    began: datetime
    drift: bool


class Resource(Protocol):
    """A list of AEP's and its place in the cache."""

    @property
    def cached(self) -> Cached:
        """Its name in the cache."""
        ...

    def pages(self, client: AEPClient, target: Target, /) -> AsyncIterator[Listed]:
        """Yield every page."""
        ...

    def changed(self, client: AEPClient, target: Target, /) -> AsyncIterator[Listed] | None:
        """Yield pages with the newest change first; ``None`` where AEP cannot order them so."""
        ...

    async def still_there(self, client: AEPClient, target: Target, ids: Sequence[str], /) -> set[str]:
        """Return those of the objects that AEP still has; a list may miss some while others are deleted."""
        ...

    async def count(self, unit: ReadUnit, sandbox_id: UUID) -> int:
        """Return how many are in the cache."""
        ...

    async def store(self, unit: WriteUnit, scope: Scope, documents: Sequence[Document]) -> int:
        """Keep what AEP listed; return how many of the objects were new or had changed."""
        ...

    async def absent(self, unit: ReadUnit, scope: Scope, present: Sequence[str]) -> list[str]:
        """Return the ids of what is in the cache and not in the list."""
        ...

    async def remove(self, unit: WriteUnit, scope: Scope, ids: Sequence[str]) -> int:
        """Remove what is gone, unless it was touched since the list began; return how many."""
        ...


class SegmentDefinitions:
    """Segment definitions, with their versions."""

    cached: Final = Cached.SEGMENT_DEFINITIONS

    def pages(self, client: AEPClient, target: Target) -> AsyncIterator[Listed]:
        """Yield every page."""
        return segment_definitions.list_segment_definitions(client, target)

    def changed(self, client: AEPClient, target: Target) -> AsyncIterator[Listed] | None:
        """Yield pages with the newest change first."""
        return segment_definitions.list_segment_definitions(client, target, sort="updateTime:desc")

    async def still_there(self, client: AEPClient, target: Target, ids: Sequence[str]) -> set[str]:
        """Return those of the definitions that AEP still has."""
        return set(await segment_definitions.bulk_get_segment_definitions(client, target, ids))

    async def count(self, unit: ReadUnit, sandbox_id: UUID) -> int:
        """Return how many are in the cache."""
        return await unit.segment_definitions.count(sandbox_id)

    async def store(self, unit: WriteUnit, scope: Scope, documents: Sequence[Document]) -> int:
        """Keep what AEP listed."""
        return await unit.segment_definitions.put_all(scope.sandbox_id, documents, now=scope.began, drift=scope.drift)

    async def absent(self, unit: ReadUnit, scope: Scope, present: Sequence[str]) -> list[str]:
        """Return the ids of what is in the cache and not in the list."""
        rows = await unit.segment_definitions.absent(scope.sandbox_id, present, seen_before=scope.began)
        return [row.aep_id for row in rows]

    async def remove(self, unit: WriteUnit, scope: Scope, ids: Sequence[str]) -> int:
        """Remove what is gone."""
        gone = await unit.segment_definitions.remove_all(
            scope.sandbox_id, ids, seen_before=scope.began, now=datetime.now(UTC), drift=scope.drift
        )
        return len(gone)


class Audiences:
    """Audiences, of all origins."""

    cached: Final = Cached.AUDIENCES

    def pages(self, client: AEPClient, target: Target) -> AsyncIterator[Listed]:
        """Yield every page."""
        return audiences.list_audiences(client, target)

    def changed(self, client: AEPClient, target: Target) -> AsyncIterator[Listed] | None:
        """Yield pages with the newest change first."""
        return audiences.list_audiences(client, target, sort="updateTime:desc")

    async def still_there(self, client: AEPClient, target: Target, ids: Sequence[str]) -> set[str]:
        """Return those of the audiences that AEP still has."""
        return set(await audiences.bulk_get_audiences(client, target, ids))

    async def count(self, unit: ReadUnit, sandbox_id: UUID) -> int:
        """Return how many are in the cache."""
        return await unit.audiences.count(sandbox_id)

    async def store(self, unit: WriteUnit, scope: Scope, documents: Sequence[Document]) -> int:
        """Keep what AEP listed."""
        return await unit.audiences.put_all(scope.sandbox_id, documents, now=scope.began)

    async def absent(self, unit: ReadUnit, scope: Scope, present: Sequence[str]) -> list[str]:
        """Return the ids of what is in the cache and not in the list."""
        return await unit.audiences.absent(scope.sandbox_id, present, seen_before=scope.began)

    async def remove(self, unit: WriteUnit, scope: Scope, ids: Sequence[str]) -> int:
        """Remove what is gone."""
        return await unit.audiences.remove_all(scope.sandbox_id, ids, seen_before=scope.began)


@dataclass(frozen=True, slots=True)
class KeptObjects:
    """Schedules and segment jobs: small enough, or of such a nature, that they need no cursor of their own."""

    cached: Cached
    list_pages: Callable[[AEPClient, Target], AsyncIterator[Listed]]
    by_id: ByID | None = None

    def pages(self, client: AEPClient, target: Target) -> AsyncIterator[Listed]:
        """Yield every page, newest first."""
        return self.list_pages(client, target)

    def changed(self, _client: AEPClient, _target: Target) -> AsyncIterator[Listed] | None:
        """Tell that AEP does not order them by change."""
        return None

    async def still_there(self, _client: AEPClient, _target: Target, _ids: Sequence[str]) -> set[str]:
        """Return nothing: what a list of these leaves out is gone."""
        return set()

    async def count(self, unit: ReadUnit, sandbox_id: UUID) -> int:
        """Return how many are in the cache."""
        return len(await unit.cached_objects.statuses(sandbox_id, self.cached))

    async def store(self, unit: WriteUnit, scope: Scope, documents: Sequence[Document]) -> int:
        """Keep what AEP listed."""
        return await unit.cached_objects.put_all(scope.sandbox_id, self.cached, documents, now=scope.began)

    async def absent(self, unit: ReadUnit, scope: Scope, present: Sequence[str]) -> list[str]:
        """Return the ids of what is in the cache and not in the list."""
        known = await unit.cached_objects.statuses(scope.sandbox_id, self.cached)
        return sorted(set(known) - set(present))

    async def remove(self, unit: WriteUnit, scope: Scope, ids: Sequence[str]) -> int:
        """Remove what is gone."""
        return await unit.cached_objects.remove_all(scope.sandbox_id, self.cached, ids, seen_before=scope.began)


SCHEDULES: Final = KeptObjects(Cached.SCHEDULES, schedules.every_schedule)
SEGMENT_JOBS: Final = KeptObjects(
    Cached.SEGMENT_JOBS, segment_jobs.newest_segment_jobs, segment_jobs.segment_jobs_by_id
)
RESOURCES: Final[tuple[Resource, ...]] = (SegmentDefinitions(), Audiences(), SCHEDULES, SEGMENT_JOBS)
