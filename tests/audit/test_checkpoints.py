"""Checkpoints and proofs, against a real database."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audit import verifier
from app.audit.actions import Action, Phase
from app.audit.checkpoints import BadSigningKey, CheckpointKey, CheckpointWriter
from app.audit.export import document_of, span_of
from app.audit.proofs import consistency, evidence_of, inclusion, root_of
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.context.permissions import Permission
from app.errors import Conflict, Forbidden, NotFound
from app.services.audit import AuditService
from app.store.database import Database
from tests.factories import MadeTenant, make_tenant

KEY = CheckpointKey(bytes(range(32)))


@pytest.fixture
async def luma(database: Database) -> MadeTenant:
    return await make_tenant(database)


@pytest.fixture
def writer(database: Database) -> CheckpointWriter:
    return CheckpointWriter(database, KEY, interval_s=3600)


async def record(database: Database, luma: MadeTenant, count: int) -> None:
    async with database.write(luma.id) as unit:
        for _ in range(count):
            about = Resource("segment_definition", name="Gold")
            operation = Operation.of(luma.context(), Action.SEGMENT_DEFINITION_CREATE, about)
            await AuditRecorder().record(unit, operation, Phase.INTENT)


def leaves(count: int) -> list[bytes]:
    return [verifier.leaf_hash(hashlib.sha256(str(number).encode()).hexdigest()) for number in range(count)]


def test_the_tree_is_the_one_of_rfc_6962() -> None:
    # The standard's own test inputs, as hashes of events: their leaves are over these bytes.
    inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    tree = verifier.Frontier()
    assert tree.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for one in inputs:
        tree.append(one)
    assert tree.root().hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@given(st.integers(1, 70), st.data())
def test_proofs_hold_for_what_they_prove_and_for_nothing_else(size: int, data: st.DataObject) -> None:
    all_leaves = leaves(size)
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(size)]
    root = root_of(all_leaves, 0, size)
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    path = inclusion(all_leaves, index, 0, size)
    assert verifier.includes(hashes[index], index, size, path, root)
    assert not verifier.includes(hashes[index], index, size, [*path, root], root)
    assert not verifier.includes("ff" * 32, index, size, path, root)
    if size > 1:
        assert not verifier.includes(hashes[index], (index + 1) % size, size, path, root)
    steps, old_root = consistency(all_leaves, old, 0, size), root_of(all_leaves, 0, old)
    assert verifier.consistent(old, old_root, size, root, steps)
    assert not verifier.consistent(old, bytes(32), size, root, steps)
    assert not verifier.consistent(old, old_root, size, bytes(32), steps)
    assert not verifier.consistent(old, old_root, size, root, [*steps, root])
    tree = verifier.Frontier()
    for one in hashes:
        tree.append(one)
    assert tree.root() == root


async def test_a_checkpoint_is_signed_and_goes_on_from_the_last_one(
    database: Database, luma: MadeTenant, writer: CheckpointWriter
) -> None:
    for count in (3, 5, 8):
        await record(database, luma, count)
        await writer.write_all()
    assert await writer.write(luma.id) is None  # nothing is new
    async with database.read(luma.id) as unit:
        events = [document_of(row) for row in await unit.audit_events.chain()]
        newest = await unit.audit_checkpoints.newest()
        notes = [row.note for row in await unit.audit_checkpoints.last_of_each_day()]
    assert newest is not None
    key = verifier.read_key(KEY.public_text)
    assert verifier.is_signed(newest.note, [key])
    assert not verifier.is_signed(newest.note.replace(f"\n{newest.size}\n", "\n1\n"), [key])
    assert not verifier.is_signed(newest.note, [verifier.read_key(CheckpointKey(bytes(32)).public_text)])
    checkpoint = verifier.read_checkpoint(newest.note)
    assert checkpoint.origin == f"segment-gateway/audit/{luma.id}"
    report = verifier.verify_chain(events, [checkpoint])
    assert (report.broken, report.covered) == (None, len(events))
    assert newest.note in notes


async def test_a_chain_made_anew_or_cut_off_is_found_by_a_checkpoint(
    database: Database, luma: MadeTenant, writer: CheckpointWriter
) -> None:
    await record(database, luma, 5)
    row = await writer.write(luma.id)
    assert row is not None
    checkpoints = [verifier.read_checkpoint(row.note)]
    async with database.read(luma.id) as unit:
        events = [document_of(one) for one in await unit.audit_events.chain()]
    cut = verifier.verify_chain(events[:-1], checkpoints)
    assert cut.broken is None
    verifier.check_end(cut, checkpoints, is_extract=False)
    assert cut.broken is not None
    assert (cut.broken.kind, cut.broken.sequence) == ("cut", len(events))
    events[2]["actor"] = {"kind": "person", "id": None, "name": "nobody"}
    previous = verifier.GENESIS
    for event in events:
        event.pop("hash")
        event["previousHash"] = previous
        event["hash"] = previous = verifier.event_hash(event)
    assert verifier.verify_chain(events).broken is None
    anew = verifier.verify_chain(events, checkpoints).broken
    assert anew is not None
    assert anew.kind == "rewritten"


async def test_two_processes_write_one_checkpoint(database: Database, luma: MadeTenant) -> None:
    await record(database, luma, 50)
    writers = [CheckpointWriter(database, KEY, interval_s=3600) for _ in range(4)]
    made = await asyncio.gather(*(writer.write(luma.id) for writer in writers))
    assert len([one for one in made if one is not None]) == 1


@pytest.mark.parametrize("statement", ["UPDATE audit_checkpoints SET size = 1", "DELETE FROM audit_checkpoints"])
async def test_the_database_refuses_to_change_checkpoints_even_for_the_owner(
    database: Database, luma: MadeTenant, writer: CheckpointWriter, owner_url: str, database_url: str, statement: str
) -> None:
    await writer.write(luma.id)
    for url, error in ((owner_url, "append-only"), (database_url, "permission denied")):
        connection = await asyncpg.connect(url)
        try:
            with pytest.raises(asyncpg.PostgresError, match=error):
                await connection.execute(statement)
        finally:
            await connection.close()


async def test_checkpoints_of_another_organization_are_not_seen(
    database: Database, luma: MadeTenant, writer: CheckpointWriter
) -> None:
    other = await make_tenant(database, "solstice")
    await writer.write(luma.id)
    async with database.read(other.id) as unit:
        assert await unit.audit_checkpoints.newest() is None


async def test_nothing_is_signed_over_a_chain_with_a_gap(
    database: Database, luma: MadeTenant, writer: CheckpointWriter, owner_url: str
) -> None:
    await record(database, luma, 5)
    owner = await asyncpg.connect(owner_url)
    await owner.execute("ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only")
    await owner.execute("DELETE FROM audit_events WHERE sequence = 3")
    await owner.close()
    assert await writer.write(luma.id) is None


async def test_an_event_is_proved_to_those_who_may_see_it(
    database: Database, luma: MadeTenant, writer: CheckpointWriter
) -> None:
    service, auditor = AuditService(database), luma.context(Permission.VIEW_USER_ACTIVITY_LOG)
    async with database.read(luma.id) as unit:
        event = (await unit.audit_events.chain(limit=1))[0]
    with pytest.raises(Conflict):
        await service.proof(auditor, str(event.id))
    older = await writer.write(luma.id)
    await record(database, luma, 6)
    await writer.write(luma.id)
    assert older is not None
    proof = await service.proof(auditor, str(event.id), consistent_from=older.size)
    root = bytes.fromhex(proof.checkpoint.root)
    path = [bytes.fromhex(node) for node in proof.inclusion]
    assert verifier.includes(event.hash, 0, proof.checkpoint.size, path, root)
    steps = [bytes.fromhex(node) for node in proof.consistency or ()]
    assert verifier.consistent(older.size, bytes.fromhex(older.root), proof.checkpoint.size, root, steps)
    with pytest.raises(Forbidden):
        await service.proof(luma.context(), str(event.id))
    other = await make_tenant(database, "solstice")
    for ctx, name in ((other.context(Permission.VIEW_USER_ACTIVITY_LOG), str(event.id)), (auditor, "no-id")):
        with pytest.raises(NotFound):
            await service.proof(ctx, name)
    with pytest.raises(NotFound):
        await service.proof(auditor, str(event.id), consistent_from=2**40)


async def test_the_evidence_of_an_extract_ties_it_to_the_newest_checkpoint(
    database: Database, luma: MadeTenant, writer: CheckpointWriter
) -> None:
    await record(database, luma, 4)
    await writer.write(luma.id)
    whole = await span_of(database, luma.id)
    await record(database, luma, 9)
    await writer.write(luma.id)
    assert whole is not None
    evidence = await evidence_of(database, luma.id, type(whole)(2, whole.last - 1, complete=False))
    assert len(evidence.notes) == 2
    assert evidence.proofs["inclusion"][0]["sequence"] == whole.last - 1
    assert evidence.proofs["consistency"][0]["from"] == whole.last


def test_the_key_is_kept_in_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    file = tmp_path / "state" / "audit-signing.key"
    made = CheckpointKey.of_file(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert CheckpointKey.of_file(file).public_text == made.public_text
    for bad in ("not base64!", "YQ=="):
        with pytest.raises(BadSigningKey):
            CheckpointKey.read(bad)
