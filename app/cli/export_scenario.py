"""``segment-gateway export-scenario``: what a running emulator holds, as a folder that another one can begin with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import httpx
import typer

from app.cli.progress_bars import Report, bars_on_a_terminal
from app.emulator.scenario_control import TOTAL
from app.errors import InvalidRequest

FILE_NAME = "scenario.json"
_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Lines:
    """A sandbox's profiles on their way: how many there are, and the bytes of their lines."""

    total: int
    chunks: Iterator[bytes]


Get = Callable[[str], AbstractContextManager[Lines]]


def export_scenario(
    output: Annotated[Path, typer.Argument(help="Folder to write to; it is made when it is not there.")],
    url: Annotated[str, typer.Option(help="Address of the running emulator.")] = "http://127.0.0.1:8090",
    records: Annotated[
        bool, typer.Option("--records", help="Write every profile with its events as well, instead of samples.")
    ] = False,
) -> None:
    """Write down what an emulator holds, for another one to begin with."""
    bars = bars_on_a_terminal()
    with httpx.Client(base_url=url, timeout=_TIMEOUT_S) as http:

        @contextmanager
        def get(path: str) -> Iterator[Lines]:
            try:
                with http.stream("GET", path) as answer:
                    answer.raise_for_status()
                    yield Lines(int(answer.headers.get(TOTAL, 0)), answer.iter_bytes())
            except httpx.HTTPError as fault:
                hint = "Start it with 'segment-gateway emulate', or name its address with --url."
                raise InvalidRequest(f"The emulator at {url} does not answer: {fault}", hint=hint) from fault

        try:
            written = write_scenario(output, get, records=records, report=bars or (lambda _what, _share: None))
        finally:
            if bars is not None:
                bars.close()
    typer.echo(f"{written}: begin with it by 'segment-gateway emulate --scenario {written}'")


def write_scenario(folder: Path, get: Get, *, records: bool, report: Report) -> Path:
    """Write the scenario and, when wanted, its files of records; return the path of the scenario.

    ``report`` is told how far each file is. Secrets are not exported: add ``clientSecret`` to a credential to keep one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with get("/emulator/scenario") as whole:
        scenario = json.loads(b"".join(whole.chunks))
    for organization in scenario["organizations"] if records else []:
        for sandbox in organization["sandboxes"]:
            # Both names may have dashes in them, so another mark parts them.
            name = f"{organization['slug']}.{sandbox['name']}.jsonl"
            with get(f"/emulator/scenario/profiles/{organization['slug']}/{sandbox['name']}") as lines:
                _write(folder / name, lines, partial(report, name))
            sandbox |= {"sample": {"profiles": 0}, "profiles": [name]}
    target = folder / FILE_NAME
    target.write_text(json.dumps(scenario, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return target


def _write(path: Path, lines: Lines, report: Callable[[float], None]) -> None:
    written = 0
    with path.open("wb") as file:
        for chunk in lines.chunks:
            file.write(chunk)
            written += chunk.count(b"\n")
            report(min(1.0, written / lines.total) if lines.total else 1.0)
    report(1.0)
