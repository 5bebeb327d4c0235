"""The page about the emulator names what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from starlette.routing import Route

from app.emulator.app import create_app
from app.emulator.faults import Fault
from app.emulator.scenario import read_scenario
from app.emulator.settings import EmulatorSettings
from tests.contract.services import ENVIRONMENT


def test_the_page_tells_every_kind_of_fault_with_every_member(repository_root: Path) -> None:
    page = (repository_root / "docs/emulator.md").read_text()
    told = dict(re.findall(r"^\| `([a-z_]+)` \| (.+) \|$", page, re.MULTILINE))
    kinds = {str(kind.__struct_config__.tag): kind for kind in get_args(Fault)}
    assert set(told) == set(kinds)
    for name, kind in kinds.items():
        unsaid = [one for one in kind.__struct_encode_fields__ if f"`{one}`" not in told[name]]
        assert unsaid in ([], ["retryAfterSeconds"]), (name, unsaid)


def test_the_page_tells_every_variable_of_the_contract_suite(repository_root: Path) -> None:
    page = (repository_root / "docs/emulator.md").read_text()
    told = dict(re.findall(r"^\| `(AEP_CONTRACT_\w+)` \| (.+) \|$", page, re.MULTILINE))
    assert told == dict(ENVIRONMENT)


def test_the_scenario_of_the_page_can_be_read(repository_root: Path, tmp_path: Path) -> None:
    page = (repository_root / "docs/emulator.md").read_text()
    (example,) = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "scenario.json").write_text(example)
    scenario = read_scenario(tmp_path / "scenario.json").scenario
    assert [one.name for one in scenario.organizations[0].sandboxes] == ["prod", "dev"]


async def test_the_page_tells_every_path_of_the_emulators_own(repository_root: Path, tmp_path: Path) -> None:
    page = (repository_root / "docs/emulator.md").read_text()
    told = set(re.findall(r"(/(?:emulator|healthz)[^`\s]*)` \|", page))
    emulator = create_app(EmulatorSettings(tmp_path, profiles=100), progress=lambda _what, _share: None)
    async with emulator.router.lifespan_context(emulator):
        served = {route.path for route in emulator.routes if isinstance(route, Route)}
    assert told == {path for path in served if path.startswith(("/emulator", "/healthz"))}
