"""OpenID providers over HTTP: discovery and signing keys, fetched seldom and kept.

Only issuers that an administrator entered are ever called. Documents are read to a limit, without redirects, over TLS
(plain HTTP is for this machine alone), and a document that speaks for another issuer is refused.

Sources: OpenID Connect Discovery 1.0, sections 3, 4.2 and 4.3; RFC 7517.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx
import msgspec
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from app.errors import UpstreamUnavailable

log = structlog.get_logger(__name__)

PublicKey = RSAKey | ECKey | OKPKey

DISCOVERY_PATH = "/.well-known/openid-configuration"
DOCUMENT_MAX_AGE_S = 3600.0
# How long keys serve when their provider does not answer.
KEYS_USABLE_S = 24 * 3600.0
# A token with an unknown key id is worth one look, and many such tokens are worth no more.
REFETCH_PAUSE_S = 10.0
MAX_DOCUMENT_BYTES = 512 * 1024
_TIMEOUT = httpx.Timeout(5.0)
# A shared secret in a public document is a mistake that nobody may profit from.
_KEY_TYPES = ("RSA", "EC", "OKP")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class ProviderUnavailable(UpstreamUnavailable):
    """An identity provider does not answer, or answers with something else than its documents."""

    code = "IDENTITY_PROVIDER_UNAVAILABLE"
    title = "The identity provider is unavailable"


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """What a provider says of itself, as far as it is used here."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    takes_basic: bool = True


@dataclass(frozen=True, slots=True)
class Login:
    """With what a code is exchanged: the log-in client, and what was said when the code was asked for."""

    client_id: str
    client_secret: str | None = field(repr=False)
    redirect_uri: str
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Granted:
    """What a code was exchanged for."""

    id_token: str = field(repr=False)
    access_token: str | None = field(repr=False)


@dataclass(slots=True)
class _Kept:
    """A provider's keys, when they were read and when reading was last tried; seconds of the client's clock."""

    keys: tuple[PublicKey, ...] = ()
    read_at: float | None = None
    tried_at: float | None = None


