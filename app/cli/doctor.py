"""``segment-gateway doctor``: is everything that the gateway needs in order?"""

from __future__ import annotations

import asyncio

import httpx
import typer

from app.cli.postgres import database_url
from app.cli.tenant import AsJSON, StateDir, show_findings
from app.main import make_sealer
from app.settings import DatabaseSettings, LogSettings, SecuritySettings, ServerSettings
from app.store.database import Database
from app.store.migrate import head_revision
from app.telemetry import configure_logging
from app.tenancy.doctor import Doctor
from app.upstream.probe import Finding, Verdict


def doctor(as_json: AsJSON = False, state_dir: StateDir = None) -> None:
    """Examine database, isolation, keys, sync, audit, Adobe's hosts, clock and disk; end with 1 when one is ill."""
    configure_logging("ERROR", json=LogSettings().log_json)
    folder = state_dir or ServerSettings().state_dir
    sealer = make_sealer(SecuritySettings(), folder)

    async def examine(url: str) -> list[Finding]:
        database = Database(url, pool_size=2)
        try:
            async with httpx.AsyncClient(follow_redirects=False) as http:
                return await Doctor(database, sealer, http, state_dir=folder, revision=head_revision()).examine()
        finally:
            await database.close()

    with database_url(DatabaseSettings(), folder) as url:
        findings = asyncio.run(examine(url))
    show_findings(findings, as_json=as_json)
    raise typer.Exit(0 if all(one.verdict is Verdict.OK for one in findings) else 1)
