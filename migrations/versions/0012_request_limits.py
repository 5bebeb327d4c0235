"""Requests of each tenant and credential in the present minute, and the origins whose pages may call a tenant.

Revision: 0012, after 0011.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, UUID

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ROLE = "segment_gateway_app"
TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"
LOOKUP = "nullif(current_setting('app.lookup', true), '')"
NAMED = f"slug = {LOOKUP} OR ims_org_id = {LOOKUP}"
DIRECTORY = "current_setting('app.directory', true) = 'on'"


def upgrade() -> None:
    # Nothing is lost with it but a minute's count, so it need not survive a crash of the server.
    op.create_table(
        "request_budgets",
        sa.Column("tenant_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("subject", UUID(as_uuid=True), primary_key=True),
        sa.Column("window_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leased", sa.BigInteger(), nullable=False),
        prefixes=["UNLOGGED"],
    )
    op.execute("ALTER TABLE request_budgets ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE request_budgets FORCE ROW LEVEL SECURITY")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON request_budgets TO {ROLE}")
    op.execute(
        f"CREATE POLICY tenant ON request_budgets USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})"
    )
    op.add_column("tenants", sa.Column("allowed_origins", ARRAY(sa.Text()), nullable=False, server_default="{}"))
    # A browser asks for leave before it sends the credential that would name the tenant.
    op.execute("DROP POLICY lookup ON tenants")
    op.execute(
        f"CREATE POLICY lookup ON tenants FOR SELECT USING ({NAMED} OR {LOOKUP} = ANY(allowed_origins) OR {DIRECTORY})"
    )


def downgrade() -> None:
    op.execute("DROP POLICY lookup ON tenants")
    op.execute(f"CREATE POLICY lookup ON tenants FOR SELECT USING ({NAMED} OR {DIRECTORY})")
    op.drop_column("tenants", "allowed_origins")
    op.drop_table("request_budgets")
