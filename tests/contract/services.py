"""The services that the contract suite is run against: the emulator, the gateway's facade, and Adobe's own.

Adobe's takes part when the environment names a technical account; see `ENVIRONMENT`. Whatever a test makes there
carries a name of its own and is deleted when the test ends, also when it fails.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest

UPS: Final = "/data/core/ups"
DEFINITIONS: Final = f"{UPS}/segment/definitions"
AUDIENCES: Final = f"{UPS}/audiences"
JOBS: Final = f"{UPS}/segment/jobs"
EXPORTS: Final = f"{UPS}/export/jobs"
SCHEDULES: Final = f"{UPS}/config/schedules"

ENVIRONMENT: Final[Mapping[str, str]] = {
    "AEP_CONTRACT_CLIENT_ID": "client id of the technical account",
    "AEP_CONTRACT_CLIENT_SECRET": "its secret",
    "AEP_CONTRACT_ORG_ID": "the organization, ...@AdobeOrg",
    "AEP_CONTRACT_SANDBOX": "a development sandbox",
    "AEP_CONTRACT_SCOPES": "scopes, separated by commas",
    "AEP_CONTRACT_RULE": "a rule in PQL that is valid in that sandbox",
    "AEP_CONTRACT_PLATFORM_URL": "another address than https://platform.adobe.io (may be left out)",
    "AEP_CONTRACT_IMS_URL": "another address than https://ims-na1.adobelogin.com (may be left out)",
}
_OPTIONAL: Final = {"AEP_CONTRACT_PLATFORM_URL", "AEP_CONTRACT_IMS_URL"}


@dataclass(frozen=True, slots=True)
class Account:
    """Where a service is and as whom it is called. ``rule`` selects some, not all, of the sandbox's profiles."""

    service: str
    url: str
    ims_url: str
    client_id: str
    client_secret: str = field(repr=False)
    org_id: str
    sandbox: str
    scopes: str
    rule: str


def missing_variables() -> list[str]:
    """Return the variables that are not set and without which Adobe's own service takes no part."""
    return [name for name in ENVIRONMENT if name not in _OPTIONAL and not os.environ.get(name)]


def adobe_account() -> Account:
    """Return Adobe's account of the environment."""
    given = {name: os.environ.get(name, "") for name in ENVIRONMENT}
    return Account(
        service="adobe",
        url=given["AEP_CONTRACT_PLATFORM_URL"] or "https://platform.adobe.io",
        ims_url=given["AEP_CONTRACT_IMS_URL"] or "https://ims-na1.adobelogin.com",
        client_id=given["AEP_CONTRACT_CLIENT_ID"],
        client_secret=given["AEP_CONTRACT_CLIENT_SECRET"],
        org_id=given["AEP_CONTRACT_ORG_ID"],
        sandbox=given["AEP_CONTRACT_SANDBOX"],
        scopes=given["AEP_CONTRACT_SCOPES"],
        rule=given["AEP_CONTRACT_RULE"],
    )


class Service:
    """One of the services, called as its account."""

    def __init__(self, account: Account, http: httpx.AsyncClient, token: str) -> None:
        self.account = account
        self.http = http
        self.headers = {
            "authorization": f"Bearer {token}",
            "x-api-key": account.client_id,
            "x-gw-ims-org-id": account.org_id,
            "x-sandbox-name": account.sandbox,
        }
        self._made: list[str] = []

    @property
    def name(self) -> str:
        return self.account.service

    def not_at(self, *services: str, because: str) -> None:
        """Skip the test, saying why, when the service is one of these."""
        if self.name in services:
            pytest.skip(because)

    async def call(
        self,
        method: str,
        path: str,
        *,
        without: tuple[str, ...] = (),
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> httpx.Response:
        """Call a path with every header in order, but for those that are left out or given otherwise."""
        kept = {name: value for name, value in self.headers.items() if name not in without}
        return await self.http.request(method, path, headers={**kept, **(headers or {})}, **content)

    async def create(self, path: str, body: Any) -> httpx.Response:
        """Create an object that is deleted when the test ends."""
        answer = await self.call("POST", path, json=body)
        if answer.is_success and isinstance(answer.json(), dict) and "id" in answer.json():
            self._made.append(f"{path}/{answer.json()['id']}")
        return answer

    async def definition(self, **members: Any) -> dict[str, Any]:
        """Return a new definition."""
        answer = await self.create(DEFINITIONS, definition(self.account.rule, **members))
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def clean(self) -> None:
        """Delete what was made, newest first; what is gone already is no matter."""
        for path in reversed(self._made):
            await self.call("DELETE", path)


@asynccontextmanager
async def opened(account: Account) -> AsyncIterator[Service]:
    """Fetch a token, lend the service, and clean up."""
    async with httpx.AsyncClient(base_url=account.url, timeout=30) as http:
        form = {
            "grant_type": "client_credentials",
            "client_id": account.client_id,
            "client_secret": account.client_secret,
            "scope": account.scopes,
        }
        answer = await http.post(f"{account.ims_url}/ims/token/v3", data=form)
        assert answer.status_code == 200, answer.text
        service = Service(account, http, answer.json()["access_token"])
        try:
            yield service
        finally:
            await service.clean()


def unique(name: str) -> str:
    """Return a name that nothing else has."""
    return f"contract {name} {uuid4().hex[:10]}"


def definition(rule: str, **members: Any) -> dict[str, Any]:
    """Return the body of a new definition."""
    return {
        "name": unique("definition"),
        "expression": {"type": "PQL", "format": "pql/text", "value": rule},
        "schema": {"name": "_xdm.context.profile"},
        **members,
    }


def local_accounts(ready: Mapping[str, Any]) -> dict[str, Account]:
    """Return the accounts of a running demo's emulator and facade."""
    tenant = ready["tenants"][0]
    integration = tenant["integrations"][0]
    place = {
        "org_id": tenant["org_id"],
        "sandbox": tenant["sandboxes"][0],
        "rule": f'{tenant["namespace"]}.loyalty.level = "gold"',
        "scopes": "openid,AdobeID",
    }
    emulator, facade = ready["emulator_url"], ready["gateway_url"]
    return {
        "emulator": Account(service="emulator", url=emulator, ims_url=emulator, **tenant["aep"], **place),
        "facade": Account(
            service="facade",
            url=facade,
            ims_url=facade,
            client_id=integration["client_id"],
            client_secret=integration["client_secret"],
            **place,
        ),
    }


Accounts = Callable[[str], Account]
