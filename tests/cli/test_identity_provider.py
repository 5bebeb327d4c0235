"""The commands ``segment-gateway identity-provider`` and ``tenant allow-origins`` over a real database."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from app.audit.recorder import AuditRecorder
from app.cli.identity_provider import _grant
from app.context import Role
from app.context.permissions import Permission
from app.errors import InvalidRequest
from app.store.database import Database
from app.tenancy.author import Author
from app.tenancy.identity_providers import GroupGrant, IdentityProviders, ProviderDescription, provider_owner
from app.tenancy.sealing import Sealer, keys_of_file
from tests.factories import SEALER, make_tenant

ISSUER = "https://login.luma.example"


async def run(database_url: str, state: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"DATABASE_URL": database_url, "SEGMENT_GATEWAY_STATE_DIR": str(state)}
    command = [sys.executable, "-m", "app.cli", *arguments]
    return await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, check=False, input=given, text=True
    )


async def test_an_operator_enters_lists_and_withdraws_trust(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    luma = await make_tenant(database)
    await luma.administration.create_product_profile(luma.id, "Authors: all", [Permission.MANAGE_SEGMENTS])
    command = ["identity-provider", "trust", "--tenant", "luma", "--issuer", ISSUER, "--client-id", "gateway"]
    grant = ["--group", "a=Authors: all:developer", "--client-secret-file", "-"]
    done = await run(database_url, tmp_path, *command, *grant, given="very secret\n")
    assert (done.returncode, "takes the word" in done.stdout) == (0, True), done.stderr
    async with database.read(luma.id) as unit:
        row = await unit.identity_providers.by_issuer(ISSUER)
        events = await unit.audit_events.chain()
    assert row is not None
    assert (row.client_id, row.audiences) == ("gateway", ["gateway"])
    sealer = Sealer(*keys_of_file(tmp_path / "master.key"))
    assert sealer.open(row.sealed_client_secret or b"", owner=provider_owner(luma.id)) == "very secret"
    assert events[-1].action == "tenant:identity_provider:trust"
    assert events[-1].detail["groups"] == [{"group": "a", "productProfile": "Authors: all", "role": "developer"}]
    assert "very secret" not in str(events[-1].detail)
    listed = await run(database_url, tmp_path, "identity-provider", "list", "--tenant", "luma")
    assert ISSUER in listed.stdout
    gone = await run(database_url, tmp_path, "identity-provider", "withdraw", "--tenant", "luma", "--issuer", ISSUER)
    assert gone.returncode == 0


async def test_what_cannot_be_trusted_is_refused_and_changes_nothing(database: Database) -> None:
    luma = await make_tenant(database)
    providers = IdentityProviders(database, SEALER, AuditRecorder(), Author.command("test"))
    wrong = [
        ProviderDescription("http://login.luma.example", "Staff", audiences=["gateway"]),
        ProviderDescription(ISSUER, "Staff"),
        ProviderDescription(ISSUER, "Staff", ["gateway"], grants=[GroupGrant("a", "Nobody", Role.USER)]),
    ]
    for one in wrong:
        with pytest.raises(InvalidRequest):
            await providers.trust(luma.id, one)
    assert await providers.list(luma.id) == []
    with pytest.raises(typer.BadParameter):
        _grant("a=Authors:king")


async def test_an_operator_lists_the_origins_of_pages(database: Database, database_url: str, tmp_path: Path) -> None:
    luma = await make_tenant(database)
    done = await run(database_url, tmp_path, "tenant", "allow-origins", "luma", "https://tools.luma.example")
    assert done.returncode == 0, done.stderr
    async with database.read(luma.id) as unit:
        assert (await unit.tenancy.tenant()).allowed_origins == ["https://tools.luma.example"]
