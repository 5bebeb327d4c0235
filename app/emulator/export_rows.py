"""Who is exported, and what of each profile: statuses, times of qualification, fields and events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyroaring import BitMap

from app.aep.times import epoch_ms, from_epoch_ms
from app.emulator.export_files import selected, selected_events
from app.emulator.workplaces import Workplace
from app.evaluation.memberships import Memberships

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SegmentStandings:
    """The profiles of a segment that an export is about, and since when each has its status."""

    segment_id: str
    members: BitMap
    realized: BitMap
    times: tuple[tuple[int, BitMap], ...]


def standings_of(memberships: Memberships, wanted: Mapping[str, Any], limits: Mapping[str, Any]) -> SegmentStandings:
    """Return who of a segment has one of the wanted statuses, and has it since the time that the filter names.

    Blocks. ``limits`` is the filter of the job; its ``segmentQualificationTime`` runs from its start to before its end.
    """
    stored = memberships.members(wanted["segmentId"])
    # `existing` is the older word for those who are still in.
    statuses, members = set(wanted["status"]), BitMap()
    if statuses & {"realized", "existing"}:
        members |= stored.realized
    if "exited" in statuses:
        members |= stored.exited
    times = memberships.times_of(wanted["segmentId"], members)
    if "segmentQualificationTime" in limits:
        begin, end = (_bound(limits["segmentQualificationTime"], name) for name in ("startTime", "endTime"))
        times = [
            (at_ms, profiles)
            for at_ms, profiles in times
            if (begin is None or at_ms >= begin) and (end is None or at_ms < end)
        ]
        members = BitMap.union(BitMap(), *(profiles for _, profiles in times))
    return SegmentStandings(wanted["segmentId"], members, stored.realized, tuple(times))


def ingested_since(place: Workplace, limits: Mapping[str, Any]) -> BitMap | None:
    """Return the profiles that came in at or after the filter's ``fromIngestTimestamp``; None for everybody.

    The sample came in when it was made. When a later profile came in is not kept: all of them count as late.
    """
    if "fromIngestTimestamp" not in limits:
        return None
    population = place.population
    if _moment_ms(limits["fromIngestTimestamp"]) <= population.made_ms:
        return None
    return BitMap(range(population.sample_profiles, population.total_profiles))


def membership_of(standings: tuple[SegmentStandings, ...], number: int) -> Document:
    """Return ``segmentMembership`` of a profile, as far as the exported segments go."""
    found: Document = {}
    for one in standings:
        at_ms = next((at_ms for at_ms, profiles in one.times if number in profiles), None)
        if at_ms is not None:
            moment = from_epoch_ms(at_ms).isoformat(timespec="seconds").replace("+00:00", "Z")
            status = "realized" if number in one.realized else "exited"
            found[one.segment_id] = {"lastQualificationTime": moment, "status": status}
    return {"ups": found}


def is_empty(profile: Mapping[str, Any]) -> bool:
    """Tell whether a profile has events and identities only: AEP calls such profiles empty."""
    return profile.keys() <= {"identityMap", "xEvent"}


def export_row(profile: Mapping[str, Any], job: Mapping[str, Any]) -> Document:
    """Return the line of a profile: the fields asked for, and the events when the job asks for them."""
    row = selected(profile, _paths(job.get("fields")))
    events = job.get("additionalFields", {}).get("eventList")
    if events is not None:
        limits = events.get("filter", {})
        begin, end = (_text(limits.get(name)) for name in ("fromIngestTimestamp", "toIngestTimestamp"))
        row["xEvent"] = selected_events(profile, _paths(events.get("fields")), begin, end)
    return row


def top_columns(job: Mapping[str, Any]) -> list[str]:
    """Return the columns of an export without rows."""
    return list(dict.fromkeys(path.partition(".")[0] for path in _paths(job.get("fields")))) or ["identityMap"]


def _paths(text: str | None) -> list[str]:
    return [path.strip() for path in (text or "").split(",") if path.strip()]


def _bound(limits: Mapping[str, Any], name: str) -> int | None:
    return _moment_ms(limits[name]) if name in limits else None


def _moment_ms(text: str) -> int:
    return epoch_ms(datetime.fromisoformat(text))


def _text(moment: str | None) -> str | None:
    """Return a time as the times of events are written, so that texts compare as times do."""
    if moment is None:
        return None
    return datetime.fromisoformat(moment).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
