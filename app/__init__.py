"""Segment gateway."""
