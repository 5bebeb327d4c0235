"""``segment-gateway audit``: write an organization's audit down, and check one that was written down.

Exit codes of ``verify``: 0 when the chain is whole, 1 when it is broken, 2 when the command was used wrongly or the
input cannot be read.
"""

from __future__ import annotations

import asyncio
import json
import sys
import zipfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.audit import verifier
from app.audit.actions import Action, Phase
from app.audit.export import (
    BundleWriter,
    Evidence,
    LineWriter,
    Span,
    TableWriter,
    Writer,
    document_of,
    events_of,
    span_of,
)
from app.audit.proofs import evidence_of
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.cli.postgres import database_url
from app.context import Actor, ActorKind, Entrance
from app.main import make_checkpoint_key
from app.settings import AuditSettings, DatabaseSettings, ServerSettings
from app.store.database import Database
from app.store.migrate import head_revision
from app.store.rows import TenantRow

audit = typer.Typer(
    name="audit",
    help="Export an organization's audit, and verify one.",
    no_args_is_help=True,
    epilog="Exit codes of verify: 0 the chain is whole, 1 it is broken, 2 wrong use or unreadable input.",
)

Result = TypeVar("Result")

_SYSTEM = UUID(int=0)


class ExportFormat(StrEnum):
    """What an export looks like."""

    NDJSON = "ndjson"
    CSV = "csv"
    BUNDLE = "bundle"


TenantName = Annotated[str, typer.Option("--tenant", help="The tenant's slug or IMS organization id.")]
StateDir = Annotated[Path | None, typer.Option(help="Folder of the embedded database and keys.")]


@audit.command("export")
def export_audit(
    tenant: TenantName,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; standard output without.")
    ] = None,
    format: Annotated[ExportFormat, typer.Option(help="Lines of JSON, a table to read, or a bundle.")] = (
        ExportFormat.NDJSON
    ),
    since: Annotated[str | None, typer.Option("--from", help="At this instant or later, ISO 8601.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Before this instant.")] = None,
    state_dir: StateDir = None,
) -> None:
    """Write a tenant's audit down; that it was done is recorded in the audit first."""
    bounds = (_instant(since, "--from"), _instant(until, "--to"))
    if output is None and format is ExportFormat.BUNDLE:
        raise typer.BadParameter("A bundle needs a file.", param_hint="--output")
    with _opened(output) as file:
        count = _run(state_dir, lambda database: _export(database, tenant, format, bounds, file))
    typer.echo(f"{count} events written{f' to {output}' if output else ''}.", err=True)


@audit.command("key")
def show_key(state_dir: StateDir = None) -> None:
    """Print the public key that checkpoints are signed with, for whoever verifies them."""
    key = make_checkpoint_key(AuditSettings(), state_dir or ServerSettings().state_dir)
    typer.echo(key.public_text)


