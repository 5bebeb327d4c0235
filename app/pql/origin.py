"""Where the tree of a rule came from, when that was not a text: the places and the extra keys of a JSON tree.

A rule in pql/json is read into the same tree as a rule in text, and its canonical text is what spans point into. What
only the JSON has is kept beside the tree and not in it, so that trees stay equal whatever they were read from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from app.pql.diagnostics import Diagnostic
from app.pql.spans import Span

Place: TypeAlias = "tuple[Place, str | int] | None"
"""A place in a JSON document as a list from the inside out; None is the root."""

Extras: TypeAlias = tuple[tuple[tuple[str | int, ...], Mapping[str, Any]], ...]
"""Keys that the language does not know, each with the way to its JSON object from the node that it belongs to."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The JSON document behind a tree.

    ``places`` tells where in the document each span of the canonical text came from. ``extras`` are the unknown keys
    by the number of their node in the order of `ast.walk`. ``notes`` are remarks about the document itself.
    """

    places: Mapping[Span, Place]
    extras: Mapping[int, Extras] = field(default_factory=dict)
    notes: tuple[Diagnostic, ...] = ()

    def placed(self, diagnostic: Diagnostic) -> Diagnostic:
        """Return a diagnostic with its place in the document: that of the narrowest node round its span."""
        if diagnostic.place is not None:
            return diagnostic
        span = diagnostic.span
        if span in self.places:
            return replace(diagnostic, place=show_place(self.places[span]))
        around = [one for one in self.places if one.start <= span.start and span.end <= one.end]
        narrowest = min(around, key=lambda one: one.end - one.start, default=None)
        return replace(diagnostic, place=show_place(None if narrowest is None else self.places[narrowest]))


def keys_to(place: Place) -> tuple[str | int, ...]:
    """Return the keys and indices from the root to a place."""
    keys: list[str | int] = []
    while place is not None:
        place, key = place
        keys.append(key)
    return tuple(reversed(keys))


def show_place(place: Place) -> str:
    """Return a place as people write it: ``$.params[1].object``."""
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys_to(place))
