"""Tenants with their people and credentials, the cache of definitions and audiences, the audit.

Row-level security is on and forced from the start, for a group role that can neither bypass it nor log in. A session
says whose rows it may see with transaction-local settings:

* ``app.tenant_id``: rows of this tenant;
* ``app.lookup``: one exact key (a slug, an organization id, a client id, the hash of an access key in hex), for the
  look-ups that find out which tenant a caller belongs to. It shows the one row that the caller could name;
* ``app.directory`` = ``on``: the list of tenants, and nothing else, for the sync worker and the command line.

Revision: 0001, first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROLE = "segment_gateway_app"
TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"
LOOKUP = "nullif(current_setting('app.lookup', true), '')"

# The extra look-up that a table allows besides the tenant's own rows.
LOOKUPS = {
    "integrations": f"client_id = {LOOKUP}",
    "access_keys": f"key_hash = decode(CASE WHEN {LOOKUP} ~ '^[0-9a-f]+$' THEN {LOOKUP} END, 'hex')",
}
TENANT_TABLES = (
    "tenant_credentials",
    "sandboxes",
    "product_profiles",
    "people",
    "integrations",
    "memberships",
    "access_keys",
    "segment_definitions",
    "segment_definition_revisions",
    "audiences",
    "tenant_schemas",
    "sync_states",
    "audit_events",
)
TABLES = ("tenants", "signing_keys", *TENANT_TABLES)


def _id() -> sa.Column[object]:
    return sa.Column("id", UUID(as_uuid=True), primary_key=True)


def _uuid(name: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[object]:
    return sa.Column(name, UUID(as_uuid=True), nullable=nullable, primary_key=primary_key)


def _text(name: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable, primary_key=primary_key)


def _time(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column[object]:
    default = sa.func.now() if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default)


def _json(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, JSONB(), nullable=nullable)


def _list(name: str) -> sa.Column[object]:
    return sa.Column(name, ARRAY(sa.Text()), nullable=False)


def upgrade() -> None:
    _create_role()
    _create_tenants()
    _create_actors()
    _create_cache()
    _create_audit()
    _protect()


def _create_role() -> None:
    """Make the group role that the application's log-in role is a member of."""
    op.execute(
        f"""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
                CREATE ROLE {ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$
        """
    )


def _create_tenants() -> None:
    op.create_table(
        "tenants",
        _id(),
        _text("slug"),
        _text("name"),
        _text("ims_org_id"),
        _text("namespace"),
        _text("platform_url"),
        _text("ims_url"),
        _time("created_at", now=True),
        sa.UniqueConstraint("slug"),
        sa.UniqueConstraint("ims_org_id"),
    )
    op.create_table(
        "signing_keys",
        _text("id", primary_key=True),
        sa.Column("sealed_private_key", sa.LargeBinary(), nullable=False),
        _time("created_at", now=True),
    )
    op.create_table(
        "tenant_credentials",
        _id(),
        _uuid("tenant_id"),
        _text("client_id"),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        _list("scopes"),
        _time("created_at", now=True),
        _time("retired_at", nullable=True),
    )
    op.create_index("ix_tenant_credentials_tenant_id", "tenant_credentials", ["tenant_id"])
    op.create_table(
        "sandboxes",
        _id(),
        _uuid("tenant_id"),
        _text("aep_id"),
        _text("name"),
        _text("title"),
        _text("type"),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("tenant_id", "name"),
    )


def _create_actors() -> None:
    op.create_table(
        "product_profiles",
        _id(),
        _uuid("tenant_id"),
        _text("name"),
        _list("permissions"),
        _list("sandboxes"),
        sa.UniqueConstraint("tenant_id", "name"),
        sa.UniqueConstraint("tenant_id", "id"),
    )
    op.create_table(
        "people",
        _id(),
        _uuid("tenant_id"),
        _text("email"),
        _time("created_at", now=True),
        _time("disabled_at", nullable=True),
        sa.UniqueConstraint("tenant_id", "email"),
        sa.UniqueConstraint("tenant_id", "id"),
    )
    op.create_table(
        "integrations",
        _id(),
        _uuid("tenant_id"),
        _text("name"),
        _text("client_id"),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        _list("scopes"),
        _time("created_at", now=True),
        _time("disabled_at", nullable=True),
        sa.UniqueConstraint("client_id"),
        sa.UniqueConstraint("tenant_id", "name"),
        sa.UniqueConstraint("tenant_id", "id"),
    )
    op.create_table(
        "memberships",
        _id(),
        _uuid("tenant_id"),
        _uuid("product_profile_id"),
        _text("actor_kind"),
        _uuid("actor_id"),
        _text("role"),
        sa.UniqueConstraint("tenant_id", "product_profile_id", "actor_id"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "product_profile_id"], ["product_profiles.tenant_id", "product_profiles.id"]
        ),
    )
    op.create_index("ix_memberships_actor", "memberships", ["tenant_id", "actor_id"])
    op.create_table(
        "access_keys",
        _id(),
        _uuid("tenant_id"),
        _uuid("person_id"),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        _text("label"),
        _time("created_at", now=True),
        _time("expires_at", nullable=True),
        _time("revoked_at", nullable=True),
        sa.UniqueConstraint("key_hash"),
        sa.ForeignKeyConstraint(["tenant_id", "person_id"], ["people.tenant_id", "people.id"]),
    )


