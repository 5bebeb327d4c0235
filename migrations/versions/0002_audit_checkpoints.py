"""Signed checkpoints of each tenant's audit chain, append-only like the chain.

Revision: 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, UUID

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ROLE = "segment_gateway_app"
TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"


def upgrade() -> None:
    op.create_table(
        "audit_checkpoints",
        sa.Column("id", UUID(as_uuid=True), primary_key=True),
        sa.Column("tenant_id", UUID(as_uuid=True), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("frontier", ARRAY(sa.Text()), nullable=False),
        sa.UniqueConstraint("tenant_id", "size"),
        sa.CheckConstraint("size > 0"),
    )
    op.execute(
        """
        CREATE TRIGGER audit_checkpoints_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoints
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()
        """
    )
    op.execute("ALTER TABLE audit_checkpoints ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE audit_checkpoints FORCE ROW LEVEL SECURITY")
    op.execute(f"GRANT SELECT, INSERT ON audit_checkpoints TO {ROLE}")
    op.execute(
        f"CREATE POLICY tenant ON audit_checkpoints USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})"
    )


def downgrade() -> None:
    op.execute("DROP TABLE audit_checkpoints CASCADE")
