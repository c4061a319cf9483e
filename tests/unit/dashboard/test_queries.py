"""Without a database; tests/integration/test_dashboard_queries.py has the figures."""

import pytest

from brain_core.database import open_engine
from brain_core.errors import DatabaseError
from dashboard import queries


@pytest.mark.parametrize(
    "query", [queries.totals, queries.by_class, queries.over_time, queries.correlations, queries.drift_runs]
)
def test_every_query_is_a_database_error_when_postgresql_is_away(query):
    engine = open_engine("postgresql+psycopg2://nobody@127.0.0.1:9/brain", read_only=True)

    with pytest.raises(DatabaseError, match="away"):
        query(engine)
