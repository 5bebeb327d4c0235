"""Sessions of people who signed in by browser, and when access keys were used last.

Revision: 0010, after 0009.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ROLE = "segment_gateway_app"
TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"
LOOKUP = "nullif(current_setting('app.lookup', true), '')"


def upgrade() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", UUID(as_uuid=True), primary_key=True),
        sa.Column("tenant_id", UUID(as_uuid=True), nullable=False),
        sa.Column("person_id", UUID(as_uuid=True), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("token_hash"),
        sa.ForeignKeyConstraint(["tenant_id", "person_id"], ["people.tenant_id", "people.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_sessions_tenant_id", "sessions", ["tenant_id", "expires_at"])
    op.execute("ALTER TABLE sessions ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE sessions FORCE ROW LEVEL SECURITY")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO {ROLE}")
    op.execute(f"CREATE POLICY tenant ON sessions USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})")
    op.execute(
        "CREATE POLICY lookup ON sessions FOR SELECT USING "
        f"(token_hash = decode(CASE WHEN {LOOKUP} ~ '^[0-9a-f]{{64}}$' THEN {LOOKUP} END, 'hex'))"
    )
    op.add_column("access_keys", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("access_keys", "last_used_at")
    op.drop_table("sessions")
