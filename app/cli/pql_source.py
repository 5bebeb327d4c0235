"""What the ``pql`` commands are given: the rule in a file or on standard input, and the schema to check it against."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from app import pql
from app.evaluation.schema import event_union, lookups, profile_union
from app.pql.schema import Schema, XDMSchema

MAX_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """A rule as it was given; ``name`` is how messages call it."""

    name: str
    format: pql.Format
    value: str


def read_rule(file: str, format_name: str) -> Source:
    """Return the rule in a file, or on standard input for ``-``. Raises typer.BadParameter."""
    name = "standard input" if file == "-" else file
    text = _read(file, name).removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    if format_name == "auto":
        return Source(name, pql.JSON if _looks_like_json(text) else pql.TEXT, text)
    return Source(name, pql.JSON if format_name in {"json", pql.JSON} else pql.TEXT, text)


def read_schema(file: Path | None, namespace: str) -> Schema:
    """Return the schema to check against: the sample's own, or that of the documents in a file.

    The file holds the profile's union schema, or an object with the members ``profile``, ``event`` and ``lookups``.
    Raises typer.BadParameter.
    """
    if file is None:
        return XDMSchema.from_json_schema(profile_union(namespace), event_union(namespace), lookups(namespace))
    try:
        document = json.loads(_read(str(file), str(file)))
    except (json.JSONDecodeError, RecursionError) as problem:
        raise typer.BadParameter(f"{file} is not JSON: {problem}.", param_hint="--schema") from None
    if not isinstance(document, dict):
        raise typer.BadParameter(f"{file} holds no JSON Schema object.", param_hint="--schema")
    if isinstance(document.get("profile"), dict):
        related = document.get("lookups")
        return XDMSchema.from_json_schema(
            document["profile"],
            _object(document.get("event")),
            {key: _object(value) for key, value in _object(related).items()},
        )
    return XDMSchema.from_json_schema(document, {})


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read(file: str, name: str) -> str:
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(MAX_BYTES + 1)
    except OSError as problem:
        raise typer.BadParameter(f"{name} cannot be read: {problem.strerror or problem}.") from None
    if len(raw) > MAX_BYTES:
        raise typer.BadParameter(f"{name} is larger than {MAX_BYTES // 1_000_000} MB.")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise typer.BadParameter(f"{name} is not UTF-8: byte {problem.start} is not valid.") from None


def _looks_like_json(text: str) -> bool:
    """Tell whether a rule is a JSON tree; a rule in text may begin with a brace too, but has no nodeType as a key."""
    return text.lstrip().startswith("{") and '"nodeType"' in text
