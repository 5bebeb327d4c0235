"""Values of a document, read exactly as `app.pql.reference` reads them: a value of another type is absent."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from app.pql import ir
from app.pql.types import Primitive, Scalar

Document = Mapping[str, Any]
Getter = Callable[[Any], Any]
"""Document in, value out; None when it is absent."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DATE_LENGTH: Final = 10


def to_us(at: datetime) -> int:
    """Return an instant as microseconds since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def to_datetime(at_us: int) -> datetime:
    """Return the instant that a number of microseconds since 1970 means."""
    return _EPOCH + timedelta(microseconds=at_us)


def instant_us(value: object) -> int | None:
    """Return the instant that a text of a document tells: ISO 8601, a day as its start, UTC where no zone is given."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        return to_us(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def readable(node: ir.Expr) -> bool:
    """Tell whether a value is a scalar of a kind that :func:`reader` knows."""
    return isinstance(node.type, Scalar) and node.type.primitive in _READERS


def reader(node: ir.Expr) -> Getter:
    """Return the function that gives a raw JSON value its type, or None where it has another one."""
    assert isinstance(node.type, Scalar)  # noqa: S101 - callers ask `readable` first
    return _READERS[node.type.primitive]


def getter(path: tuple[str, ...]) -> Getter:
    """Return the function that reads the raw value at a path of objects."""
    if len(path) == 1:
        (name,) = path
        return lambda document: document.get(name) if isinstance(document, dict) else None

    def get(document: Any) -> Any:
        for part in path:
            if not isinstance(document, dict):
                return None
            document = document.get(part)
        return document

    return get


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _boolean(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _long(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -(2**63) <= value < 2**63 else None


def _double(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


_READERS: Final[dict[Primitive, Getter]] = {
    Primitive.STRING: _string,
    Primitive.BOOLEAN: _boolean,
    Primitive.LONG: _long,
    Primitive.DOUBLE: _double,
}
