"""The Adobe organizations that the emulator plays, with their sandboxes and technical accounts.

They stand in ``organizations.json`` in the state folder, which is made on the first start with random secrets and
may be edited while the emulator is down. The file is the only place where a client secret is kept.
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from app.context.permissions import Permission, with_implied
from app.emulator.private_files import write_private
from app.errors import InternalError

FILE_NAME = "organizations.json"

DEFAULT_SCOPES = (
    "openid",
    "session",
    "AdobeID",
    "read_organizations",
    "additional_info",
    "additional_info.projectedProductContext",
    "additional_info.job_function",
)


@dataclass(frozen=True, slots=True)
class EmulatedSandbox:
    """One sandbox of an organization. ``id`` is a UUID as text.

    ``profiles`` is the size of its sample and ``seed`` that sample's seed; None leaves both to the emulator's settings.
    A ``state`` other than active is what a start has to finish. ``created_ms`` and ``changed_ms`` are None for one that
    was there from the first; ``etag`` counts its changes.
    """

    name: str
    title: str
    type: Literal["production", "development"]
    default: bool
    id: str
    profiles: int | None = None
    seed: int | None = None
    state: Literal["active", "resetting", "deleting"] = "active"
    etag: int = 1
    created_ms: int | None = None
    changed_ms: int | None = None
    created_by: str = "system"
    modified_by: str = "system"

    def reference(self) -> dict[str, object]:
        """Return the sandbox as it stands inside segmentation objects."""
        return {"sandboxId": self.id, "sandboxName": self.name, "type": self.type, "default": self.default}


@dataclass(frozen=True, slots=True)
class Credential:
    """A technical account of an organization and the client that acts as it.

    ``permissions`` are those of its product profiles by Adobe's names (``View Segments``), ``labels`` the data usage
    labels that its roles hold (``core/C1``). None, the default of both, means all.
    """

    client_id: str
    client_secret: str
    technical_account_id: str
    scopes: tuple[str, ...]
    permissions: tuple[Permission, ...] | None = None
    labels: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        """Leave the secret out of tracebacks and logs."""
        return f"Credential(client_id={self.client_id!r})"

    def held_permissions(self) -> frozenset[Permission]:
        """Return the permissions of the account, with those that they include."""
        return with_implied(Permission if self.permissions is None else self.permissions)

    def has_secret(self, secret: str) -> bool:
        """Compare a secret in constant time."""
        return hmac.compare_digest(self.client_secret.encode(), secret.encode())


@dataclass(frozen=True, slots=True)
class Organization:
    """One Adobe organization. ``namespace`` is the tenant namespace of its schemas, ``seed`` that of its sample.

    ``external_audiences`` tells whether it may have audiences that were made elsewhere.
    """

    slug: str
    org_id: str
    namespace: str
    region: str
    sandboxes: tuple[EmulatedSandbox, ...]
    credentials: tuple[Credential, ...]
    seed: int
    external_audiences: bool = True

    def sandbox(self, name: str) -> EmulatedSandbox | None:
        """Return the active sandbox of this name, if the organization has one."""
        return next((sandbox for sandbox in self.active_sandboxes() if sandbox.name == name), None)

    def active_sandboxes(self) -> tuple[EmulatedSandbox, ...]:
        """Return the sandboxes that calls may reach: not those that are about to be reset or deleted."""
        return tuple(sandbox for sandbox in self.sandboxes if sandbox.state == "active")

    def default_sandbox(self) -> EmulatedSandbox:
        """Return the sandbox that an organization always has."""
        return next((sandbox for sandbox in self.sandboxes if sandbox.default), self.sandboxes[0])

    def sample_seed(self, sandbox: EmulatedSandbox) -> int:
        """Return what a sandbox's sample is drawn from. Two sandboxes of one organization hold different people."""
        if sandbox.seed is not None:
            return sandbox.seed
        return self.seed * 1000 + [one.name for one in self.sandboxes].index(sandbox.name)


_Sandboxes = tuple[EmulatedSandbox, ...]


