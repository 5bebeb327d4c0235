"""Segment jobs and schedules in the cache; how far a read is, and where the next one goes on.

Revision: 0011, after 0010.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ROLE = "segment_gateway_app"
TENANT = "nullif(current_setting('app.tenant_id', true), '')::uuid"
STATES = "sync_states"


def upgrade() -> None:
    op.create_table(
        "cached_objects",
        sa.Column("tenant_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("sandbox_id", UUID(as_uuid=True), primary_key=True),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("aep_id", sa.Text(), primary_key=True),
        sa.Column("document", JSONB(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("synced_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index(
        "ix_cached_objects_created",
        "cached_objects",
        ["tenant_id", "sandbox_id", "kind", sa.text("created_at DESC"), "aep_id"],
    )
    op.execute("ALTER TABLE cached_objects ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE cached_objects FORCE ROW LEVEL SECURITY")
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON cached_objects TO {ROLE}")
    op.execute(f"CREATE POLICY tenant ON cached_objects USING (tenant_id = {TENANT}) WITH CHECK (tenant_id = {TENANT})")
    op.add_column(STATES, sa.Column("reconciled_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(STATES, sa.Column("listed_total", sa.Integer(), nullable=True))
    op.add_column(STATES, sa.Column("cursor_ms", sa.BigInteger(), nullable=True))
    op.add_column(STATES, sa.Column("started_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(STATES, sa.Column("mode", sa.Text(), nullable=True))
    op.add_column(STATES, sa.Column("objects_read", sa.Integer(), nullable=False, server_default="0"))
    op.add_column(STATES, sa.Column("objects_total", sa.Integer(), nullable=True))


def downgrade() -> None:
    columns = (*("objects_total", "objects_read", "mode", "started_at", "cursor_ms", "listed_total", "reconciled_at"),)
    for column in columns:
        op.drop_column(STATES, column)
    op.drop_table("cached_objects")
