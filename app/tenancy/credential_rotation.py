"""Changing a tenant's credential at Adobe I/O without a moment in which no call is possible.

The new credential is tried first, with a token and a read. Then it is the current one, and the one before stands by
until it is retired or its time is over: should IMS refuse the current one, calls are made with the other. A secret is
removed from the database as soon as its credential is retired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

import httpx

from app.audit.actions import Action
from app.audit.recorder import AuditRecorder, Resource
from app.errors import Conflict, InvalidRequest, NotFound
from app.store.database import Database, WriteUnit
from app.store.rows import TenantCredentialRow
from app.tenancy.author import Author
from app.tenancy.credentials import connection_of, credential_owner
from app.tenancy.sealing import Sealer
from app.upstream.probe import Finding, Probe, Verdict

REMOVED = b""


class CredentialNotWorking(InvalidRequest):
    """The credential was tried and does not work, so nothing was changed."""

    code = "CREDENTIAL_NOT_WORKING"
    title = "Credential does not work"


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A credential as Adobe's Developer Console shows it; without scopes those of the current one are kept."""

    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CredentialState:
    """A credential without its secret. ``state`` is ``current``, ``standby`` or ``retired``."""

    id: UUID
    client_id: str
    scopes: tuple[str, ...]
    state: str
    created_at: datetime
    retired_at: datetime | None


class CredentialRotation:
    """Enters, lists and retires credentials."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        recorder: AuditRecorder,
        http: httpx.AsyncClient,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._recorder = recorder
        self._http = http
        self._clock = clock

    async def states(self, tenant_id: UUID) -> list[CredentialState]:
        """Return all credentials that there ever were, newest first."""
        async with self._database.read(tenant_id) as unit:
            rows = await unit.tenancy.credentials()
        return _states(rows, self._clock())

    async def rotate(
        self, tenant_id: UUID, new: NewCredential, author: Author, *, usable_until: datetime | None = None
    ) -> list[Finding]:
        """Try a credential and make it the current one; the one before stands by, until ``usable_until`` if given.

        Returns what the trial found. Raises `CredentialNotWorking` and changes nothing when it does not work,
        `InvalidRequest` when ``usable_until`` is no time to come.
        """
        if usable_until is not None and usable_until <= self._clock():
            raise InvalidRequest("The time until which the old credential may be used is over already.")
        async with self._database.read(tenant_id) as unit:
            tenant = await unit.tenancy.tenant()
            sandbox = (await unit.tenancy.sandboxes())[0]
            before = await unit.tenancy.usable_credentials()
        scopes = list(new.scopes) or (list(before[0].scopes) if before else [])
        row = TenantCredentialRow(
            id=uuid4(),
            tenant_id=tenant_id,
            client_id=new.client_id,
            sealed_secret=self._sealer.seal(new.client_secret, owner=credential_owner(tenant_id)),
            scopes=scopes,
        )
        probe = Probe(self._http, connection_of(tenant, row, new.client_secret))
        await probe.token()
        await probe.sandboxes([sandbox.name])
        _require_working(probe)
        async with self._database.write(tenant_id) as unit:
            await unit.tenancy.lock()
            usable = await unit.tenancy.usable_credentials()
            for number, old in enumerate(usable):
                # One stands by; whatever was still usable before it ends now.
                await self._end(unit, old, usable_until if number == 0 else self._clock())
            unit.tenancy.add(row)
            about = Resource("credential", new.client_id)
            await author.record(
                self._recorder,
                unit,
                Action.CREDENTIAL_ROTATE,
                about,
                scopes=scopes,
                before=usable[0].client_id if usable else None,
                usableUntil=usable_until.isoformat() if usable_until else None,
            )
        return probe.findings

    async def retire(self, tenant_id: UUID, credential_id: UUID, author: Author) -> None:
        """End the use of a credential now and remove its secret.

        Raises `NotFound`, and `Conflict` for the current one, without which no call would be possible.
        """
        async with self._database.write(tenant_id) as unit:
            await unit.tenancy.lock()
            usable = await unit.tenancy.usable_credentials()
            rows = {row.id: row for row in await unit.tenancy.credentials()}
            if credential_id not in rows:
                raise NotFound("This tenant has no such credential.")
            if usable and usable[0].id == credential_id:
                raise Conflict(
                    "The current credential cannot be retired: no call to Adobe would be possible.",
                    hint="Enter the next one first, with 'segment-gateway tenant rotate-credential'.",
                )
            row = rows[credential_id]
            if row.sealed_secret == REMOVED:
                return
            await self._end(unit, row, self._clock())
            about = Resource("credential", row.client_id)
            await author.record(self._recorder, unit, Action.CREDENTIAL_RETIRE, about)

    async def _end(self, unit: WriteUnit, row: TenantCredentialRow, at: datetime | None) -> None:
        row.retired_at = at
        if at is not None and at <= self._clock():
            row.sealed_secret = REMOVED
            await unit.upstream_tokens.forget(row.id)


def _require_working(probe: Probe) -> None:
    for finding in probe.findings:
        if finding.verdict is Verdict.FAILED:
            raise CredentialNotWorking(
                f"The credential was tried and does not work, so nothing was changed: {finding.step}: "
                f"{finding.detail}.",
                hint=finding.cure,
            )


def _states(rows: Sequence[TenantCredentialRow], now: datetime) -> list[CredentialState]:
    states, names = [], iter(("current", "standby"))
    for row in rows:
        usable = row.retired_at is None or row.retired_at > now
        state = next(names, "standby") if usable else "retired"
        states.append(CredentialState(row.id, row.client_id, tuple(row.scopes), state, row.created_at, row.retired_at))
    return states
