"""The command ``segment-gateway``.

`demo` runs everything on one machine, `serve` the gateway, `emulate` the emulator, `migrate` the database;
`export-scenario` writes down what an emulator holds; `sync` reads sandboxes once; `reconcile` finds out what became
of changes without an outcome; `pql` reads rules; `audit` exports and verifies the audit; `tenant` checks tenants' way
to Adobe and changes their credentials; `identity-provider` says who may vouch for people; `permissions` prints who may
do what, `settings` what the environment may say.
"""

from __future__ import annotations

import sys

import typer

from app.cli import demo, emulate, export_scenario, migrate, reconcile, serve, sync
from app.cli.audit import audit
from app.cli.doctor import doctor
from app.cli.identity_provider import identity_provider
from app.cli.keys import keys
from app.cli.pql import pql
from app.cli.tenant import tenant
from app.errors import GatewayError
from app.services.permissions import permissions_table
from app.settings import environment_names

cli = typer.Typer(
    name="segment-gateway",
    help="GraphQL and REST gateway over Adobe Experience Platform segmentation, with an emulator of it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
cli.command("demo")(demo.demo)
cli.command("serve")(serve.serve)
cli.command("emulate")(emulate.emulate)
cli.command("export-scenario")(export_scenario.export_scenario)
cli.command("sync")(sync.sync)
cli.command("migrate")(migrate.migrate)
cli.command("reconcile")(reconcile.reconcile)
cli.add_typer(pql)
cli.add_typer(audit)
cli.add_typer(tenant)
cli.add_typer(keys)
cli.command("doctor")(doctor)
cli.add_typer(identity_provider)


@cli.command("permissions")
def permissions() -> None:
    """Print every call of every entrance and the permissions that it needs, as a Markdown table."""
    typer.echo(permissions_table())


@cli.command("settings")
def settings() -> None:
    """Print every environment variable that is read, and what it is for."""
    for name, description in environment_names().items():
        typer.echo(f"{name}\n    {description}")


def main() -> None:
    """Run the command line; errors that were foreseen are told in words, not as a traceback."""
    try:
        cli()
    except GatewayError as problem:
        typer.echo(f"segment-gateway: {problem.detail}", err=True)
        if problem.hint:
            typer.echo(f"  {problem.hint}", err=True)
        sys.exit(1)
