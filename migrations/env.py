"""Run the migrations: on the connection that lMaPS passes in, or for developers on ``-x url=sqlite:///FILE``."""

from alembic import context
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from lmaps.store.models import metadata
from lmaps.util.failpoints import failpoint

config = context.config


def run(connection):
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        transaction_per_migration=False,  # one for all: an upgrade that fails half-way must leave nothing behind
        on_version_apply=lambda **_: failpoint("migrate.step"),
    )
    with context.begin_transaction():
        context.run_migrations()


handed_in = config.attributes.get("connection")
if handed_in is not None:
    run(handed_in)
else:
    url = context.get_x_argument(as_dictionary=True).get("url", "sqlite:///lmaps.db")
    with create_engine(url, poolclass=NullPool).connect() as connection:
        run(connection)
        connection.commit()
