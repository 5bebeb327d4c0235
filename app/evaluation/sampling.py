"""How many profiles an estimate looks at, and how sure it can be of what it saw.

Source: Adobe's guide to previews and estimates (sample sizes by number of entities). The standard error is that of a
simple random sample without replacement; the interval is Wilson's, which also holds for rare segments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WHOLE_BELOW = 1_000_000
FIXED_UP_TO = 20_000_000
FIXED_ROWS = 1_000_000
LARGE_SHARE = 0.05

FIRST_SHARE = 0.01

CONFIDENCE_PERCENT = 95
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers of profiles between which the true size lies with `CONFIDENCE_PERCENT`; both ends included."""

    low: int
    high: int


def rows_to_read(total: int) -> int:
    """Return how many of ``total`` profiles an estimate reads.

    All of up to a million, a million of up to 20 million, 5% of more.
    """
    if total < WHOLE_BELOW:
        return total
    return FIXED_ROWS if total <= FIXED_UP_TO else math.ceil(total * LARGE_SHARE)


def rows_of_steps(total: int) -> tuple[int, ...]:
    """Return how many profiles an estimate has read at each step at which it shows numbers; the last reads all.

    The first step reads a hundredth of all profiles, which answers at once; each following one ten times more.
    """
    to_read = rows_to_read(total)
    steps = []
    rows = max(1, math.ceil(total * FIRST_SHARE))
    while rows < to_read:
        steps.append(rows)
        rows *= 10
    return (*steps, to_read)


def estimated_size(matched: int, read: int, total: int) -> int:
    """Scale the matches in a sample to the whole; 0 when nothing was read."""
    return round(matched / read * total) if read else 0


def standard_error(matched: int, read: int, total: int) -> int:
    """Return the standard error of the estimated size in profiles, rounded; 0 when all were read."""
    if not read or read >= total:
        return 0
    share = matched / read
    return round(total * math.sqrt(share * (1 - share) / read) * math.sqrt((total - read) / (total - 1)))


def wilson_interval(matched: int, read: int, total: int) -> Interval:
    """Return Wilson's interval of the size, within what the sample already proves.

    At least ``matched`` profiles qualify, and at least ``read - matched`` do not. A sample of a finite whole tells more
    than one of an endless one, which counts here as a larger sample.
    """
    if not read:
        return Interval(0, total)
    if read >= total:
        return Interval(matched, matched)
    size = read * (total - 1) / (total - read)
    share = matched / read
    centre = share + _Z**2 / (2 * size)
    half = _Z * math.sqrt(share * (1 - share) / size + _Z**2 / (4 * size**2))
    scale = total / (1 + _Z**2 / size)
    low = max(matched, math.floor((centre - half) * scale))
    high = min(total - (read - matched), math.ceil((centre + half) * scale))
    return Interval(low, high)
