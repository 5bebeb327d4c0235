"""`@adobe/aio-lib-ims`, unmodified, against the emulator's identity service and against the gateway's."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.services import Account, local_accounts

FOLDER = Path(__file__).with_name("aio_lib_ims")
SCOPES = ["openid", "AdobeID"]


@pytest.fixture(scope="session")
def installed() -> Path:
    """The folder with the client installed, as its lock says; skips, saying why, where that is not possible."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("@adobe/aio-lib-ims needs node and npm, which are not installed")
    if not (FOLDER / "node_modules/@adobe/aio-lib-ims/package.json").exists():
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=180, check=False)
        if done.returncode != 0:
            pytest.skip(f"npm cannot install @adobe/aio-lib-ims: {done.stderr.strip()[-200:]}")
    return FOLDER


class Client:
    """The client's process."""

    def __init__(self, account: Account, folder: Path) -> None:
        self.account = account
        self._process = subprocess.Popen(
            ["node", "driver.js"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def send(self, method: str, *args: Any) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        line = {"endpoint": self.account.ims_url, "method": method, "args": args}
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        reply: dict[str, Any] = json.loads(self._process.stdout.readline())
        return reply

    def call(self, method: str, *args: Any) -> Any:
        reply = self.send(method, *args)
        assert "raised" not in reply, (method, reply)
        return reply["result"]

    def token(self) -> dict[str, Any]:
        account = self.account
        answer: dict[str, Any] = self.call(
            "getAccessTokenByClientCredentials", account.client_id, account.client_secret, account.org_id, SCOPES
        )
        return answer

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(20)
        if self._process.stdout:
            self._process.stdout.close()


@pytest.fixture(scope="module", params=["emulator", "facade"])
def client(request: pytest.FixtureRequest, installed: Path, running_demo: dict[str, Any]) -> Iterator[Client]:
    """The client, pointed at each identity service."""
    client = Client(local_accounts(running_demo)[request.param], installed)
    yield client
    client.close()


def measured(behaviour: str) -> pytest.MarkDecorator:
    return pytest.mark.parity(behaviour, source="measured", note="@adobe/aio-lib-ims 8.1.1")


@measured("ims.multipart_client_credentials")
def test_a_token_is_fetched_by_a_multipart_form_and_opens_the_service(client: Client) -> None:
    token = client.token()["access_token"]["token"]
    headers = {
        "authorization": f"Bearer {token}",
        "x-api-key": client.account.client_id,
        "x-gw-ims-org-id": client.account.org_id,
        "x-sandbox-name": client.account.sandbox,
    }
    answer = httpx.get(f"{client.account.url}/data/core/ups/segment/definitions", headers=headers)
    assert answer.status_code == 200


@measured("ims.expiry_is_read_from_the_token")
def test_the_end_of_a_tokens_life_is_read_from_the_token(client: Client) -> None:
    found = client.token()["access_token"]
    assert isinstance(found["expiry"], int)
    assert found["expiry"] > (time.time() + 600) * 1000


@measured("ims.wrong_secret_is_an_error_of_the_client")
def test_a_wrong_secret_is_told_by_the_client(client: Client) -> None:
    account = client.account
    reply = client.send("getAccessTokenByClientCredentials", account.client_id, "wrong", account.org_id, SCOPES)
    assert "raised" in reply
    assert "wrong" not in reply["raised"].replace("is wrong", "")


@measured("ims.validate_and_invalidate")
def test_a_token_is_valid_until_it_is_withdrawn(client: Client) -> None:
    account = client.account
    token = client.token()["access_token"]["token"]
    assert client.call("validateToken", token, account.client_id)["valid"] is True
    client.call("invalidateToken", token, account.client_id, account.client_secret)
    assert client.call("validateToken", token, account.client_id)["valid"] is False


@measured("ims.organizations")
def test_the_organizations_of_a_token_are_listed(client: Client) -> None:
    token = client.token()["access_token"]["token"]
    (organization,) = client.call("getOrganizations", token)
    reference = organization["orgRef"]
    assert f"{reference['ident']}@{reference['authSrc']}" == client.account.org_id
