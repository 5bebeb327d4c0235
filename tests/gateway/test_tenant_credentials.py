"""A tenant's way to Adobe, against the emulator: the check of each step, and the change of credentials."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.audit.recorder import AuditRecorder
from app.errors import Conflict, InvalidRequest, NotFound
from app.tenancy.author import Author
from app.tenancy.check import check_tenant
from app.tenancy.credential_rotation import (
    REMOVED,
    CredentialNotWorking,
    CredentialRotation,
    CredentialState,
    NewCredential,
)
from app.tenancy.credentials import credential_owner
from app.upstream.probe import Verdict
from tests.gateway.conftest import Stack

AUTHOR = Author.command("test")
READ = "/data/core/ups/config/mergePolicies"


class Luma:
    """Luma's credentials, as an administrator handles them."""

    def __init__(self, stack: Stack, http: httpx.AsyncClient) -> None:
        self.stack = stack
        self.http = http
        self.database, self.sealer = stack.gateway.database, stack.gateway.sealer
        self.id = UUID(json.loads((stack.state_dir / "demo.json").read_text())["luma"]["id"])
        self.rotation = CredentialRotation(self.database, self.sealer, AuditRecorder(), http)
        known = json.loads((stack.state_dir / "emulator" / "organizations.json").read_text())
        first, second = known[0]["credentials"]
        self.first, self.second = (NewCredential(one["client_id"], one["client_secret"]) for one in (first, second))

    async def states(self) -> list[tuple[str, str]]:
        return [(one.client_id, one.state) for one in await self.rotation.states(self.id)]

    async def credential(self, client_id: str) -> CredentialState:
        return next(one for one in await self.rotation.states(self.id) if one.client_id == client_id)

    async def spoil_current(self) -> None:
        """Let Adobe refuse the current credential from now on, as if somebody had changed its secret there."""
        async with self.database.write(self.id) as unit:
            row = (await unit.tenancy.usable_credentials())[0]
            row.sealed_secret = self.sealer.seal("changed at Adobe", owner=credential_owner(self.id))
            await unit.upstream_tokens.forget(row.id)

    async def steps(self) -> dict[str, Any]:
        return {one.step: one for one in await check_tenant(self.database, self.sealer, self.http, self.id)}

    async def actions(self) -> list[str]:
        query = "{ auditEvents(first: 50) { nodes { action } } }"
        found = await self.stack.graphql(query, account="admin")
        return [node["action"] for node in found["data"]["auditEvents"]["nodes"]]


@pytest.fixture
async def luma(stack: Stack):
    async with httpx.AsyncClient() as http:
        yield Luma(stack, http)


async def test_a_credential_that_does_not_work_changes_nothing(luma: Luma) -> None:
    before = await luma.states()
    with pytest.raises(CredentialNotWorking, match="token: Adobe IMS refused .*invalid_client") as caught:
        await luma.rotation.rotate(luma.id, NewCredential(luma.second.client_id, "wrong-secret"), AUTHOR)
    assert "rotate-credential" in (caught.value.hint or "")
    assert "wrong-secret" not in repr(caught.value) + str(caught.value.hint)
    over = datetime.now(UTC) - timedelta(seconds=1)
    with pytest.raises(InvalidRequest):
        await luma.rotation.rotate(luma.id, luma.second, AUTHOR, usable_until=over)
    assert await luma.states() == before


async def test_two_credentials_overlap_until_the_old_one_is_retired(luma: Luma) -> None:
    findings = await luma.rotation.rotate(luma.id, luma.second, AUTHOR)
    assert [one.step for one in findings] == ["token", "entitlement", "sandbox prod"]
    first, second = luma.first.client_id, luma.second.client_id
    assert await luma.states() == [(second, "current"), (first, "standby")]
    assert (await luma.stack.facade("GET", READ)).status_code == 200

    with pytest.raises(Conflict):
        await luma.rotation.retire(luma.id, (await luma.credential(second)).id, AUTHOR)
    with pytest.raises(NotFound):
        await luma.rotation.retire(luma.id, UUID(int=5), AUTHOR)
    old = await luma.credential(first)
    await luma.rotation.retire(luma.id, old.id, AUTHOR)
    assert await luma.states() == [(second, "current"), (first, "retired")]
    async with luma.database.read(luma.id) as unit:
        [row] = [one for one in await unit.tenancy.credentials() if one.id == old.id]
    assert row.sealed_secret == REMOVED
    assert (await luma.stack.facade("GET", READ)).status_code == 200
    actions = await luma.actions()
    assert [actions.count(f"tenant:credential:{verb}") for verb in ("rotate", "retire")] == [1, 1]


