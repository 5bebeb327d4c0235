"""Remarks about a rule: what is wrong or doubtful, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from app.errors import PQLError
from app.pql.spans import Span, position


class Severity(StrEnum):
    """An error keeps the rule from being saved; warnings and information do not."""

    ERROR = "error"
    WARNING = "warning"
    INFORMATION = "information"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One remark. ``code`` is stable and in kebab case; ``hint`` is the next step, where there is one.

    ``place`` is where it stands in a rule given as JSON, such as ``$.params[1].object``; None for a rule in text.
    """

    severity: Severity
    code: str
    message: str
    span: Span
    hint: str | None = None
    place: str | None = None


def error(code: str, message: str, span: Span, hint: str | None = None) -> Diagnostic:
    """Return a diagnostic that keeps the rule from being accepted."""
    return Diagnostic(Severity.ERROR, code, message, span, hint)


def rejection(text: str, diagnostics: Iterable[Diagnostic]) -> PQLError:
    """Return the exception for a rule with ``diagnostics``; the first error among them gives the detail."""
    found = tuple(diagnostics)
    decisive = next((one for one in found if one.severity is Severity.ERROR), found[0])
    if decisive.place is not None:
        return PQLError(f"At {decisive.place}: {decisive.message}", found, hint=decisive.hint)
    line, column = position(text, decisive.span)
    return PQLError(f"Line {line}, column {column}: {decisive.message}", found, hint=decisive.hint)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return a hint with the names nearest to ``name``, or None when nothing is near. Letter case does not count."""
    spelled = {one.casefold(): one for one in known}
    near = get_close_matches(name.casefold()[:100], spelled, n=3, cutoff=0.6)
    if not near:
        return None
    return "Did you mean " + " or ".join(f"`{spelled[one]}`" for one in near) + "?"
