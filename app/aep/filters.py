"""The ``property`` filter of AEP's lists: ``audienceId==luma-winback``, ``segments~segmentId==<id>``.

Dots go into objects, ``~`` goes into the members of an array. Several filters must all hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """One comparison for equality; ``path`` as it was written."""

    path: str
    value: str

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Tell whether one of the values at the path has this text."""
        return any(_text(found) == self.value for found in _values(document, self.path))


def parse_property(text: str) -> PropertyFilter:
    """Read ``path==value``. Raises InvalidRequest."""
    path, operator, value = text.partition("==")
    if not operator or not path.strip():
        raise InvalidRequest(
            f"property cannot be {text!r}", hint="Write property=attribute==value.", path=("property",)
        )
    return PropertyFilter(path.strip(), value.strip())


def parse_properties(texts: Iterable[str]) -> tuple[PropertyFilter, ...]:
    """Read every ``property`` parameter of a query string. Raises InvalidRequest."""
    return tuple(parse_property(text) for text in texts)


def _values(document: Any, path: str) -> list[Any]:
    found = [document]
    for step in path.replace("~", ".").split("."):
        found = [inner for outer in found for inner in _spread(outer, step)]
    return [inner for outer in found for inner in (outer if isinstance(outer, list) else [outer])]


def _spread(value: Any, step: str) -> list[Any]:
    members = value if isinstance(value, list) else [value]
    return [member[step] for member in members if isinstance(member, Mapping) and step in member]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
