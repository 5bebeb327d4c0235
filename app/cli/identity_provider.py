"""``segment-gateway identity-provider``: whose word on people an organization takes."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar
from uuid import UUID

import httpx
import typer

from app.audit.recorder import AuditRecorder
from app.cli.tenant import StateDir, find_tenant, run_with_database
from app.context import Role
from app.store.database import Database
from app.store.rows import IdentityProviderRow
from app.tenancy.author import Author
from app.tenancy.identity_providers import GroupGrant, IdentityProviders, ProviderDescription
from app.tenancy.sealing import Sealer

Result = TypeVar("Result")
TenantName = Annotated[str, typer.Option("--tenant", help="The tenant's slug or IMS organization id.")]

identity_provider = typer.Typer(
    name="identity-provider", help="OpenID providers at which people of an organization sign in.", no_args_is_help=True
)


@identity_provider.command("trust")
def trust(
    tenant: TenantName,
    issuer: Annotated[str, typer.Option(help="The issuer, spelled as the provider spells it.")],
    label: Annotated[str, typer.Option(help="What people read on the log-in page.")] = "Single sign-on",
    client_id: Annotated[str | None, typer.Option(help="Client of the log-in by browser; none without.")] = None,
    client_secret_file: Annotated[
        Path | None, typer.Option(help="File with the client's secret, - for standard input; none for a public client.")
    ] = None,
    audience: Annotated[list[str] | None, typer.Option(help="Audience that tokens may have; may be repeated.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="Scope that the log-in asks for; may be repeated.")] = None,
    groups_claim: Annotated[str, typer.Option(help="Claim with the person's groups; dots lead inwards.")] = "groups",
    group: Annotated[
        list[str] | None, typer.Option(help="What a group grants: 'GROUP=PRODUCT PROFILE:user' or ':developer'.")
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Trust a provider, or change how it is trusted: what is given here replaces what was given before."""
    wanted = ProviderDescription(
        issuer=issuer,
        label=label,
        audiences=audience or (),
        client_id=client_id,
        client_secret=_secret(client_secret_file),
        groups_claim=groups_claim,
        scopes=scope or ("openid", "email", "profile"),
        grants=[_grant(one) for one in group or ()],
    )

    async def work(providers: IdentityProviders, tenant_id: UUID) -> None:
        await providers.trust(tenant_id, wanted)

    _run(state_dir, tenant, "trust", work)
    typer.echo(f"{tenant} takes the word of {issuer} on people.")


@identity_provider.command("list")
def list_trusted(tenant: TenantName, state_dir: StateDir = None) -> None:
    """List the providers that the tenant trusts."""

    async def work(providers: IdentityProviders, tenant_id: UUID) -> list[IdentityProviderRow]:
        return await providers.list(tenant_id)

    for row in _run(state_dir, tenant, "list", work):
        typer.echo(f"{row.issuer}  {row.label}  client {row.client_id or '-'}  audiences {', '.join(row.audiences)}")


@identity_provider.command("withdraw")
def withdraw(
    tenant: TenantName,
    issuer: Annotated[str, typer.Option(help="The issuer, as 'identity-provider list' names it.")],
    state_dir: StateDir = None,
) -> None:
    """Trust a provider no more, and end the sessions of the people whom it vouched for."""

    async def work(providers: IdentityProviders, tenant_id: UUID) -> int:
        return await providers.withdraw(tenant_id, issuer)

    ended = _run(state_dir, tenant, "withdraw", work)
    typer.echo(f"{tenant} takes the word of {issuer} no more; sessions ended: {ended}.")


def _run(
    state_dir: Path | None, tenant: str, command: str, work: Callable[[IdentityProviders, UUID], Awaitable[Result]]
) -> Result:
    async def with_providers(database: Database, sealer: Sealer, _http: httpx.AsyncClient) -> Result:
        row = await find_tenant(database, tenant)
        author = Author.command(f"segment-gateway identity-provider {command}")
        return await work(IdentityProviders(database, sealer, AuditRecorder(), author), row.id)

    return run_with_database(state_dir, with_providers)


def _secret(file: Path | None) -> str | None:
    # Never an option of its own: what is on a command line can be read by every user of the machine.
    if file is None:
        return None
    return (sys.stdin.read() if str(file) == "-" else file.read_text()).strip() or None


def _grant(text: str) -> GroupGrant:
    group, _, part = text.partition("=")
    profile, _, role = part.rpartition(":")
    if not group or not profile or role not in {one.value for one in Role}:
        raise typer.BadParameter(f"{text!r} is not of the form 'GROUP=PRODUCT PROFILE:user'.", param_hint="--group")
    return GroupGrant(group, profile, Role(role))
