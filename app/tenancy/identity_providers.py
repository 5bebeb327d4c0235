"""Which OpenID providers an organization trusts, and what their groups grant there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

from app.audit.actions import Action
from app.audit.recorder import AuditRecorder, Resource
from app.context import Role
from app.errors import InvalidRequest, NotFound
from app.store.database import Database
from app.store.rows import IdentityProviderRow
from app.tenancy.author import Author
from app.tenancy.sealing import Sealer
from app.upstream.openid import is_secure_address


@dataclass(frozen=True, slots=True)
class GroupGrant:
    """A group of the provider and the part in a product profile that it gives."""

    group: str
    product_profile: str
    role: Role


@dataclass(frozen=True, slots=True)
class ProviderDescription:
    """A provider as an administrator enters it.

    ``audiences`` are those that a bearer token may have; the client id of the log-in is always one of them. Without
    ``client_id`` there is no log-in by browser; ``scopes`` are what it asks for. ``groups_claim`` names the claim, or
    with dots a member of one.
    """

    issuer: str
    label: str
    audiences: Sequence[str] = ()
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    groups_claim: str = "groups"
    scopes: Sequence[str] = ("openid", "email", "profile")
    grants: Sequence[GroupGrant] = ()


def provider_owner(tenant_id: UUID) -> str:
    """Return what the sealed secret of a log-in client is bound to."""
    return f"tenant:{tenant_id}:identity-provider"


class IdentityProviders:
    """Enters and withdraws trust, on the account of ``author``."""

    def __init__(self, database: Database, sealer: Sealer, recorder: AuditRecorder, author: Author) -> None:
        self._database = database
        self._sealer = sealer
        self._recorder = recorder
        self._author = author

    async def trust(self, tenant_id: UUID, wanted: ProviderDescription) -> UUID:
        """Trust a provider, or change how; returns its id. Raises `InvalidRequest`."""
        _check(wanted)
        async with self._database.write(tenant_id) as unit:
            row = await unit.identity_providers.by_issuer(wanted.issuer)
            if row is None:
                row = IdentityProviderRow(id=uuid4(), tenant_id=tenant_id, issuer=wanted.issuer)
                unit.identity_providers.add(row)
            row.label, row.groups_claim, row.disabled_at = wanted.label, wanted.groups_claim, None
            row.client_id, row.scopes = wanted.client_id, list(dict.fromkeys(("openid", *wanted.scopes)))
            row.audiences = sorted({*wanted.audiences, *filter(None, [wanted.client_id])})
            secret = wanted.client_secret
            row.sealed_client_secret = self._sealer.seal(secret, owner=provider_owner(tenant_id)) if secret else None
            await unit.flush()
            grants = [(one.group, one.product_profile, one.role.value) for one in wanted.grants]
            if unknown := await unit.identity_providers.replace_grants(row.id, grants):
                raise InvalidRequest(f"There is no product profile named {', '.join(unknown)}.", path=("grants",))
            detail = {
                "label": wanted.label,
                "audiences": row.audiences,
                "clientId": wanted.client_id,
                "groupsClaim": wanted.groups_claim,
                "groups": [{"group": group, "productProfile": name, "role": role} for group, name, role in grants],
            }
            about = Resource("identity_provider", str(row.id), row.issuer)
            await self._author.record(self._recorder, unit, Action.IDENTITY_PROVIDER_TRUST, about, **detail)
        return row.id

    async def list(self, tenant_id: UUID) -> list[IdentityProviderRow]:
        """Return the providers that the tenant trusts."""
        async with self._database.read(tenant_id) as unit:
            return list(await unit.identity_providers.all())

    async def withdraw(self, tenant_id: UUID, issuer: str) -> int:
        """Trust a provider no more, and end the sessions of its people; returns how many. Raises `NotFound`.

        The people stay known, as the audit names them; their access keys stay good.
        """
        async with self._database.write(tenant_id) as unit:
            row = await unit.identity_providers.by_issuer(issuer)
            if row is None or row.disabled_at is not None:
                raise NotFound(f"{issuer} is not trusted here.", hint="'identity-provider list' names those that are.")
            row.disabled_at = datetime.now(UTC)
            ended = await unit.sessions.remove_of_issuer(issuer)
            about = Resource("identity_provider", str(row.id), issuer)
            action = Action.IDENTITY_PROVIDER_WITHDRAW
            await self._author.record(self._recorder, unit, action, about, endedSessions=ended)
        return ended


def _check(wanted: ProviderDescription) -> None:
    if not is_secure_address(wanted.issuer):
        raise InvalidRequest("The issuer must be an https address; http is for this machine only.", path=("issuer",))
    if not wanted.audiences and not wanted.client_id:
        # Without it a token that the provider made for quite another application would open this one.
        raise InvalidRequest("Name an audience that tokens must have, or a client id.", path=("audiences",))
