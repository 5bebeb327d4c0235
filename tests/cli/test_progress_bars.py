"""Bars of long work: on a terminal, one for each piece, gone when all are done."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from app.cli.progress_bars import ProgressBars, bars_on_a_terminal


def test_each_piece_of_work_has_a_bar_until_all_are_done() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    bars = ProgressBars(console)
    bars("luma/prod", 0.25)
    bars("luma/dev", 0.5)
    bars("luma/prod", 1.0)
    bars("luma/dev", 1.0)
    shown = console.file.getvalue()
    assert "luma/prod" in shown
    assert "luma/dev" in shown
    assert "100%" in shown
    bars("solstice/prod", 0.5)  # later work has bars of its own
    bars.close()
    bars.close()
    assert "solstice/prod" in console.file.getvalue()


def test_there_are_none_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert bars_on_a_terminal() is None
