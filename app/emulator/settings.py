"""What the emulator is started with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.emulator.scenario import ScenarioFile


@dataclass(frozen=True, slots=True)
class EmulatorSettings:
    """Where the emulator keeps its state, where it listens, and how slow it plays.

    ``profiles`` is the size of the sample in a production sandbox; a development sandbox gets a tenth. The two
    ``..._step_s`` are pauses between the states of asynchronous work, so that clients see them pass; the real
    service takes 10 to 15 s for an estimate. ``scheduler_poll_s`` is how often due schedules are looked for,
    ``stream_tick_s`` how often streaming windows are, when no record comes.
    ``scenario`` is what the emulator begins with, instead of its two demo organizations. ``faults_by_header`` lets a
    call ask for its own fault with ``x-emulator-fault``.
    """

    state_dir: Path
    host: str = "127.0.0.1"
    port: int = 8090
    profiles: int = 100_000
    token_lifetime_s: int = 86_399
    estimate_step_s: float = 0.02
    job_step_s: float = 0.05
    scheduler_poll_s: float = 1.0
    max_body_bytes: int = 1_048_576
    max_unfinished_jobs: int = 20
    concurrent_evaluations: int = 2
    shutdown_timeout_s: float = 5.0
    stream_tick_s: float = 0.2
    faults_by_header: bool = False
    scenario: ScenarioFile | None = None