async def test_the_standby_takes_over_while_ims_refuses_the_current_one(luma: Luma) -> None:
    # The sync must not fetch a token with the new credential before it is spoiled.
    async with luma.stack.sync_held():
        await luma.rotation.rotate(luma.id, luma.second, AUTHOR, usable_until=datetime.now(UTC) + timedelta(hours=1))
        await luma.spoil_current()
        assert (await luma.stack.facade("GET", READ)).status_code == 200
        metrics = (await luma.stack.http.get("/metrics")).text
        [line] = [one for one in metrics.splitlines() if one.startswith("gateway_upstream_credential_fallbacks_total")]
        assert float(line.split()[-1]) >= 1
        # Once the time of the old one is over, it is of no help any more.
        async with luma.database.write(luma.id) as unit:
            standby = (await unit.tenancy.usable_credentials())[1]
            standby.retired_at = datetime.now(UTC) - timedelta(seconds=1)
        assert (await luma.stack.facade("GET", READ)).status_code == 503


async def test_a_third_credential_ends_the_first(luma: Luma) -> None:
    await luma.rotation.rotate(luma.id, luma.second, AUTHOR)
    await luma.rotation.rotate(luma.id, luma.first, AUTHOR)
    assert [state for _, state in await luma.states()] == ["current", "standby", "retired"]


async def test_the_check_finds_nothing_wrong_with_a_tenant_in_order(luma: Luma) -> None:
    steps = await luma.steps()
    assert {one.verdict for one in steps.values()} == {Verdict.OK}
    hosts = [f"{what} {host}" for host in ("IMS", "platform") for what in ("DNS of", "connection to")]
    assert list(steps)[:8] == ["credential", *hosts, "token", "entitlement", "sandbox prod"]
    assert steps["permission Manage Segments"].detail == "delete, read, write"
    assert all(one.seconds > 0 for name, one in steps.items() if name != "credential")


async def test_the_check_names_each_missing_permission_and_its_cure(luma: Luma) -> None:
    await luma.rotation.rotate(luma.id, luma.second, AUTHOR)
    steps = await luma.steps()
    held = {name for name, one in steps.items() if name.startswith("permission") and one.verdict is Verdict.OK}
    wanted = ("View Segments", "View Merge Policies", "Manage Merge Policies")
    assert held == {f"permission {name}" for name in wanted}
    missing = steps["permission Evaluate a Segment to an Audience"]
    assert missing.verdict is Verdict.FAILED
    assert "add “Evaluate a Segment to an Audience” in sandbox prod" in missing.cure


async def test_the_check_tells_a_bad_secret_from_a_bad_host_and_a_foreign_organization(luma: Luma) -> None:
    await luma.spoil_current()
    steps = await luma.steps()
    assert steps["token"].verdict is Verdict.FAILED
    assert luma.first.client_id in steps["token"].cure
    assert steps["entitlement"].verdict is Verdict.SKIPPED
    assert steps["permission View Segments"].verdict is Verdict.SKIPPED

    async with luma.database.write(luma.id) as unit:
        row = await unit.tenancy.tenant()
        row.ims_org_id, row.ims_url = "0000000000000000000000AA@AdobeOrg", "http://nowhere.invalid"
        credential = (await unit.tenancy.usable_credentials())[0]
        owner = credential_owner(luma.id)
        credential.sealed_secret = luma.sealer.seal(luma.first.client_secret, owner=owner)
    steps = await luma.steps()
    assert steps["DNS of IMS"].verdict is Verdict.FAILED
    assert steps["connection to platform"].verdict is Verdict.OK

    async with luma.database.write(luma.id) as unit:
        (await unit.tenancy.tenant()).ims_url = luma.stack.emulator.url
    entitlement = (await luma.steps())["entitlement"]
    assert entitlement.verdict is Verdict.FAILED
    assert "belongs to another organization" in entitlement.cure


async def test_the_command_checks_rotates_and_lists_without_a_secret(luma: Luma, database_url: str) -> None:
    async def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        state = {"DATABASE_URL": database_url, "SEGMENT_GATEWAY_STATE_DIR": str(luma.stack.state_dir)}
        command = [sys.executable, "-m", "app.cli", "tenant", *arguments]
        return await asyncio.to_thread(
            subprocess.run, command, env=os.environ | state, input=given, capture_output=True, text=True, check=False
        )

    rotated = await run(
        "rotate-credential", "luma", "--client-id", luma.second.client_id, given=luma.second.client_secret + "\n"
    )
    assert rotated.returncode == 0, rotated.stderr
    checked = await run("check", "luma", "--json")
    assert checked.returncode == 1, "the second credential may do little"
    report = json.loads(checked.stdout)
    assert report["works"] is False
    assert {step["result"] for step in report["steps"]} == {"ok", "failed"}
    listed = await run("credentials", "luma", "--json")
    assert [one["state"] for one in json.loads(listed.stdout)] == ["current", "standby"]
    said = "".join(one.stdout + one.stderr for one in (rotated, checked, listed))
    assert luma.first.client_secret not in said
    assert luma.second.client_secret not in said
    assert (await run("check", "nobody")).returncode == 2
