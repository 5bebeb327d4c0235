"""``segmentMembership`` of one profile, from the stored memberships: by namespace, then by the audience's id in it."""

from __future__ import annotations

import asyncio
from typing import Any

from app.aep.times import from_epoch_ms
from app.emulator.documents import PLATFORM_TYPE
from app.emulator.workplaces import Workplace

PLATFORM_NAMESPACE = "ups"


async def segment_membership(place: Workplace, profile_no: int) -> dict[str, dict[str, Any]]:
    """Return how a profile stands to every audience that is there, as ``{lastQualificationTime, status}``.

    The platform's own audiences stand under ``ups``, others under their own namespace and name.
    """
    standings = await asyncio.to_thread(place.population.memberships.of_profile, profile_no)
    audiences = await place.store.audiences_by_id(list(standings))
    found: dict[str, dict[str, Any]] = {PLATFORM_NAMESPACE: {}}
    for identifier, audience in sorted(audiences.items()):
        standing = standings[identifier]
        moment = from_epoch_ms(standing.at_ms).isoformat(timespec="seconds").replace("+00:00", "Z")
        is_platform = audience["type"] == PLATFORM_TYPE
        namespace = PLATFORM_NAMESPACE if is_platform else audience["namespace"]
        shown = {"lastQualificationTime": moment, "status": standing.status}
        found.setdefault(namespace, {})[audience["audienceId"]] = shown
    return found
