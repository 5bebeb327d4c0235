"""Which OpenID providers an organization trusts, and what their groups grant there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from app.aep.headers import new_request_id
from app.audit.actions import Action, Phase
from app.audit.recorder import AuditRecorder, Operation, Resource
from app.context import Actor, ActorKind, Entrance, Role
from app.errors import InvalidRequest
from app.store.database import Database
from app.store.rows import IdentityProviderRow
from app.tenancy.administration import SYSTEM_ACTOR_ID
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
    """Enters and withdraws trust. ``actor_name`` goes into the audit as the author."""

    def __init__(self, database: Database, sealer: Sealer, recorder: AuditRecorder, *, actor_name: str) -> None:
        self._database = database
        self._sealer = sealer
        self._recorder = recorder
        self._actor_name = actor_name

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
            await unit.flush()
            operation = self._operation(unit.tenant_id, Action.IDENTITY_PROVIDER_TRUST, row)
            await self._recorder.record(unit, operation, Phase.RECORDED, detail=detail)
        return row.id

    def _operation(self, tenant_id: UUID, action: Action, row: IdentityProviderRow) -> Operation:
        actor = Actor(ActorKind.SYSTEM, SYSTEM_ACTOR_ID, self._actor_name, tenant_id)
        about = Resource("identity_provider", str(row.id), row.issuer)
        return Operation(action, about, actor, Entrance.CLI, new_request_id())


def _check(wanted: ProviderDescription) -> None:
    if not is_secure_address(wanted.issuer):
        raise InvalidRequest("The issuer must be an https address; http is for this machine only.", path=("issuer",))
    if not wanted.audiences and not wanted.client_id:
        # Without it a token that the provider made for quite another application would open this one.
        raise InvalidRequest("Name an audience that tokens must have, or a client id.", path=("audiences",))
