"""Master keys and signing keys change while everything goes on."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from app.audit.recorder import AuditRecorder
from app.auth.clients import ClientTokens
from app.auth.signing import PUBLISHED_FIRST_S, SigningKeys
from app.context.permissions import Permission
from app.errors import Unauthenticated
from app.store.database import Database
from app.store.sealed_values import COLUMNS
from app.tenancy.author import Author
from app.tenancy.credentials import CredentialVault
from app.tenancy.key_rotation import OWNERS, KeyRotation
from app.tenancy.sealing import Sealer, SealError, keys_of_file
from app.tenancy.upstream_tokens import SharedTokens
from app.upstream.tokens import SharedToken
from tests.factories import make_tenant

OLD, NEW = bytes(range(32)), b"n" * 32  # the first is that of tests.factories
AUTHOR = Author.command("test")


def test_every_sealed_column_has_an_owner() -> None:
    assert {column.name for column in COLUMNS} == set(OWNERS)


async def test_everything_is_sealed_anew_and_the_old_key_is_not_needed_any_more(database: Database) -> None:
    tenants = [await make_tenant(database, slug) for slug in ("luma", "other")]
    before = Sealer(OLD)
    await SigningKeys.load(database, before)
    connection = await CredentialVault(database, before).connection(tenants[0].id)
    lease = uuid4()
    shared = SharedTokens(database, before)
    assert await shared.lease(connection, lease, 10)
    await shared.keep(connection, SharedToken("adobe-token", lease, 60, 90))

    both = Sealer(NEW, OLD)
    rotation = KeyRotation(database, both, AuditRecorder(), batch=1)
    assert await rotation.numbers() == {before.current_id: 4}
    assert await rotation.reseal(AUTHOR) == 4
    assert await rotation.numbers() == {both.current_id: 4}
    assert await rotation.reseal(AUTHOR) == 0, "a second run finds nothing to do"

    after = Sealer(NEW)
    for tenant in tenants:
        assert (await CredentialVault(database, after).connection(tenant.id)).client_secret.endswith("-secret")
    found = await SharedTokens(database, after).get(connection)
    assert found is not None
    assert found.token == "adobe-token"
    await SigningKeys.load(database, after)
    with pytest.raises(SealError):
        await CredentialVault(database, before).connection(tenants[0].id)


async def test_a_run_that_was_broken_off_is_gone_on_with(database: Database) -> None:
    first, second = [await make_tenant(database, slug) for slug in ("a", "b")]
    async with database.write(second.id) as unit:
        [row] = await unit.tenancy.usable_credentials()
        row.sealed_secret = Sealer(b"x" * 32).seal("lost", owner="nobody")
    both = Sealer(NEW, OLD)
    with pytest.raises(SealError):
        await KeyRotation(database, both, AuditRecorder()).reseal(AUTHOR)
    assert (await CredentialVault(database, Sealer(NEW)).connection(first.id)).client_secret == "a-secret"
    async with database.write(second.id) as unit:
        [row] = await unit.tenancy.usable_credentials()
        row.sealed_secret = Sealer(OLD).seal("found", owner=f"tenant:{second.id}")
    assert await KeyRotation(database, both, AuditRecorder()).reseal(AUTHOR) == 1


async def test_a_running_process_learns_of_a_new_key_and_the_command_drops_the_old_one(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "master.key"
    running = Sealer(*keys_of_file(file), reload=lambda: keys_of_file(file))
    luma = await make_tenant(database)
    async with database.write(luma.id) as unit:
        [row] = await unit.tenancy.usable_credentials()
        row.sealed_secret = running.seal("adobe-secret", owner=f"tenant:{luma.id}")
    old = running.current_id.hex()

    async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"DATABASE_URL": database_url, "SEGMENT_GATEWAY_STATE_DIR": str(tmp_path)}
        command = [sys.executable, "-m", "app.cli", "keys", *arguments]
        return await asyncio.to_thread(
            subprocess.run, command, env=environment, capture_output=True, text=True, check=False
        )

    assert "values are sealed" in (await run("drop", old)).stderr
    rotated = await run("rotate", "--new-key")
    assert rotated.returncode == 0, rotated.stderr
    assert (await CredentialVault(database, running).connection(luma.id)).client_secret == "adobe-secret"
    assert running.current_id.hex() != old, "the running process seals under the new key from now on"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await run("drop", old)).returncode == 0
    listed = json.loads((await run("list", "--json")).stdout)
    assert [(one["id"], one["state"]) for one in listed["master"]] == [(running.current_id.hex(), "seals")]
    assert [one["state"] for one in listed["signing"]] == ["signs"]


async def test_old_signing_keys_verify_until_their_tokens_have_ended(database: Database) -> None:
    luma, sealer, now = await make_tenant(database), Sealer(OLD), datetime.now(UTC)

    def clock() -> datetime:
        return now

    profile = await luma.administration.create_product_profile(luma.id, "Authors", [Permission.MANAGE_SEGMENTS])
    issued = await luma.administration.issue_integration(luma.id, "Loader", profile, ["openid"])
    keys = await SigningKeys.load(database, sealer, lifetime_s=600, clock=clock)
    clients = ClientTokens(database, keys, lifetime_s=600, clock=clock)
    first = keys.current.kid
    made = await keys.rotate()
    assert keys.current.kid == first, "a new key is published before it signs"
    assert {one["kid"] for one in (await clients.public_keys())["keys"]} == {first, made}
    now += timedelta(seconds=PUBLISHED_FIRST_S - 5)
    last = (await clients.issue(issued.client_id, issued.client_secret)).access_token
    now += timedelta(seconds=10)
    assert keys.current.kid == made
    await clients.actor(last)

    other = await SigningKeys.load(database, sealer, lifetime_s=600, clock=clock)
    await ClientTokens(database, other, lifetime_s=600, clock=clock).actor(last)
    now += timedelta(seconds=900)
    later = await SigningKeys.load(database, sealer, lifetime_s=600, clock=clock)
    assert [one["kid"] for one in later.public()["keys"]] == [made], (
        "nothing that the first key signed is good any more"
    )


async def test_a_stolen_signing_key_ends_at_once_with_all_its_tokens(database: Database) -> None:
    luma, sealer = await make_tenant(database), Sealer(OLD)
    profile = await luma.administration.create_product_profile(luma.id, "Authors", [Permission.MANAGE_SEGMENTS])
    issued = await luma.administration.issue_integration(luma.id, "Loader", profile, ["openid"])
    keys = await SigningKeys.load(database, sealer)
    clients = ClientTokens(database, keys, lifetime_s=600)
    token = (await clients.issue(issued.client_id, issued.client_secret)).access_token
    made = await keys.rotate(at_once=True)
    assert keys.current.kid == made
    with pytest.raises(Unauthenticated):
        await clients.actor(token)
