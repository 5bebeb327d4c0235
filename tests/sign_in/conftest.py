"""A certified OpenID provider in a process of its own, and a gateway that an organization lets trust it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from authlib.common.security import generate_token
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import RSAKey

from app.audit.recorder import AuditRecorder
from app.context import Role
from app.context.permissions import Permission
from app.main import Gateway, build_gateway
from app.settings import ServerSettings, Settings
from app.tenancy.author import Author
from app.tenancy.identity_providers import GroupGrant, IdentityProviders, ProviderDescription
from tests.factories import MadeTenant, make_tenant
from tests.gateway.conftest import free_port

FOLDER = Path(__file__).with_name("oidc_provider")
GATEWAY = "http://gateway.test"
CLIENT_ID, CLIENT_SECRET = "segment-gateway", "a secret of the log-in client"
OTHER_CLIENT_ID = "another-application"
PUBLIC_CLIENT_ID = "a-client-without-secret"


def new_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})


@dataclass(slots=True)
class Provider:
    """The provider's process, the keys that it signs with now, and its people."""

    issuer: str
    keys: list[RSAKey]
    people: dict[str, dict[str, Any]] = field(default_factory=dict)

    def configure(self) -> None:
        """Give the provider its keys; it begins anew, as after a rotation."""
        clients: list[dict[str, Any]] = [
            {
                "client_id": client_id,
                "client_secret": CLIENT_SECRET,
                "redirect_uris": [f"{GATEWAY}/callback"],
                "id_token_signed_response_alg": "RS256",
            }
            for client_id in (CLIENT_ID, OTHER_CLIENT_ID)
        ]
        public = {"client_id": PUBLIC_CLIENT_ID, "token_endpoint_auth_method": "none", "client_secret": None}
        clients.append({name: value for name, value in (clients[0] | public).items() if value is not None})
        keys = [key.as_dict(private=True) for key in self.keys]
        httpx.post(f"{self.issuer}/test", json={"keys": keys, "clients": clients, "people": self.people})

    def know(self, person: str, *groups: str, email: str | None = None, verified: bool = True) -> None:
        claims = {"email": email or f"{person}@luma.example", "email_verified": verified, "groups": list(groups)}
        self.people[person] = claims
        httpx.post(f"{self.issuer}/test", json={"people": {person: claims}})

    def sign(self, claims: dict[str, Any], *, key: RSAKey | None = None, **header: Any) -> str:
        """Return a token with the provider's own signature."""
        chosen = key or self.keys[0]
        return jwt.encode({"alg": "RS256", "kid": chosen.kid} | header, claims, chosen)

    async def sign_in(self, url: str, person: str, browser: httpx.AsyncClient) -> str:
        """Walk through the provider's own pages as a person does, and return the address it sends him back to."""
        reply = await browser.get(url)
        for _ in range(12):
            if reply.has_redirect_location:
                following = reply.headers["location"]
                if following.startswith(GATEWAY):
                    return str(following)
                reply = await browser.get(str(reply.url.join(following)))
                continue
            action = re.search(r'action="([^"]+)"', reply.text)
            prompt = re.search(r'name="prompt" value="(\w+)"', reply.text)
            assert action, reply.text
            assert prompt, reply.text
            form = {"prompt": prompt[1], "login": person, "password": "any"}
            reply = await browser.post(str(reply.url.join(action[1])), data=form)
        raise AssertionError(f"the provider's pages do not end: {reply.url}")

    async def id_token(self, person: str, client_id: str = CLIENT_ID) -> str:
        """Return what the provider issues to a person through its whole code flow."""
        verifier = generate_token(48)
        query = {
            "client_id": client_id,
            "response_type": "code",
            "scope": "openid email groups",
            "redirect_uri": f"{GATEWAY}/callback",
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        async with httpx.AsyncClient() as browser:
            back = await self.sign_in(f"{self.issuer}/auth?{urlencode(query)}", person, browser)
            form = {
                "grant_type": "authorization_code",
                "code": httpx.URL(back).params["code"],
                "redirect_uri": f"{GATEWAY}/callback",
                "code_verifier": verifier,
            }
            reply = await browser.post(
                f"{self.issuer}/token", data=form, auth=(client_id, CLIENT_SECRET.replace(" ", "+"))
            )
        return str(reply.json()["id_token"])


def _installed() -> Path:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("oidc-provider needs node and npm, which are not installed")
    if not (FOLDER / "node_modules/oidc-provider/package.json").exists():
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=180, check=False)
        if done.returncode != 0:
            pytest.skip(f"npm cannot install oidc-provider: {done.stderr.strip()[-200:]}")
    return FOLDER


@pytest.fixture(scope="session")
def provider_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The issuer of a running provider."""
    folder, port = _installed(), free_port()
    log = (tmp_path_factory.mktemp("provider") / "log").open("wb")
    command = ["node", "provider.mjs", str(port)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout
    try:
        said = process.stdout.readline().strip()
        assert said == f"http://127.0.0.1:{port}", Path(log.name).read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()
        log.close()


@pytest.fixture(scope="session")
def first_key() -> RSAKey:
    return new_key("first")


@pytest.fixture
def provider(provider_process: str, first_key: RSAKey) -> Provider:
    """The provider with one key, and two people."""
    provider = Provider(provider_process, [first_key])
    provider.people = {
        "ann": {"email": "ann@luma.example", "email_verified": True, "groups": ["marketing"]},
        "bob": {"email": "bob@luma.example", "email_verified": True, "groups": []},
    }
    provider.configure()
    return provider


@dataclass(slots=True)
class Served:
    """A gateway over real HTTP semantics, with an organization that trusts the provider."""

    gateway: Gateway
    http: httpx.AsyncClient
    luma: MadeTenant
    trust: IdentityProviders

    async def viewer(self, token: str, **headers: str) -> httpx.Response:
        return await self.http.get("/v1/viewer", headers={"authorization": f"Bearer {token}"} | headers)


@pytest.fixture
async def served(provider: Provider, database_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    outbound = httpx.AsyncClient()
    gateway = await build_gateway(Settings(server=ServerSettings(state_dir=tmp_path)), database_url, http=outbound)
    luma = await make_tenant(gateway.database)
    await luma.administration.create_product_profile(luma.id, "Authors", [Permission.MANAGE_SEGMENTS])
    trust = IdentityProviders(gateway.database, gateway.sealer, AuditRecorder(), Author.command("test"))
    await trust.trust(luma.id, description(provider))
    transport = httpx.ASGITransport(gateway.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=GATEWAY) as http:
        yield Served(gateway, http, luma, trust)
    await outbound.aclose()
    await gateway.database.close()


def description(provider: Provider) -> ProviderDescription:
    """The provider as an administrator enters it."""
    return ProviderDescription(
        issuer=provider.issuer,
        label="Luma's staff",
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        scopes=("openid", "email", "groups"),
        grants=[GroupGrant("marketing", "Authors", Role.USER)],
    )
