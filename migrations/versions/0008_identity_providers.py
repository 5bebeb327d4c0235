"""Identity providers that organizations trust, what their groups grant, and who a provider says that a person is.

Revision: 0008, after 0007.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, UUID

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ROLE = "segment_gateway_app"
TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"
LOOKUP = "nullif(current_setting('app.lookup', true), '')"
TABLES = ("identity_providers", "group_grants")


def upgrade() -> None:
    op.create_table(
        "identity_providers",
        sa.Column("id", UUID(as_uuid=True), primary_key=True),
        sa.Column("tenant_id", UUID(as_uuid=True), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=True),
        sa.Column("sealed_client_secret", sa.LargeBinary(), nullable=True),
        sa.Column("audiences", ARRAY(sa.Text()), nullable=False),
        sa.Column("groups_claim", sa.Text(), nullable=False),
        sa.Column("scopes", ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.UniqueConstraint("tenant_id", "issuer"),
        sa.UniqueConstraint("tenant_id", "id"),
    )
    op.create_index("ix_identity_providers_issuer", "identity_providers", ["issuer"])
    op.create_table(
        "group_grants",
        sa.Column("id", UUID(as_uuid=True), primary_key=True),
        sa.Column("tenant_id", UUID(as_uuid=True), nullable=False),
        sa.Column("identity_provider_id", UUID(as_uuid=True), nullable=False),
        sa.Column("group_name", sa.Text(), nullable=False),
        sa.Column("product_profile_id", UUID(as_uuid=True), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.UniqueConstraint("tenant_id", "identity_provider_id", "group_name", "product_profile_id"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "identity_provider_id"],
            ["identity_providers.tenant_id", "identity_providers.id"],
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "product_profile_id"],
            ["product_profiles.tenant_id", "product_profiles.id"],
            ondelete="CASCADE",
        ),
    )
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {ROLE}")
        op.execute(f"CREATE POLICY tenant ON {table} USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})")
    # A token names its issuer before anybody knows whose token it is.
    op.execute(f"CREATE POLICY lookup ON identity_providers FOR SELECT USING (issuer = {LOOKUP})")
    op.add_column("people", sa.Column("issuer", sa.Text(), nullable=True))
    op.add_column("people", sa.Column("subject", sa.Text(), nullable=True))
    op.add_column("people", sa.Column("groups", ARRAY(sa.Text()), nullable=False, server_default="{}"))
    op.add_column("people", sa.Column("groups_at", sa.DateTime(timezone=True), nullable=True))
    op.create_unique_constraint("uq_people_subject", "people", ["tenant_id", "issuer", "subject"])


def downgrade() -> None:
    op.drop_constraint("uq_people_subject", "people")
    for column in ("groups_at", "groups", "subject", "issuer"):
        op.drop_column("people", column)
    for table in reversed(TABLES):
        op.drop_table(table)
