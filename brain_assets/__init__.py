"""The Dagster assets: data, model, feedback and monitoring."""
