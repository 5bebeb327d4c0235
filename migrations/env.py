"""Alembic's entry: runs the migrations on the connection that `app.store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from app.store.rows import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
