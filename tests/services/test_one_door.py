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
LISTING = "upstream/listing.py"
PROBE = "upstream/probe.py"
# They get the process's client and hand it on to the probe.
HAND_ON = {"tenancy/check.py", "tenancy/credential_rotation.py", "tenancy/doctor.py"}

# Reads that AEP has made POSTs, because their question does not fit into an address.
READS_BY_POST = {
    "bulk_get_audiences",
    "bulk_get_segment_definitions",
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


def users_of(*attributes: str) -> set[str]:
    return {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in attributes
    }


def test_nothing_reaches_past_the_checks_of_the_client() -> None:
    assert users_of("_perform", "_attempt", "_send") == {CLIENT, MUTATIONS}


def test_only_the_upstream_package_speaks_http() -> None:
    found = {name for name, tree in modules() if "httpx" in imported(tree)}
    outside = {name for name in found if not name.startswith("upstream/")}
    assert outside == {"main.py", *HAND_ON}
    for name, tree in modules():
        if name in outside:
            assert not list(spoken(tree)), f"{name} is handed a client to hand it on, not to call anybody"
    # Of the upstream package, besides AEP's client: IMS for tokens, identity providers for people, and the probe.
    speakers = {name for name in users_of("_http") if name.startswith("upstream/")}
    assert speakers == {CLIENT, "upstream/tokens.py", "upstream/openid.py", PROBE}


def spoken(tree: ast.Module) -> Iterator[ast.Call]:
    """Every call of a method of an HTTP client."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if owner.rpartition(".")[2].strip("_") in {"http", "outbound"} and node.func.attr != "aclose":
                yield node


def test_the_probe_only_reads() -> None:
    (tree,) = [tree for name, tree in modules() if name == PROBE]
    asked = {
        (ast.literal_eval(node.args[0]), ast.unparse(node.args[1]))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "self._call"
    }
    assert {method for method, _ in asked} == {"GET", "POST"}
    assert {path for method, path in asked if method == "POST"} == {"paths.ACCESS_CONTROL_POLICIES"}


def calls() -> Iterator[tuple[str, str, str]]:
    """Every description of a call to AEP: (operation, method, safety)."""
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Call":
                assert name.startswith("upstream/"), f"{name} describes a call to AEP; that belongs to app.upstream"
                method = ast.literal_eval(node.args[1])
                given = {one.arg: one.value for one in node.keywords}
                safety = ast.literal_eval(given["safety"]) if "safety" in given else "get"
                if method == "GET" or isinstance(node.args[0], ast.Constant):
                    yield ast.unparse(node.args[0]).strip("'"), method, safety
                    continue
                # A helper that is given the operation: every caller of it gives a name.
                assert name == LISTING, f"{name} describes a call whose operation cannot be read from the code"
                for operation in given_to("bulk_get"):
                    yield operation, method, safety


def given_to(helper: str) -> Iterator[str]:
    """Every operation that a helper of `app.upstream.listing` is called with."""
    for _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == helper:
                yield ast.literal_eval(node.args[2])


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
