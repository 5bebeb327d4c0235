"""Leases of objects at AEP that somebody is changing: one writer at a time, over all processes.

Leases end by themselves, so a process that dies holds nobody up for long, and no connection is kept for one.

Revision: 0007, after 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLE = "object_leases"
ROLE = "segment_gateway_app"
TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("tenant_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("sandbox_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("object_id", sa.Text(), primary_key=True),
        sa.Column("operation_id", UUID(as_uuid=True), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_object_leases_operation", TABLE, ["tenant_id", "operation_id"])
    op.execute(f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {TABLE} FORCE ROW LEVEL SECURITY")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {TABLE} TO {ROLE}")
    op.execute(f"CREATE POLICY tenant ON {TABLE} USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})")


def downgrade() -> None:
    op.drop_table(TABLE)
