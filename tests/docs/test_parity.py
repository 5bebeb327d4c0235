"""The parity ledger says what the tests say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.parity import SOURCES, Claim, ParityError, page


def test_the_committed_ledger_is_what_the_markers_say(repository_root: Path) -> None:
    # In a process of its own: a collection inside a running session would share its modules and its plugins.
    command = [sys.executable, "-m", "tests.parity", "--print"]
    written = subprocess.run(command, cwd=repository_root, capture_output=True, text=True, check=False)
    assert written.returncode == 0, written.stderr
    assert (repository_root / "docs/parity.md").read_text() == written.stdout, "run `make parity`"


def test_the_ledger_does_not_depend_on_the_order_of_the_tests() -> None:
    claims = [Claim("jobs.b", "openapi", "", "t2"), Claim("ims.a", "measured", "aepp", "t1")]
    text = page(claims)
    assert text == page(reversed(claims))
    assert "| a | measured (aepp) | `t1` |" in text
    assert text.index("## ims") < text.index("## jobs")


def test_one_behaviour_cannot_have_two_sources() -> None:
    with pytest.raises(ParityError, match=r"jobs\.a has several sources: t1, t2"):
        page([Claim("jobs.a", "openapi", "", "t1"), Claim("jobs.a", "assumed", "", "t2")])


def test_the_ledger_says_what_each_source_means() -> None:
    text = page([])
    assert all(f"| {source} | 0 | {meaning} |" in text for source, meaning in SOURCES.items())