def _create_cache() -> None:
    op.create_table(
        "segment_definitions",
        _id(),
        _uuid("tenant_id"),
        _uuid("sandbox_id"),
        _text("aep_id"),
        _text("name"),
        _text("name_lower"),
        _text("description", nullable=True),
        _json("document"),
        _time("created_at"),
        _time("updated_at"),
        sa.Column("version", sa.Integer(), nullable=False),
        _time("synced_at"),
        _json("created_by", nullable=True),
        _json("updated_by", nullable=True),
        sa.UniqueConstraint("tenant_id", "sandbox_id", "aep_id"),
    )
    op.create_index(
        "ix_segment_definitions_updated",
        "segment_definitions",
        ["tenant_id", "sandbox_id", sa.text("updated_at DESC"), sa.text("id DESC")],
    )
    op.create_index(
        "ix_segment_definitions_name",
        "segment_definitions",
        ["tenant_id", "sandbox_id", sa.text('name_lower COLLATE "C"'), "id"],
    )
    op.create_table(
        "segment_definition_revisions",
        _id(),
        _uuid("tenant_id"),
        _uuid("sandbox_id"),
        _text("aep_id"),
        sa.Column("version", sa.Integer(), nullable=False),
        _json("document"),
        _json("author", nullable=True),
        _time("at"),
        sa.UniqueConstraint("tenant_id", "sandbox_id", "aep_id", "version"),
    )
    op.create_table(
        "audiences",
        _id(),
        _uuid("tenant_id"),
        _uuid("sandbox_id"),
        _text("aep_id"),
        _text("audience_id"),
        _text("name"),
        _text("name_lower"),
        _text("namespace"),
        _text("type"),
        _text("origin_name"),
        _text("lifecycle_state"),
        _json("document"),
        _time("updated_at"),
        _time("synced_at"),
        sa.UniqueConstraint("tenant_id", "sandbox_id", "aep_id"),
    )
    op.create_index(
        "ix_audiences_name", "audiences", ["tenant_id", "sandbox_id", sa.text('name_lower COLLATE "C"'), "id"]
    )
    op.create_table(
        "tenant_schemas",
        _uuid("tenant_id", primary_key=True),
        _uuid("sandbox_id", primary_key=True),
        _json("unions"),
        _time("synced_at"),
    )
    op.create_table(
        "sync_states",
        _uuid("tenant_id", primary_key=True),
        _uuid("sandbox_id", primary_key=True),
        _text("resource", primary_key=True),
        _time("succeeded_at", nullable=True),
        _time("failed_at", nullable=True),
        _text("failure", nullable=True),
        sa.Column("objects", sa.Integer(), nullable=False),
    )


def _create_audit() -> None:
    op.create_table(
        "audit_events",
        _id(),
        _uuid("tenant_id"),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        _uuid("operation_id"),
        _time("at"),
        _text("phase"),
        _text("action"),
        _text("actor_kind"),
        _uuid("actor_id", nullable=True),
        _text("actor_name"),
        _text("entrance"),
        _text("sandbox_name", nullable=True),
        _text("resource_type"),
        _text("resource_id", nullable=True),
        _text("resource_name", nullable=True),
        _text("request_id"),
        _text("upstream_request_id", nullable=True),
        _json("detail"),
        _text("previous_hash"),
        _text("hash"),
        sa.UniqueConstraint("tenant_id", "sequence"),
    )
    op.create_index("ix_audit_events_operation", "audit_events", ["tenant_id", "operation_id"])
    op.create_index("ix_audit_events_resource", "audit_events", ["tenant_id", "resource_id"])
    op.execute(
        """
        CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'audit events are append-only'; END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()
        """
    )


def _protect() -> None:
    """Force row-level security everywhere and grant the application role what it needs, no more."""
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        rights = "SELECT, INSERT" if table == "audit_events" else "SELECT, INSERT, UPDATE, DELETE"
        op.execute(f"GRANT {rights} ON {table} TO {ROLE}")
    for table in TENANT_TABLES:
        op.execute(f"CREATE POLICY tenant ON {table} USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})")
    for table, condition in LOOKUPS.items():
        op.execute(f"CREATE POLICY lookup ON {table} FOR SELECT USING ({condition})")
    own = f"id = {TENANT}"
    named = f"slug = {LOOKUP} OR ims_org_id = {LOOKUP}"
    directory = "current_setting('app.directory', true) = 'on'"
    op.execute(f"CREATE POLICY tenant ON tenants USING ({own}) WITH CHECK ({own})")
    op.execute(f"CREATE POLICY lookup ON tenants FOR SELECT USING ({named} OR {directory})")
    op.execute("CREATE POLICY gateway ON signing_keys USING (true) WITH CHECK (true)")


def downgrade() -> None:
    """Remove everything. The role stays: other databases of the same server may use it."""
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE IF EXISTS {table} CASCADE")
    op.execute("DROP FUNCTION IF EXISTS refuse_audit_change()")
