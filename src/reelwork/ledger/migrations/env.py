"""Alembic's entry: runs the migrations on the connection that `reelwork.ledger.open` hands over."""

from __future__ import annotations

from alembic import context

from reelwork.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
