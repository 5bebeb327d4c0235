"""``segment-gateway tenant``: the tenants' way to Adobe: is it in order, and with which credential is it made.

Secrets are read from standard input or asked for, never taken from the command line, where other users of the machine
could read them. Exit codes of ``check``: 0 all steps are well, 1 one failed, 2 the command was used wrongly.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar
from uuid import UUID

import httpx
import typer

from app.audit.recorder import AuditRecorder
from app.cli.postgres import database_url
from app.main import make_sealer
from app.settings import DatabaseSettings, LogSettings, SecuritySettings, ServerSettings
from app.store.database import Database
from app.store.migrate import head_revision
from app.store.rows import TenantRow
from app.telemetry import configure_logging
from app.tenancy.author import Author
from app.tenancy.check import check_tenant
from app.tenancy.credential_rotation import CredentialRotation, NewCredential
from app.tenancy.origins import allow_origins
from app.tenancy.sealing import Sealer
from app.upstream.probe import Finding, Verdict

tenant = typer.Typer(
    name="tenant",
    help="Check a tenant's way to Adobe, and change its credential.",
    no_args_is_help=True,
    epilog="Exit codes of check: 0 all steps are well, 1 one failed, 2 wrong use.",
)

Result = TypeVar("Result")
Slug = Annotated[str, typer.Argument(help="The tenant's slug or IMS organization id.")]
StateDir = Annotated[Path | None, typer.Option(help="Folder of the embedded database and keys.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Write JSON, for machines.")]

_MARKS = {Verdict.OK: "ok", Verdict.FAILED: "FAILED", Verdict.SKIPPED: "-"}


@tenant.command("check")
def check(slug: Slug, as_json: AsJSON = False, state_dir: StateDir = None) -> None:
    """Try everything that calls to Adobe need, step by step, and say how to cure what fails."""

    async def work(database: Database, sealer: Sealer, http: httpx.AsyncClient) -> list[Finding]:
        row = await find_tenant(database, slug)
        return await check_tenant(database, sealer, http, row.id)

    findings = run_with_database(state_dir, work)
    show_findings(findings, as_json=as_json)
    raise typer.Exit(0 if all(one.verdict is Verdict.OK for one in findings) else 1)


@tenant.command("credentials")
def credentials(slug: Slug, as_json: AsJSON = False, state_dir: StateDir = None) -> None:
    """List the tenant's credentials at Adobe I/O, without their secrets."""

    async def work(database: Database, sealer: Sealer, http: httpx.AsyncClient) -> list[dict[str, object]]:
        row = await find_tenant(database, slug)
        states = await CredentialRotation(database, sealer, AuditRecorder(), http).states(row.id)
        return [
            {
                "id": str(one.id),
                "client_id": one.client_id,
                "state": one.state,
                "scopes": list(one.scopes),
                "created_at": one.created_at.isoformat(),
                "retired_at": one.retired_at.isoformat() if one.retired_at else None,
            }
            for one in states
        ]

    found = run_with_database(state_dir, work)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for one in found:
        until = f"  until {one['retired_at']}" if one["retired_at"] else ""
        typer.echo(f"{one['id']}  {one['state']:<8} {one['client_id']}{until}")


