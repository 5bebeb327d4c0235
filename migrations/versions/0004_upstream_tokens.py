"""Adobe's access tokens, shared by all processes, each with the lease of the process that fetches it.

Leases end by themselves, so they need no session-level lock and no connection of their own: the gateway runs behind
a pooler in transaction mode.

Revision: 0004, after 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROLE = "segment_gateway_app"
TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"


def upgrade() -> None:
    op.create_table(
        "upstream_tokens",
        sa.Column("tenant_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("credential_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("scopes", sa.Text(), primary_key=True),
        sa.Column("sealed_token", sa.LargeBinary(), nullable=True),
        sa.Column("generation", UUID(as_uuid=True), nullable=True),
        sa.Column("renew_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("usable_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_id", UUID(as_uuid=True), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
    )
    op.execute("ALTER TABLE upstream_tokens ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE upstream_tokens FORCE ROW LEVEL SECURITY")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON upstream_tokens TO {ROLE}")
    op.execute(
        f"CREATE POLICY tenant ON upstream_tokens USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})"
    )


def downgrade() -> None:
    op.drop_table("upstream_tokens")
