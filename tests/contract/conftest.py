"""The contract suite's services. One demo, with its emulator and its gateway, serves the whole session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.cli.test_demo import demo
from tests.contract.services import Account, Service, adobe_account, local_accounts, missing_variables, opened


@pytest.fixture(scope="session")
def running_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the ready file of a running demo says."""
    folder = tmp_path_factory.mktemp("contract") / "state"
    folder.mkdir()
    with demo(folder) as ready:
        yield ready


# Without an account every test would be skipped once for Adobe; one test says it for all of them.
SERVICES = ["emulator", "facade"] if missing_variables() else ["emulator", "facade", "adobe"]


@pytest.fixture(params=SERVICES)
def account(request: pytest.FixtureRequest) -> Account:
    """An account of each service; Adobe's only where the environment names one."""
    if request.param == "adobe":
        return adobe_account()
    found: Account = local_accounts(request.getfixturevalue("running_demo"))[request.param]
    return found


@pytest.fixture
async def service(account: Account) -> AsyncIterator[Service]:
    """Each service in turn; what a test makes there is gone after it."""
    async with opened(account) as service:
        yield service
