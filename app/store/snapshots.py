"""Rows as plain JSON, to be shown again exactly as they were."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from app.store.rows import Base

Row = TypeVar("Row", bound=Base)


def snapshot(row: Base) -> dict[str, Any]:
    """Return the columns of a row as plain JSON."""
    columns = {column.key: getattr(row, column.key) for column in row.__mapper__.column_attrs}
    return dict(msgspec.to_builtins(columns))


def from_snapshot(kind: type[Row], kept: dict[str, Any]) -> Row:
    """Return a row as it was when ``kept`` was made. It belongs to no session and cannot be written back.

    Columns that a later release has added are ``None`` in it.
    """
    row = kind()
    for column in kind.__mapper__.columns:
        value = kept.get(column.key)
        setattr(row, column.key, _read(value, column.type.python_type) if value is not None else None)
    return row


def _read(value: Any, kind: type) -> Any:
    if kind is UUID:
        return UUID(value)
    return datetime.fromisoformat(value) if kind is datetime else value
