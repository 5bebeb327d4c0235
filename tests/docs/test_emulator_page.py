"""The page about the emulator names what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from app.emulator.faults import Fault
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
