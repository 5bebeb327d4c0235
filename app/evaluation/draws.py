"""Random numbers inside SQL that depend on a seed, a purpose and a row number, and on nothing else.

The database's own ``random()`` depends on how rows fall to threads. Here each purpose has its own 62-bit offset; the
row number is added and the sum hashed by the database, so equal inputs give equal rows at any degree of parallelism.
The numbers stay the same within one version of DuckDB; a new version may hash differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from app.evaluation.literals import quoted

_UNIT = 2**53


@dataclass(frozen=True, slots=True)
class Draws:
    """SQL expressions for the draws of one sample. ``row`` is always an SQL expression, 0 to 2**61 when computed."""

    seed: int

    def bits(self, purpose: str, row: str) -> str:
        """Return an expression of 64 random bits (UBIGINT)."""
        return f"hash(({row})::UBIGINT + {self._offset(purpose)}::UBIGINT)"

    def uniform(self, purpose: str, row: str) -> str:
        """Return an expression that is uniform in [0, 1) (DOUBLE)."""
        return f"(({self.bits(purpose, row)} >> 11) / {_UNIT}.0)"

    def below(self, purpose: str, row: str, count: int) -> str:
        """Return an expression for a whole number, uniform in 0 to ``count`` - 1."""
        return f"({self.bits(purpose, row)} % {count})::INTEGER"

    def chance(self, purpose: str, row: str, probability: float) -> str:
        """Return a Boolean expression that is true with this probability."""
        return f"({self.uniform(purpose, row)} < {probability})"

    def exponential(self, purpose: str, row: str) -> str:
        """Return an expression with the exponential distribution of mean 1, 0 to about 37."""
        return f"(-ln(1 - {self.uniform(purpose, row)}))"

    def choice(self, purpose: str, row: str, weighted: Sequence[tuple[str | None, int]]) -> str:
        """Return an expression for one of the texts, each with its weight; None stands for a missing value."""
        total = sum(weight for _, weight in weighted)
        ball = f"({self.bits(purpose, row)} % {total})"
        return f"CASE {' '.join(_branches(ball, weighted))} END"

    def _offset(self, purpose: str) -> int:
        digest = hashlib.blake2b(f"{self.seed}:{purpose}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 2


def _branches(ball: str, weighted: Sequence[tuple[str | None, int]]) -> list[str]:
    branches, bound = [], 0
    for text, weight in weighted:
        bound += weight
        branches.append(f"WHEN {ball} < {bound} THEN {'NULL' if text is None else quoted(text)}")
    return branches
