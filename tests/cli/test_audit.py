"""The command ``segment-gateway audit`` over a real database."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from app.audit.actions import Action, Phase
from app.audit.checkpoints import CheckpointKey, CheckpointWriter
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.store.database import Database
from tests.factories import MadeTenant, make_tenant


@pytest.fixture
async def luma(database: Database) -> MadeTenant:
    made = await make_tenant(database)
    moments = iter(datetime(2026, 3, day, tzinfo=UTC) for day in range(1, 11))
    recorder = AuditRecorder(lambda: next(moments))
    for number in range(10):
        async with database.write(made.id) as unit:
            name = f"=cmd() é 𝄞 {number}"
            about = Resource("segment_definition", f"id-{number}", name)
            operation = Operation.of(made.context(), Action.SEGMENT_DEFINITION_CREATE, about)
            await recorder.record(unit, operation, Phase.INTENT, detail={"share": number / 4, "𝄞\ue000": [name, None]})
    return made


async def run(database_url: str, state: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"DATABASE_URL": database_url, "SEGMENT_GATEWAY_STATE_DIR": str(state)}
    command = [sys.executable, "-m", "app.cli", "audit", *arguments]
    return await asyncio.to_thread(subprocess.run, command, env=environment, capture_output=True, check=False)


async def alone(folder: Path, file: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the verifier of an unpacked bundle with nothing but the standard library."""
    command = [sys.executable, "-I", "-S", str(folder / "verifier.py"), str(file), *arguments]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)


async def test_an_export_verifies_and_is_itself_in_the_audit(
    luma: MadeTenant, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "audit.ndjson"
    done = await run(database_url, tmp_path, "export", "--tenant", "luma", "-o", str(file))
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert (events[-1]["action"], events[-1]["actor"]["kind"]) == ("tenant:audit:export", "system")
    done = await run(database_url, tmp_path, "verify", str(file), "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["events"]) == (0, True, len(events))
    assert {one for one in os.listdir(tmp_path) if one.startswith(".")} == set()  # noqa: PTH208


async def test_an_extract_begins_where_it_is_told_and_verifies(
    luma: MadeTenant, database_url: str, tmp_path: Path
) -> None:
    times = ("--from", "2026-03-03T00:00:00Z", "--to", "2026-03-06T00:00:00Z")
    done = await run(database_url, tmp_path, "export", "--tenant", "luma", *times)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["resource"]["id"] for line in done.stdout.splitlines()] == ["id-2", "id-3", "id-4"]
    file = tmp_path / "extract.ndjson"
    file.write_bytes(done.stdout)
    done = await run(database_url, tmp_path, "verify", str(file))
    assert done.returncode == 0
    assert b"what came before is not in it" in done.stdout


async def test_a_table_can_be_read_and_holds_no_formulas(luma: MadeTenant, database_url: str, tmp_path: Path) -> None:
    times = ("--from", "2026-03-01", "--to", "2026-04-01")
    done = await run(database_url, tmp_path, "export", "--tenant", "luma", "--format", "csv", *times)
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert rows[0]["resourceName"] == "'=cmd() é 𝄞 0"
    assert json.loads(rows[1]["detail"])["share"] == 0.25


async def test_a_bundle_holds_all_that_is_needed_to_check_it_elsewhere(
    luma: MadeTenant, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "audit.zip"
    done = await run(database_url, tmp_path, "export", "--tenant", "luma", "--format", "bundle", "-o", str(file))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "unpacked"
    zipfile.ZipFile(file).extractall(folder)
    assert {one.name for one in folder.iterdir()} >= {"README.txt", "events.ndjson", "manifest.json", "verifier.py"}
    for given in (file, folder):
        assert (await alone(folder, given)).returncode == 0
    events = (folder / "events.ndjson").read_bytes().splitlines(keepends=True)
    (folder / "events.ndjson").write_bytes(b"".join(events[:-1]))
    done = await alone(folder, folder)
    assert done.returncode == 1
    assert done.stdout.startswith(b"BROKEN (cut)")


async def test_the_chain_in_the_database_is_checked_and_a_change_is_found(
    luma: MadeTenant, database_url: str, owner_url: str, tmp_path: Path
) -> None:
    done = await run(database_url, tmp_path, "verify", "--tenant", "luma")
    assert done.returncode == 0, done.stderr
    owner = await asyncpg.connect(owner_url)
    try:
        # What an administrator of the database can do when he takes the guard away.
        await owner.execute("ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only")
        await owner.execute("UPDATE audit_events SET actor_name = 'nobody' WHERE resource_id = 'id-4'")
        done = await run(database_url, tmp_path, "verify", "--tenant", "luma", "--json")
        assert (done.returncode, json.loads(done.stdout)["broken"]["kind"]) == (1, "changed")
        await owner.execute("DELETE FROM audit_events WHERE sequence = 1")
        done = await run(database_url, tmp_path, "verify", "--tenant", "luma", "--json")
        broken = json.loads(done.stdout)["broken"]
        assert (broken["kind"], broken["sequence"]) == ("missing", 1)
    finally:
        await owner.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify"], b"Name either"),
        (["verify", "--tenant", "nobody"], b"There is no tenant nobody"),
        (["verify", "/nowhere/at/all"], b"cannot be read"),
        (["export", "--tenant", "luma", "--format", "bundle"], b"A bundle needs a file"),
        (["export", "--tenant", "luma", "--from", "yesterday"], b"is not an instant"),
        (["export", "--tenant", "luma", "-o", "/nowhere/at/all"], b"cannot be written"),
    ],
)
async def test_wrong_use_is_said_and_ends_with_two(
    luma: MadeTenant, database_url: str, tmp_path: Path, arguments: list[str], said: bytes
) -> None:
    done = await run(database_url, tmp_path, *arguments)
    assert done.returncode == 2
    assert said in b" ".join(done.stderr.replace("│".encode(), b" ").split())
    assert b"Traceback" not in done.stderr


