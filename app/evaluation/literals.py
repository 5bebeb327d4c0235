"""SQL literals of this package's own constants. What callers send is never spelled into a statement, always bound."""

from __future__ import annotations

from collections.abc import Iterable


def literal(value: str | float) -> str:
    """Return a text in quotes, or a number as it is."""
    return quoted(value) if isinstance(value, str) else str(value)


def quoted(text: str) -> str:
    """Return a text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def table_of(rows: Iterable[tuple[str | float, ...]]) -> str:
    """Return rows as a table expression, for use behind FROM or JOIN with an alias that names its columns."""
    return f"(VALUES {', '.join(f'({_listed(row)})' for row in rows)})"


def list_of(values: Iterable[str | float]) -> str:
    """Return values as an SQL list."""
    return f"[{_listed(values)}]"


def _listed(values: Iterable[str | float]) -> str:
    return ", ".join(literal(value) for value in values)
