"""Secrets at rest."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from app.store.database import Database
from app.tenancy.credentials import CredentialVault, credential_owner
from app.tenancy.sealing import Sealer, SealError, keys_of_file, read_master_keys
from tests.factories import SEALER, make_tenant

OLD, NEW = b"o" * 32, b"n" * 32


def test_a_sealed_secret_opens_for_its_owner_only() -> None:
    sealed = SEALER.seal("s3cret", owner="tenant:a")
    assert b"s3cret" not in sealed
    assert SEALER.open(sealed, owner="tenant:a") == "s3cret"
    with pytest.raises(SealError, match="belongs to another owner"):
        SEALER.open(sealed, owner="tenant:b")


def test_an_altered_secret_does_not_open() -> None:
    sealed = bytearray(SEALER.seal("s3cret", owner="tenant:a"))
    sealed[-1] ^= 1
    with pytest.raises(SealError, match="altered"):
        SEALER.open(bytes(sealed), owner="tenant:a")


def test_after_rotation_old_secrets_open_and_new_ones_need_the_new_key() -> None:
    sealed_before = Sealer(OLD).seal("s3cret", owner="x")
    rotated = Sealer(NEW, OLD)
    assert rotated.open(sealed_before, owner="x") == "s3cret"
    with pytest.raises(SealError, match="another master key"):
        Sealer(OLD).open(rotated.seal("s3cret", owner="x"), owner="x")


def test_the_key_file_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "master.key"
    [key] = keys_of_file(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert keys_of_file(path) == [key]


@pytest.mark.parametrize("text", ["not base64!", base64.b64encode(b"short").decode()])
def test_a_bad_master_key_is_refused(text: str) -> None:
    with pytest.raises(SealError):
        Sealer(*read_master_keys(text))


async def test_a_tenants_credential_is_stored_sealed_and_never_printed(database: Database) -> None:
    luma = await make_tenant(database)
    async with database.read(luma.id) as unit:
        [row] = await unit.tenancy.usable_credentials()
    assert b"luma-secret" not in row.sealed_secret
    connection = await CredentialVault(database, SEALER).connection(luma.id)
    assert connection.client_secret == "luma-secret"
    assert "luma-secret" not in repr(connection)


async def test_a_credential_copied_to_another_tenant_does_not_open(database: Database) -> None:
    luma, other = await make_tenant(database, "luma"), await make_tenant(database, "other")
    async with database.read(luma.id) as unit:
        [stolen] = await unit.tenancy.usable_credentials()
    async with database.write(other.id) as unit:
        [row] = await unit.tenancy.usable_credentials()
        row.sealed_secret = stolen.sealed_secret
    with pytest.raises(SealError, match=credential_owner(other.id)):
        await CredentialVault(database, SEALER).connection(other.id)