@audit.command("verify")
def verify_audit(
    file: Annotated[Path | None, typer.Argument(help="A bundle, or a file of events; the database without.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="With no FILE: whose chain in the database.")] = None,
    public_key: Annotated[list[str] | None, typer.Option(help="Trust this key; may be given again.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write one JSON object, for machines.")] = False,
    state_dir: StateDir = None,
) -> None:
    """Check that no event was changed, removed, reordered or cut off; say the first that was."""
    if (file is None) == (tenant is None):
        raise typer.BadParameter("Name either a FILE or a --tenant.")
    keys = public_key or []
    try:
        if file is not None:
            with _progress(None) as advance:
                report = verifier.verify_bundle(file, keys, progress=advance)
        else:
            report = _run(state_dir, lambda database: _verify(database, str(tenant), keys))
    except (verifier.Unreadable, OSError, KeyError, UnicodeDecodeError, zipfile.BadZipFile) as problem:
        typer.echo(f"segment-gateway: {file or tenant} cannot be read: {problem}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(json.dumps(verifier.report_document(report), ensure_ascii=False, separators=(",", ":")))
    else:
        for line in verifier.report_lines(report):
            typer.echo(line)
    raise typer.Exit(0 if report.broken is None else 1)


async def _export(
    database: Database,
    name: str,
    format: ExportFormat,
    bounds: tuple[datetime | None, datetime | None],
    file: BinaryIO,
) -> int:
    tenant = await _tenant(database, name)
    await _record(database, tenant.id, format, bounds)
    span = await span_of(database, tenant.id, since=bounds[0], until=bounds[1])
    if span is None:
        raise typer.BadParameter("There are no events in that time.", param_hint="--from/--to")
    evidence = await evidence_of(database, tenant.id, span) if format is ExportFormat.BUNDLE else Evidence()
    writer = _writer(format, file, tenant, span, evidence)
    with _progress(span.count) as advance:
        done = 0
        async for events in events_of(database, tenant.id, span):
            writer.write(events)
            done += len(events)
            advance(done)
    writer.close()
    return done


def _writer(format: ExportFormat, file: BinaryIO, tenant: TenantRow, span: Span, evidence: Evidence) -> Writer:
    match format:
        case ExportFormat.NDJSON:
            return LineWriter(file)
        case ExportFormat.CSV:
            return TableWriter(file)
        case ExportFormat.BUNDLE:
            return BundleWriter(file, tenant.slug, span, evidence)


async def _record(
    database: Database, tenant_id: UUID, format: ExportFormat, bounds: tuple[datetime | None, datetime | None]
) -> None:
    actor = Actor(ActorKind.SYSTEM, _SYSTEM, "segment-gateway audit export", tenant_id)
    operation = Operation(Action.AUDIT_EXPORT, Resource("audit"), actor, Entrance.CLI, "cli")
    since, until = (moment.isoformat() if moment else None for moment in bounds)
    async with database.write(tenant_id) as unit:
        detail = {"format": format.value, "from": since, "to": until}
        await AuditRecorder().record(unit, operation, Phase.RECORDED, detail=detail)


async def _verify(database: Database, name: str, given: list[str]) -> verifier.Report:
    tenant = await _tenant(database, name)
    span = await span_of(database, tenant.id)
    async with database.read(tenant.id) as unit:
        rows = await unit.audit_checkpoints.last_of_each_day()
    checkpoints = [verifier.read_checkpoint(row.note) for row in rows]
    chain = verifier.ChainVerifier(checkpoints)
    if span is not None:
        # From 1, whatever the first event there is: a chain without its beginning is broken.
        chain.expect(1)
        with _progress(span.count) as advance:
            async for events in events_of(database, tenant.id, span):
                for event in events:
                    chain.take(document_of(event))
                advance(chain.report.events)
    keys = [verifier.read_key(key) for key in given or sorted({row.public_key for row in rows})]
    verifier.conclude(chain.report, checkpoints, keys, trusted=bool(given))
    return chain.report


async def _tenant(database: Database, name: str) -> TenantRow:
    async with database.lookup(name) as directory:
        found = await directory.tenant(name)
    if found is None:
        raise typer.BadParameter(f"There is no tenant {name}.", param_hint="--tenant")
    return found


def _run(state_dir: Path | None, work: Callable[[Database], Awaitable[Result]]) -> Result:
    """Do a piece of work on the database that the environment names, or on the embedded one."""
    with database_url(DatabaseSettings(), state_dir or ServerSettings().state_dir) as url:
        return asyncio.run(_with_database(url, work))


async def _with_database(url: str, work: Callable[[Database], Awaitable[Result]]) -> Result:
    database = Database(url, pool_size=2)
    try:
        await database.verify(head_revision())
        return await work(database)
    finally:
        await database.close()


@contextmanager
def _opened(output: Path | None) -> Iterator[BinaryIO]:
    """Open a file that takes its name only when all is written, so that no half export looks like a whole one."""
    if output is None:
        yield sys.stdout.buffer
        return
    unfinished = output.with_name(f".{output.name}.part")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(output)
    except OSError as problem:
        raise typer.BadParameter(f"{output} cannot be written: {problem.strerror}.", param_hint="--output") from problem
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far the work is, on a terminal only."""
    console = Console(stderr=True)
    columns = (TextColumn("events"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task("events", total=total)
        yield lambda done: shown.update(task, completed=done)


def _instant(text: str | None, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is not an instant such as 2026-01-31T08:00:00Z.", param_hint=option) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
