"""Runs the revisions on the connection that `api.migrations.upgrade` holds. Alembic loads this file."""

from alembic import context

from api.tables import METADATA

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("migrations run through api.migrations.upgrade, which holds the lock")
context.configure(
    connection=connection,
    target_metadata=METADATA,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
