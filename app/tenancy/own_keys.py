"""A person's own access keys: listed without what they are, issued and shown once, withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from app.audit.actions import Action
from app.audit.recorder import AuditRecorder, Resource
from app.context import ActorKind, RequestContext
from app.errors import Forbidden, InvalidRequest, NotFound
from app.services.permissions import require
from app.store.database import Database
from app.store.rows import AccessKeyRow
from app.tenancy.access_keys import hash_of, new_access_key
from app.tenancy.author import Author

MAX_LIFETIME_DAYS: Final = 366
DEFAULT_LIFETIME_DAYS: Final = 90
MAX_USABLE_KEYS: Final = 50


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key, shown this once, and what is kept of it."""

    row: AccessKeyRow
    access_key: str = field(repr=False)


class OwnKeys:
    """What a person may do with his own keys. Integrations have none."""

    def __init__(
        self,
        database: Database,
        recorder: AuditRecorder,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._recorder = recorder
        self._clock = clock

    async def list(self, ctx: RequestContext) -> list[AccessKeyRow]:
        """Return the caller's keys, the newest first. Raises `Forbidden` for an integration."""
        _require_person(ctx, "list_own_access_keys")
        async with self._database.read(ctx.tenant.id) as unit:
            return list(await unit.access_keys.of_person(ctx.actor.id))

    async def issue(self, ctx: RequestContext, label: str, lifetime_days: int = DEFAULT_LIFETIME_DAYS) -> IssuedKey:
        """Make a key of the caller that ends after ``lifetime_days``. Raises `Forbidden` or `InvalidRequest`."""
        _require_person(ctx, "issue_own_access_key")
        if not 1 <= len(label) <= 100 or not label.isprintable():
            raise InvalidRequest("label must have 1 to 100 printable characters.", path=("label",))
        if not 1 <= lifetime_days <= MAX_LIFETIME_DAYS:
            raise InvalidRequest(f"lifetimeDays must be between 1 and {MAX_LIFETIME_DAYS}.", path=("lifetimeDays",))
        access_key, now = new_access_key(), self._clock()
        row = AccessKeyRow(
            id=uuid4(),
            tenant_id=ctx.tenant.id,
            person_id=ctx.actor.id,
            key_hash=hash_of(access_key),
            label=label,
            created_at=now,
            expires_at=now + timedelta(days=lifetime_days),
        )
        async with self._database.write(ctx.tenant.id) as unit:
            usable = [one for one in await unit.access_keys.of_person(ctx.actor.id) if is_usable(one, now)]
            if len(usable) >= MAX_USABLE_KEYS:
                raise InvalidRequest(f"You have {len(usable)} keys.", hint="Withdraw those that are not used any more.")
            unit.access_keys.add(row)
            await Author.of(ctx).record(self._recorder, unit, Action.ACCESS_KEY_ISSUE, _about(ctx), **_detail(row))
        return IssuedKey(row, access_key)

    async def revoke(self, ctx: RequestContext, key_id: UUID) -> None:
        """Withdraw a key of the caller at once, in every process. Raises `Forbidden` or `NotFound`."""
        _require_person(ctx, "revoke_own_access_key")
        async with self._database.write(ctx.tenant.id) as unit:
            row = await unit.access_keys.revoke(ctx.actor.id, key_id, at=self._clock())
            if row is None:
                raise NotFound("You have no such key, or it was withdrawn before.")
            await Author.of(ctx).record(self._recorder, unit, Action.ACCESS_KEY_REVOKE, _about(ctx), **_detail(row))


def is_usable(row: AccessKeyRow, now: datetime) -> bool:
    """Tell whether a key opens anything."""
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > now)


def _about(ctx: RequestContext) -> Resource:
    return Resource("person", str(ctx.actor.id), ctx.actor.name)


def _detail(row: AccessKeyRow) -> dict[str, str | None]:
    expires_at = row.expires_at.isoformat() if row.expires_at else None
    return {"keyId": str(row.id), "label": row.label, "expiresAt": expires_at}


def _require_person(ctx: RequestContext, operation: str) -> None:
    require(ctx, operation)
    if ctx.actor.kind is not ActorKind.PERSON:
        raise Forbidden("Access keys belong to people.", hint="An integration has its client id and secret instead.")
