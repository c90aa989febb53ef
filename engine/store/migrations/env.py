"""Alembic's environment. Runs on the connection that `engine.store.database.upgrade` hands in."""

from alembic import context

from engine.store.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("migrations run through `kairos db upgrade`, not through the alembic command")
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
