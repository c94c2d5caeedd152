"""Alembic's entry: run the steps on the connection that ``orchestrator.store.migrate`` hands over."""

from alembic import context

from orchestrator.store.tables import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, transaction_per_migration=False)
context.run_migrations()  # in the caller's transaction
