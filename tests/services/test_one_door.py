"""Proved from the code: nothing changes anything at AEP but the write door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import app

ROOT = Path(app.__file__).parent
# The stand-in for AEP is no part of the gateway, and neither are the programs that play its clients.
OUTSIDE = ("emulator", "evaluation", "pql", "cli", "pytest_plugin.py")
DOOR = "services/door.py"
MUTATIONS = "upstream/mutations.py"
CLIENT = "upstream/client.py"

# Reads that AEP has made POSTs, because their question does not fit into an address.
READS_BY_POST = {
    "bulk_get_merge_policies",
    "bulk_get_segment_jobs",
    "convert_segment_definition",
    "map_schedule_audiences",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(OUTSIDE):
            yield name, ast.parse(path.read_text(), name)


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield str(node.module)


def test_only_the_door_imports_the_sending_of_changes() -> None:
    found = {name for name, tree in modules() if "app.upstream.mutations" in imported(tree)}
    assert found == {DOOR}


def test_nothing_reaches_past_the_checks_of_the_client() -> None:
    found = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"_perform", "_attempt", "_send", "_http"}
    }
    assert found - {"upstream/tokens.py"} == {CLIENT, MUTATIONS}


def test_only_the_upstream_package_speaks_http() -> None:
    found = {name for name, tree in modules() if "httpx" in imported(tree)}
    # The composition root makes the client and hands it on.
    assert {name for name in found if not name.startswith("upstream/")} == {"main.py"}


def calls() -> Iterator[tuple[str, str, str]]:
    """Every description of a call to AEP: (operation, method, safety)."""
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Call":
                assert name.startswith("upstream/"), f"{name} describes a call to AEP; that belongs to app.upstream"
                operation, method = ast.unparse(node.args[0]).strip("'"), ast.literal_eval(node.args[1])
                given = {one.arg: one.value for one in node.keywords}
                yield operation, method, ast.literal_eval(given["safety"]) if "safety" in given else "get"


@pytest.mark.parametrize(("operation", "method", "safety"), sorted(calls()))
def test_every_call_that_is_no_read_is_sent_once_and_so_through_the_door(
    operation: str, method: str, safety: str
) -> None:
    if safety == "once":
        assert method != "GET"
    elif safety == "repeatable":
        assert operation in READS_BY_POST
    else:
        assert method == "GET"
