"""The page about testing with the emulator: its example is run as a reader would run it."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from app.pytest_plugin import PROFILES_OPTION, SCENARIO_OPTION, SegmentGatewayEmulator

ISOLATION = """
import httpx
import pytest

DEFINITIONS = "/data/core/ups/segment/definitions"


@pytest.mark.parametrize("turn", [1, 2])
def test_a_name_can_be_used_in_every_test(segment_gateway_emulator, turn):
    aep = segment_gateway_emulator
    body = {
        "name": "Always the same name",
        "schema": {"name": "_xdm.context.profile"},
        "expression": {"type": "PQL", "format": "pql/text", "value": 'person.gender = "female"'},
    }
    assert aep.client.get(DEFINITIONS).json()["segments"] == []
    assert aep.client.post(DEFINITIONS, json=body).status_code == 200
    aep.faults.add("server_error")
    assert aep.client.get(DEFINITIONS).status_code == 503


def test_the_sample_has_the_size_that_the_configuration_names(segment_gateway_emulator):
    status = segment_gateway_emulator.client.get("/data/core/ups/previewsamplestatus").json()
    assert str(status["totalRows"]) == "40"
    assert "secret" not in repr(segment_gateway_emulator).replace("client_secret", "")
"""


def run(folder: Path, text: str, settings: str = "") -> str:
    """Run a test file in a folder of its own, in a process of its own."""
    (folder / "test_example.py").write_text(text)
    (folder / "pytest.ini").write_text(f"[pytest]\n{settings}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(
        [*command, f"--basetemp={folder / 'temporary'}"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_of_the_page_passes(repository_root: Path, tmp_path: Path) -> None:
    page = (repository_root / "docs/testing-with-the-emulator.md").read_text()
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert "3 passed" in run(tmp_path, example)


def test_tests_do_not_see_what_others_have_left(tmp_path: Path) -> None:
    assert "3 passed" in run(tmp_path, ISOLATION, f"{PROFILES_OPTION} = 40")


def test_the_page_tells_every_attribute_and_setting(repository_root: Path) -> None:
    page = (repository_root / "docs/testing-with-the-emulator.md").read_text()
    told = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.+?) \|", page, re.MULTILINE))))
    assert told >= {one.name for one in fields(SegmentGatewayEmulator)}
    assert {PROFILES_OPTION, SCENARIO_OPTION} <= told
