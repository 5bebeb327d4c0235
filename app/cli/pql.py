"""``segment-gateway pql``: rules at the command line, with no gateway and no network.

Exit codes: 0 when all is well, 1 when a rule has errors or, for `diff`, when the rules mean different things, 2 when
the command was used wrongly.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from app import pql as language
from app.cli.pql_output import change_document, diagnostic_document, show_changes, show_diagnostic
from app.cli.pql_source import Source, read_rule, read_schema
from app.errors import PQLError
from app.evaluation.layout import SampleLayout
from app.pql.diagnostics import Diagnostic, Severity

_EPILOG = (
    "Exit codes: 0 all is well, 1 the rule has errors (or the rules differ), 2 wrong use. "
    "FILE may be - for standard input; a JSON tree is told from text by itself."
)

pql = typer.Typer(
    name="pql",
    help="Check, format, convert, explain, compare and compile rules. Nothing is sent anywhere.",
    no_args_is_help=True,
    epilog=_EPILOG,
)


class RuleFormat(StrEnum):
    """The formats of a rule at the command line."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


RuleFile = Annotated[str, typer.Argument(metavar="FILE", help="The rule; - reads standard input.", show_default=False)]
Given = Annotated[RuleFormat, typer.Option("--format", help="The format of FILE.")]
Namespace = Annotated[str, typer.Option(help="The tenant namespace of the sample schema.")]
SchemaFile = Annotated[
    Path | None,
    typer.Option(
        "--schema",
        metavar="FILE",
        help="The profile's XDM union schema (JSON Schema), or an object with profile, event and lookups; "
        "without it, the Luma sample's schema.",
    ),
]
AsJSON = Annotated[bool, typer.Option("--json", help="Write one JSON object, for machines.")]

_NAMESPACE = "_wwfovlab011"


@pql.command(epilog=f"Example: segment-gateway pql check rule.pql --schema union.json. {_EPILOG}")
def check(
    file: RuleFile,
    format: Given = RuleFormat.AUTO,
    namespace: Namespace = _NAMESPACE,
    schema: SchemaFile = None,
    as_json: AsJSON = False,
) -> None:
    """Tell everything that is wrong or doubtful in a rule, with the place and the next step."""
    source = read_rule(file, format)
    known = read_schema(schema, namespace)
    try:
        query = language.parse_expression(source.format, source.value)
    except PQLError as problem:
        _refuse(source, source.value, problem, as_json=as_json)
    try:
        found = language.review(query, known).diagnostics
    except PQLError as problem:
        _refuse(source, query.text, problem, as_json=as_json)
    if as_json:
        _write({"valid": True, "format": source.format, "diagnostics": _documents(query.text, found)})
        return
    console = _console()
    for one in found:
        show_diagnostic(console, source.name, query.text, one)
    warnings = sum(one.severity is Severity.WARNING for one in found)
    console.print(f"{source.name}: valid" + (f", {warnings} warnings" if warnings else ""), highlight=False)


@pql.command("format", epilog=f"Example: echo 'a=1 AND b=2' | segment-gateway pql format -. {_EPILOG}")
def format_rule(file: RuleFile, format: Given = RuleFormat.AUTO, as_json: AsJSON = False) -> None:
    """Write a rule in its canonical text, or a JSON tree in its canonical JSON."""
    source = read_rule(file, format)
    query = _parse(source, as_json=as_json)
    _show_value(source, query, source.format, as_json=as_json)


@pql.command(epilog=f"Example: segment-gateway pql convert rule.pql > rule.json. {_EPILOG}")
def convert(file: RuleFile, format: Given = RuleFormat.AUTO, as_json: AsJSON = False) -> None:
    """Write a rule in the other format: text as a pql/json tree, a tree as text."""
    source = read_rule(file, format)
    query = _parse(source, as_json=as_json)
    _show_value(source, query, language.other_format(source.format), as_json=as_json)


@pql.command(epilog=f"Example: segment-gateway pql fields rule.pql --json. {_EPILOG}")
def fields(
    file: RuleFile,
    format: Given = RuleFormat.AUTO,
    namespace: Namespace = _NAMESPACE,
    schema: SchemaFile = None,
    as_json: AsJSON = False,
) -> None:
    """List the fields that a rule reads, one on a line, and the segments that it refers to."""
    checked = _checked(read_rule(file, format), namespace, schema, as_json=as_json)
    read, segments = language.fields_used(checked), language.segments_used(checked)
    if as_json:
        _write({"fields": list(read), "segments": list(segments)})
        return
    for name in read:
        typer.echo(name)
    for segment in segments:
        typer.echo(f"inSegment {segment}")