class Organizations:
    """All organizations of an emulator, found by org id or by client id."""

    def __init__(self, organizations: Iterable[Organization]) -> None:
        self._by_id = {organization.org_id: organization for organization in organizations}
        self._by_client: dict[str, tuple[Organization, Credential]] = {
            credential.client_id: (organization, credential)
            for organization in self._by_id.values()
            for credential in organization.credentials
        }

    def all(self) -> tuple[Organization, ...]:
        """Return every organization, in the order of the file."""
        return tuple(self._by_id.values())

    def get(self, org_id: str) -> Organization | None:
        """Return the organization with this IMS org id."""
        return self._by_id.get(org_id)

    def with_sandbox(self, org_id: str, sandbox: EmulatedSandbox) -> Organization:
        """Give an organization one more sandbox and return it as it now is."""
        return self._replace(org_id, lambda sandboxes: (*sandboxes, sandbox))

    def without_sandbox(self, org_id: str, name: str) -> Organization:
        """Take a sandbox from an organization and return it as it now is."""
        return self._replace(org_id, lambda sandboxes: tuple(one for one in sandboxes if one.name != name))

    def changed_sandbox(self, org_id: str, changed: EmulatedSandbox) -> Organization:
        """Put a sandbox in the place of the one that has its name, and return the organization as it now is."""
        return self._replace(
            org_id, lambda sandboxes: tuple(changed if one.name == changed.name else one for one in sandboxes)
        )

    def _replace(self, org_id: str, change: Callable[[_Sandboxes], _Sandboxes]) -> Organization:
        before = self._by_id[org_id]
        # A seed that follows from a sandbox's place among the others must not change with it.
        seeded = tuple(replace(one, seed=before.sample_seed(one)) for one in before.sandboxes)
        organization = self._by_id[org_id] = replace(before, sandboxes=change(seeded))
        for credential in organization.credentials:
            self._by_client[credential.client_id] = (organization, credential)
        return organization

    def client(self, client_id: str) -> tuple[Organization, Credential] | None:
        """Return the client with this id and the organization that it belongs to."""
        return self._by_client.get(client_id)


def load_or_create(state_dir: Path) -> Organizations:
    """Read ``organizations.json``; make it with new secrets when there is none.

    Raises InternalError when the file cannot be read: to replace it would lock every client out.
    """
    path = state_dir / FILE_NAME
    if not path.exists():
        save(state_dir, _demo_organizations())
    return Organizations(read(path))


def save(state_dir: Path, organizations: Iterable[Organization]) -> None:
    """Write ``organizations.json``."""
    document = [asdict(organization) for organization in organizations]
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(state_dir / FILE_NAME, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def read(path: Path) -> list[Organization]:
    """Read an ``organizations.json``. Raises InternalError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Organization])
    except (OSError, msgspec.DecodeError) as fault:
        raise InternalError(
            f"{path} cannot be read: {fault}", hint="Correct the file, or remove it to have new organizations made."
        ) from fault


def _demo_organizations() -> list[Organization]:
    return [
        _organization("luma", "_wwfovlab011", seed=11),
        _organization("solstice", "_solsticeretail", seed=12),
    ]


def _organization(slug: str, namespace: str, *, seed: int) -> Organization:
    sandboxes = (
        EmulatedSandbox("prod", "Prod", "production", True, stable_uuid(slug, "prod")),
        EmulatedSandbox("dev", "Development", "development", False, stable_uuid(slug, "dev")),
    )
    return Organization(slug, org_id_of(slug), namespace, "VA7", sandboxes, (new_credential(),), seed)


def org_id_of(slug: str) -> str:
    """Return the IMS org id that an organization of this name gets when nobody names another."""
    return stable_uuid(slug, "organization").replace("-", "").upper()[:24] + "@AdobeOrg"


def new_credential() -> Credential:
    """Return a technical account with a new random secret."""
    return Credential(
        client_id=secrets.token_hex(16),
        client_secret=f"p8e-{secrets.token_urlsafe(32)}",
        technical_account_id=f"{secrets.token_hex(12).upper()}@techacct.adobe.com",
        scopes=DEFAULT_SCOPES,
    )


def stable_uuid(slug: str, name: str) -> str:
    """Return the same id for the same names, always."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{slug}.emulator.invalid"))


def sandbox_references(organization: Organization) -> Mapping[str, dict[str, object]]:
    """Return the references of all sandboxes by name."""
    return {sandbox.name: sandbox.reference() for sandbox in organization.sandboxes}
