"""``segment-gateway emulate``: the emulator alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.progress_bars import bars_on_a_terminal
from app.emulator.serve import run
from app.settings import LogSettings
from app.telemetry import configure_logging


def emulate(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8090,
    state_dir: Annotated[Path, typer.Option(help="Folder for its state and samples.")] = Path(".state/emulator"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    profiles: Annotated[int, typer.Option(min=100, help="Profiles in the sample of a production sandbox.")] = 100_000,
    scenario: Annotated[
        Path | None, typer.Option(help="Scenario file to begin with, instead of the demo's organizations.")
    ] = None,
    faults_by_header: Annotated[
        bool, typer.Option("--faults-by-header", help="Let calls ask for a fault with x-emulator-fault.")
    ] = False,
) -> None:
    """Play Adobe Experience Platform's segmentation and IMS on this machine."""
    log = LogSettings()
    configure_logging(log.log_level, json=log.log_json)
    bars = bars_on_a_terminal()
    try:
        run(port, state_dir, profiles, host=host, faults_by_header=faults_by_header, scenario=scenario, progress=bars)
    finally:
        if bars is not None:
            bars.close()
