"""Plain functions behind the assets; nothing here knows Dagster."""
