"""The demo as a newcomer meets it: from nothing to ready, the lesson, a stop, a quick second start."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from app.store.embedded import EmbeddedPostgres

PROFILES = 2_000
# Counted without the compiler: plain SQL on the emulator's own tables.
COUNT = "SELECT count(*) FROM profiles WHERE loyalty_level IN ('gold', 'platinum')"


@contextlib.contextmanager
def demo(state_dir: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    """Run the demo while the block lasts and yield what its ready file says."""
    ready_file = state_dir / "ready.json"
    command = [sys.executable, "-m", "app.cli", "demo", "--port", "0", "--state-dir", str(state_dir)]
    log = (state_dir.parent / "demo.log").open("ab")
    process = subprocess.Popen(
        [*command, "--profiles", str(PROFILES), "--ready-file", str(ready_file), *arguments],
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while not ready_file.exists():
            assert process.poll() is None, (state_dir.parent / "demo.log").read_text()
            assert time.monotonic() < deadline, (state_dir.parent / "demo.log").read_text()
            time.sleep(0.05)
        yield json.loads(ready_file.read_text())
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        log.close()
    assert process.returncode == 0, (state_dir.parent / "demo.log").read_text()
    assert not _processes_that_mention(state_dir)


def _processes_that_mention(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(folder) in command:
                    found.append(command)
    return found


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo") / "state"
    folder.mkdir()
    yield folder
    shutil.rmtree(EmbeddedPostgres(folder).data_dir.parent, ignore_errors=True)


def test_the_demo_starts_teaches_stops_and_starts_again(state_dir: Path, repository_root: Path) -> None:
    with demo(state_dir, "--lesson", str(repository_root / "docs/lesson.md")) as ready:
        assert [tenant["namespace"] for tenant in ready["tenants"]] == ["_wwfovlab011", "_solsticeretail"]
        assert state_dir.joinpath("ready.json").stat().st_mode & 0o777 == 0o600
        sizes = {tenant["slug"]: _estimate(ready, tenant) for tenant in ready["tenants"]}
        names = {tenant["slug"]: _names(ready, tenant) for tenant in ready["tenants"]}
    for found in names.values():
        assert found == ["Checked out today", "Luma : Gold or Above", "Luma Bronze Customer"]
    for slug, size in sizes.items():
        assert size == _count_by_hand(state_dir, slug)
    started = time.monotonic()
    with demo(state_dir) as again:
        assert time.monotonic() - started < 30
        assert again["tenants"] == ready["tenants"]
        assert {tenant["slug"]: _names(again, tenant) for tenant in again["tenants"]} == names


def _graphql(ready: dict[str, Any], tenant: dict[str, Any], query: str, **variables: Any) -> dict[str, Any]:
    key = next(one["access_key"] for one in tenant["people"] if one["email"].startswith("author@"))
    reply = httpx.post(
        f"{ready['gateway_url']}/graphql",
        json={"query": query, "variables": variables},
        headers={"authorization": f"Bearer {key}"},
    )
    return dict(reply.json()["data"])


def _names(ready: dict[str, Any], tenant: dict[str, Any]) -> list[str]:
    query = "{ segmentDefinitions(orderBy: {field: NAME}) { nodes { name } } }"
    return [one["name"] for one in _graphql(ready, tenant, query)["segmentDefinitions"]["nodes"]]


def _estimate(ready: dict[str, Any], tenant: dict[str, Any]) -> int:
    rule = f'{tenant["namespace"]}.loyalty.level in ["gold", "platinum"]'
    start = "mutation ($r: String!) { estimateSegment(input: {expression: $r}) { estimate { previewId } } }"
    preview = _graphql(ready, tenant, start, r=rule)["estimateSegment"]["estimate"]["previewId"]
    query = "query ($id: String!) { estimate(previewId: $id) { state estimatedSize } }"
    for _ in range(400):
        estimate = _graphql(ready, tenant, query, id=preview)["estimate"]
        if estimate["state"] == "RESULT_READY":
            return int(estimate["estimatedSize"])
        time.sleep(0.05)
    raise AssertionError("the estimate never became ready")


def _count_by_hand(state_dir: Path, slug: str) -> int:
    (path,) = (state_dir / "emulator").rglob(f"{slug}.prod.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        row = connection.execute(COUNT).fetchone()
    assert row is not None
    return int(row[0])
