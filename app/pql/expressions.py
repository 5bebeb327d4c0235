"""Rules in either format that AEP knows: ``pql/text`` and ``pql/json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from app.pql import ast
from app.pql.diagnostics import error, rejection
from app.pql.json_reader import parse_json
from app.pql.json_writer import to_json_text
from app.pql.parser import parse
from app.pql.printer import format_query
from app.pql.spans import NOWHERE

Format: TypeAlias = Literal["pql/text", "pql/json"]

TEXT: Final[Format] = "pql/text"
JSON: Final[Format] = "pql/json"


def parse_expression(format_name: str, value: str | Mapping[str, Any]) -> ast.Query:
    """Return the tree of a rule in either format; a JSON tree may come as text or as the object. Raises PQLError."""
    if format_name == JSON:
        return parse_json(value)
    if format_name == TEXT and isinstance(value, str):
        return parse(value)
    if format_name == TEXT:
        problem = error("json-kind", "A rule in pql/text is a string.", NOWHERE, "For a JSON tree write pql/json.")
    else:
        problem = error("format", "The format of a rule is pql/text or pql/json.", NOWHERE)
    raise rejection("", [problem])


def write_expression(format_name: Format, query: ast.Query) -> str:
    """Return a rule as the ``value`` of an expression: canonical text, or compact JSON. Raises PQLError."""
    return format_query(query) if format_name == TEXT else to_json_text(query)


def other_format(format_name: str) -> Format:
    """Return the format that a conversion gives."""
    return TEXT if format_name == JSON else JSON
