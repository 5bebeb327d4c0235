"""Moving a rule to another organization: its tenant namespace is replaced, and nothing else of the text is touched."""

from __future__ import annotations

import re
from typing import Final

from app.pql import ast, lexer
from app.pql.diagnostics import error, rejection
from app.pql.lexer import Token, tokenize
from app.pql.parser import RESERVED_WORDS, parse

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def rewrite_namespace(text: str, old: str, new: str) -> str:
    """Return a rule with one tenant namespace in the place of another.

    Every path segment that is ``old`` becomes ``new``, on profiles, events, items and related records, within
    ``@{...}`` as well; layout, letter case of keywords and strings stay as the author wrote them.

    Raises:
        PQLError: the text is not a rule, or it gives the name ``new`` to something itself, which would then hide the
            organization's fields (``namespace-taken``).

    """
    query = parse(text)
    for node in ast.walk(query.body):
        if new in _names_given(node):
            hint = f"Give the variable another name before the rule is moved to {new}."
            raise rejection(text, [error("namespace-taken", f"The rule has a variable `{new}`.", node.span, hint)])
    pieces: list[str] = []
    written = 0
    for token in tokenize(text):
        replacement = _replacement(token, old, new)
        if replacement is not None:
            pieces += [text[written : token.span.start], replacement]
            written = token.span.end
    return "".join([*pieces, text[written:]])


def _replacement(token: Token, old: str, new: str) -> str | None:
    """Return what stands for a token afterwards; None where it stays."""
    if token.kind in {lexer.NAME, lexer.QUOTED_NAME} and token.value == old:
        quoted = "`" + new.replace("`", "``") + "`"
        return new if _PLAIN.fullmatch(new) and new.lower() not in RESERVED_WORDS else quoted
    if token.kind == lexer.CLASS_REFERENCE:
        name, semicolon, version = token.value.partition(";")
        parts = name.split(".")
        if old in parts:
            moved = ".".join(new if part == old else part for part in parts)
            return f"@{{{moved}{semicolon}{version}}}"
    return None


def _names_given(node: ast.Node) -> tuple[str, ...]:
    match node:
        case ast.Binding(name=name) | ast.Let(name=name) | ast.Element(name=name):
            return (name,)
        case ast.Lambda(parameters=parameters):
            return parameters
    return ()
