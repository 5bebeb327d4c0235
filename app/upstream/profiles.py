"""Profiles at AEP, as far as users of segments look at them (``/access/entities``, ``/previewsamplestatus``)."""

from __future__ import annotations

from app.aep import paths
from app.upstream.client import Call


def get_profile_entities(params: tuple[tuple[str, str], ...]) -> Call:
    """Describe the look-up of a profile or of its events, with AEP's own query."""
    return Call("get_profile_entities", "GET", paths.PROFILE_ENTITIES, params)


def get_preview_sample_status() -> Call:
    """Describe how large the sample behind estimates is, and how old."""
    return Call("get_preview_sample_status", "GET", paths.PREVIEW_SAMPLE_STATUS)


def get_preview_sample_namespaces(params: tuple[tuple[str, str], ...]) -> Call:
    """Describe the sample's identities by namespace."""
    return Call("get_preview_sample_namespaces", "GET", paths.PREVIEW_SAMPLE_NAMESPACES, params)
