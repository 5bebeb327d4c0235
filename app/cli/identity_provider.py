"""``segment-gateway identity-provider``: whose word on people an organization takes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from app.audit.recorder import AuditRecorder
from app.cli.postgres import database_url
from app.context import Role
from app.errors import NotFound
from app.main import make_sealer
from app.settings import DatabaseSettings, SecuritySettings, ServerSettings
from app.store.database import Database
from app.store.migrate import head_revision
from app.tenancy.identity_providers import GroupGrant, IdentityProviders, ProviderDescription

identity_provider = typer.Typer(
    name="identity-provider", help="OpenID providers at which people of an organization sign in.", no_args_is_help=True
)


@identity_provider.callback()
def _group() -> None:
    """Keep ``trust`` a command of its own although it is the only one."""


@identity_provider.command("trust")
def trust(
    tenant: Annotated[str, typer.Option("--tenant", help="The tenant's slug or IMS organization id.")],
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
    state_dir: Annotated[Path | None, typer.Option(help="Folder of the embedded database and keys.")] = None,
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
    folder = state_dir or ServerSettings().state_dir
    with database_url(DatabaseSettings(), folder) as url:
        asyncio.run(_trust(url, folder, tenant, wanted))
    typer.echo(f"{tenant} takes the word of {issuer} on people.")


async def _trust(url: str, folder: Path, name: str, wanted: ProviderDescription) -> None:
    database = Database(url)
    try:
        await database.verify(head_revision())
        async with database.lookup(name) as directory:
            row = await directory.tenant(name)
        if row is None:
            raise NotFound(f"There is no tenant {name!r}.", hint="Name its slug or its IMS organization id.")
        providers = IdentityProviders(
            database, make_sealer(SecuritySettings(), folder), AuditRecorder(), actor_name="command line"
        )
        await providers.trust(row.id, wanted)
    finally:
        await database.close()


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
