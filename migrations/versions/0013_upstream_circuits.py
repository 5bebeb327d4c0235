"""Circuits to AEP's endpoints, shared by all processes.

Revision: 0013, after 0012.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ROLE = "segment_gateway_app"
TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"


def upgrade() -> None:
    op.create_table(
        "upstream_circuits",
        sa.Column("tenant_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("endpoint", sa.Text(), primary_key=True),
        sa.Column("opens", sa.Integer(), nullable=False),
        sa.Column("paused_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("calls_at_once", sa.Float(), nullable=True),
    )
    op.execute("ALTER TABLE upstream_circuits ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE upstream_circuits FORCE ROW LEVEL SECURITY")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON upstream_circuits TO {ROLE}")
    op.execute(
        f"CREATE POLICY tenant ON upstream_circuits USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})"
    )


def downgrade() -> None:
    op.drop_table("upstream_circuits")