@pql.command(epilog=f"Example: segment-gateway pql explain rule.pql. {_EPILOG}")
def explain(file: RuleFile, format: Given = RuleFormat.AUTO, as_json: AsJSON = False) -> None:
    """Say in plain English who qualifies."""
    source = read_rule(file, format)
    words = language.explain(_parse(source, as_json=as_json))
    if as_json:
        _write({"explanation": words})
        return
    typer.echo(words)


@pql.command(epilog=f"Example: segment-gateway pql diff old.pql new.json. {_EPILOG}")
def diff(
    before: Annotated[str, typer.Argument(metavar="FILE", help="The old rule; - reads standard input.")],
    after: Annotated[str, typer.Argument(metavar="FILE", help="The new rule.")],
    format: Given = RuleFormat.AUTO,
    as_json: AsJSON = False,
) -> None:
    """Compare two rules clause by clause. Order and spelling do not count; exit code 1 says that they differ."""
    if before == after == "-":
        raise typer.BadParameter("Only one of the rules can come from standard input.")
    old, new = (_parse(read_rule(one, format), as_json=as_json) for one in (before, after))
    found = language.difference(old, new)
    if as_json:
        _write({"same": found.same_meaning, "changes": [change_document(one) for one in found.changes]})
    else:
        show_changes(_console(), found.changes)
    if not found.same_meaning:
        raise typer.Exit(1)


@pql.command(epilog=f"Example: segment-gateway pql sql rule.pql --now 2026-03-01T12:00:00Z. {_EPILOG}")
def sql(
    file: RuleFile,
    format: Given = RuleFormat.AUTO,
    namespace: Namespace = _NAMESPACE,
    now: Annotated[str | None, typer.Option(help="The instant of evaluation, ISO 8601; now when left out.")] = None,
    as_json: AsJSON = False,
) -> None:
    """Compile a rule to DuckDB SQL over the sample's tables; values are parameters of the statement."""
    source = read_rule(file, format)
    moment = _instant(now)
    checked = _checked(source, namespace, None, as_json=as_json)
    try:
        compiled = language.to_sql(checked, SampleLayout(namespace), moment)
    except PQLError as problem:
        _refuse(source, checked.query.text, problem, as_json=as_json)
    if as_json:
        _write({"sql": compiled.sql(), "parameters": [_plain(one) for one in compiled.parameters]})
        return
    typer.echo(compiled.select.sql(dialect="duckdb", pretty=True))
    for number, value in enumerate(compiled.parameters, 1):
        typer.echo(f"-- ${number} = {json.dumps(_plain(value), ensure_ascii=False)}")


def _instant(given: str | None) -> datetime:
    if given is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise typer.BadParameter(
            f"{given} is not an instant such as 2026-03-01T12:00:00Z.", param_hint="--now"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _parse(source: Source, *, as_json: bool) -> language.Query:
    try:
        return language.parse_expression(source.format, source.value)
    except PQLError as problem:
        _refuse(source, source.value, problem, as_json=as_json)


def _checked(source: Source, namespace: str, schema: Path | None, *, as_json: bool) -> language.Checked:
    known = read_schema(schema, namespace)
    query = _parse(source, as_json=as_json)
    try:
        return language.check(query, known)
    except PQLError as problem:
        _refuse(source, query.text, problem, as_json=as_json)


def _show_value(source: Source, query: language.Query, wanted: language.Format, *, as_json: bool) -> None:
    try:
        value = language.write_expression(wanted, query)
    except PQLError as problem:
        _refuse(source, query.text, problem, as_json=as_json)
    notes = query.origin.notes if query.origin is not None else ()
    if as_json:
        _write({"format": wanted, "value": value, "diagnostics": _documents(query.text, notes)})
        return
    for one in notes:
        show_diagnostic(_console(stderr=True), source.name, query.text, one)
    typer.echo(value)


def _refuse(source: Source, text: str, problem: PQLError, *, as_json: bool) -> NoReturn:
    """Show what is wrong with a rule and end with code 1."""
    found: tuple[Diagnostic, ...] = tuple(problem.diagnostics)
    if as_json:
        _write({"valid": False, "format": source.format, "diagnostics": _documents(text, found)})
    else:
        console = _console(stderr=True)
        for one in found:
            show_diagnostic(console, source.name, text, one)
        errors = sum(one.severity is Severity.ERROR for one in found)
        console.print(f"{source.name}: {errors} {'error' if errors == 1 else 'errors'}", highlight=False, markup=False)
    raise typer.Exit(1)


def _documents(text: str, found: tuple[Diagnostic, ...]) -> list[dict[str, Any]]:
    return [diagnostic_document(text, one) for one in found]


def _console(*, stderr: bool = False) -> Console:
    """Return a console that colours on a terminal only and never breaks a line of source."""
    return Console(stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False)


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | list | None) else str(value)


def _write(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, separators=(",", ":")))
