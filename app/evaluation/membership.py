"""Who is in an audience, as one bit for each profile: small to keep, and fast to compare with an earlier run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Membership:
    """The members among profiles 0 to ``profiles`` - 1. Profile 0 is the highest bit of ``bits``, the last the lowest.

    Source of that order: DuckDB's ``bitstring_agg``, read as a big-endian number.
    """

    profiles: int
    bits: int

    @classmethod
    def from_bytes(cls, profiles: int, data: bytes) -> Membership:
        """Read what `to_bytes` wrote for the same number of profiles. Raises ValueError when there are more bits."""
        bits = int.from_bytes(data, "big")
        if bits.bit_length() > profiles:
            raise ValueError(f"a membership of {profiles} profiles cannot have {bits.bit_length()} bits")
        return cls(profiles, bits)

    def to_bytes(self) -> bytes:
        """Return an eighth of a byte for each profile."""
        return self.bits.to_bytes(-(-self.profiles // 8), "big")

    def __len__(self) -> int:
        return self.bits.bit_count()

    def __contains__(self, profile_no: int) -> bool:
        return 0 <= profile_no < self.profiles and bool(self.bits >> (self.profiles - 1 - profile_no) & 1)

    def left_since(self, before: Membership) -> int:
        """Count who was a member ``before`` and is none now. Raises ValueError for another number of profiles."""
        if before.profiles != self.profiles:
            raise ValueError("memberships of different data sets cannot be compared")
        return (before.bits & ~self.bits).bit_count()
