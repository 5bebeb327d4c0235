"""Writes audit events in the vendor's shape: the permission decision as the core event, what came of it inside."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from app.aep.audit_log import KEPT_MS, timestamp
from app.emulator.deeds import Asset, Deed
from app.emulator.organizations import EmulatedSandbox, Organization
from app.emulator.state import Store

Document = dict[str, Any]


async def record(
    store: Store,
    organization: Organization,
    sandbox: EmulatedSandbox,
    deed: Deed,
    *,
    at_ms: int,
    request_id: str,
    user: str,
    address: str | None,
    assets: Sequence[Asset],
    denied: bool,
    failure: str,
) -> None:
    """Keep one event. ``failure`` is empty for success, otherwise the status of the answer."""
    asset = assets[0] if len(assets) == 1 else Asset("", "")
    result = {
        "id": str(uuid.uuid4()),
        "action": deed.action or "Read",
        "status": "Failure" if failure else "Success",
        "failureCode": failure,
        "timestamp": timestamp(at_ms),
        "assetType": deed.resource,
        "assetId": asset.id,
        "assetName": asset.name,
        "permissionResource": deed.resource,
        "permissionType": deed.type.capitalize(),
        "requestId": request_id,
    }
    document: Document = {
        "id": str(uuid.uuid4()),
        "version": "1.0",
        "imsOrgId": organization.org_id,
        "sandboxName": sandbox.name,
        "sandboxId": sandbox.id,
        "region": organization.region,
        "requestId": request_id,
        "authId": str(uuid.uuid5(uuid.UUID(sandbox.id), user)),
        "permissionResource": deed.resource,
        "permissionType": deed.type,
        "assetType": deed.resource,
        "assetId": asset.id,
        "assetName": asset.name,
        "action": deed.action or "Read",
        "status": "Deny" if denied else "Allow",
        "failureCode": failure if denied else "",
        "timestamp": timestamp(at_ms),
        "userEmail": user,
        "userIpAddresses": [_masked(address)] if address else [],
        # What was denied was not carried out.
        "enhancedEvents": [] if denied else [result],
    }
    if len(assets) > 1:
        status = "Deny" if denied else "Allow"
        document["assets"] = [
            {"assetId": one.id, "assetName": one.name, "status": status, "failureCode": document["failureCode"]}
            for one in assets
        ]
    await store.add_audit_event(document, at_ms=at_ms, keep_from_ms=at_ms - KEPT_MS)


def _masked(address: str) -> str:
    """Return the first part of an address; the log shows no more of it."""
    first, dot, _ = address.partition(".")
    return f"{first}.*.*.*" if dot else f"{address.partition(':')[0]}:*"
