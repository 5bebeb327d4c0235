"""How long an estimate with a 95% interval takes, from the HTTP call to the first answer and to the last.

    python -m benchmarks.estimate --profiles 1000000

``first`` is the time from ``POST /preview`` until ``GET /estimate`` shows numbers, which come from a hundredth of the
profiles; ``width`` is half the interval, as a share of the estimate. ``1%`` and ``sample`` are the engine's own times
for the first answer and for the whole sample of the vendor's rule, and ``x scan`` compares the first of them with a
bare scan of all rows of the columns. Medians of calls that are made by turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import httpx
import structlog
import uvicorn
import uvloop

from app.emulator import organizations
from app.emulator.app import create_app
from app.emulator.populations import FOLDER
from app.emulator.settings import EmulatorSettings
from app.evaluation import sampling
from app.evaluation.engine import Engine
from benchmarks.measure import AS_OF, Work, arguments, by_turns, checked, console, open_sample, sample_path, say_memory
from benchmarks.shapes import SHAPES, Shape

_POLL_S = 0.002
_UPS = "/data/core/ups"


class StandingClock:
    """The time at which the sample ends, so that windows before now hold events."""

    def now(self) -> datetime:
        return AS_OF


async def main(profiles: int, rounds: int, folder: Path) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    dataset = await open_sample(profiles, folder)
    engine, first = Engine(dataset), sampling.rows_of_steps(profiles)[0]
    own: dict[str, dict[str, float]] = {}
    for shape in SHAPES:
        rule = checked(shape.rule)
        works: dict[str, Work] = {
            "scan": lambda shape=shape: dataset.run(lambda connection: connection.execute(shape.scan).fetchall()),
            "1%": lambda rule=rule: engine.estimate(rule, AS_OF, rows=first),
            "sample": lambda rule=rule: engine.estimate(rule, AS_OF),
        }
        own[shape.name] = await by_turns(works, max(1, rounds // 3))
    await dataset.close()
    console.print(
        f"\n{'rule':32}{'estimate':>12}{'width':>8}{'first ms':>10}{'1% ms':>8}{'sample ms':>11}{'x scan':>8}"
    )
    async with emulator(profiles, folder) as client:
        for shape in SHAPES:
            console.print(await line(client, shape, own[shape.name], rounds))
    say_memory()


async def line(client: httpx.AsyncClient, shape: Shape, own: dict[str, float], rounds: int) -> str:
    seconds = []
    for _ in range(rounds + 1):
        taken, body = await first_answer(client, shape)
        seconds.append(taken)
    interval, size = body["estimatedInterval"], body["estimatedSize"]
    width = (interval["high"] - interval["low"]) / 2 / size if size else 0.0
    median_ms = statistics.median(seconds[1:] or seconds) * 1000
    ratios = f"{own['1%'] * 1000:>8.1f}{own['sample'] * 1000:>11.1f}{own['1%'] / own['scan']:>8.2f}"
    return f"{shape.name:32}{size:>12,}{width:>8.1%}{median_ms:>10.1f}{ratios}"


async def first_answer(client: httpx.AsyncClient, shape: Shape) -> tuple[float, dict]:
    begun = time.perf_counter()
    answer = await client.post(f"{_UPS}/preview", json={"predicateExpression": shape.rule})
    preview = answer.raise_for_status().json()["previewId"]
    while True:
        body = (await client.get(f"{_UPS}/estimate/{preview}")).raise_for_status().json()
        if body["profilesReadSoFar"]:
            break
        if body["state"] == "FAILED":
            raise SystemExit(f"{shape.name}: {body['error']['description']}")
        await asyncio.sleep(_POLL_S)
    taken = time.perf_counter() - begun
    while body["state"] not in {"RESULT_READY", "FAILED"}:
        await asyncio.sleep(0.02)
        body_now = (await client.get(f"{_UPS}/estimate/{preview}")).json()
        body = body | {"state": body_now["state"]}
    return taken, body


@asynccontextmanager
async def emulator(profiles: int, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Serve one sandbox with the sample over a socket of this machine, and yield a client that may call it."""
    with tempfile.TemporaryDirectory(dir=folder) as state:
        luma = organizations.load_or_create(Path(state)).all()[0]
        luma = replace(luma, sandboxes=luma.sandboxes[:1])
        organizations.save(Path(state), [luma])
        sample = Path(state) / FOLDER / f"{luma.slug}.{luma.sandboxes[0].name}.duckdb"
        sample.parent.mkdir()
        os.link(sample_path(folder, profiles), sample)
        app = create_app(EmulatorSettings(state_dir=Path(state), profiles=profiles), clock=StandingClock())
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            try:
                async with httpx.AsyncClient(base_url=address, timeout=120) as client:
                    while not server.started:  # noqa: ASYNC110 - the server has no event for it
                        await asyncio.sleep(0.05)
                    client.headers.update(await headers(client, luma))
                    yield client
            finally:
                server.should_exit = True
                with contextlib.suppress(asyncio.CancelledError):
                    await serving


async def headers(client: httpx.AsyncClient, organization: organizations.Organization) -> dict[str, str]:
    credential = organization.credentials[0]
    form = {
        "grant_type": "client_credentials",
        "client_id": credential.client_id,
        "client_secret": credential.client_secret,
        "scope": "openid,AdobeID",
    }
    token = (await client.post("/ims/token/v3", data=form)).raise_for_status().json()["access_token"]
    return {
        "authorization": f"Bearer {token}",
        "x-api-key": credential.client_id,
        "x-gw-ims-org-id": organization.org_id,
        "x-sandbox-name": organization.sandboxes[0].name,
    }


if __name__ == "__main__":
    options = arguments(__doc__, profiles=200_000, rounds=9).parse_args()
    # As the emulator's own process does it.
    uvloop.run(main(options.profiles, options.rounds, options.folder))
