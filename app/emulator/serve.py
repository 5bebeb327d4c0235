"""Running the emulator as a process of its own."""

from __future__ import annotations

import socket
from pathlib import Path

import structlog
import uvicorn

from app.emulator.app import create_app
from app.emulator.populations import Progress
from app.emulator.scenario import read_scenario
from app.emulator.settings import EmulatorSettings
from app.errors import GatewayError

log = structlog.get_logger(__name__)


def run(
    port: int = 8090,
    state_dir: Path = Path(".state/emulator"),
    profiles: int = 100_000,
    *,
    host: str = "127.0.0.1",
    faults_by_header: bool = False,
    scenario: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Serve the emulator until it is told to stop (SIGINT, SIGTERM); calls under way are finished first.

    ``port`` 0 takes a free one. ``scenario`` names a scenario file to begin with. ``progress`` is told how far samples
    and scenarios are; without it that goes to the log. Logging must be configured by the caller. Raises GatewayError
    when the scenario or the state cannot be used.
    """
    settings = EmulatorSettings(
        state_dir=state_dir,
        host=host,
        port=port,
        profiles=profiles,
        faults_by_header=faults_by_header,
        scenario=None if scenario is None else read_scenario(scenario),
    )
    server = make_server(settings, progress)
    app = server.config.app
    with _listen(host, port) as listener:
        log.info("emulator.listening", host=host, port=listener.getsockname()[1])
        try:
            server.run(sockets=[listener])
        except SystemExit:
            # The server has only said that it did not start; what stood in its way is said by our caller.
            fault = getattr(getattr(app, "state", None), "start_fault", None)
            if isinstance(fault, GatewayError):
                raise fault from None
            raise


def make_server(settings: EmulatorSettings, progress: Progress | None = None) -> uvicorn.Server:
    """Return a server for the settings, to be run by :func:`run` or inside another event loop (``serve()``)."""
    config = uvicorn.Config(
        create_app(settings, progress=progress),
        host=settings.host,
        port=settings.port,
        # Our own log has one line for each request, without its query string.
        access_log=False,
        log_config=None,
        lifespan="on",
        timeout_graceful_shutdown=max(1, round(settings.shutdown_timeout_s)),
    )
    return uvicorn.Server(config)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, connections get TCP_NODELAY from every event loop; without, answers wait for a timer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener
