"""Which names are bound at a place of a tree, for the reader and the writer of pql/json alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class NameScope:
    """``names`` are the bound names, with the parameter's number for those that the root names.

    ``depth`` counts the implicit scopes around the place.
    """

    names: Mapping[str, int | None]
    depth: int = 0

    def binding(self, *names: str) -> NameScope:
        """Return the scope in which these names are bound as well."""
        return replace(self, names={**self.names, **dict.fromkeys(names)})

    def inside(self) -> NameScope:
        """Return the scope of an element's own fields."""
        return replace(self, depth=self.depth + 1)
