"""Where something stands in the text of a rule."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """Offsets into the text, in characters: ``start`` is the first, ``end`` one past the last."""

    start: int
    end: int

    def to(self, other: Span) -> Span:
        """Return the span from the start of this one to the end of ``other``."""
        return Span(self.start, other.end)


NOWHERE = Span(0, 0)
"""The span of a node that no text was written for."""


def position(text: str, span: Span) -> tuple[int, int]:
    """Return (line, column) of the span's first character; both count from 1.

    A line ends with LF, CR or CR LF. A start beyond the text means its end.
    """
    before = text[: span.start].replace("\r\n", "\n").replace("\r", "\n")
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