def is_secure_address(url: str) -> bool:
    """Tell whether an address may be trusted with log-ins: TLS, or this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if not host or parts.username or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)


class OpenIDClient:
    """Reads what providers publish. One for each process; ``clock`` counts seconds."""

    def __init__(self, http: httpx.AsyncClient, *, clock: Callable[[], float] = monotonic) -> None:
        self._http = http
        self._clock = clock
        self._metadata: dict[str, tuple[float, ProviderMetadata]] = {}
        self._keys: defaultdict[str, _Kept] = defaultdict(_Kept)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def metadata(self, issuer: str) -> ProviderMetadata:
        """Return where a provider's endpoints are. Raises `ProviderUnavailable`."""
        kept = self._metadata.get(issuer)
        if kept and self._clock() - kept[0] < DOCUMENT_MAX_AGE_S:
            return kept[1]
        found = _metadata(issuer, await self._document(issuer, issuer.rstrip("/") + DISCOVERY_PATH))
        self._metadata[issuer] = (self._clock(), found)
        return found

    async def key(self, issuer: str, kid: str | None, algorithm: str) -> PublicKey | None:
        """Return the key that a token of ``issuer`` says it was signed with. Raises `ProviderUnavailable`.

        An unknown ``kid`` makes the keys be read again, at most once in `REFETCH_PAUSE_S`: that is how a rotation is
        noticed. Keys outlive their provider's absence for `KEYS_USABLE_S`.
        """
        found = self._find(issuer, kid, algorithm)
        # With a key at hand only one request waits for a reading that is due; the others go on with what there is.
        if self._is_due(issuer, found) and not (found and self._locks[issuer].locked()):
            async with self._locks[issuer]:
                found = self._find(issuer, kid, algorithm)
                if self._is_due(issuer, found):
                    await self._read_keys(issuer)
                    found = self._find(issuer, kid, algorithm)
        kept = self._keys[issuer]
        if kept.read_at is None or self._clock() - kept.read_at > KEYS_USABLE_S:
            raise _unavailable(issuer)
        return found

    async def exchange(self, issuer: str, code: str, login: Login) -> Granted | None:
        """Exchange an authorization code; ``None`` when the provider refuses. Raises `ProviderUnavailable`."""
        metadata = await self.metadata(issuer)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": login.redirect_uri,
            "code_verifier": login.verifier,
        }
        headers = {"accept": "application/json"}
        if login.client_secret is not None and metadata.takes_basic:
            headers["authorization"] = _basic(login.client_id, login.client_secret)
        else:
            form["client_id"] = login.client_id
            if login.client_secret is not None:
                form["client_secret"] = login.client_secret
        status, document = await self._call(issuer, "POST", metadata.token_endpoint, headers, form)
        if status != 200:
            log.warning("openid.code_refused", issuer=issuer, status=status, error=str(document.get("error"))[:80])
            return None
        id_token, access_token = document.get("id_token"), document.get("access_token")
        if not isinstance(id_token, str):
            return None
        return Granted(id_token, access_token if isinstance(access_token, str) else None)

    async def userinfo(self, issuer: str, access_token: str | None) -> dict[str, Any]:
        """Return what the provider says of the person besides the ID token; nothing where it offers nothing."""
        metadata = await self.metadata(issuer)
        if metadata.userinfo_endpoint is None or access_token is None:
            return {}
        headers = {"accept": "application/json", "authorization": f"Bearer {access_token}"}
        status, document = await self._call(issuer, "GET", metadata.userinfo_endpoint, headers)
        return document if status == 200 else {}

    def _find(self, issuer: str, kid: str | None, algorithm: str) -> PublicKey | None:
        fitting = [key for key in self._keys[issuer].keys if _fits(key, algorithm)]
        if kid is None:
            return fitting[0] if len(fitting) == 1 else None
        return next((key for key in fitting if key.kid == kid), None)

    def _is_due(self, issuer: str, found: PublicKey | None) -> bool:
        kept, now = self._keys[issuer], self._clock()
        if kept.tried_at is not None and now - kept.tried_at < REFETCH_PAUSE_S:
            return False
        return found is None or kept.read_at is None or now - kept.read_at >= DOCUMENT_MAX_AGE_S

    async def _read_keys(self, issuer: str) -> None:
        kept = self._keys[issuer]
        try:
            metadata = await self.metadata(issuer)
            document = await self._document(issuer, metadata.jwks_uri)
        except ProviderUnavailable:
            # Those who waited see that it was tried just now; the keys of before serve on.
            kept.tried_at = self._clock()
            return
        kept.keys = tuple(_keys(document))
        kept.read_at = kept.tried_at = self._clock()
        log.info("openid.keys_read", issuer=issuer, keys=len(kept.keys))

    async def _document(self, issuer: str, url: str) -> dict[str, Any]:
        status, document = await self._call(issuer, "GET", url, {"accept": "application/json"})
        if status != 200:
            log.warning("openid.document_refused", issuer=issuer, status=status)
            raise _unavailable(issuer)
        return document

    async def _call(
        self, issuer: str, method: str, url: str, headers: dict[str, str], form: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Return status and document of an answer; one that is no object reads as an empty one with status 502."""
        call: dict[str, Any] = {"headers": headers, "data": form, "timeout": _TIMEOUT, "follow_redirects": False}
        try:
            async with self._http.stream(method, url, **call) as reply:
                document = _document_of(await _body(reply))
                return (reply.status_code, document) if document is not None else (502, {})
        except (httpx.HTTPError, httpx.InvalidURL, _TooLarge) as problem:
            log.warning("openid.call_failed", issuer=issuer, error=type(problem).__name__)
            raise _unavailable(issuer) from problem


class _TooLarge(Exception):
    """A document that nobody needs to read to its end."""


async def _body(reply: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in reply.aiter_bytes():
        body += chunk
        if len(body) > MAX_DOCUMENT_BYTES:
            raise _TooLarge
    return bytes(body)


def _document_of(body: bytes) -> dict[str, Any] | None:
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _metadata(issuer: str, document: dict[str, Any]) -> ProviderMetadata:
    addresses = [document.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    # A document that names another issuer would let that one's tokens pass for this one's.
    if document.get("issuer") != issuer or not all(
        isinstance(one, str) and is_secure_address(one) for one in addresses
    ):
        raise _unavailable(issuer)
    userinfo = document.get("userinfo_endpoint")
    known = userinfo if isinstance(userinfo, str) and is_secure_address(userinfo) else None
    authorization, token, keys = map(str, addresses)
    methods = document.get("token_endpoint_auth_methods_supported")
    # Without the member, basic authentication is what every provider takes.
    takes_basic = not isinstance(methods, list) or "client_secret_basic" in methods
    return ProviderMetadata(issuer, authorization, token, keys, known, takes_basic)


def _keys(document: dict[str, Any]) -> list[PublicKey]:
    """Return the asymmetric signing keys of a key set; members that cannot be read are left out."""
    found: list[PublicKey] = []
    listed = document.get("keys")
    for member in listed if isinstance(listed, list) else []:
        if not isinstance(member, dict) or member.get("use", "sig") != "sig" or member.get("kty") not in _KEY_TYPES:
            continue
        try:
            key = JWKRegistry.import_key(member)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey | ECKey | OKPKey):
            found.append(key)
    return found


def _fits(key: PublicKey, algorithm: str) -> bool:
    declared = key.get("alg")
    if declared is not None and declared != algorithm:
        return False
    families = {"RS": RSAKey, "PS": RSAKey, "ES": ECKey, "Ed": OKPKey}
    return isinstance(key, families.get(algorithm[:2], ()))


def _unavailable(issuer: str) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"The identity provider {issuer} cannot be reached, or does not publish its documents as it should.",
        hint="Try again in a moment; an administrator checks that the issuer is spelled as the provider spells it.",
        retry_after_s=REFETCH_PAUSE_S,
    )


def _basic(client_id: str, client_secret: str) -> str:
    # RFC 6749, 2.3.1: both are form-encoded before they are put together.
    return "Basic " + b64encode(f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode()).decode()
