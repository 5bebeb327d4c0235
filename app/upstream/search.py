"""Searching audiences by text at AEP (``/search``)."""

from __future__ import annotations

from typing import Literal

from app.aep import headers, paths
from app.upstream.client import Call

_VERSION = ((headers.SEARCH_VERSION, "1.0"),)
_CALLS = {
    "namespaces": ("search_namespaces", paths.SEARCH_NAMESPACES),
    "entities": ("search_entities", paths.SEARCH_ENTITIES),
    "taxonomy": ("search_taxonomy", paths.SEARCH_TAXONOMY),
}

Searched = Literal["namespaces", "entities", "taxonomy"]


def search(searched: Searched, params: tuple[tuple[str, str], ...]) -> Call:
    """Describe a search with AEP's own query; AEP wants the version of its search named."""
    operation, path = _CALLS[searched]
    return Call(operation, "GET", path, params, headers=_VERSION)