async def test_a_bundle_is_proved_by_the_key_that_the_gateway_names(
    luma: MadeTenant, database: Database, database_url: str, owner_url: str, tmp_path: Path
) -> None:
    key = (await run(database_url, tmp_path, "key")).stdout.decode().strip()
    signer = CheckpointKey.of_file(tmp_path / "audit-signing.key")
    assert key == signer.public_text
    file, extract = tmp_path / "audit.zip", tmp_path / "extract.zip"
    await CheckpointWriter(database, signer, interval_s=3600).write_all()
    done = await run(database_url, tmp_path, "export", "--tenant", "luma", "--format", "bundle", "-o", str(file))
    assert done.returncode == 0, done.stderr
    times = ("--from", "2026-03-03", "--to", "2026-03-06", "--format", "bundle", "-o", str(extract))
    assert (await run(database_url, tmp_path, "export", "--tenant", "luma", *times)).returncode == 0
    zipfile.ZipFile(file).extractall(tmp_path / "unpacked")
    for bundle, covered in ((file, 12), (extract, 7)):
        done = await alone(tmp_path / "unpacked", bundle, "--json", "--public-key", key)
        report = json.loads(done.stdout)
        assert (report["broken"], report["checkpoints"], report["covered"]) == (None, 1, covered)
        other = CheckpointKey(bytes(32)).public_text
        done = await alone(tmp_path / "unpacked", bundle, "--json", "--public-key", other)
        assert (done.returncode, json.loads(done.stdout)["broken"]["kind"]) == (1, "checkpoint")
    owner = await asyncpg.connect(owner_url)
    await owner.execute("ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only")
    await owner.execute("DELETE FROM audit_events WHERE sequence > 9")
    await owner.close()
    done = await run(database_url, tmp_path, "verify", "--tenant", "luma", "--json", "--public-key", key)
    broken = json.loads(done.stdout)["broken"]
    assert (done.returncode, broken["kind"], broken["sequence"]) == (1, "cut", 10)
