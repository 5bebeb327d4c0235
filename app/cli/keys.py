"""``segment-gateway keys``: the master keys that seal secrets, and the keys that sign integrations' tokens."""

from __future__ import annotations

import json
from typing import Annotated

import httpx
import typer

from app.audit.recorder import AuditRecorder
from app.auth.signing import SigningKeys
from app.cli.tenant import AsJSON, StateDir, run_with_database
from app.settings import SecuritySettings, ServerSettings
from app.store.database import Database
from app.tenancy.author import Author
from app.tenancy.key_rotation import KeyRotation
from app.tenancy.sealing import Sealer, SealError, add_key_to_file, drop_key_from_file

keys = typer.Typer(name="keys", help="List and rotate master keys and signing keys.", no_args_is_help=True)


@keys.command("list")
def list_keys(as_json: AsJSON = False, state_dir: StateDir = None) -> None:
    """List the master keys by id with the number of values that each seals, and the signing keys."""

    async def work(database: Database, sealer: Sealer, _http: httpx.AsyncClient) -> dict[str, list[dict[str, object]]]:
        numbers = await KeyRotation(database, sealer, AuditRecorder()).numbers()
        signing = await SigningKeys.load(database, sealer)
        ids = dict.fromkeys((*sealer.key_ids, *numbers))
        master: list[dict[str, object]] = [
            {"id": one.hex(), "state": _state(one, sealer), "values": numbers.get(one, 0)} for one in ids
        ]
        current = signing.current.kid
        return {
            "master": master,
            "signing": [
                {"id": one["kid"], "state": "signs" if one["kid"] == current else "verifies"}
                for one in signing.public()["keys"]
            ],
        }

    found = run_with_database(state_dir, work)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for one in found["master"]:
        typer.echo(f"master   {one['id']:<44} {one['state']:<8} {one['values']} values")
    for one in found["signing"]:
        typer.echo(f"signing  {one['id']:<44} {one['state']}")


@keys.command("rotate")
def rotate(
    new_key: Annotated[bool, typer.Option("--new-key", help="Make a new master key in the key file first.")] = False,
    signing: Annotated[bool, typer.Option("--signing", help="Make a new signing key instead.")] = False,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="With --signing: remove all other keys, so that all tokens end now.")
    ] = False,
    state_dir: StateDir = None,
) -> None:
    """Seal all secrets anew under the first master key; may be broken off and run again, beside the gateway."""
    if at_once and not signing:
        raise typer.BadParameter("--at-once goes with --signing.")
    if new_key:
        _require_key_file()
        add_key_to_file((state_dir or ServerSettings().state_dir) / "master.key")

    async def work(database: Database, sealer: Sealer, _http: httpx.AsyncClient) -> str:
        if signing:
            lifetime_s = SecuritySettings().access_token_lifetime_s
            made = await (await SigningKeys.load(database, sealer, lifetime_s=lifetime_s)).rotate(at_once=at_once)
            return f"{made} is the newest signing key."
        author = Author.command("segment-gateway keys rotate")
        done = await KeyRotation(database, sealer, AuditRecorder()).reseal(author)
        return f"{done} values sealed anew; all are under {sealer.current_id.hex()} now."

    typer.echo(run_with_database(state_dir, work))


@keys.command("drop")
def drop(
    key_id: Annotated[str, typer.Argument(help="Its id, as 'keys list' shows it.")], state_dir: StateDir = None
) -> None:
    """Take an old master key out of the key file; refused while a value is sealed under it."""
    _require_key_file()
    try:
        wanted = bytes.fromhex(key_id)
    except ValueError:
        raise typer.BadParameter(f"{key_id} is no key id.") from None

    async def work(database: Database, sealer: Sealer, _http: httpx.AsyncClient) -> None:
        if number := (await KeyRotation(database, sealer, AuditRecorder()).numbers()).get(wanted, 0):
            raise SealError(
                f"{number} values are sealed under {key_id}.", hint="Run 'segment-gateway keys rotate' first."
            )

    run_with_database(state_dir, work)
    drop_key_from_file((state_dir or ServerSettings().state_dir) / "master.key", wanted)
    typer.echo(f"{key_id} is no master key any more.")


def _state(key_id: bytes, sealer: Sealer) -> str:
    if key_id == sealer.current_id:
        return "seals"
    return "opens" if key_id in sealer.key_ids else "MISSING"


def _require_key_file() -> None:
    if SecuritySettings().master_key is not None:
        raise typer.BadParameter("The master keys stand in the environment: change them there.")
