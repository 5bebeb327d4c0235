"""Documents say what the code says."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

import app
from app.audit.actions import Action
from app.cli.lesson import steps_of
from app.graphql.schema import sdl
from app.services.permissions import REQUIRED
from app.settings import environment_names, unknown_names


def test_every_setting_is_in_the_readme(repository_root: Path) -> None:
    table = dict(
        re.findall(r"^\| `((?:SEGMENT_GATEWAY_|DATABASE_)\w+)` \| (.+) \|$", _read(repository_root), re.MULTILINE)
    )
    assert set(table) == set(environment_names())


def test_an_unknown_setting_is_noticed() -> None:
    assert unknown_names({"SEGMENT_GATEWAY_PROT": "1", "SEGMENT_GATEWAY_PORT": "1", "HOME": "/"}) == [
        "SEGMENT_GATEWAY_PROT"
    ]


def test_the_map_and_the_architecture_name_every_package(repository_root: Path) -> None:
    folder = repository_root / "app"
    packages = {path.name for path in folder.iterdir() if (path / "__init__.py").exists()}
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    mapped = set(re.findall(r"^ *(\w+) {2,}", app.__doc__ or "", re.MULTILINE))
    assert mapped == packages | modules
    table = set(re.findall(r"^\| `(\w+)` \|", (repository_root / "docs/architecture.md").read_text(), re.MULTILINE))
    assert packages <= table


def test_make_lists_every_target_that_the_readme_names(repository_root: Path) -> None:
    listed = subprocess.run(["make"], cwd=repository_root, capture_output=True, text=True, check=True).stdout
    for target in re.findall(r"^\| `make (\w+)` \|", _read(repository_root), re.MULTILINE):
        assert re.search(rf"^  {target} ", listed, re.MULTILINE), target


def test_the_published_schema_is_the_one_in_the_code(repository_root: Path) -> None:
    assert (repository_root / "openapi/schema.graphql").read_text() == sdl(), "run `make schema`"


def test_the_lesson_can_be_read(repository_root: Path) -> None:
    steps = list(steps_of((repository_root / "docs/lesson.md").read_text()))
    assert len(steps) > 10
    assert all(step.request and step.status for step in steps)


def test_audit_actions_have_one_form() -> None:
    assert all(re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z_]+", action) for action in Action)


def test_every_operation_with_an_audit_action_has_its_permissions() -> None:
    assert {"create_segment_definition", "update_segment_definition", "delete_segment_definition"} <= set(REQUIRED)
    assert all(REQUIRED[name] for name in REQUIRED if name.startswith(("create_", "update_", "delete_", "cancel_")))


@pytest.mark.parametrize("name", ["requirements/run.txt", "requirements/dev.txt"])
def test_locks_name_hashes_and_no_host(repository_root: Path, name: str) -> None:
    text = (repository_root / name).read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize("folder", ["app/console/assets", "tests/contract/aio_lib_ims", "tests/sign_in/oidc_provider"])
def test_the_npm_locks_name_no_host(repository_root: Path, folder: str) -> None:
    lock = json.loads((repository_root / folder / "package-lock.json").read_text())
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]


def _read(repository_root: Path) -> str:
    return (repository_root / "README.md").read_text()