@tenant.command("rotate-credential")
def rotate_credential(
    slug: Slug,
    client_id: Annotated[str, typer.Option(help="Client id of the new credential.")],
    scope: Annotated[list[str] | None, typer.Option(help="Scope; may be given again. As before without.")] = None,
    keep_old_for_h: Annotated[
        float | None, typer.Option(min=0, help="Hours for which the old one may still be used; until retired without.")
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Try a new credential and use it from now on; its secret is read from standard input or asked for."""
    secret = read_secret("Client secret")
    new = NewCredential(client_id, secret, tuple(scope or ()))
    until = None if keep_old_for_h is None else datetime.now(UTC) + timedelta(hours=keep_old_for_h)

    async def work(database: Database, sealer: Sealer, http: httpx.AsyncClient) -> list[Finding]:
        row = await find_tenant(database, slug)
        rotation = CredentialRotation(database, sealer, AuditRecorder(), http)
        author = Author.command("segment-gateway tenant rotate-credential")
        return await rotation.rotate(row.id, new, author, usable_until=until)

    show_findings(run_with_database(state_dir, work), as_json=False)
    typer.echo(f"{client_id} is the current credential now; the one before stands by.")


@tenant.command("retire-credential")
def retire_credential(
    slug: Slug,
    credential_id: Annotated[UUID, typer.Argument(help="Its id, as 'tenant credentials' lists it.")],
    state_dir: StateDir = None,
) -> None:
    """End the use of a credential and remove its secret."""

    async def work(database: Database, sealer: Sealer, http: httpx.AsyncClient) -> None:
        row = await find_tenant(database, slug)
        author = Author.command("segment-gateway tenant retire-credential")
        await CredentialRotation(database, sealer, AuditRecorder(), http).retire(row.id, credential_id, author)

    run_with_database(state_dir, work)
    typer.echo("The credential is retired and its secret is removed.")


@tenant.command("allow-origins")
def allow_origins_of(
    slug: Slug,
    origins: Annotated[
        list[str] | None, typer.Argument(help="Such as https://tools.luma.example; none without.")
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Let web pages of these origins, and of no others, call the gateway for the tenant."""

    async def work(database: Database, _sealer: Sealer, _http: httpx.AsyncClient) -> list[str]:
        row = await find_tenant(database, slug)
        author = Author.command("segment-gateway tenant allow-origins")
        return await allow_origins(database, AuditRecorder(), row.id, origins or [], author)

    allowed = run_with_database(state_dir, work)
    typer.echo(f"Pages of {', '.join(allowed) or 'no other origin'} may call.")


def read_secret(prompt: str) -> str:
    """Read a secret from standard input, or ask for it on a terminal without showing it."""
    secret = typer.prompt(prompt, hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    if not str(secret).strip():
        raise typer.BadParameter("There is no secret on standard input.")
    return str(secret).strip()


def show_findings(findings: list[Finding], *, as_json: bool) -> None:
    """Print what steps found: a line each and its cure below, or JSON."""
    if as_json:
        works = all(one.verdict is Verdict.OK for one in findings)
        typer.echo(json.dumps({"works": works, "steps": [one.document() for one in findings]}, indent=2))
        return
    for one in findings:
        typer.echo(f"{_MARKS[one.verdict]:<7} {one.seconds * 1000:6.0f} ms  {one.step}: {one.detail}")
        if one.cure:
            typer.echo(f"{'':19}{one.cure}")


async def find_tenant(database: Database, name: str) -> TenantRow:
    """Return a tenant by slug or IMS organization id; a usage error when there is none."""
    async with database.lookup(name) as directory:
        found = await directory.tenant(name)
    if found is None:
        raise typer.BadParameter(f"There is no tenant {name}.")
    return found


def run_with_database(
    state_dir: Path | None, work: Callable[[Database, Sealer, httpx.AsyncClient], Awaitable[Result]]
) -> Result:
    """Do a piece of work on the database that the environment names, or on the embedded one."""
    configure_logging("ERROR", json=LogSettings().log_json)
    folder = state_dir or ServerSettings().state_dir
    sealer = make_sealer(SecuritySettings(), folder)
    with database_url(DatabaseSettings(), folder) as url:
        return asyncio.run(_with_database(url, sealer, work))


async def _with_database(
    url: str, sealer: Sealer, work: Callable[[Database, Sealer, httpx.AsyncClient], Awaitable[Result]]
) -> Result:
    database = Database(url, pool_size=2)
    try:
        await database.verify(head_revision())
        async with httpx.AsyncClient(follow_redirects=False) as http:
            return await work(database, sealer, http)
    finally:
        await database.close()
