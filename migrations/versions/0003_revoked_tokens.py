"""Tokens of integrations that were withdrawn before their time.

Every process looks here when a token comes in, so that a token is refused everywhere from the moment it is withdrawn.

Revision: 0003, after 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ROLE = "segment_gateway_app"
TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"


def upgrade() -> None:
    op.create_table(
        "revoked_tokens",
        sa.Column("tenant_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("token_id", sa.Text(), primary_key=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute("ALTER TABLE revoked_tokens ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE revoked_tokens FORCE ROW LEVEL SECURITY")
    op.execute(f"GRANT SELECT, INSERT, DELETE ON revoked_tokens TO {ROLE}")
    op.execute(f"CREATE POLICY tenant ON revoked_tokens USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})")


def downgrade() -> None:
    op.drop_table("revoked_tokens")
