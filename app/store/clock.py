"""The database's clock, by which leases and expiries go: those of several machines do not agree."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, DateTime, Float, cast, extract, func

NOW: Final = func.clock_timestamp(type_=DateTime(timezone=True))
"""This very moment, which goes on within a transaction."""


def seconds_until(time: object) -> ColumnElement[float]:
    """Return how many seconds a time is ahead; negative when it is over."""
    return cast(extract("epoch", time - NOW), Float)
