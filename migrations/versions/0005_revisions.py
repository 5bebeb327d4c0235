"""Where each version of a segment definition comes from, and what was seen upstream and is not in the audit yet.

Versions that are there already have an author when they were made through the gateway. Their rules are not hashed
afterwards: the hash only spares a comparison.

Revision: 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLE = "segment_definition_revisions"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("seen_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(TABLE, sa.Column("source", sa.Text(), nullable=True))
    op.add_column(TABLE, sa.Column("rule_hash", sa.Text(), nullable=True))
    op.add_column(TABLE, sa.Column("deleted", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column(TABLE, sa.Column("restored_from", sa.Integer(), nullable=True))
    op.add_column(TABLE, sa.Column("drift", sa.Text(), nullable=True))
    # The migration's role owns the table, and the policy is forced on owners too.
    op.execute(f"ALTER TABLE {TABLE} NO FORCE ROW LEVEL SECURITY")
    op.execute(
        "UPDATE segment_definition_revisions "
        "SET seen_at = at, source = CASE WHEN author IS NULL THEN 'upstream' ELSE 'gateway' END"
    )
    op.execute(f"ALTER TABLE {TABLE} FORCE ROW LEVEL SECURITY")
    op.alter_column(TABLE, "seen_at", nullable=False)
    op.alter_column(TABLE, "source", nullable=False)
    op.create_check_constraint("source_known", TABLE, "source IN ('gateway', 'upstream', 'restore')")
    op.create_check_constraint("drift_known", TABLE, "drift IN ('pending', 'recorded')")
    op.create_index(
        "ix_segment_definition_revisions_drift",
        TABLE,
        ["tenant_id", "sandbox_id"],
        postgresql_where=sa.text("drift = 'pending'"),
    )


def downgrade() -> None:
    op.drop_index("ix_segment_definition_revisions_drift", TABLE)
    # Ends of definitions are versions only now.
    op.execute(f"ALTER TABLE {TABLE} NO FORCE ROW LEVEL SECURITY")
    op.execute("DELETE FROM segment_definition_revisions WHERE deleted")
    op.execute(f"ALTER TABLE {TABLE} FORCE ROW LEVEL SECURITY")
    for column in ("drift", "restored_from", "deleted", "rule_hash", "source", "seen_at"):
        op.drop_column(TABLE, column)
