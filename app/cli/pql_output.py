"""How the ``pql`` commands show what is wrong with a rule: the source line with carets under the place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from app.pql.diagnostics import Diagnostic, Severity
from app.pql.difference import Change, Clause
from app.pql.spans import NOWHERE, position

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFORMATION: "bold cyan"}
_WIDTH = 100
_BEFORE = 40
_LONGEST = 300


def show_diagnostic(console: Console, source: str, text: str, one: Diagnostic) -> None:
    """Print one remark about a rule. ``source`` names the file, ``text`` is what spans point into."""
    heading = Text(f"{one.severity}[{one.code}]", style=_STYLES[one.severity])
    heading.append(f": {_printable(one.message)}", style="bold")
    console.print(heading)
    line, column = position(text, one.span)
    where = f"{source}:{line}:{column}" if one.place is None else f"{source} at {one.place}"
    console.print(Text(f"  --> {_printable(where)}", style="dim"))
    if text and (one.place is None or one.span != NOWHERE):
        number = str(line)
        shown, start, length = _excerpt(text, one, line, column)
        console.print(Text(f"{' ' * len(number)} |", style="dim"))
        console.print(Text(f"{number} | ", style="dim").append(shown, style="default"))
        carets = " " * start + "^" * length
        console.print(Text(f"{' ' * len(number)} | ", style="dim").append(carets, style=_STYLES[one.severity]))
    if one.hint:
        console.print(Text("  hint: ", style="bold green").append(_printable(one.hint), style="default"))


def diagnostic_document(text: str, one: Diagnostic) -> dict[str, Any]:
    """Return a remark for machines; ``place`` is there for rules in pql/json."""
    line, column = position(text, one.span)
    return {
        "severity": str(one.severity),
        "code": one.code,
        "message": one.message,
        "hint": one.hint,
        "span": {"start": one.span.start, "end": one.span.end, "line": line, "column": column},
        "place": one.place,
    }


def show_changes(console: Console, changes: Sequence[Change]) -> None:
    """Print what changed between two rules: removed clauses with a minus sign, added ones with a plus sign."""
    if not changes:
        console.print("The rules mean the same.")
    for change in changes:
        if change.before is not None:
            console.print(Text(f"- {_one_line(change.before.text)}", style="red"))
        if change.after is not None:
            console.print(Text(f"+ {_one_line(change.after.text)}", style="green"))


def change_document(change: Change) -> dict[str, Any]:
    """Return a change for machines; spans are offsets into the text of either rule."""

    def clause(one: Clause | None) -> dict[str, Any] | None:
        return None if one is None else {"text": one.text, "span": {"start": one.span.start, "end": one.span.end}}

    return {
        "kind": change.kind,
        "before": clause(change.before),
        "after": clause(change.after),
        "among": change.among,
    }


def _one_line(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)


def _excerpt(text: str, one: Diagnostic, line: int, column: int) -> tuple[str, int, int]:
    """Return the source line, cut where it is long, with the first cell of the carets and their number."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    source, start = lines[line - 1], column - 1
    end = min(len(source), start + max(1, one.span.end - one.span.start))
    cut = max(0, start - _BEFORE) if len(source) > _WIDTH else 0
    rest = source[cut : cut + _WIDTH]
    shown = ("..." if cut else "") + _printable(rest) + ("..." if cut + _WIDTH < len(source) else "")
    before = cell_len(("..." if cut else "") + _printable(source[cut:start]))
    return shown, before, max(1, cell_len(_printable(source[start : min(end, cut + _WIDTH)])))


def _printable(text: str) -> str:
    """Return a text without what would steer a terminal; a tab is one blank, so that carets stay in place."""
    text = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return "".join(one if one.isprintable() else " " if one in "\t\n" else "\N{REPLACEMENT CHARACTER}" for one in text)
