"""What a sample is made of: its size, its seed and its anchor in time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """What to make; no profiles make empty tables. ``as_of`` (aware) is the latest time that an event may have."""

    profiles: int
    seed: int
    as_of: datetime

    def __post_init__(self) -> None:
        if not 0 <= self.profiles <= 100_000_000:
            raise ValueError("the number of profiles must be between 0 and 100,000,000")
        if self.as_of.tzinfo is None:
            raise ValueError("as_of needs a time zone")

    @property
    def as_of_sql(self) -> str:
        """Return the anchor as an SQL timestamp in UTC."""
        return f"TIMESTAMP '{self.as_of.astimezone(UTC):%Y-%m-%d %H:%M:%S}'"
