"""The history of the `brain` database (Alembic)."""
