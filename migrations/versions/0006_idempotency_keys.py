"""Keys under which callers repeat a change safely, each with the answer that the change got.

Revision: 0006, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLE = "idempotency_keys"
ROLE = "segment_gateway_app"
TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("tenant_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("sandbox_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("actor_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("operation", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("operation_id", UUID(as_uuid=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('open', 'unknown', 'done')", name="state_known"),
        sa.CheckConstraint("(state = 'done') = (answer IS NOT NULL)", name="done_means_answered"),
    )
    op.create_index("ix_idempotency_keys_operation", TABLE, ["tenant_id", "operation_id"])
    op.create_index("ix_idempotency_keys_expiry", TABLE, ["tenant_id", "expires_at"])
    op.execute(f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {TABLE} FORCE ROW LEVEL SECURITY")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {TABLE} TO {ROLE}")
    op.execute(f"CREATE POLICY tenant ON {TABLE} USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})")


def downgrade() -> None:
    op.drop_table(TABLE)
