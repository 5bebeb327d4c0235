"""The tenants of the demo: the organizations that the emulator plays, with people and integrations to try."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

from app.audit.recorder import AuditRecorder
from app.context import Role
from app.context.permissions import Permission
from app.emulator.private_files import write_private
from app.store.database import Database
from app.tenancy.administration import Administration, SandboxDescription, TenantDescription
from app.tenancy.sealing import Sealer

# Product profile, the permissions that it grants, and the first part of the address of the person who has it.
PEOPLE: tuple[tuple[str, frozenset[Permission], str, Role], ...] = (
    ("Administrators", frozenset(Permission), "admin", Role.DEVELOPER),
    (
        "Segment Authors",
        frozenset(
            {
                Permission.MANAGE_SEGMENTS,
                Permission.VIEW_SEGMENTS,
                Permission.VIEW_PROFILES,
                Permission.VIEW_MERGE_POLICIES,
                Permission.EVALUATE_SEGMENT,
                Permission.EXPORT_AUDIENCE,
                Permission.VIEW_USER_ACTIVITY_LOG,
                Permission.VIEW_SANDBOXES,
            }
        ),
        "author",
        Role.USER,
    ),
    ("Viewers", frozenset({Permission.VIEW_SEGMENTS}), "viewer", Role.USER),
)
INTEGRATION_PROFILE = "Segment Authors"
SCOPES = ("openid", "session", "AdobeID", "read_organizations", "additional_info.projectedProductContext")


async def seed_tenants(database: Database, sealer: Sealer, state_dir: Path, emulator_url: str) -> list[dict[str, Any]]:
    """Make the demo's tenants, or find those of an earlier start, and point them at the emulator.

    Returns what the ready file says of them. Keys are only known when they are made, so the demo keeps them in a
    file that only its owner may read; a real gateway shows a key once and forgets it.
    """
    keys_file = state_dir / "demo.json"
    known = json.loads(keys_file.read_text()) if keys_file.exists() else {}
    organizations = json.loads((state_dir / "emulator" / "organizations.json").read_text())
    administration = Administration(database, sealer, AuditRecorder(), actor_name="segment-gateway demo")
    tenants = []
    for organization in organizations:
        slug = organization["slug"]
        if slug not in known:
            known[slug] = await _seed_tenant(administration, organization, emulator_url)
            write_private_json(keys_file, known)
        await administration.move_tenant(UUID(known[slug]["id"]), platform_url=emulator_url, ims_url=emulator_url)
        tenants.append({name: value for name, value in known[slug].items() if name != "id"})
    return tenants


async def _seed_tenant(
    administration: Administration, organization: dict[str, Any], emulator_url: str
) -> dict[str, Any]:
    slug, credential = organization["slug"], organization["credentials"][0]
    tenant_id = await administration.create_tenant(
        TenantDescription(
            slug=slug,
            name=slug.capitalize(),
            ims_org_id=organization["org_id"],
            namespace=organization["namespace"],
            platform_url=emulator_url,
            ims_url=emulator_url,
            sandboxes=[
                SandboxDescription(
                    aep_id=sandbox["id"],
                    name=sandbox["name"],
                    title=sandbox["title"],
                    type=sandbox["type"],
                    is_default=sandbox["default"],
                )
                for sandbox in organization["sandboxes"]
            ],
            client_id=credential["client_id"],
            client_secret=credential["client_secret"],
            scopes=credential["scopes"],
        )
    )
    people, profiles = [], {}
    for profile, permissions, account, role in PEOPLE:
        profiles[profile] = await administration.create_product_profile(tenant_id, profile, permissions)
        email = f"{account}@{slug}.example"
        access_key = await administration.add_person(tenant_id, email, profiles[profile], role)
        people.append({"email": email, "product_profile": profile, "role": role.value, "access_key": access_key})
    name = f"{slug.capitalize()} Loader"
    issued = await administration.issue_integration(tenant_id, name, profiles[INTEGRATION_PROFILE], SCOPES)
    integration = {
        "name": name,
        "role": Role.DEVELOPER.value,
        "client_id": issued.client_id,
        "client_secret": issued.client_secret,
        "scopes": list(SCOPES),
        "product_profile": INTEGRATION_PROFILE,
    }
    return {
        "id": str(tenant_id),
        "slug": slug,
        "org_id": organization["org_id"],
        "namespace": organization["namespace"],
        "sandboxes": [sandbox["name"] for sandbox in organization["sandboxes"]],
        "aep": {"client_id": credential["client_id"], "client_secret": credential["client_secret"]},
        "integrations": [integration],
        "people": people,
    }


def write_private_json(path: Path, document: dict[str, Any]) -> None:
    """Write JSON in one step, readable by its owner only: it holds keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, json.dumps(document, indent=2).encode())
