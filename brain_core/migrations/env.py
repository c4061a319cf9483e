"""Alembic's entry: runs the migrations on the URL that `database.upgrade_database` gives."""

from alembic import context
from sqlalchemy import create_engine, text

import brain_core.keys  # noqa: F401 - its table joins `Base`
from brain_core.tables import Base

LOCK_ID = 7_120_431
"""Advisory lock, so that two processes that start together do not migrate at once."""

engine = create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": LOCK_ID})
        context.run_migrations()
    connection.commit()
engine.dispose()
