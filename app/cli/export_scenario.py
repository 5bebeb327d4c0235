"""``segment-gateway export-scenario``: what a running emulator holds, as a folder that another one can begin with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import httpx
import typer

from app.errors import InvalidRequest

FILE_NAME = "scenario.json"
_TIMEOUT_S = 600.0

Get = Callable[[str], bytes]


def export_scenario(
    output: Annotated[Path, typer.Argument(help="Folder to write to; it is made when it is not there.")],
    url: Annotated[str, typer.Option(help="Address of the running emulator.")] = "http://127.0.0.1:8090",
    records: Annotated[
        bool, typer.Option("--records", help="Write every profile with its events as well, instead of samples.")
    ] = False,
) -> None:
    """Write down what an emulator holds, for another one to begin with."""
    with httpx.Client(base_url=url, timeout=_TIMEOUT_S) as http:

        def get(path: str) -> bytes:
            try:
                return http.get(path).raise_for_status().content
            except httpx.HTTPError as fault:
                hint = "Start it with 'segment-gateway emulate', or name its address with --url."
                raise InvalidRequest(f"The emulator at {url} does not answer: {fault}", hint=hint) from fault

        written = write_scenario(output, get, records=records)
    typer.echo(f"{written}: begin with it by 'segment-gateway emulate --scenario {written}'")


def write_scenario(folder: Path, get: Get, *, records: bool) -> Path:
    """Write the scenario and, when wanted, its files of records; return the path of the scenario.

    Secrets are not exported: add ``clientSecret`` to a credential to keep one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scenario = json.loads(get("/emulator/scenario"))
    for organization in scenario["organizations"] if records else []:
        for sandbox in organization["sandboxes"]:
            name = f"{organization['slug']}-{sandbox['name']}.jsonl"
            path = f"/emulator/scenario/profiles/{organization['slug']}/{sandbox['name']}"
            (folder / name).write_bytes(get(path))
            sandbox |= {"sample": {"profiles": 0}, "profiles": [name]}
    target = folder / FILE_NAME
    target.write_text(json.dumps(scenario, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return target
